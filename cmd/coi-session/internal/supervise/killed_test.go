package supervise

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/beneath"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/protect"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/record"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/logs"
	"github.com/code-on-incus/coi/pkg/run"
)

// A supervisor that is to be killed is a process of its own: this program again,
// with the directory of the scene and the number of the moment at which it dies.
const (
	sceneEnv  = "SUPERVISE_TEST_SCENE"
	momentEnv = "SUPERVISE_TEST_MOMENT"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(sceneEnv); dir != "" {
		os.Exit(superviseScene(dir)) //nolint:forbidigo // TestMain is the main of this program
	}
	os.Exit(m.Run()) //nolint:forbidigo // TestMain is the main of this program
}

func superviseScene(dir string) int {
	moment, err := strconv.Atoi(os.Getenv(momentEnv))
	if err != nil {
		return 2
	}
	h := sceneHome(dir)
	log, err := logs.Open(h.Path("logs"), container, nil)
	if err != nil {
		return 2
	}
	door := &fileDoor{path: filepath.Join(dir, "instance.json"), dieAt: moment}
	s := &Supervisor{Home: h, Log: log, Connect: func(context.Context, string, string) (Door, error) { return door, nil }}
	if err := s.Run(context.Background(), container); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func sceneHome(dir string) home.Home {
	return home.Home{Dir: filepath.Join(dir, ".coi"), User: dir, Prefix: "coi-", UID: os.Geteuid()}
}

// fileDoor is an Incus with one container that outlives the supervisor. Before
// and after each question lies a moment at which the asking process may die.
type fileDoor struct {
	path  string
	dieAt int
	n     int
}

func (d *fileDoor) moment() {
	if d.n++; d.n == d.dieAt {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// ask is one question: what it does to the container lies between two moments.
func (d *fileDoor) ask(do func(*incus.Instance) error) (incus.Instance, error) {
	d.moment()
	defer d.moment()
	i, err := d.read()
	if err == nil && do != nil {
		err = do(&i)
	}
	return i, err
}

func (d *fileDoor) read() (incus.Instance, error) {
	var i incus.Instance
	b, err := os.ReadFile(d.path)
	if errors.Is(err, os.ErrNotExist) {
		return i, incus.ErrNotFound
	}
	return i, errors.Join(err, json.Unmarshal(b, &i))
}

func (d *fileDoor) write(i incus.Instance) error {
	b, err := json.Marshal(i)
	if err != nil {
		return err
	}
	return home.WriteFile(d.path, b)
}

func (d *fileDoor) Instance(context.Context, string) (incus.Instance, error) { return d.ask(nil) }

func (d *fileDoor) State(context.Context, string) (incus.State, error) {
	_, err := d.ask(nil)
	return incus.State{}, err
}

func (d *fileDoor) Update(_ context.Context, _ incus.Instance, _ map[string]string, devices map[string]incus.Device) error {
	_, err := d.ask(func(i *incus.Instance) error { i.Devices = devices; return d.write(*i) })
	return err
}

func (d *fileDoor) Exec(ctx context.Context, _ string, _ incus.Exec) (int, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

func (d *fileDoor) Stop(context.Context, string, bool, time.Duration) error {
	_, err := d.ask(func(i *incus.Instance) error { i.Status = "Stopped"; return d.write(*i) })
	return err
}

func (d *fileDoor) Freeze(context.Context, string) error { return nil }
func (d *fileDoor) Thaw(context.Context, string) error   { return nil }

func (d *fileDoor) Delete(context.Context, string) error {
	_, err := d.ask(func(*incus.Instance) error { return os.Remove(d.path) })
	return err
}

func (d *fileDoor) Create(context.Context, incus.Request) error {
	return errors.New("nothing is made in this test")
}

func (d *fileDoor) Names(context.Context, string) ([]string, error) { return nil, nil }

func (d *fileDoor) Settle(context.Context, string) error { return nil }

func (d *fileDoor) Snapshots(context.Context, string) ([]incus.Snapshot, error) {
	_, err := d.ask(nil)
	return nil, err
}

func (d *fileDoor) Files(context.Context, string) (*incus.Files, error) {
	return nil, errors.New("no files in this test")
}

// scene is a running session with a workspace in which a lock was broken.
func scene(t *testing.T, config map[string]string) (dir string, h home.Home) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	h = sceneHome(dir)
	ws := filepath.Join(dir, "ws")
	hooks := filepath.Join(ws, ".git", "hooks")
	for _, d := range []string{h.Run(), h.Path("logs")} {
		if _, err := h.Ensure(d); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(hooks, 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := beneath.Open(ws)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	files := FilesOf(h, filepath.Join(dir, "storage"), container, "00000000-0000-4000-8000-000000000001")
	plan := protect.Compute(protect.Config{Workspace: protect.Tree{Root: root, Inside: "/workspace"}, Protected: []string{".git/hooks"}})
	if _, err := plan.Record(files.Baseline, files.Copies, container, "00000000-0000-4000-8000-000000000001"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(hooks, "pre-commit"), []byte("#!/bin/sh\nevil\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	rec := running(record.Run, false)
	rec.Container, rec.Workspace, rec.SessionID = container, ws, "00000000-0000-4000-8000-000000000001"
	rec.Plan.LogsDir, rec.Plan.StorageDir, rec.Plan.SessionsDir = h.Path("logs"), filepath.Join(dir, "storage"), filepath.Join(dir, "sessions-claude")
	rec.Plan.Unguarded, rec.Plan.Saves, rec.Plan.OwnerUID, rec.Plan.OwnerGID = true, true, os.Getuid(), os.Getgid()
	// The command lives; what ends the session is asked for.
	rec.Plan.Client = &run.Process{PID: os.Getpid(), StartTime: run.StartTime(os.Getpid())}
	door := &fileDoor{path: filepath.Join(dir, "instance.json")}
	i := incus.Instance{Name: container, Status: "Running", Config: config, Devices: map[string]incus.Device{"protect-1": {"type": "disk", "source": hooks}}}
	if err := errors.Join(rec.Write(h), door.write(i)); err != nil {
		t.Fatal(err)
	}
	return dir, h
}

// superviseUntil runs a supervisor that dies at a moment; killed says that it did.
func superviseUntil(t *testing.T, dir string, moment int) (killed bool) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), sceneEnv+"="+dir, momentEnv+"="+strconv.Itoa(moment))
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("moment %d: the supervisor does not end\n%s", moment, out)
	}
	if err == nil {
		return false
	}
	if st, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && st.Signaled() && st.Signal() == syscall.SIGKILL {
		return true
	}
	t.Fatalf("moment %d: %v\n%s", moment, err, out)
	return false
}

// Session §6, §7, §10: killed at any moment of the end, the next supervisor
// finishes it: the workspace is verified, the session saved, and the container
// comes to what was asked for, no more and no less.
func TestEndGoesOnAfterAKillAtAnyMoment(t *testing.T) {
	for _, c := range []struct {
		name, ask string
		config    map[string]string
		gone      bool
	}{
		{"shutdown of an ephemeral one", record.AskShutdown, nil, true},
		{"shutdown of a persistent one", record.AskShutdown, map[string]string{"user.coi.persistent": "true"}, false},
		{"kill of a persistent one", record.AskKill, map[string]string{"user.coi.persistent": "true"}, true},
		{"stop of an ephemeral one", record.AskStop, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			moments := 0
			for killed := true; killed; {
				moments++
				dir, h := scene(t, c.config)
				if err := record.WriteAsk(h, container, record.Ask{Do: c.ask}); err != nil {
					t.Fatal(err)
				}
				killed = superviseUntil(t, dir, moments)
				if superviseUntil(t, dir, 0) { // never dies; after an end that is done it does nothing
					t.Fatal("killed at no moment")
				}
				checkScene(t, dir, h, moments, c.ask, c.gone)
			}
			if moments < 8 {
				t.Errorf("the end has %d moments; the test looks at nothing", moments)
			}
		})
	}
}

func checkScene(t *testing.T, dir string, h home.Home, moment int, ask string, gone bool) {
	t.Helper()
	rec, err := record.Read(h, container)
	want := ask
	if ask == record.AskStop {
		want = record.AskShutdown
	}
	if err != nil || rec.Ended == nil || rec.Ended.Reason != want || rec.Plan.Ending != nil {
		t.Errorf("moment %d: record = %+v, %v; want ended by %s", moment, rec.Ended, err, want)
	}
	i, err := (&fileDoor{path: filepath.Join(dir, "instance.json")}).read()
	switch {
	case gone && !errors.Is(err, incus.ErrNotFound):
		t.Errorf("moment %d: the container is left: %+v, %v", moment, i, err)
	case !gone && (err != nil || i.Running()):
		t.Errorf("moment %d: container = %+v, %v; want it stopped and kept", moment, i, err)
	case !gone && i.Devices["protect-1"] != nil:
		t.Errorf("moment %d: a device with its source in the workspace stayed", moment)
	}
	if _, err := os.Lstat(filepath.Join(dir, "ws", ".git", "hooks", "pre-commit")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("moment %d: the planted hook is still there: %v", moment, err)
	}
	taken, _ := filepath.Glob(filepath.Join(dir, "storage", "quarantine", "*", "*"))
	if !strings.Contains(strings.Join(taken, " "), "MANIFEST.json") {
		t.Errorf("moment %d: quarantine = %v; want the hook in it", moment, taken)
	}
	saved, _ := filepath.Glob(filepath.Join(dir, "sessions-claude", "*", "metadata.json"))
	if len(saved) != 1 {
		t.Errorf("moment %d: saved = %v; want one session", moment, saved)
	}
	for _, p := range []string{record.AskPath(h, container), h.Run(container + ".baseline.json")} {
		if _, err := os.Lstat(p); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("moment %d: %s is left: %v", moment, filepath.Base(p), err)
		}
	}
}

// A supervisor that comes when the session has ended leaves the container, which
// was kept, alone.
func TestLateSupervisorTouchesNothing(t *testing.T) {
	dir, h := scene(t, map[string]string{"user.coi.persistent": "true"})
	rec, err := record.Read(h, container)
	if err != nil {
		t.Fatal(err)
	}
	rec.Phase, rec.Ended, rec.Plan.Client = run.Ended, &run.End{At: time.Now(), Reason: "exit"}, nil
	if err := rec.Write(h); err != nil {
		t.Fatal(err)
	}
	superviseUntil(t, dir, 0)
	if i, err := (&fileDoor{path: filepath.Join(dir, "instance.json")}).read(); err != nil || !i.Running() {
		t.Errorf("container = %+v, %v; want it as it was", i, err)
	}
}
