package engine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/detect"
	"github.com/code-on-incus/coi/pkg/coi"
)

const ruleHead = "title: T\nid: %ID\nlevel: %LEVEL\nlogsource:\n  product: linux\n  category: process_creation\ndetection:\n  s:\n"

func ruleFile(t *testing.T, dir, id, level, search string) {
	t.Helper()
	text := strings.NewReplacer("%ID", id, "%LEVEL", level).Replace(ruleHead) + "    " + search + "\n  condition: s\n"
	if err := os.WriteFile(filepath.Join(dir, id+".yml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestRulesOnOrdinaryWork: a Sigma rule that fires on ordinary work is loaded
// at info, and named so; one that does not keeps its level (R-MON-13).
func TestRulesOnOrdinaryWork(t *testing.T) {
	dir := t.TempDir()
	ruleFile(t, dir, "common", "high", "Image|endswith: /npm")
	ruleFile(t, dir, "grave", "critical", "CommandLine|contains: pytest")
	ruleFile(t, dir, "rare", "high", "CommandLine|contains: quuxify")
	cfg := Config{Workspace: "/workspace", SigmaDir: dir}
	want := map[string]coi.Level{"sigma:common": coi.Info, "sigma:grave": coi.Info, "sigma:rare": coi.Warning}
	for _, r := range New(cfg).Rules() {
		if l, ok := want[r.ID]; ok {
			delete(want, r.ID)
			if r.Level != l || (r.Common != "") != (l == coi.Info) {
				t.Errorf("%s: level %s, common %q; want level %s", r.ID, r.Level, r.Common, l)
			}
		}
	}
	if len(want) > 0 {
		t.Errorf("not listed: %v", want)
	}
	if got := Judge(cfg, detect.Sample{Line: "npm run quuxify"}, ""); got != coi.Warning {
		t.Errorf("Judge = %q; want the warning of the rare rule", got)
	}
	cfg.Levels = map[string]coi.Level{"sigma:common": coi.High}
	if got := Judge(cfg, detect.Sample{Line: "npm ci"}, "sigma:common"); got != coi.High {
		t.Errorf("Judge with a level of the user = %q; want high", got)
	}
	res := TestRules(cfg, "sigma:grave")
	if len(res.Failed) != 1 || !strings.Contains(res.Failed[0], "would stop ordinary work") {
		t.Errorf("TestRules = %v; want the rule named", res.Failed)
	}
}
