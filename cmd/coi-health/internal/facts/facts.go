// Package facts gathers what the checks judge, once and in parallel: the
// kernel's files, the daemons' files under ~/.coi, the configuration, and what
// `coi-session facts` says of Incus. It changes nothing.
package facts

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/config"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// Pool is a storage pool of Incus; sizes in bytes.
type Pool struct {
	Name   string `json:"name"`
	Driver string `json:"driver"`
	Total  uint64 `json:"total"`
	Used   uint64 `json:"used"`
}

// Image is an image alias of Incus.
type Image struct {
	Alias       string    `json:"alias"`
	Fingerprint string    `json:"fingerprint"`
	CreatedAt   time.Time `json:"created_at"`
	Size        uint64    `json:"size"`
}

// Container is one of coi's containers with its expanded configuration.
type Container struct {
	Name     string                       `json:"name"`
	Status   string                       `json:"status"`
	Config   map[string]string            `json:"config"`
	Devices  map[string]map[string]string `json:"devices"`
	Profiles []string                     `json:"profiles"`
}

// Incus is the answer of `coi-session facts --json`.
type Incus struct {
	SchemaVersion int         `json:"schema_version"`
	Reachable     bool        `json:"reachable"`
	Permitted     bool        `json:"permitted"`
	Error         string      `json:"error"`
	Version       string      `json:"version"`
	Pools         []Pool      `json:"pools"`
	Images        []Image     `json:"images"`
	Containers    []Container `json:"containers"`
}

// Guarded is one container as the files of ~/.coi/run show it.
type Guarded struct {
	Name    string
	Session run.Session
	Net     *run.Net
	Status  *run.NetStatus
	Watch   *run.Watch
	Watched *run.WatchStatus
}

// Facts is everything the checks may look at. A nil pointer or an error field
// means that the fact could not be had.
type Facts struct {
	Now       time.Time
	Home      home.Home
	HomeErr   error
	Getenv    func(string) string
	Workspace string
	Exec      string // directory of coi's programs

	OSRelease map[string]string
	Kernel    string
	Root      string // where /proc, /sys and /etc are read from; "/" but in tests

	Config    *config.Config
	ConfigErr error

	Netguard *run.Daemon
	Watcher  *run.Daemon
	Sessions []Guarded

	Incus    Incus
	IncusErr error

	Approvals []Approval
	TrustErr  error
}

// Approval is one entry of `coi-trust --list --json`.
type Approval struct {
	Path  string   `json:"path"`
	State string   `json:"state"`
	Items []string `json:"items"`
}

// Options say where to look.
type Options struct {
	Getenv    func(string) string
	Workspace string
	Profile   string
	Exec      string
	Root      string
}

// Gather collects the facts within ctx's deadline; what is late is missing.
func Gather(ctx context.Context, o Options) *Facts {
	f := &Facts{Now: time.Now(), Getenv: o.Getenv, Workspace: o.Workspace, Exec: o.Exec, Root: o.Root}
	if f.Root == "" {
		f.Root = "/"
	}
	f.Home, f.HomeErr = home.Find(o.Getenv)
	var uts unix.Utsname
	if unix.Uname(&uts) == nil {
		f.Kernel = unix.ByteSliceToString(uts.Release[:])
	}
	f.OSRelease = osRelease(f.Read("/etc/os-release"))
	var wg sync.WaitGroup
	if f.HomeErr == nil {
		wg.Go(func() {
			f.Config, f.ConfigErr = config.Load(config.Options{Home: f.Home, Getenv: o.Getenv, Workspace: o.Workspace, Profile: o.Profile})
		})
		wg.Go(f.daemons)
	}
	wg.Go(func() { f.IncusErr = ask(ctx, o.Exec, &f.Incus, "coi-session", "facts", "--json") })
	wg.Go(func() { f.TrustErr = ask(ctx, o.Exec, &f.Approvals, "coi-trust", "--list", "--json") })
	wg.Wait()
	return f
}

// Read returns a file of the host as text, at most 1 MiB, empty when it cannot be read.
func (f *Facts) Read(path string) string {
	file, err := os.Open(filepath.Join(f.Root, path))
	if err != nil {
		return ""
	}
	defer func() { _ = file.Close() }()
	b, err := home.ReadCapped(file, 1<<20)
	if err != nil {
		return ""
	}
	return string(b)
}

// Int reads a file that holds one number; ok is false when it does not.
func (f *Facts) Int(path string) (n int64, ok bool) {
	n, err := strconv.ParseInt(strings.TrimSpace(f.Read(path)), 10, 64)
	return n, err == nil
}

// Exists reports whether a path of the host is there.
func (f *Facts) Exists(path string) bool {
	_, err := os.Stat(filepath.Join(f.Root, path))
	return err == nil
}

func osRelease(text string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			m[k] = strings.Trim(v, `"'`)
		}
	}
	return m
}

func (f *Facts) daemons() {
	f.Netguard = Optional[run.Daemon](f.Home.Run(run.NetguardFile))
	f.Watcher = Optional[run.Daemon](f.Home.Run(run.WatchDaemonFile))
	seen := map[string]bool{}
	for _, suffix := range []string{run.SessionFile, run.NetFile, run.WatchFile} {
		names, err := run.Names(f.Home.Run(), suffix)
		if err != nil {
			continue
		}
		for _, n := range names {
			if !seen[n] && !strings.Contains(n, ".") {
				seen[n] = true
				f.Sessions = append(f.Sessions, f.guarded(n))
			}
		}
	}
}

func (f *Facts) guarded(name string) Guarded {
	g := Guarded{Name: name}
	_ = run.Read(f.Home.Run(name+run.SessionFile), &g.Session)
	g.Net = Optional[run.Net](f.Home.Run(name + run.NetFile))
	g.Status = Optional[run.NetStatus](f.Home.Run(name + run.NetStatusFile))
	g.Watch = Optional[run.Watch](f.Home.Run(name + run.WatchFile))
	g.Watched = Optional[run.WatchStatus](f.Home.Run(name + run.WatchStatusFile))
	return g
}

// Optional reads a file of ~/.coi/run; nil when it is missing or cannot be read.
func Optional[T any](path string) *T {
	v := new(T)
	if run.Read(path, v) != nil {
		return nil
	}
	return v
}

// Running lists the sessions that have a container now.
func (f *Facts) Running() []Guarded {
	var list []Guarded
	for _, g := range f.Sessions {
		if g.Session.Phase == run.Running || g.Session.Phase == run.Starting {
			list = append(list, g)
		}
	}
	return list
}

func ask(ctx context.Context, dir string, into any, program string, args ...string) error {
	out, err := Tool(ctx, dir, program, args...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(out, into); err != nil {
		return fmt.Errorf("%s: %w", program, err)
	}
	return nil
}

// Tool runs one of coi's own programs, found beside us or in ../libexec/coi,
// and returns its output.
func Tool(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		path = filepath.Join(dir, "..", "libexec", "coi", name)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.WaitDelay = 100 * time.Millisecond
	out, err := cmd.Output()
	if err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%s: no answer in time", name)
		}
		var ee *exec.ExitError
		if ok := asExit(err, &ee); ok {
			return out, fmt.Errorf("%s: %s", name, strings.TrimSpace(string(ee.Stderr)))
		}
		return nil, err
	}
	return out, nil
}

func asExit(err error, target **exec.ExitError) bool {
	ee, ok := err.(*exec.ExitError) //nolint:errorlint // Output returns it unwrapped
	*target = ee
	return ok
}
