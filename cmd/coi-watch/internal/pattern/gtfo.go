package pattern

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
)

// functions of the collection that are worth a warning; reading and writing
// files is what most programs are for.
var gtfoFunctions = []string{"reverse-shell", "bind-shell", "non-interactive-reverse-shell", "non-interactive-bind-shell", "library-load", "upload", "file-upload"}

var gtfoWord = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_.-]{2,}`)

// gtfoSkip are words of examples that stand for something else.
var gtfoSkip = regexp.MustCompile(`(?i)attacker|12345|path|input|output|temp|file|data|^RHOST|^RPORT|^LFILE|^TF$|export|^bin$`)

// GTFOBins reads one file of the collection: YAML, or Markdown that begins
// with it. Each example becomes a pattern of level warning that wants the
// program and every word of the example.
func GTFOBins(data []byte, source string) (loaded []*Pattern, not []Unsupported) {
	text := strings.TrimPrefix(string(data), "---\n")
	text, _, _ = strings.Cut(text, "\n---")
	var doc struct {
		Functions map[string][]struct {
			Code string `yaml:"code"`
		} `yaml:"functions"`
	}
	name := strings.TrimSuffix(strings.TrimSuffix(path.Base(source), ".md"), ".yml")
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		return nil, []Unsupported{{ID: name, Source: source, Reason: "not readable as YAML"}}
	}
	for _, fn := range gtfoFunctions {
		for i, ex := range doc.Functions[fn] {
			p, reason := gtfoPattern(name, fn, i, ex.Code)
			if p == nil {
				not = append(not, Unsupported{ID: fmt.Sprintf("gtfobins.%s.%s.%d", name, fn, i+1), Title: name + ": " + fn, Source: source, Reason: reason})
				continue
			}
			p.Source = source
			loaded = append(loaded, p)
		}
	}
	return loaded, not
}

func gtfoPattern(name, fn string, i int, code string) (*Pattern, string) {
	var words []string
	for _, w := range gtfoWord.FindAllString(code, 64) {
		if w != name && !gtfoSkip.MatchString(w) {
			words = append(words, w)
		}
	}
	if len(words) < 2 {
		return nil, "the example has no words of its own"
	}
	canon := program.Canonical(name)
	p := &Pattern{ID: fmt.Sprintf("gtfobins.%s.%s.%d", name, fn, i+1), Title: name + " used as a " + fn, Level: "warning", kind: "exec"}
	p.want = map[string]matcher{
		"name": func(s string) bool { return s == canon },
		"argv": func(s string) bool {
			for _, w := range words {
				if !strings.Contains(s, w) {
					return false
				}
			}
			return true
		},
	}
	return p, ""
}
