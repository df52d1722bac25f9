package mount

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/cli"
)

type fixture struct {
	dir, ws string
	env     Env
}

// setup makes a host: a home with .coi, an Incus socket, a workspace.
func setup(t *testing.T) fixture {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f := fixture{dir: dir, ws: filepath.Join(dir, "home/src/ws")}
	for _, d := range []string{"home/src/ws/sub", "home/.coi/masks/empty-dir", "incus", "home/data"} {
		must(t, os.MkdirAll(filepath.Join(dir, d), 0o755))
	}
	must(t, os.WriteFile(filepath.Join(dir, "home/.coi/masks/empty-file"), nil, 0o444))
	f.env = Env{
		Coi: []string{filepath.Join(dir, "home/.coi")}, Incus: []string{filepath.Join(dir, "incus/unix.socket"), filepath.Join(dir, "incus")},
		Masks: filepath.Join(dir, "home/.coi/masks"), Owner: 1000, Group: 1000,
	}
	return f
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (f fixture) open(t *testing.T) *Workspace {
	t.Helper()
	w, err := OpenWorkspace(f.ws, f.env)
	must(t, err)
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func (f fixture) build(t *testing.T, mounts ...Mount) (*Plan, error) {
	t.Helper()
	p, err := Build(f.open(t), DefaultInside, "/home/code", nil, mounts, f.env)
	if err == nil {
		t.Cleanup(p.Close)
	}
	return p, err
}

func code(err error) int {
	var e *cli.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

// T-REPO, session §2: directories of the system are no workspaces.
func TestRefusedWorkspaces(t *testing.T) {
	f := setup(t)
	must(t, os.Symlink("/etc", filepath.Join(f.dir, "link")))
	for _, d := range []string{"/", "/bin", "/home", "/tmp", "/usr", "/var", "/root", "/etc/ssl", "/proc/self", "/sys", "/dev/shm", f.dir + "/link", f.dir + "/home/.coi", f.dir + "/incus", f.dir + "/none"} {
		if w, err := OpenWorkspace(d, f.env); code(err) != 1 {
			t.Errorf("OpenWorkspace(%s) = %v, %v; want exit 1", d, w, err)
		}
	}
	if w := f.open(t); w.HoldsCoi || w.Path != f.ws {
		t.Errorf("workspace = %+v", w)
	}
	w, err := OpenWorkspace(filepath.Join(f.dir, "home"), f.env)
	must(t, err)
	defer func() { _ = w.Close() }()
	if !w.HoldsCoi {
		t.Error("a workspace that holds ~/.coi is not told")
	}
	p, err := Build(w, DefaultInside, "/home/code", nil, nil, f.env)
	must(t, err)
	defer p.Close()
	if d := p.Devices[DeviceName("protect", "/workspace/.coi")]; d["readonly"] != "true" || d["source"] != f.env.Coi[0] {
		t.Errorf("~/.coi in the workspace is not read-only: %v", p.Devices)
	}
}

// R-REG-01, R-TRU-02, config §5.6: what is mounted, and what never is.
func TestMounts(t *testing.T) {
	f := setup(t)
	data := filepath.Join(f.dir, "home/data")
	must(t, os.Symlink(data, filepath.Join(f.ws, "link")), unix.Mkfifo(filepath.Join(data, "fifo"), 0o600))
	off := false
	p, err := f.build(t,
		Mount{Host: filepath.Join(f.ws, "link"), Container: "/data", Resolved: data, Shift: &off},
		Mount{Host: filepath.Join(f.dir, "home/new/dir"), Container: "/new"},
		Mount{Host: filepath.Join(f.dir, "none"), Container: "/none", ReadOnly: true},
		Mount{Host: f.env.Coi[0], Container: "/c"},
		Mount{Host: filepath.Join(f.dir, "home"), Container: "/h"})
	must(t, err)
	d := p.Devices
	if d["mount-1"]["source"] != data || d["mount-1"]["shift"] != "false" || !p.OwnShift["mount-1"] {
		t.Errorf("mount-1 = %v; want the resolved source", d["mount-1"])
	}
	if st, err := os.Stat(filepath.Join(f.dir, "home/new/dir")); err != nil || st.Mode().Perm() != 0o755 {
		t.Errorf("missing writable source: %v, %v", st, err)
	}
	if len(p.Warnings) != 1 || d["mount-3"] != nil {
		t.Errorf("missing read-only source: %v, %v", p.Warnings, d["mount-3"])
	}
	if d["mount-4"]["readonly"] != "true" || d[DeviceName("protect", "/h/.coi")]["readonly"] != "true" {
		t.Errorf("~/.coi is writable through a mount: %v", d)
	}
	if d["coi-home"]["path"] != "/home/code/.coi" || d["coi-home"]["readonly"] != "true" {
		t.Errorf("coi-home = %v", d["coi-home"])
	}
	must(t, p.Verify())
	if w := p.Watch(); len(w) != len(p.Sources) || w[1].Path != "/data" || w[1].Ino == 0 {
		t.Errorf("Watch = %+v", w)
	}
}

func TestRefusedMounts(t *testing.T) {
	f := setup(t)
	data := filepath.Join(f.dir, "home/data")
	other := func() (*os.File, error) { return os.Open(f.ws) }
	must(t, unix.Mkfifo(filepath.Join(data, "fifo"), 0o600))
	f.env.Writable = []string{filepath.Join(f.dir, "home/src")}
	must(t, os.MkdirAll(filepath.Join(f.dir, "home/src/other"), 0o755))
	for name, tt := range map[string]struct {
		m    Mount
		want int
	}{
		"root":            {Mount{Host: "/", Container: "/x"}, 5},
		"proc":            {Mount{Host: "/proc/self/fd", Container: "/x"}, 5},
		"dev":             {Mount{Host: "/dev/null", Container: "/x"}, 1},
		"incus socket":    {Mount{Host: filepath.Join(f.dir, "incus"), Container: "/x"}, 5},
		"above the same":  {Mount{Host: f.dir, Container: "/x"}, 5},
		"fifo":            {Mount{Host: filepath.Join(data, "fifo"), Container: "/x"}, 1},
		"relative target": {Mount{Host: data, Container: "x"}, 5},
		"target /":        {Mount{Host: data, Container: "/"}, 5},
		"target .coi":     {Mount{Host: data, Container: "/home/code/.coi/x"}, 5},
		"target home":     {Mount{Host: data, Container: "/home/code"}, 5},
		"target /home":    {Mount{Host: data, Container: "/home"}, 5},
		"dots":            {Mount{Host: data, Container: "/a/../b"}, 5},
		"workspace":       {Mount{Host: data, Container: "/workspace"}, 5},
		"swapped":         {Mount{Host: data, Container: "/x", Resolved: "/elsewhere"}, 1},
		"other object":    {Mount{Host: data, Container: "/x", Approved: other}, 1},
		"other container": {Mount{Host: filepath.Join(f.dir, "home/src/other"), Container: "/x"}, 1},
	} {
		if _, err := f.build(t, tt.m); code(err) != tt.want {
			t.Errorf("%s: Build = %v; want exit %d", name, err, tt.want)
		}
	}
	if _, err := f.build(t, Mount{Host: data, Container: "/x"}, Mount{Host: f.ws + "/sub", Container: "/y"}); err != nil {
		t.Errorf("control: Build = %v", err)
	}
	if _, err := f.build(t, Mount{Host: data, Container: "/x"}, Mount{Host: data, Container: "/x"}); code(err) != 5 {
		t.Errorf("one target twice: %v", err)
	}
	var e *cli.Error
	if _, err := f.build(t, Mount{Host: "/", Container: "/x"}, Mount{Host: data, Container: "y"}); !errors.As(err, &e) || len(e.Lines) != 1 {
		t.Errorf("two bad mounts: %v; want both told", err)
	}
}

// R-TRU-02: an object that is swapped after the check is noticed, in a loop.
func TestVerifySeesSwap(t *testing.T) {
	f := setup(t)
	data, moved := filepath.Join(f.dir, "home/data"), filepath.Join(f.dir, "home/moved")
	for i := range 20 {
		p, err := f.build(t, Mount{Host: data, Container: "/x"})
		must(t, err, p.Verify(), os.Rename(data, moved))
		if i%2 == 0 {
			must(t, os.Symlink("/etc", data))
		} else {
			must(t, os.Mkdir(data, 0o755))
		}
		if err := p.Verify(); code(err) != 1 || !strings.Contains(err.Error(), data) {
			t.Fatalf("round %d: Verify = %v; want exit 1 naming %s", i, err, data)
		}
		must(t, os.Remove(data), os.Rename(moved, data))
	}
}

// R-TRU-03: an in-workspace mount is no second way to a locked or masked path.
func TestCover(t *testing.T) {
	f := setup(t)
	must(t, os.MkdirAll(filepath.Join(f.ws, ".git/hooks"), 0o755), os.MkdirAll(filepath.Join(f.ws, "secrets"), 0o755),
		os.WriteFile(filepath.Join(f.ws, "secrets/k"), nil, 0o600))
	file := filepath.Join(f.env.Masks, "empty-file")
	locks := []Lock{{Rel: ".git/hooks", Source: filepath.Join(f.ws, ".git/hooks")}, {Rel: "a.pem", Source: file, Mask: true}, {Rel: "secrets", Source: filepath.Join(f.env.Masks, "empty-dir"), Mask: true}}
	p, err := f.build(t,
		Mount{Host: filepath.Join(f.ws, ".git"), Container: "/g"},
		Mount{Host: filepath.Join(f.ws, ".git/hooks"), Container: "/hooks"},
		Mount{Host: f.ws, Container: "/w2"},
		Mount{Host: filepath.Join(f.ws, "secrets/k"), Container: "/k"},
		Mount{Host: filepath.Join(f.ws, "sub"), Container: "/sub"})
	must(t, err)
	must(t, p.Cover(locks))
	d := p.Devices
	for name, want := range map[string]bool{
		DeviceName("protect", "/g/hooks"): true, DeviceName("protect", "/w2/.git/hooks"): true, DeviceName("mask", "/w2/a.pem"): true,
		"mount-2": true, "mount-4": true, "mount-5": false, "mount-1": false,
	} {
		if got := d[name]["readonly"] == "true"; got != want || d[name] == nil {
			t.Errorf("%s = %v; want read-only %v", name, d[name], want)
		}
	}
	if d["mount-4"]["source"] != file {
		t.Errorf("a masked file is readable through its mount: %v", d["mount-4"])
	}
	p, err = f.build(t, Mount{Host: filepath.Join(f.ws, ".git/hooks"), Container: "/hooks", Overlap: true})
	must(t, err)
	must(t, p.Cover(locks))
	if p.Devices["mount-1"]["readonly"] == "true" {
		t.Error("an approved overlap is not writable")
	}
	p, err = f.build(t, Mount{Host: filepath.Join(f.ws, "sub"), Container: "/workspace/.git"})
	must(t, err)
	if err := p.Cover(locks); code(err) != 5 {
		t.Errorf("a target over a locked path: %v; want exit 5", err)
	}
}

func git(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-c", "user.name=n", "-c", "user.email=e@example.com"}, args...)...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
}

// Session §9: a linked worktree made by the real git is accepted when both
// pointers agree, and only then.
func TestWorktree(t *testing.T) {
	f := setup(t)
	main := filepath.Join(f.dir, "main")
	must(t, os.Mkdir(main, 0o755), os.RemoveAll(f.ws))
	git(t, main, "init", "-q")
	git(t, main, "commit", "-q", "--allow-empty", "-m", "x")
	git(t, main, "worktree", "add", "-q", f.ws)
	w := f.open(t)
	wt, warn := FindWorktree(w)
	if wt == nil || wt.Common != filepath.Join(main, ".git") {
		t.Fatalf("FindWorktree = %+v, %q", wt, warn)
	}
	if _, _, err := w.Inside(false, wt); code(err) != 1 {
		t.Errorf("a worktree below /tmp kept its path: %v", err)
	}
	p, err := Build(w, f.ws, "/home/code", wt, nil, f.env)
	must(t, err)
	if p.Devices["git-common"]["path"] != wt.Common || p.Devices["workspace"]["path"] != f.ws {
		t.Errorf("devices = %v", p.Devices)
	}
	p.Close()
	evil := filepath.Join(f.dir, "evil")
	must(t, os.Mkdir(evil, 0o755))
	pointer, err := os.ReadFile(filepath.Join(f.ws, ".git"))
	must(t, err, os.WriteFile(filepath.Join(evil, ".git"), pointer, 0o644))
	e, err := OpenWorkspace(evil, f.env)
	must(t, err)
	defer func() { _ = e.Close() }()
	if wt, warn := FindWorktree(e); wt != nil || warn == "" {
		t.Errorf("a stolen pointer was believed: %+v", wt)
	}
}

func TestInside(t *testing.T) {
	w := &Workspace{Path: "/home/u/src"}
	if in, _, err := w.Inside(true, nil); in != "/home/u/src" || err != nil {
		t.Errorf("Inside = %q, %v", in, err)
	}
	w.Path = "/tmp/x"
	if in, warn, err := w.Inside(true, nil); in != DefaultInside || warn == "" || err != nil {
		t.Errorf("Inside = %q, %q, %v", in, warn, err)
	}
}
