//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/code-on-incus/coi/test/internal/house"
	"github.com/code-on-incus/coi/test/internal/model"
)

var logLine = regexp.MustCompile(`^(\[ERR\] )?\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[[a-z]+\] .`)

// S1, S2, S3, S4, S5, S6, S7, S8, S9, S12, S13, S16, S17, S22, S26, S48,
// S49, session §20: two sessions of one container stand in its two files, in
// lines of one form; what is wrong is marked there; security events are apart;
// all of it is there when the container is gone.
func TestSessionLogs(t *testing.T) {
	dir := workspace(t)
	c := shell(t, dir, "--persistent")
	must(t, dir, "shutdown", c)
	c = shell(t, dir, "--persistent")
	do(t, dir, "tmux", "send", c, "cat /dev/mem") // may find itself frozen half-way
	logged := func(want ...string) string {
		t.Helper()
		var r house.Result
		err := house.Eventually(t.Context(), 20*time.Second, func() error {
			r = must(t, dir, "logs")
			for _, w := range want {
				if !strings.Contains(r.Stdout, w) {
					return fmt.Errorf("%s\nwant %q", r, w)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return r.Stdout
	}
	text := logged("[setup] Container setup complete!", "raw device opened", "[ERR]", "[network] phase policy")
	if n := strings.Count(text, "[session] started "); n != 2 {
		t.Errorf("%d sessions in the log; want 2\n%s", n, text)
	}
	for line := range strings.Lines(text) {
		if !logLine.MatchString(line) {
			t.Errorf("line %q has another form", line)
		}
	}
	must(t, dir, "unfreeze", c)
	other := shell(t, dir)
	if r := do(t, dir, "logs"); r.Code != 2 || !strings.Contains(r.Stderr, c) || !strings.Contains(r.Stderr, other) {
		t.Errorf("%s\nwant exit 2 naming both", r)
	}
	must(t, dir, "kill", "--force", c, other)
	if r := must(t, dir, "logs", c); !strings.Contains(r.Stdout, "raw device opened") {
		t.Errorf("%s\nwant the log of the container that is gone", r)
	}
	trail, err := os.ReadFile(filepath.Join(the.Home.Audit(), c+".jsonl"))
	if err != nil || !strings.Contains(string(trail), `"raw device opened"`) || strings.Contains(string(trail), "setup complete") {
		t.Errorf("audit trail: %v\n%s", err, trail)
	}
	if r := must(t, dir, "audit", c, "--level", "high"); !strings.Contains(r.Stdout, `"raw device opened"`) {
		t.Errorf("%s\nwant the finding", r)
	}
	names, err := filepath.Glob(filepath.Join(the.Home.Logs(), "*"))
	if err != nil {
		t.Fatal(err)
	}
	allowed := regexp.MustCompile(`^(.+\.(stdout|stderr)\.log(\.[1-5])?|.+\.dns\.jsonl(\.\d)?|network\.log|watch\.log|build-.+\.log)$`)
	for _, n := range names {
		if !allowed.MatchString(filepath.Base(n)) {
			t.Errorf("%s in the folder of logs", n)
		}
	}
}

// S10, S11, S14, S15, S19, S20, S21: one terminal follows the log of a session
// that starts later in another.
func TestLogsOfALaterSession(t *testing.T) {
	dir := workspace(t)
	name := the.Prefix + "later"
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	defer stop()
	follow := the.Command(ctx, house.Call{Dir: dir, Args: []string{"logs", name, "-f"}})
	out, err := follow.StdoutPipe()
	if err == nil {
		err = follow.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	must(t, dir, "container", "launch", house.Image, name)
	discard(t, dir, name)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.HasSuffix(lines.Text(), "[setup] Container setup complete!") {
			break
		}
	}
	if lines.Err() != nil || !logLine.MatchString(lines.Text()) {
		t.Errorf("last line followed: %q, %v", lines.Text(), lines.Err())
	}
	if err := follow.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := follow.Wait(); err != nil {
		t.Errorf("after Ctrl+C: %v; want exit 0", err)
	}
}

// S34, S65, S66: what an agent changed is seen by git on the host and committed
// there without any hook.
func TestWorkOnTheHost(t *testing.T) {
	dir := workspace(t)
	give(t, dir, "f", "before\n")
	repository(t, dir)
	git := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-c", "safe.directory=*", "-c", "user.name=n", "-c", "user.email=n@example.com"}, args...)...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	git("add", "f")
	git("commit", "-qm", "before")
	give(t, dir, ".git/hooks/pre-commit", "#!/bin/sh\ntouch ran\nexit 1\n")
	if err := os.Chmod(filepath.Join(dir, ".git/hooks/pre-commit"), 0o755); err != nil {
		t.Fatal(err)
	}
	must(t, dir, "run", "--", "sh", "-c", "echo after >f")
	if got := git("diff"); !strings.Contains(got, "-before") || !strings.Contains(got, "+after") {
		t.Errorf("git diff on the host: %q", got)
	}
	git("-c", "core.hooksPath=/dev/null", "commit", "--no-verify", "-qam", "work of the agent")
	if _, err := os.Stat(filepath.Join(dir, "ran")); err == nil || !strings.Contains(git("log", "--format=%s"), "work of the agent") {
		t.Errorf("the hook ran (%v) or nothing was committed", err == nil)
	}
}

// S130: what coi keeps is not to be seen or written inside, so no approval can
// be forged there.
func TestNothingOfCoiInside(t *testing.T) {
	r := do(t, workspace(t), "run", "--", "sh", "-c", "ls -A ~/.coi; touch ~/free; touch ~/.coi/trust.toml")
	if r.Code == 0 || r.Stdout != "" || !strings.Contains(r.Stderr, "Read-only file system") || strings.Contains(r.Stderr, "/free") {
		t.Errorf("%s\nwant an empty directory that cannot be written", r)
	}
}

// S67: what a commit starts inside reaches what the allowlist opens and nothing
// else.
func TestAllowlistHoldsForHooks(t *testing.T) {
	m, err := model.Serve("reached")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	hook := fmt.Sprintf("cd $(mktemp -d) && git init -q && printf '#!/bin/sh\\ncurl -sm 5 http://model.test:%d/ >reached\\n' >.git/hooks/pre-commit && chmod +x .git/hooks/pre-commit; "+
		"git -c user.name=n -c user.email=n@example.com commit -q --allow-empty -m x; cat reached", m.Port())
	for opened, want := range map[string]string{hole(m): "{}\n", "": ""} {
		configure(t, "[network]\nmode = \"allowlist\"\n"+opened)
		if r := do(t, workspace(t), "run", "--", "sh", "-c", hook); r.Stdout != want {
			t.Errorf("%s\nwith %q the hook printed %q; want %q", r, opened, r.Stdout, want)
		}
	}
}
