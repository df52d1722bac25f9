//go:build e2e

package e2e

import (
	"context"
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
