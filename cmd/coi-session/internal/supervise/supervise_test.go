package supervise

import (
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/record"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/logs"
	"github.com/code-on-incus/coi/pkg/run"
)

// fakeDoor is an Incus with at most one container, whose init is a real process.
type fakeDoor struct {
	mu        sync.Mutex
	inst      *incus.Instance
	init      *exec.Cmd
	snapshots []incus.Snapshot
	stopErr   error
	createErr error
	copies    map[string]*incus.Instance
	calls     []string
	starts    string // the call during which a start on its way takes effect
}

func newDoor(t *testing.T, config map[string]string) *fakeDoor {
	t.Helper()
	// Like an init, it catches the signal of a stop.
	init := exec.Command("/bin/sh", "-c", "trap : PWR; echo; while read -r _; do :; done")
	in, err := init.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := init.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := init.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close() })
	d := &fakeDoor{init: init, copies: map[string]*incus.Instance{}, inst: &incus.Instance{Name: "coi-aaaaaaaa-1", Status: "Running", Config: config, Devices: map[string]incus.Device{
		"workspace": {"type": "disk", "source": "/ws"}, "protect-1": {"type": "disk", "source": "/ws/.git/hooks"},
	}}}
	t.Cleanup(func() { _ = init.Process.Kill() })
	go func() {
		_ = init.Wait()
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.inst != nil {
			d.inst.Status = "Stopped"
		}
	}()
	return d
}

func (d *fakeDoor) note(call string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls = append(d.calls, call)
}

func (d *fakeDoor) Instance(_ context.Context, name string) (incus.Instance, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	inst := d.inst
	if name != container {
		inst = d.copies[name]
	}
	if inst == nil {
		return incus.Instance{}, incus.ErrNotFound
	}
	i := *inst
	i.Config, i.Devices = maps.Clone(i.Config), maps.Clone(i.Devices)
	return i, nil
}

func (d *fakeDoor) State(context.Context, string) (incus.State, error) {
	return incus.State{Status: "Running", PID: d.init.Process.Pid}, nil
}

func (d *fakeDoor) Update(_ context.Context, i incus.Instance, config map[string]string, devices map[string]incus.Device) error {
	d.note("update")
	d.mu.Lock()
	defer d.mu.Unlock()
	if c := d.copies[i.Name]; c != nil {
		c.Config, c.Devices = config, devices
		return nil
	}
	d.inst.Devices = devices
	return nil
}

func (d *fakeDoor) Exec(ctx context.Context, _ string, _ incus.Exec) (int, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

func (d *fakeDoor) Stop(_ context.Context, _ string, force bool, _ time.Duration) error {
	call := "stop"
	if force {
		call = "stop -f"
	}
	d.note(call)
	if d.stopErr != nil {
		return d.stopErr
	}
	_ = d.init.Process.Kill()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.inst.Status = "Stopped"
	return nil
}

func (d *fakeDoor) Freeze(context.Context, string) error { d.note("freeze"); return nil }

func (d *fakeDoor) Thaw(context.Context, string) error {
	d.note("thaw")
	d.mu.Lock()
	defer d.mu.Unlock()
	d.inst.Status = "Running"
	return nil
}

func (d *fakeDoor) Delete(_ context.Context, name string) error {
	d.mu.Lock()
	if d.copies[name] != nil {
		defer d.mu.Unlock()
		delete(d.copies, name)
		return nil
	}
	d.mu.Unlock()
	d.note("delete")
	d.mu.Lock()
	defer d.mu.Unlock()
	d.started("delete")
	if d.inst.Running() {
		return errors.New("Instance is running")
	}
	d.inst = nil
	return nil
}

func (d *fakeDoor) Settle(context.Context, string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.started("settle")
	return nil
}

// started lets a start that was on its way take effect, once.
func (d *fakeDoor) started(at string) {
	if d.starts == at {
		d.starts, d.inst.Status = "", "Running"
	}
}

func (d *fakeDoor) Create(_ context.Context, r incus.Request) error {
	d.note("copy")
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.createErr != nil {
		return d.createErr
	}
	i := incus.Instance{Name: r.Name, Status: "Stopped", Config: maps.Clone(r.Config), Devices: maps.Clone(r.Devices)}
	// As Incus does: what the request does not name comes along.
	for k, v := range d.inst.Config {
		if _, named := i.Config[k]; !named {
			i.Config[k] = v
		}
	}
	for n, dev := range d.inst.Devices {
		if _, named := i.Devices[n]; !named {
			i.Devices[n] = dev
		}
	}
	d.copies[r.Name] = &i
	return nil
}

func (d *fakeDoor) Names(_ context.Context, prefix string) (out []string, _ error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for n := range d.copies {
		if strings.HasPrefix(n, prefix) {
			out = append(out, n)
		}
	}
	return out, nil
}

func (d *fakeDoor) Snapshots(context.Context, string) ([]incus.Snapshot, error) {
	return d.snapshots, nil
}

func (d *fakeDoor) seen() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.calls)
}

// stage is a supervisor under test and the command's end of its pipes.
type stage struct {
	t       *testing.T
	home    home.Home
	door    *fakeDoor
	orders  *io.PipeWriter
	reports <-chan Report
	ended   chan error
}

const container = "coi-aaaaaaaa-1"

func play(t *testing.T, door *fakeDoor, rec record.Record, attached bool) *stage {
	t.Helper()
	dir := t.TempDir()
	h := home.Home{Dir: filepath.Join(dir, ".coi"), User: dir, Prefix: "coi-", UID: os.Geteuid()}
	if _, err := h.Ensure(h.Run()); err != nil {
		t.Fatal(err)
	}
	rec.Container, rec.Workspace, rec.Plan.LogsDir, rec.Plan.Unguarded = container, "/ws", h.Path("logs"), true
	if err := rec.Write(h); err != nil {
		t.Fatal(err)
	}
	log, err := logs.Open(h.Path("logs"), container, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &Supervisor{Home: h, Log: log, Connect: func(context.Context, string, string) (Door, error) { return door, nil }}
	st := &stage{t: t, home: h, door: door, ended: make(chan error, 1)}
	if attached {
		or, ow := io.Pipe()
		rr, rw := io.Pipe()
		s.Orders, s.Reports, st.orders = or, rw, ow
		st.reports = lines[Report](rr)
		go func() { st.ended <- s.Run(t.Context(), container); _ = rw.Close() }()
	} else {
		go func() { st.ended <- s.Run(t.Context(), container) }()
	}
	return st
}

func (s *stage) order(o Order) {
	s.t.Helper()
	if err := send(s.orders, o); err != nil {
		s.t.Fatal(err)
	}
}

// until reads reports until one with this op.
func (s *stage) until(op string) Report {
	s.t.Helper()
	for {
		select {
		case r, ok := <-s.reports:
			if !ok {
				s.t.Fatalf("the supervisor ended before it reported %q", op)
			}
			if r.Op == op {
				return r
			}
		case <-time.After(20 * time.Second):
			s.t.Fatalf("no report %q", op)
		}
	}
}

func (s *stage) finish() record.Record {
	s.t.Helper()
	select {
	case err := <-s.ended:
		if err != nil {
			s.t.Fatalf("Run = %v", err)
		}
	case <-time.After(20 * time.Second):
		s.t.Fatal("the supervisor does not end")
	}
	r, err := record.Read(s.home, container)
	if err != nil && !home.Missing(err) {
		s.t.Fatal(err)
	}
	return r
}

func running(kind string, tmux bool) record.Record {
	r := record.Record{Session: run.Session{Kind: kind, Phase: run.Running, SessionID: "x", Tool: "claude"}}
	r.Plan.Tmux, r.Plan.StopTimeout = tmux, 5
	return r
}

// Session §6: the command ended, ephemeral: safe is told before the container
// is deleted, and the record keeps the end.
func TestCommandEnds(t *testing.T) {
	door := newDoor(t, map[string]string{})
	s := play(t, door, record.Record{Session: run.Session{Kind: record.Run, Phase: run.Creating}}, true)
	s.until(OpReady)
	rec := running(record.Run, false)
	rec.Container, rec.Workspace, rec.Plan.Unguarded, rec.Plan.LogsDir = container, "/ws", true, s.home.Path("logs")
	s.order(Order{Op: OpUpdate, Record: &rec})
	s.order(Order{Op: OpEnd, Status: 7})
	s.until(OpSafe)
	if done := s.until(OpDone); done.Outcome != "deleted" || done.Status != 7 {
		t.Errorf("done = %+v", done)
	}
	got := s.finish()
	if got.Ended == nil || got.Ended.Reason != "exit" || got.Ended.Status != 7 || got.Phase != run.Ended {
		t.Errorf("record = %+v", got.Session)
	}
	if want := []string{"stop -f", "delete"}; !slices.Equal(door.seen(), want) {
		t.Errorf("Incus saw %v; want %v", door.seen(), want)
	}
}

// Session §3: the death of the command before the tool runs undoes the start.
func TestDeathUndoes(t *testing.T) {
	door := newDoor(t, map[string]string{})
	s := play(t, door, record.Record{Session: run.Session{Kind: record.Run, Phase: run.Starting}}, true)
	s.until(OpReady)
	if err := s.orders.Close(); err != nil {
		t.Fatal(err)
	}
	if done := s.until(OpDone); done.Outcome != "deleted" {
		t.Errorf("done = %+v", done)
	}
	s.finish()
	if _, err := os.Lstat(record.Path(s.home, container)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the record is left: %v", err)
	}
}

// An older container is left stopped by a failed start, without the devices
// whose sources lie in the workspace.
func TestUndoKeepsOlder(t *testing.T) {
	door := newDoor(t, map[string]string{"user.coi.persistent": "true"})
	rec := record.Record{Session: run.Session{Kind: record.Shell, Phase: run.Starting}}
	rec.Plan.Existed = true
	s := play(t, door, rec, true)
	s.until(OpReady)
	s.order(Order{Op: OpAbort})
	if done := s.until(OpDone); done.Outcome != "kept" {
		t.Errorf("done = %+v", done)
	}
	s.finish()
	i, err := door.Instance(t.Context(), container)
	if err != nil || i.Status != "Stopped" {
		t.Fatalf("container = %+v, %v", i, err)
	}
	if _, ok := i.Devices["protect-1"]; ok {
		t.Error("a device with its source in the workspace stayed")
	}
	if _, ok := i.Devices["workspace"]; !ok {
		t.Error("the workspace device is gone")
	}
}

// Session §6: persist, snapshots and a stop that fails keep the container.
func TestKept(t *testing.T) {
	for name, prepare := range map[string]func(*fakeDoor){
		"persistent": func(d *fakeDoor) { d.inst.Config["user.coi.persistent"] = "true" },
		"snapshot":   func(d *fakeDoor) { d.snapshots = []incus.Snapshot{{Name: "a"}} },
	} {
		door := newDoor(t, map[string]string{})
		prepare(door)
		s := play(t, door, running(record.Run, false), true)
		s.until(OpReady)
		s.order(Order{Op: OpEnd})
		if done := s.until(OpDone); done.Outcome != "kept" || done.Text == "" {
			t.Errorf("%s: done = %+v", name, done)
		}
		s.finish()
		if slices.Contains(door.seen(), "delete") {
			t.Errorf("%s: the container was deleted", name)
		}
	}
}

// Kill deletes whatever the kind, and needs no command that is attached.
func TestKillAsked(t *testing.T) {
	door := newDoor(t, map[string]string{"user.coi.persistent": "true"})
	door.snapshots = []incus.Snapshot{{Name: "a"}}
	s := play(t, door, running(record.Shell, true), true)
	s.until(OpReady)
	if err := record.WriteAsk(s.home, container, record.Ask{Do: record.AskKill}); err != nil {
		t.Fatal(err)
	}
	if done := s.until(OpDone); done.Outcome != "deleted" || done.Reason != "kill" {
		t.Errorf("done = %+v", done)
	}
	if r := s.finish(); r.Ended == nil || r.Ended.Reason != "kill" {
		t.Errorf("record = %+v", r.Ended)
	}
}

// A container that is killed while it starts is gone too, wherever its start is.
func TestKillWhileItStarts(t *testing.T) {
	for _, at := range []string{"settle", "delete"} {
		t.Run(at, func(t *testing.T) {
			door := newDoor(t, map[string]string{})
			door.inst.Status, door.starts = "Stopped", at
			s := play(t, door, record.Record{Session: run.Session{Kind: record.Shell, Phase: run.Starting}}, true)
			s.until(OpReady)
			if err := record.WriteAsk(s.home, container, record.Ask{Do: record.AskKill}); err != nil {
				t.Fatal(err)
			}
			if done := s.until(OpDone); done.Outcome != "deleted" {
				t.Errorf("done = %+v after %q", done, door.seen())
			}
			if !slices.Contains(door.seen(), "stop -f") {
				t.Errorf("calls = %q; want it stopped", door.seen())
			}
		})
	}
}

// A session in tmux outlives its command; the death of the container ends it.
func TestDetachedThenDead(t *testing.T) {
	door := newDoor(t, map[string]string{})
	s := play(t, door, record.Record{Session: run.Session{Kind: record.Shell, Phase: run.Creating}}, true)
	s.until(OpReady)
	rec := running(record.Shell, true)
	rec.Container, rec.Workspace, rec.Plan.Unguarded, rec.Plan.LogsDir = container, "/ws", true, s.home.Path("logs")
	s.order(Order{Op: OpUpdate, Record: &rec})
	s.order(Order{Op: OpTool})
	if err := s.orders.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-s.ended:
		t.Fatalf("the supervisor ended with its command: %v", err)
	case <-time.After(300 * time.Millisecond): // long enough to have noticed the closed pipe
	}
	_ = door.init.Process.Kill()
	door.mu.Lock()
	door.inst.Status = "Stopped"
	door.mu.Unlock()
	if done := s.until(OpDone); done.Outcome != "deleted" || done.Detail != "stopped inside" {
		t.Errorf("done = %+v", done)
	}
}

// A supervisor that was started again finishes the end that had begun.
func TestResumesEnd(t *testing.T) {
	door := newDoor(t, map[string]string{})
	rec := running(record.Shell, true)
	rec.Phase = run.Saving
	rec.Plan.Ending = &record.Ending{End: run.End{At: time.Now(), Reason: "max_duration"}}
	s := play(t, door, rec, false)
	if r := s.finish(); r.Ended == nil || r.Ended.Reason != "max_duration" {
		t.Errorf("record = %+v", r.Ended)
	}
	if _, err := door.Instance(t.Context(), container); !errors.Is(err, incus.ErrNotFound) {
		t.Errorf("the container is left: %v", err)
	}
}

// Session §17: the time limit ends a session that nobody looks at.
func TestDeadline(t *testing.T) {
	door := newDoor(t, map[string]string{})
	rec := running(record.Run, false)
	past := time.Now().Add(-time.Second)
	rec.Deadline, rec.Plan.AutoStop = &past, true
	rec.Plan.Client = &run.Process{PID: os.Getpid(), StartTime: run.StartTime(os.Getpid())}
	s := play(t, door, rec, false)
	if r := s.finish(); r.Ended == nil || r.Ended.Reason != "max_duration" {
		t.Errorf("record = %+v", r.Ended)
	}
}

// What the pane leaves is text from inside.
func TestParseStatus(t *testing.T) {
	for text, want := range map[string]toolEnd{
		"0 12\n":           {},
		"127 0\nno tool\n": {status: 127, lines: "no tool"},
		"":                 {},
		"x y\n":            {},
		"511 1\n":          {status: 255},
	} {
		if got := parseStatus(text); got != want {
			t.Errorf("parseStatus(%q) = %+v; want %+v", text, got, want)
		}
	}
}

func (d *fakeDoor) Files(context.Context, string) (*incus.Files, error) {
	return nil, errors.New("no files in this test")
}
