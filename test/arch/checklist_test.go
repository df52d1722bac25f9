package arch

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	rowRE   = regexp.MustCompile(`(?m)^S\d+`)
	namedRE = regexp.MustCompile(`\bS\d{1,3}\b`)
)

// Every row of docs/checklist.txt stands in the name or comment of a test, or in
// unchecked.txt; a row that has got its test must leave that list.
func TestEveryRowHasATest(t *testing.T) {
	open := rowRE.FindAllString(read(t, "test/arch/unchecked.txt"), -1)
	named := map[string]bool{}
	for _, file := range tracked(t) {
		if (strings.HasSuffix(file, "_test.go") || strings.HasSuffix(file, ".txtar")) && !strings.HasPrefix(file, "test/arch/") {
			for _, id := range namedRE.FindAllString(read(t, file), -1) {
				named[id] = true
			}
		}
	}
	for _, id := range rowRE.FindAllString(read(t, "docs/checklist.txt"), -1) {
		if !named[id] && !slices.Contains(open, id) {
			t.Errorf("%s: no test names it and test/arch/unchecked.txt does not list it", id)
		}
		if named[id] && slices.Contains(open, id) {
			t.Errorf("%s has a test: take it out of test/arch/unchecked.txt", id)
		}
	}
}
