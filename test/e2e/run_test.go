//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/test/internal/house"
)

// The first story: one command, its output, its exit code, and nothing left.
func TestRun(t *testing.T) {
	dir := workspace(t)
	r := must(t, dir, "run", "--", "uname", "-a")
	if !strings.HasPrefix(r.Stdout, "Linux ") {
		t.Errorf("%s\nwant the kernel's name", r)
	}
	gone(t, 5*time.Second, coi.Hash8(dir))
}

func TestRunPassesStreamsAndCode(t *testing.T) {
	dir := workspace(t)
	r := doIn(t, house.Call{Dir: dir, Args: []string{"run", "--", "sh", "-c", "cat; echo err >&2; exit 7"}, Stdin: strings.NewReader("hi\n")})
	if r.Code != 7 || r.Stdout != "hi\n" || !strings.Contains(r.Stderr, "err\n") {
		t.Errorf("%s\nwant hi on stdout, err on stderr, code 7", r)
	}
}

func TestRunSignalCode(t *testing.T) {
	if r := do(t, workspace(t), "run", "--", "sh", "-c", "kill -TERM $$"); r.Code != 128+15 {
		t.Errorf("%s\nwant 143", r)
	}
}

// What is written inside belongs to the owner of the workspace outside.
func TestRunOwnership(t *testing.T) {
	dir := workspace(t)
	if r := must(t, dir, "run", "--", "sh", "-c", "id -un; echo x > made"); r.Stdout != "code\n" {
		t.Errorf("%s\nwant the code user", r)
	}
	path := filepath.Join(dir, "made")
	text, err := os.ReadFile(path)
	if err != nil || string(text) != "x\n" {
		t.Errorf("made = %q, %v; want x", text, err)
	}
	st, err := os.Stat(path)
	if err != nil || st.Sys().(*syscall.Stat_t).Uid != house.Owner {
		t.Errorf("made belongs to %+v, %v; want uid %d", st, err, house.Owner)
	}
}

// The image holds what it promises.
func TestRunAgentsAreThere(t *testing.T) {
	r := must(t, workspace(t), "run", "--", "sh", "-c", "claude --version && opencode --version && pi --version && node --version && git --version && rg --version")
	for _, want := range []string{"Claude Code", "git version", "ripgrep"} {
		if !strings.Contains(r.Stdout, want) {
			t.Errorf("%s\nwant %q", r, want)
		}
	}
}
