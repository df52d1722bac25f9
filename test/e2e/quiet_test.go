//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/code-on-incus/coi/pkg/cli/verbs"
	"github.com/code-on-incus/coi/test/internal/house"
)

// plain is one ordinary use of each verb, with a running session CONTAINER where
// it needs one. Those that the user asks for the network with are not here.
var plain = map[string]string{
	"run": "run -- true", "attach": "attach nosuch", "list": "list --all", "info": "info CONTAINER", "top": "top --once", "shutdown": "shutdown nosuch", "close": "close nosuch",
	"shell": "shell --background --debug", "kill": "kill nosuch", "freeze": "freeze CONTAINER", "unfreeze": "unfreeze CONTAINER", "persist": "persist CONTAINER --force", "clean": "clean --dry-run",
	"logs": "logs CONTAINER", "tmux": "tmux capture CONTAINER", "snapshot": "snapshot list", "file": "file pull CONTAINER:/etc/hostname out", "container": "container list", "tool": "tool list",
	"image": "image list", "config": "config show", "profile": "profile list", "schema": "schema config", "validate": "validate", "trust": "trust --list", "untrust": "untrust nosuch",
	"audit": "audit CONTAINER", "netguard": "netguard check", "hosts": "hosts list CONTAINER", "watch": "watch status", "monitor": "monitor CONTAINER --once", "health": "health", "why": "why CONTAINER",
	"help": "help -a", "version": "version --json", "completion": "completion bash",
}

// asked are the verbs with which the user asks for the network.
var asked = []string{"build", "update"}

var inet = regexp.MustCompile(`(?m)^.*(connect|sendto|sendmsg|sendmmsg)\(.*AF_INET6?.*$`)

// R-OWN-06: no command uses the network unless the user asked for it: none opens
// a connection or sends a packet to an internet address. The guards that a
// session starts answer names on the container's side; they are not traced.
func TestNoVerbUsesTheNetwork(t *testing.T) {
	dir := workspace(t)
	name := strings.TrimSpace(must(t, dir, "shell", "--background", "--debug").Stdout)
	defer func() { must(t, dir, "kill", "--all", "--force") }()
	control := traced(t, dir, "bash", "-c", "echo > /dev/tcp/127.0.0.1/9")
	if !inet.MatchString(control) {
		t.Fatalf("a connection is not seen in the trace:\n%s", control)
	}
	for _, v := range verbs.All {
		use, known := plain[v.Name]
		switch {
		case strings.Contains(strings.Join(asked, " "), v.Name):
			continue
		case !known:
			t.Errorf("coi %s: no use of it is traced", v.Name)
			continue
		}
		args := strings.Fields(strings.ReplaceAll(use, "CONTAINER", name))
		trace := traced(t, dir, filepath.Join(the.Bin, "coi"), args...)
		if !strings.Contains(trace, "execve(") {
			t.Errorf("coi %s: nothing was traced: %s", use, trace)
		}
		for _, line := range inet.FindAllString(trace, -1) {
			t.Errorf("coi %s: %s", use, line)
		}
	}
}

// traced runs a program under strace, its children included, and gives the trace.
func traced(t *testing.T, dir, program string, args ...string) string {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	defer stop()
	out := filepath.Join(t.TempDir(), "trace")
	cmd := exec.CommandContext(ctx, "strace", append([]string{"-f", "-qq", "-e", "trace=execve,connect,sendto,sendmsg,sendmmsg", "-o", out, program}, args...)...)
	cmd.Dir, cmd.Env = dir, the.Command(ctx, house.Call{}).Env
	cmd.WaitDelay = 5 * time.Second
	_ = cmd.Run() // some of them have nothing to do
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// What a caller has open, the lock of a script for example, stays open in no
// process that outlives the command.
func TestGuardsKeepNothingOfTheCaller(t *testing.T) {
	dir := workspace(t)
	held, err := os.Create(filepath.Join(t.TempDir(), "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = held.Close() }()
	cmd := the.Command(t.Context(), house.Call{Dir: dir, Args: []string{"shell", "--background", "--debug"}})
	cmd.ExtraFiles = []*os.File{held}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	defer func() { must(t, dir, "kill", "--all", "--force") }()
	out, err := exec.Command("find", "/proc", "-maxdepth", "3", "-path", "/proc/[0-9]*/fd/*", "-lname", held.Name()).Output()
	if len(out) == 0 {
		t.Fatalf("not even this process has it: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		if pid := strings.Split(line, "/")[2]; pid != strconv.Itoa(os.Getpid()) {
			text, _ := os.ReadFile("/proc/" + pid + "/cmdline")
			t.Errorf("process %s has it: %q", pid, text)
		}
	}
}

// T-L-05: what goes on in the background, a name that nobody can resolve, refused
// connections, findings and the end of the time, is in the logs, and none of it is
// written into the pane of the session or to the standard error of the client.
func TestNothingOfTheBackgroundOnTheTerminal(t *testing.T) {
	configure(t, `[network]
mode = "allowlist"
allowed_domains = ["nosuch.invalid"]
[monitoring]
auto_pause_on_high = false
[limits.runtime]
max_duration = "5m"
warn_before = "4m50s"
`)
	dir := workspace(t)
	c := shell(t, dir)
	client := attach(t, dir, c)
	give(t, dir, "busy", `clear
getent hosts nosuch.invalid
for port in 80 443 5432; do (echo > /dev/tcp/10.0.0.5/$port) 2> /dev/null; done
sudo useradd --non-unique --no-create-home --uid 0 second 2> /dev/null
echo all done
exec cat
`)
	must(t, dir, "tmux", "send", c, "--", ". ./busy")
	screen(t, dir, c, "all done")
	for _, want := range []string{`(?m)^\[ERR\].*\[network\].*nosuch\.invalid`, `(?m)^[0-9/]+ [0-9:]+ \[security\] .*uid 0`, `\[limits\] the session ends in`} {
		err := house.Eventually(t.Context(), time.Minute, func() error {
			if r := do(t, dir, "logs", c); !regexp.MustCompile(want).MatchString(r.Stdout) {
				return fmt.Errorf("%s\nwant %q in the logs", r, want)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if text := must(t, dir, "tmux", "capture", c, "--lines", "200").Stdout; strings.TrimSpace(text) != "all done" {
		t.Errorf("the pane shows %q", text)
	}
	if said := client(); said != "" {
		t.Errorf("the client wrote %q", said)
	}
}

// attach attaches to a session in a terminal; what it returns ends that and gives
// what the client wrote to its standard error.
func attach(t *testing.T, dir, container string) func() string {
	t.Helper()
	socket, errs := filepath.Join(t.TempDir(), "tmux"), filepath.Join(t.TempDir(), "err")
	tmux := func(args ...string) ([]byte, error) {
		cmd := exec.Command("tmux", append([]string{"-S", socket}, args...)...)
		cmd.Dir, cmd.Env = dir, the.Env()
		return cmd.CombinedOutput()
	}
	if out, err := tmux("new-session", "-d", "-x", "100", "-y", "30", "bash", "-c", `exec "$0" attach "$1" 2> "$2"`, filepath.Join(the.Bin, "coi"), container, errs); err != nil {
		t.Fatalf("tmux: %v: %s", err, out)
	}
	end := func() { _, _ = tmux("kill-server") }
	t.Cleanup(end)
	return func() string {
		end()
		said, err := os.ReadFile(errs)
		if err != nil {
			t.Error(err)
		}
		return string(said)
	}
}
