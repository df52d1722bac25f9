package protect

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/beneath"
	"github.com/code-on-incus/coi/pkg/coi"
)

// R-LIM-04: the next step of a rebase that was left behind inside runs nothing
// on the host. The control: git runs the planted line when the check did not.
func TestRebaseStepsAreCleaned(t *testing.T) {
	for _, checked := range []bool{false, true} {
		h := newHost(t)
		h.git(".", "init", "-q")
		for i := range 3 {
			h.write("f", fmt.Sprint(i))
			h.git(".", "add", "f")
			h.git(".", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", fmt.Sprint(i))
		}
		h.start()
		cmd := exec.Command("git", "-c", "sequence.editor=sed -i '1i break'", "rebase", "-i", "HEAD~1")
		cmd.Dir = h.ws
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("rebase: %v, %s", err, out)
		}
		const list = ".git/rebase-merge/git-rebase-todo"
		h.write(list, " \texec touch ran\n"+h.read(list))
		if checked {
			r := h.end()
			if diff := cmp.Diff([]string{list}, h.found(r, coi.High)); diff != "" {
				t.Error(diff)
			}
			if text := h.read(list); strings.Contains(text, "touch") || !strings.Contains(text, "pick") {
				t.Errorf("the list after the check: %q", text)
			}
		}
		cont := exec.Command("git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "core.editor=true", "rebase", "--continue")
		cont.Dir = h.ws
		if out, err := cont.CombinedOutput(); err != nil {
			t.Fatalf("continue: %v, %s", err, out)
		}
		if _, err := os.Stat(filepath.Join(h.ws, "ran")); (err == nil) == checked {
			t.Errorf("checked %v: the planted program ran: %v", checked, err == nil)
		}
	}
}

// A list with exec lines that was there before is the user's own and stays.
func TestRebaseStepsOfTheUserStay(t *testing.T) {
	h := repo(t)
	const list = ".git/rebase-merge/git-rebase-todo"
	h.write(list, "x make test\npick 1 2\n")
	h.start()
	if r := h.end(); !r.Clean() || h.read(list) != "x make test\npick 1 2\n" {
		t.Errorf("findings %v, list %q", r.Findings, h.read(list))
	}
}

// A new repository with more hooks than git knows costs one move, and a session
// cannot fill the disk of ~/.coi with what is copied to its quarantine.
func TestQuarantineIsBounded(t *testing.T) {
	h := repo(t)
	h.start()
	h.git(".", "init", "-q", "new")
	for i := range 3 * manyHooks {
		h.write(fmt.Sprintf("new/.git/hooks/h%d", i), "evil")
	}
	r := h.end()
	if diff := cmp.Diff([]string{"new/.git/hooks"}, h.found(r, coi.High)); diff != "" {
		t.Error(diff)
	}
	q := quarantine{dir: filepath.Join(t.TempDir(), "q"), copied: maxCopied - 3}
	must(t, q.open())
	tree := Tree{Root: must2(beneath.Open(h.ws))}
	h.write("three", "123")
	h.write("four", "1234")
	for name, kept := range map[string]bool{"four": false, "three": true} {
		must(t, os.Link(filepath.Join(h.ws, name), filepath.Join(h.ws, name+"-second")))
		it, err := q.take(tree.Root, name, "test")
		if err != nil || (it.Path != "") != kept {
			t.Errorf("%s with room for three bytes: %+v, %v; kept should be %v", name, it, err, kept)
		}
	}
	must(t, q.close())
}
