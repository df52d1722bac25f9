//go:build attack

package attack

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/run"
	"github.com/code-on-incus/coi/test/internal/house"
)

// R-REG-24, T-W-13: whatever lies in the folders of rules, the monitor starts,
// stays alive over every reload, goes on to answer attacks, and names what it
// did not take.
func TestHostileRuleFolders(t *testing.T) {
	dir := workspace(t)
	rules, patterns := the.Home.Path("rules-hostile"), the.Home.Path("patterns-hostile")
	for _, d := range []string{rules, patterns} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(d) })
	}
	rule := func(id, detection string) string {
		return "title: t" + id + "\nid: " + id + "\nlogsource:\n  product: linux\n  category: process_creation\ndetection:\n" + detection + "level: critical\n"
	}
	for name, text := range map[string]string{
		"garbage.yml": "\x00\xff\xfe\x80{{{[[[", "empty.yml": "", "text.yml": "just words", "list.yml": "- 1\n- 2\n",
		"large.yml":   strings.Repeat("# filler\n", 300_000),
		"deep.yml":    strings.Repeat("[", 100_000),
		"nest.yml":    rule("nest", "  a:\n    CommandLine: x\n  condition: "+strings.Repeat("not (", 50_000)+"a"+strings.Repeat(")", 50_000)+"\n"),
		"aliases.yml": "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\ndetection: *g\n",
		"regex.yml":   rule("regex", "  a:\n    CommandLine|re: '(?=x)(a+)+$'\n  condition: a\n"),
		"power.yml":   rule("power", "  a:\n    CommandLine|re: '((((a{1,1000}){1,1000}){1,1000}){1,1000})'\n  condition: a\n"),
		"self.yml":    rule("self", "  a:\n    CommandLine: x\n  condition: 1 of condition* and all of them*\n"),
		"escape.yml":  rule("\x1b[2J\u202e", "  a:\n    CommandLine: x\n  condition: a\n"),
		"many.yml":    strings.Repeat(rule("many", "  a:\n    CommandLine|contains: zzz\n  condition: a\n")+"---\n", 6000),
	} {
		put(t, filepath.Join(rules, name), text, 0o600)
	}
	put(t, filepath.Join(patterns, "bad.toml"), "[[pattern]]\nid = \"x\"\nlevel = \"critical\"\nexec = { argv = 're:(a+)+$(?=x)' }\n[[[", 0o600)
	put(t, filepath.Join(patterns, "open.toml"), "[[pattern]]\n", 0o666)
	if err := errors.Join(os.Chmod(filepath.Join(patterns, "open.toml"), 0o666), unix.Mkfifo(filepath.Join(rules, "pipe.yml"), 0o600), os.Symlink("/etc/shadow", filepath.Join(rules, "link.yml")),
		os.Symlink(rules, filepath.Join(rules, "loop")), unix.Mknod(filepath.Join(rules, "device.yml"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5)))); err != nil {
		t.Fatal(err)
	}
	configure(t, fmt.Sprintf("[detection]\nsigma_dir = %q\npatterns_dir = %q\n", rules, patterns))
	s := begin(t, dir, awaitGo+"sleep 60")
	s.underway()
	var before, after run.Daemon
	if err := run.Read(the.Home.Run(run.WatchDaemonFile), &before); err != nil {
		t.Fatal(err)
	}
	var problems string
	s.status("what is wrong with the rules", func(st run.WatchStatus) bool {
		problems = strings.Join(st.Problems, "\n")
		return st.Armed && problems != ""
	})
	if strings.ContainsAny(problems, "\x1b\u202e") {
		t.Errorf("raw control characters in %q", problems)
	}
	for range 3 {
		_ = do(t, dir, "watch", "update") // may say that the set is refused
	}
	goOn(t, dir, "sudo cat /etc/shadow > /dev/null")
	s.answered("cred.shadow")
	err := house.Eventually(t.Context(), 20*time.Second, func() error { return run.Read(the.Home.Run(run.WatchDaemonFile), &after) })
	if err != nil || after.PID != before.PID || !after.Alive(time.Now()) {
		t.Errorf("monitor %d before, %d after, alive %v, %v; want the same one", before.PID, after.PID, after.Alive(time.Now()), err)
	}
}
