package daemon

import (
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/allow"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/detect"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/evidence"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/scene"
	"github.com/code-on-incus/coi/pkg/run"
)

// caseOf collects what the goroutine of the container knows about a finding;
// saving it is done elsewhere.
func (c *container) caseOf(f detect.Finding, ev event.Event, id string) evidence.Case {
	cs := evidence.Case{
		Container: c.name, ID: id, Finding: map[string]any{"finding": f, "event": c.clean(ev), "at": time.Now().UTC()},
		Events: c.d.Home.Run(c.name + run.WatchEventsFile), Guard: c.d.Home.Run(c.name + run.NetStatusFile),
		Redactor: c.redactor(),
	}
	if c.scene.Root != nil {
		if root, err := c.scene.Root.Clone(); err == nil {
			cs.Root = root // the container may let go of its own meanwhile
		}
	}
	c.scene.Table.Each(func(p *scene.Proc) {
		q := evidence.Process{
			PID: p.PID, PPID: p.PPID, NSPID: p.NSPID, UID: p.UID, Exe: p.Exe, Class: p.Class, Role: string(p.Role), Argv: append([]string(nil), p.Argv...),
		}
		if len(cs.Processes) < 4096 {
			q.CWD, _ = c.scene.Proc.CWD(p.PID)
			cs.Processes = append(cs.Processes, q)
		}
	})
	for _, p := range append([]event.Ancestor{{Exe: ev.Exe}}, ev.Chain...) {
		if p.Exe != "" {
			cs.Programs = append(cs.Programs, p.Exe)
		}
	}
	if ev.ScriptPath != "" {
		cs.Programs = append(cs.Programs, ev.ScriptPath)
	}
	if c.scene.Init != 0 {
		cs.Mounts, _ = os.ReadFile("/proc/" + strconv.Itoa(c.scene.Init) + "/mountinfo")
	}
	if ev.Wiring != nil {
		cs.Wiring = ev.Wiring
	} else if c.wire.last != nil {
		cs.Wiring = c.wire.last
	}
	return cs
}

func (c *container) redactor() evidence.Redactor {
	if r := c.d.Trail.Redactor(c.name); r != nil {
		return r
	}
	return hidden{}
}

// hidden is the redactor when there is none: it lets nothing through.
type hidden struct{}

func (hidden) Text(string) string     { return "[no redactor]" }
func (hidden) Argv([]string) []string { return []string{"[no redactor]"} }

// clean is an event as it may be written to a file.
func (c *container) clean(ev event.Event) event.Event {
	r := c.redactor()
	if len(ev.Argv) > 0 {
		ev.Argv = r.Argv(ev.Argv)
	}
	if ev.Script != "" {
		ev.Script = r.Text(ev.Script)
	}
	if ev.Text != "" {
		ev.Text = r.Text(ev.Text)
	}
	return ev
}

// allowed is the allow list, shared by the goroutines of all containers.
type allowed struct {
	mu   sync.Mutex
	list *allow.List
}

func (a *allowed) find(f detect.Finding, ev event.Event, w run.Watch, sha func() string) (allow.Entry, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.list.Find(f, ev, w.Source, w.SessionID, time.Now(), sha)
}
