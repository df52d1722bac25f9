// Package facts gathers what the checks judge, once and in parallel: the
// kernel's files, the daemons' files under ~/.coi, the configuration, and what
// `coi-session facts` says of Incus. It changes nothing.
package facts

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
	Thick  bool   `json:"thick"` // LVM without a thin pool
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

// Guard is the firewall's own record, ~/.coi/run/netguard.json.
type Guard struct {
	run.Daemon
	Missing     []string `json:"missing"` // what this kernel does not have
	Uplinks     []string `json:"uplinks"` // interfaces that the rules take for the way out
	Pool        string   `json:"pool"`
	Tag         string   `json:"tag"`          // names of interfaces begin with coi and this
	Foreign     []string `json:"foreign"`      // other firewalls and what was done about them
	Conflicts   []string `json:"conflicts"`    // rules of others that use the mark bit or translate addresses first
	ForeignSeen bool     `json:"foreign_seen"` // all rules of others were read
	Upstream    struct {
		AnsweredAt time.Time `json:"answered_at"`
		FailedAt   time.Time `json:"failed_at"`
		Error      string    `json:"error"`
	} `json:"upstream"`
}

// Monitor is the monitor's own record, ~/.coi/run/watch.json.
type Monitor struct {
	run.Daemon
	Freezer struct {
		TriedAt time.Time `json:"tried_at"`
		US      int64     `json:"us"` // to frozen and back, µs
		Error   string    `json:"error"`
	} `json:"freezer"`
}

// Built is what ~/.coi/image-meta.json says of an image.
type Built struct {
	BuiltAt         time.Time `json:"built_at"`
	Base            string    `json:"base"`
	BaseFingerprint string    `json:"base_fingerprint"`
	Fingerprint     string    `json:"fingerprint"`
	Agents          []string  `json:"agents"`
}

// Space is what a file system has, in bytes, and its magic number.
type Space struct {
	Free, Total uint64
	Type        int64
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
	Uptime    time.Duration // of the kernel at that moment, sleep included; 0: unknown
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

	Netguard *Guard
	Watcher  *Monitor
	Sessions []Guarded
	Leases   map[string]struct{} // containers that have an address
	LeaseErr error

	Images    map[string]Built
	ImagesErr error

	// Space asks the file system of a path; tests replace it.
	Space func(path string) (Space, error)
	// Synced is what the kernel says of the wall clock: whether it is kept in step
	// with the world, and how far it may be off.
	Synced func() (ok bool, off time.Duration, err error)

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
	if o.Root == "" {
		o.Root = "/"
	}
	f := &Facts{
		Now: time.Now(), Getenv: o.Getenv, Workspace: o.Workspace, Exec: o.Exec, Root: o.Root, Space: space, Synced: synced,
		// Each is replaced by what is found out, if that is found out in time.
		HomeErr: errLate, ConfigErr: errLate, IncusErr: errLate, TrustErr: errLate, ImagesErr: errLate, LeaseErr: errLate,
	}
	var up unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &up) == nil {
		f.Uptime = time.Duration(up.Nano())
	}
	var uts unix.Utsname
	if unix.Uname(&uts) == nil {
		f.Kernel = unix.ByteSliceToString(uts.Release[:])
	}
	collect(ctx, f, o.parts(ctx)...)
	return f
}

// part finds something out and returns what writes it down. Only the goroutine of
// collect writes, so that one that hangs on a dead disk or socket can be left.
type part func() func(*Facts)

func collect(ctx context.Context, f *Facts, parts ...part) {
	found := make(chan func(*Facts), len(parts))
	for _, p := range parts {
		go func() { found <- p() }()
	}
	for range parts {
		select {
		case write := <-found:
			write(f)
		case <-ctx.Done():
			return
		}
	}
}

var errLate = errors.New("no answer in time")

func (o Options) parts(ctx context.Context) []part {
	return []part{
		func() func(*Facts) {
			g := &Facts{Root: o.Root}
			release := osRelease(g.Read("/etc/os-release"))
			return func(f *Facts) { f.OSRelease = release }
		},
		func() func(*Facts) {
			g := &Facts{}
			g.Home, g.HomeErr = home.Find(o.Getenv)
			if g.HomeErr == nil {
				g.daemons()
				g.records()
				g.Config, g.ConfigErr = config.Load(config.Options{Home: g.Home, Getenv: o.Getenv, Workspace: o.Workspace, Profile: o.Profile})
				if g.ConfigErr != nil {
					g.Config = builtin(g.Home)
				}
			}
			return func(f *Facts) {
				f.Home, f.HomeErr, f.Config, f.ConfigErr = g.Home, g.HomeErr, g.Config, g.ConfigErr
				f.Netguard, f.Watcher, f.Sessions, f.Leases, f.LeaseErr = g.Netguard, g.Watcher, g.Sessions, g.Leases, g.LeaseErr
				f.Images, f.ImagesErr = g.Images, g.ImagesErr
			}
		},
		func() func(*Facts) {
			var incus Incus
			err := ask(ctx, o.Exec, &incus, "coi-session", "facts", "--json")
			return func(f *Facts) { f.Incus, f.IncusErr = incus, err }
		},
		func() func(*Facts) {
			var approvals []Approval
			err := ask(ctx, o.Exec, &approvals, "coi-trust", "--list", "--json")
			return func(f *Facts) { f.Approvals, f.TrustErr = approvals, err }
		},
	}
}

// builtin are the values in force without any file of the user's; nil if even
// they cannot be had.
func builtin(h home.Home) *config.Config {
	h.Dir = filepath.Join(h.Dir, "no-such-directory")
	cfg, err := config.Load(config.Options{Home: h, Getenv: func(string) string { return "" }})
	if err != nil {
		return nil
	}
	return cfg
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

// Linked reports whether a link of the host is there, wherever it leads.
func (f *Facts) Linked(path string) bool {
	_, err := os.Lstat(filepath.Join(f.Root, path))
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
	f.Netguard = Optional[Guard](f.Home.Run(run.NetguardFile))
	f.Watcher = Optional[Monitor](f.Home.Run(run.WatchDaemonFile))
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

// records reads the books of addresses and images.
func (f *Facts) records() {
	var pool struct {
		Leases map[string]struct{} `json:"leases"`
	}
	f.LeaseErr = run.Read(f.Home.Run(run.NetguardPoolFile), &pool)
	f.Leases = pool.Leases
	var meta struct {
		Images map[string]Built `json:"images"`
	}
	f.ImagesErr = home.ReadJSON(f.Home.Path("image-meta.json"), 1, &meta)
	f.Images = meta.Images
}

func space(path string) (Space, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		return Space{}, err
	}
	size := uint64(fs.Bsize)                                                                 //nolint:gosec // a block size is not negative
	return Space{Free: fs.Bavail * size, Total: fs.Blocks * size, Type: int64(fs.Type)}, nil //nolint:unconvert // the type differs by architecture
}

func synced() (ok bool, off time.Duration, err error) {
	var tx unix.Timex
	state, err := unix.Adjtimex(&tx)
	const unsynchronised = 0x40 // STA_UNSYNC, linux/timex.h; the state 5 is TIME_ERROR
	return err == nil && state != 5 && tx.Status&unsynchronised == 0, time.Duration(tx.Maxerror) * time.Microsecond, err
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
