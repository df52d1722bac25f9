//go:build attack

package attack

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/code-on-incus/coi/pkg/run"
	"github.com/code-on-incus/coi/test/internal/house"
)

// inet is a system call of the log that speaks to a network.
var inet = regexp.MustCompile(`(connect|sendto)\(.*AF_INET6?,`)

// connections runs a program under strace and lists its calls to a network.
func connections(t *testing.T, argv ...string) []string {
	t.Helper()
	log := filepath.Join(t.TempDir(), "calls")
	cmd := exec.CommandContext(t.Context(), "strace", append([]string{"-f", "-qq", "-s", "64", "-e", "trace=connect,sendto", "-o", log}, argv...)...)
	cmd.Env, cmd.Dir = the.Env(), the.Dir
	out, err := cmd.CombinedOutput()
	calls, rerr := os.ReadFile(log)
	if rerr != nil {
		t.Fatalf("%v: %v, %v\n%s", argv, rerr, err, out)
	}
	return inet.FindAllString(string(calls), -1)
}

// R-OWN-06: verbs that only look connect to nothing but sockets of this machine.
func TestLookingConnectsNowhere(t *testing.T) {
	coi := filepath.Join(the.Bin, "coi")
	for _, verb := range []string{"list", "config show", "logs", "audit", "trust --list", "health", "help", "help run", "version", "image list", "why"} {
		if got := connections(t, append([]string{coi}, strings.Fields(verb)...)...); len(got) > 0 {
			t.Errorf("coi %s: %v", verb, got)
		}
	}
	control := []string{"python3", "-c", "import socket\nsocket.socket(2,1).connect_ex(('127.0.0.1',9))"}
	if len(connections(t, control...)) == 0 {
		t.Error("control: a connection is not seen")
	}
}

// R-PATH-08: files that a session made immutable are ordinary again after its
// supervisor was killed and the next command has run.
func TestImmutableIsClearedAfterACrash(t *testing.T) {
	dir := workspace(t)
	file := filepath.Join(dir, ".coi", "config.toml")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("# nothing\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("chown", "-R", "1000:1000", dir).CombinedOutput(); err != nil {
		t.Fatalf("chown: %v\n%s", err, out)
	}
	immutable := func() bool {
		out, err := exec.Command("lsattr", file).Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(strings.Fields(string(out))[0], "i")
	}
	s := begin(t, dir, "sleep 60")
	s.underway()
	s.status("immutable", func(st run.WatchStatus) bool { return st.Immutable == "set" })
	if !immutable() {
		t.Fatal("control: the file is not immutable while its session runs")
	}
	var rec run.Session
	if err := run.Read(the.Home.Run(s.container+run.SessionFile), &rec); err != nil || rec.Supervisor == nil {
		t.Fatalf("session record %+v, %v", rec, err)
	}
	supervisor, err := os.FindProcess(rec.Supervisor.PID)
	if err != nil {
		t.Fatal(err)
	}
	if err := supervisor.Kill(); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("incus", "delete", "-f", s.container).CombinedOutput(); err != nil {
		t.Fatalf("incus delete: %v\n%s", err, out)
	}
	must(t, dir, "list")
	err = house.Eventually(t.Context(), 30*time.Second, func() error { return os.WriteFile(file, []byte("# mine\n"), 0o644) })
	if err != nil || immutable() {
		t.Errorf("after the crash: %v, immutable %v", err, immutable())
	}
}

// R-LIM-10: no text of a workspace, its name included, becomes a command of the
// host, whatever verb looks at it.
func TestWorkspaceTextRunsNothing(t *testing.T) {
	marks := t.TempDir()
	dir := filepath.Join(workspace(t), "a $(touch pwned) `touch pwned` ; touch pwned #'")
	mark := func(name string) string { return "touch " + filepath.Join(marks, name) }
	for name, text := range map[string]string{
		"$(touch pwned)": "", "-rf": "", "Makefile": "all:\n\t" + mark("make") + "\n$(shell " + mark("make-read") + ")\n", ".envrc": mark("envrc"),
		"package.json": `{"scripts":{"preinstall":"` + mark("npm") + `"}}`, ".coi/build.sh": mark("build"), "Dockerfile": "RUN " + mark("docker"),
		".coi/config.toml": "[tool]\npre_launch = [\"" + mark("prelaunch") + "\"]\n[defaults.env_commands]\nA = \"" + mark("env") + "\"\n",
		"CLAUDE.md":        "$(" + mark("md") + ")",
	} {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	git := func(args ...string) {
		cmd := exec.Command("git", append([]string{"-c", "safe.directory=*"}, args...)...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	git("init", "-q", "-b", "$(touch${IFS}pwned)")
	for key, name := range map[string]string{"core.fsmonitor": "fsmonitor", "core.pager": "pager", "core.editor": "editor", "core.sshCommand": "ssh", "credential.helper": "helper", "diff.external": "diff"} {
		git("config", key, mark(name)+";:")
	}
	if out, err := exec.Command("chown", "-R", "1000:1000", dir).CombinedOutput(); err != nil {
		t.Fatalf("chown: %v\n%s", err, out)
	}
	for _, args := range [][]string{{"run", "--", "true"}, {"list", "--all"}, {"config", "show"}, {"trust", "--list"}, {"audit"}, {"why"}, {"logs"}} {
		r := do(t, dir, args...)
		if args[0] == "run" && r.Code != 0 {
			t.Errorf("%s", r)
		}
	}
	if got, err := os.ReadDir(marks); err != nil || len(got) > 0 {
		t.Errorf("commands of the workspace ran: %v, %v", got, err)
	}
	for _, d := range []string{dir, the.Dir, filepath.Dir(dir)} {
		if _, err := os.Lstat(filepath.Join(d, "pwned")); err == nil {
			t.Errorf("a name became a command: %s/pwned", d)
		}
	}
	git("status", "--short")
	if _, err := os.Lstat(filepath.Join(marks, "fsmonitor")); err != nil {
		t.Errorf("control: git itself does not run the text: %v", err)
	}
}
