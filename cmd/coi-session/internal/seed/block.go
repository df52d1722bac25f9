package seed

import "strings"

// Marks of the block that coi keeps in an agent's own instruction file.
const (
	BeginLine = "<!-- BEGIN coi sandbox context (written at every start) -->"
	EndLine   = "<!-- END coi sandbox context -->"
)

// Block puts text between the marks into the file old. A block that is there is
// replaced where it stands, further ones are removed, a mark without its
// partner is dropped while the lines around it stay. The line ends of old are kept.
func Block(old, text string) string {
	eol := "\n"
	if strings.Contains(old, "\r\n") {
		eol = "\r\n"
	}
	block := BeginLine + "\n" + strings.TrimRight(strings.ReplaceAll(text, "\r\n", "\n"), "\n") + "\n" + EndLine + "\n"
	var out strings.Builder
	placed := false
	place := func() {
		if !placed {
			out.WriteString(strings.ReplaceAll(block, "\n", eol))
			placed = true
		}
	}
	lines := strings.SplitAfter(old, "\n")
	for i := 0; i < len(lines); i++ {
		switch strings.TrimSpace(lines[i]) {
		case BeginLine:
			if end := blockEnd(lines, i); end > 0 {
				place()
				i = end
			}
		case EndLine:
		default:
			out.WriteString(lines[i])
		}
	}
	if s := out.String(); !placed && s != "" && !strings.HasSuffix(s, "\n") {
		out.WriteString(eol)
	}
	place()
	return out.String()
}

// blockEnd is the line of the mark that ends the block begun at i, 0 when
// another block begins first or the file ends.
func blockEnd(lines []string, i int) int {
	for j := i + 1; j < len(lines); j++ {
		switch strings.TrimSpace(lines[j]) {
		case EndLine:
			return j
		case BeginLine:
			return 0
		}
	}
	return 0
}
