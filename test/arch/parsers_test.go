package arch

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	fuzzRE  = regexp.MustCompile(`(?m)^func (Fuzz[A-Za-z0-9_]+)\(`)
	parseRE = regexp.MustCompile(`(?m)^func (\([^)]*\) )?(Parse|Decode|Unmarshal|parse|decode|unmarshal)([A-Z][A-Za-z]*)?\(`)
)

// R-OWN-02: the list of fuzz targets is the list of parsers. A folder with a
// function that parses, decodes or unmarshals has a target, or says why not.
func TestEveryParserIsFuzzed(t *testing.T) {
	listed, excused := map[string]bool{}, map[string]bool{}
	for line := range strings.Lines(read(t, "test/arch/parsers.txt")) {
		word := strings.Fields(line)
		switch {
		case len(word) == 0 || word[0] == "#":
		case len(word) < 3:
			t.Errorf("parsers.txt: %q says not what is parsed, or why it is not fuzzed", line)
		case word[1] == "-":
			excused[word[0]] = true
		default:
			listed[word[0]+" "+word[1]] = true
		}
	}
	targets, fuzzed, parses := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, file := range tracked(t) {
		dir := filepath.Dir(file)
		switch {
		case !strings.HasPrefix(file, "cmd/") && !strings.HasPrefix(file, "pkg/"):
		case strings.HasSuffix(file, "_test.go"):
			for _, m := range fuzzRE.FindAllStringSubmatch(read(t, file), -1) {
				targets[dir+" "+m[1]], fuzzed[dir] = true, true
			}
		case strings.HasSuffix(file, ".go") && parseRE.MatchString(read(t, file)):
			parses[dir] = true
		}
	}
	for target := range targets {
		if !listed[target] {
			t.Errorf("%s is not in test/arch/parsers.txt", target)
		}
	}
	for target := range listed {
		if !targets[target] {
			t.Errorf("test/arch/parsers.txt lists %s, which is not there", target)
		}
	}
	for dir := range parses {
		if !fuzzed[dir] && !excused[dir] {
			t.Errorf("%s parses and has no fuzz target", dir)
		}
	}
	for dir := range excused {
		if fuzzed[dir] || !parses[dir] {
			t.Errorf("test/arch/parsers.txt excuses %s needlessly", dir)
		}
	}
	if len(parses) < 20 {
		t.Errorf("only %d folders parse: the expression finds too little", len(parses))
	}
}
