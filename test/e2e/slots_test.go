//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/run"
	"github.com/code-on-incus/coi/test/internal/house"
	"github.com/code-on-incus/coi/test/internal/model"
)

// Session §2, S31: ten agents at once in the ten slots of one workspace. Each
// gets a container, a policy and an answer of its own, each leaves its save, and
// no slot is left taken.
func TestTenAgentsInOneWorkspace(t *testing.T) {
	m, err := model.Serve("The answer of the model is forty-two.")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	configure(t, fmt.Sprintf("[tool]\nname = \"claude\"\n[defaults.environment]\nANTHROPIC_BASE_URL = \"http://model.test:%d\"\n"+
		"ANTHROPIC_API_KEY = \"x\"\nCLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC = \"1\"\n"+
		"[[network.hosts]]\nip = \"host\"\nhostnames = [\"model.test\"]\nports = [%d]\n", m.Port(), m.Port()))
	dir := workspace(t)
	const slots = 10
	results := make([]house.Result, slots)
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() {
			results[i] = doIn(t, house.Call{Dir: dir, Args: []string{"run", "--tool", "claude", "--prompt", "ping"}})
		})
	}
	wg.Wait()
	for _, r := range results {
		if r.Code != 0 || !strings.Contains(r.Stdout, "forty-two") {
			t.Errorf("%s\nwant the model's answer", r)
		}
	}
	if m.Asked() < slots {
		t.Errorf("the endpoint was asked %d times; want at least %d", m.Asked(), slots)
	}
	gone(t, 30*time.Second, coi.Hash8(dir))
	if n := savesOf(t, dir); n != slots {
		t.Errorf("%d sessions of the workspace are saved; want %d", n, slots)
	}
}

// savesOf counts the saved sessions of a workspace.
func savesOf(t *testing.T, dir string) (n int) {
	t.Helper()
	metas, err := filepath.Glob(the.Home.Path("sessions-claude", "*", "metadata.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range metas {
		var m struct{ Workspace string }
		b, err := os.ReadFile(p)
		if err == nil {
			err = json.Unmarshal(b, &m)
		}
		if err != nil {
			t.Error(err)
		}
		if m.Workspace == dir {
			n++
		}
	}
	return n
}

// Session §2: all slots taken.
func TestNoSlotLeft(t *testing.T) {
	dir := workspace(t)
	var names []string
	for range 10 {
		names = append(names, shell(t, dir))
	}
	r := do(t, dir, "shell", "--background", "--debug")
	if r.Code != 1 || !strings.Contains(r.Stderr, names[9]) || !strings.Contains(r.Stderr, "coi clean") {
		t.Errorf("%s\nwant exit 1, the slots and what frees one", r)
	}
}

// Session §12: a session that is killed while it starts is gone, whatever its start
// was doing: nothing of it comes up afterwards.
func TestKillWhileItStarts(t *testing.T) {
	for moment, reached := range map[string]func(container string) bool{
		"its container is there": func(c string) bool { return exec.Command("incus", "info", c).Run() == nil },
		"its container runs": func(c string) bool {
			out, err := exec.Command("incus", "list", "-f", "csv", "-c", "s", "^"+c+"$").Output()
			return err == nil && strings.TrimSpace(string(out)) == "RUNNING"
		},
		"its command may begin": func(c string) bool {
			var rec run.Session
			return run.Read(the.Home.Run(c+run.SessionFile), &rec) == nil && rec.Phase == run.Running
		},
	} {
		t.Run(moment, func(t *testing.T) {
			dir := workspace(t)
			c := coi.ContainerName(the.Prefix, dir, 1)
			start := the.Command(t.Context(), house.Call{Dir: dir, Args: []string{"shell", "--background", "--debug"}})
			if err := start.Start(); err != nil {
				t.Fatal(err)
			}
			err := house.Eventually(t.Context(), 30*time.Second, func() error {
				if !reached(c) {
					return errors.New("not yet")
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			must(t, dir, "kill", "--force", c)
			_ = start.Wait() // it may have been quick enough to end well
			if err := exec.Command("incus", "info", c).Run(); err == nil {
				t.Errorf("%s is there after it was killed", c)
			}
			gone(t, 10*time.Second, coi.Hash8(dir))
			if left, _ := filepath.Glob(the.Home.Run(c + run.NetFile)); len(left) > 0 {
				t.Errorf("%v is left", left)
			}
		})
	}
}
