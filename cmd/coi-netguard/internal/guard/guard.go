// Package guard is the daemon: it reads what sessions want from ~/.coi/run, puts
// it into force in the kernel, sees that it stays so, and answers.
package guard

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/events"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/host"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/lease"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/nft"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/packets"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/policy"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/resolve"
)

// Options are what a guard is made from.
type Options struct {
	Home       home.Home
	Dir        string // of the run files
	Settings   Settings
	Version    string
	ResolvConf string
	Plain      bool // a table without owner flag, as kernels before 6.9 have it
	Recorder   Recorder
	// Sockets are those of an earlier guard; nil: new ones are opened and given to Store.
	Sockets *resolve.Sockets
	Store   func(*resolve.Sockets) error
	// UntilIdle ends Run when there has been no spec for so long; 0: never. The
	// table is taken away then, since nothing is left to guard.
	UntilIdle time.Duration
}

// Recorder gets what is worth keeping.
type Recorder interface {
	// Append adds records to the audit trail of a container. It does not wait.
	Append(container string, recs ...audit.Record)
	// Log writes a line into the session log of a container; for container ""
	// into the guard's own. problem says it is a warning or an error.
	Log(container string, problem bool, text string)
	// Query notes a DNS question in the log of questions.
	Query(q resolve.Query)
	// Problem says why records cannot be written now, "" when they can.
	Problem() string
}

// Guard is one user's guard. All methods but those of resolve.Guard belong to
// the goroutine of Run.
type Guard struct {
	o      Options
	conn   *nft.Conn
	read   *nft.Reader
	net    *host.Net
	pool   *lease.Pool
	env    policy.Env
	facts  *policy.Facts
	v6     bool
	shared atomic.Pointer[policy.Facts] // facts, for other goroutines

	books      books
	feed       *packets.Feed
	observer   atomic.Pointer[func(packets.Packet)]
	counted    time.Time
	busy       time.Time // when there was last something to guard
	sharedText string    // shared rules as last read back

	boxes   map[string]*box
	views   atomic.Pointer[map[netip.Addr]*client]
	state   State
	persist bool
	tableIn bool // the table is in force as last written

	sockets  *resolve.Sockets
	resolver *resolve.Resolver
	upstream *resolve.Upstream
	wake     chan func()
	ready    func()
	problems map[string]string
}

// New opens what the guard needs of the kernel, in the network namespace of the
// calling thread. It changes nothing yet.
func New(o Options) (*Guard, error) {
	if o.Recorder == nil {
		o.Recorder = discard{}
	}
	g := &Guard{
		o: o, boxes: map[string]*box{}, wake: make(chan func(), 64), problems: map[string]string{}, ready: func() {},
		books: books{byName: map[string]*events.Book{}, byIndex: map[uint32]*box{}},
	}
	var err error
	if g.conn, err = nft.Open(); err != nil {
		return nil, err
	}
	if g.read, err = nft.OpenReader(); err != nil {
		return nil, err
	}
	if g.net, err = host.Open(); err != nil {
		return nil, err
	}
	empty := map[netip.Addr]*client{}
	g.views.Store(&empty)
	g.state.load(filepath.Join(o.Dir, run.NetguardFile))
	return g, nil
}

// OnReady sets what is called once every container has its rules.
func (g *Guard) OnReady(f func()) { g.ready = f }

// Close closes the sockets. Rules stay.
func (g *Guard) Close() {
	if g.sockets != nil {
		g.sockets.Close()
	}
	if g.feed != nil {
		g.feed.Close()
	}
	_ = g.conn.Close()
	_ = g.read.Close()
	g.net.Close()
}

const (
	rescanEvery = 30 * time.Second
	beatEvery   = run.HeartbeatEvery
)

// Plan is the table that Start would write, in nft syntax. Nothing is changed.
func (g *Guard) Plan() (string, error) {
	if err := g.choosePools(); err != nil {
		return "", err
	}
	if err := g.readFacts(); err != nil {
		return "", err
	}
	g.pool.ReadOnly()
	if g.state.DNSPort == 0 {
		g.state.DNSPort = resolve.FirstPort
	}
	g.environment(g.state.DNSPort)
	if err := g.prepare(); err != nil {
		return "", err
	}
	for _, b := range g.boxes {
		b.inSet = b.part != nil
	}
	return g.wantedTable().Text(true), nil
}

func (g *Guard) environment(port uint16) {
	s := g.o.Settings
	g.env = policy.Env{Table: g.o.Home.Table(), Prefix: "coi" + g.tag(), Mark: s.Mark, Group: g.group(), DNSPort: port, LogRate: s.LogRate, NewRate: s.NewRate}
}

// alone refuses to start beside another user's guard with the same tag: each
// would take the other's interfaces for its own.
func (g *Guard) alone() error {
	tables, err := g.read.Tables()
	if err != nil {
		return err
	}
	for _, name := range tables {
		if name == g.env.Table || !strings.HasPrefix(name, "coi_") {
			continue
		}
		t, err := g.read.Table(name, func(string) bool { return false })
		if err != nil {
			continue // it went away, or is not of this form
		}
		if pre := t.Chain("pre"); pre != nil && strings.Contains(pre.Text(false), fmt.Sprintf("iifname %q ", g.env.Prefix+"*")) {
			return fmt.Errorf("table %s of another guard uses the interface tag %q too; set another one in network.veth_tag", name, g.tag())
		}
	}
	return nil
}

// Start puts the base drop and every spec on disk into force.
func (g *Guard) Start(ctx context.Context) error {
	if err := g.choosePools(); err != nil {
		return err
	}
	if err := g.readFacts(); err != nil {
		return err
	}
	g.environment(g.state.DNSPort)
	if err := g.alone(); err != nil {
		return err
	}
	var err error
	if g.sockets = g.o.Sockets; g.sockets == nil {
		if g.sockets, err = resolve.Listen(ctx, policy.Gateway, g.state.DNSPort); err != nil {
			return err
		}
		if g.o.Store != nil {
			// Without a store a restart costs the questions of half a second.
			if err := g.o.Store(g.sockets); err != nil {
				g.o.Recorder.Log("", true, "the name server's sockets are not kept over a restart: "+err.Error())
			}
		}
	}
	g.state.DNSPort = g.sockets.Port
	g.environment(g.sockets.Port)
	g.upstream = resolve.NewUpstream(g.o.ResolvConf)
	g.resolver = resolve.New(g, g.upstream)
	g.resolver.OnOther(g.tls)
	for _, fam := range []string{"ipv4/ip_forward"} {
		if err := host.Sysctl("net/"+fam, "1"); err != nil {
			g.problem("forward", "forwarding is off and cannot be switched on: "+err.Error())
		}
	}
	if err := g.prepare(); err != nil {
		return err
	}
	return g.adopt()
}

func (g *Guard) tag() string {
	if g.o.Settings.Tag != "" {
		return g.o.Settings.Tag
	}
	return g.o.Home.VethTag()
}

// group is a number for kernel log messages that other guards are unlikely to have.
func (g *Guard) group() uint16 {
	h := uint16(0)
	for _, c := range g.o.Home.Table() + g.tag() {
		h = h*31 + uint16(c)
	}
	return 1024 + h%30000
}

// Run starts the guard and keeps it going until the context ends. Then the
// rules stay and every status says unattended.
func (g *Guard) Run(ctx context.Context) error {
	files, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch %s: %w", g.o.Dir, err)
	}
	defer func() { _ = files.Close() }()
	if err := files.Add(g.o.Dir); err != nil {
		return fmt.Errorf("watch %s: %w", g.o.Dir, err)
	}
	if err := g.Start(ctx); err != nil {
		return err
	}
	serving, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan struct{})
	go func() { g.resolver.Serve(serving, g.sockets); close(done) }()
	if err := g.watchKernel(serving); err != nil {
		return err
	}
	g.listen(serving)
	g.rescan()
	g.sweep()
	g.neighbours()
	g.conflicts()
	g.verify("start")
	g.beat()
	g.ready()
	g.busy = time.Now()
	g.loop(ctx, files)
	if ctx.Err() == nil {
		g.retire()
	}
	stop()
	<-done
	g.leave()
	return nil
}

func (g *Guard) loop(ctx context.Context, files *fsnotify.Watcher) {
	rescan, beat, second := time.NewTicker(rescanEvery), time.NewTicker(beatEvery), time.NewTicker(time.Second)
	defer rescan.Stop()
	defer beat.Stop()
	defer second.Stop()
	for !g.idle() {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-files.Events:
			if !ok {
				return
			}
			g.changed(filepath.Base(e.Name))
		case err := <-files.Errors:
			g.o.Recorder.Log("", true, "watching files: "+fmt.Sprint(err))
			g.rescan()
		case f := <-g.wake:
			f()
		case <-rescan.C:
			g.rescan()
			g.sweep()
			g.neighbours()
			g.conflicts()
			g.verify("regular check")
		case <-beat.C:
			g.beat()
		case <-second.C:
			g.second()
		}
	}
}

// idle reports whether there has been nothing to guard for the time that was
// asked for.
func (g *Guard) idle() bool {
	if g.o.UntilIdle <= 0 || len(g.boxes) > 0 {
		g.busy = time.Now()
		return false
	}
	return time.Since(g.busy) >= g.o.UntilIdle
}

// retire takes the table away. Interfaces with our tag that are still there keep
// it: without a policy they must go on being dropped.
func (g *Guard) retire() {
	links, err := g.net.Links(g.env.Prefix)
	if err != nil || len(links) > 0 {
		return
	}
	g.neighbours()
	var batch nft.Batch
	batch.DelTable(g.env.Table)
	if err := g.conn.Commit(&batch); err != nil {
		g.o.Recorder.Log("", true, "the table could not be removed: "+err.Error())
	}
}

// later has f run in the loop.
func (g *Guard) later(ctx context.Context, f func()) {
	select {
	case g.wake <- f:
	case <-ctx.Done():
	}
}

// inputs are the files that say what is wanted of a container.
var inputs = []string{run.NetLocalFile, run.NetHoldFile, run.NetFile}

func (g *Guard) changed(file string) {
	for _, suffix := range inputs {
		if name, ok := strings.CutSuffix(file, suffix); ok && name != "" {
			g.reconcile(name)
			return
		}
	}
}

// rescan reads every spec, and the boxes whose spec is gone.
func (g *Guard) rescan() {
	names, err := run.Names(g.o.Dir, run.NetFile)
	if err != nil {
		g.problem("files", err.Error())
		return
	}
	g.solve("files")
	for name := range g.boxes {
		names = append(names, name)
	}
	seen := map[string]bool{}
	for _, name := range names {
		if !seen[name] {
			seen[name] = true
			g.reconcile(name)
		}
	}
}

// problem notes what is wrong with the guard as a whole until solve.
func (g *Guard) problem(key, text string) {
	if g.problems[key] != text {
		g.o.Recorder.Log("", true, text)
	}
	g.problems[key] = text
}

func (g *Guard) solve(key string) { delete(g.problems, key) }

// leave tells everybody that the rules stay but nobody looks after them.
func (g *Guard) leave() {
	for _, b := range g.boxes {
		b.status.State = run.NetUnattended
		b.status.Problems = []string{"the guard has stopped; its rules stay in force"}
		b.viewAt, b.viewDue = time.Time{}, true
		g.writeView(b, time.Now())
		g.writeStatus(b)
	}
	g.state.HeartbeatAt = time.Time{}
	g.state.Problems = []string{"stopped"}
	_ = run.Write(filepath.Join(g.o.Dir, run.NetguardFile), &g.state)
}

// Locked reports whether err says that another guard runs.
func Locked(err error) bool { return errors.Is(err, home.ErrLocked) }

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// FailCommits has fail asked before each transaction; what it returns is the
// transaction's error. Tests inject errors with it; nil ends that.
func (g *Guard) FailCommits(fail func(messages int) error) { g.conn.SetFail(fail) }

// discard is the recorder of a guard that only makes plans.
type discard struct{}

func (discard) Append(string, ...audit.Record) {}
func (discard) Log(string, bool, string)       {}
func (discard) Query(resolve.Query)            {}
func (discard) Problem() string                { return "" }
