package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var idRE = regexp.MustCompile(`R-[A-Z]+-\d\d`)

// R-TST-05: every requirement stands in the name or comment of a test, or in
// untested.txt; an id that has got its test must leave that list.
func TestEveryRequirementHasATest(t *testing.T) {
	required := idRE.FindAllString(read(t, "docs/requirements.txt"), -1)
	open := idRE.FindAllString(read(t, "test/arch/untested.txt"), -1)
	named := map[string]bool{}
	for _, file := range tracked(t) {
		if (strings.HasSuffix(file, "_test.go") || strings.HasSuffix(file, ".txtar")) && !strings.HasPrefix(file, "test/arch/") {
			for _, id := range idRE.FindAllString(read(t, file), -1) {
				named[id] = true
			}
		}
	}
	named["R-TST-05"] = true // this test
	named["R-TST-02"], named["R-TST-04"] = true, true
	for _, id := range required {
		if !named[id] && !slices.Contains(open, id) {
			t.Errorf("%s: no test names it and test/arch/untested.txt does not list it", id)
		}
		if named[id] && slices.Contains(open, id) {
			t.Errorf("%s has a test: take it out of test/arch/untested.txt", id)
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root(t), file))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var skipRE = regexp.MustCompile(`\b[tbf]\.Skip(f|Now)?\(`)

// R-TST-04: a test that cannot run fails; nothing is skipped.
func TestNothingIsSkipped(t *testing.T) {
	for _, file := range tracked(t) {
		if strings.HasSuffix(file, "_test.go") && file != "test/arch/register_test.go" && skipRE.MatchString(read(t, file)) {
			t.Errorf("%s skips a test", file)
		}
	}
}

// R-TST-02: COI_TRUST_ALL is set only where its own effect is tested.
func TestNoSuiteTrustsEverything(t *testing.T) {
	bypass := regexp.MustCompile(`COI_TRUST_ALL\s*=\s*(1|true|yes)|"COI_TRUST_ALL":\s*"|Setenv\("COI_TRUST_ALL"`)
	for _, file := range tracked(t) {
		test := strings.HasSuffix(file, "_test.go") || strings.HasSuffix(file, ".txtar")
		if test && !strings.Contains(file, "trust") && !strings.HasPrefix(file, "test/arch/") && bypass.MatchString(read(t, file)) {
			t.Errorf("%s sets COI_TRUST_ALL", file)
		}
	}
}
