package guard_test

import (
	"context"
	"encoding/json"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/guard"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/lab"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/resolve"
)

func TestMain(m *testing.M) { lab.Main(m) }

// memory is a Recorder that keeps all.
type memory struct {
	mu   sync.Mutex
	recs []audit.Record
	logs []string
	note chan struct{}
}

func newMemory() *memory { return &memory{note: make(chan struct{}, 1)} }

func (m *memory) Append(c string, recs ...audit.Record) {
	m.mu.Lock()
	for _, r := range recs {
		r.Container = c
		m.recs = append(m.recs, r)
	}
	m.mu.Unlock()
	select {
	case m.note <- struct{}{}:
	default:
	}
}

func (m *memory) Log(c string, problem bool, text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if problem {
		c += " [ERR]"
	}
	m.logs = append(m.logs, c+": "+text)
}

func (m *memory) Query(resolve.Query) {}
func (m *memory) Problem() string     { return "" }

func (m *memory) clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.recs = nil
}

func prefixNet(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
}

// find waits until a record is there.
func (m *memory) find(t *testing.T, ok func(audit.Record) bool) audit.Record {
	t.Helper()
	for end := time.After(8 * time.Second); ; {
		m.mu.Lock()
		for _, r := range m.recs {
			if ok(r) {
				m.mu.Unlock()
				return r
			}
		}
		m.mu.Unlock()
		select {
		case <-m.note:
		case <-end:
			m.mu.Lock()
			defer m.mu.Unlock()
			t.Fatalf("no such record among %d: %+v; logs %q", len(m.recs), m.recs, m.logs)
		}
	}
}

// world is a host with a guard and the internet behind it.
type world struct {
	t    *testing.T
	net  *lab.Net
	home home.Home
	rec  *memory
	opts guard.Options
	stop func()
}

// newWorld makes the host; the guard is not started.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, net: lab.Internet(t), rec: newMemory(), stop: func() {}}
	dir := t.TempDir()
	h, err := home.Find(func(k string) string { return map[string]string{"HOME": dir, "COI_HOME": filepath.Join(dir, "coi")}[k] })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Ensure(h.Run()); err != nil {
		t.Fatal(err)
	}
	w.home = h
	conf := filepath.Join(dir, "resolv.conf")
	if err := os.WriteFile(conf, []byte("nameserver "+lab.Resolver+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.opts = guard.Options{Home: h, Dir: h.Run(), Settings: guard.Defaults(), Version: "test", ResolvConf: conf, Recorder: w.rec}
	w.opts.Settings.LogRate, w.opts.Settings.NewRate = 1000000, 1000000
	t.Cleanup(func() {
		w.stop()
		// Rules outlive their guard; the next test begins without any.
		_ = exec.Command("nft", "flush", "ruleset").Run()
		for _, family := range []string{"-4", "-6"} {
			for exec.Command("ip", family, "rule", "del", "pref", "5200").Run() == nil {
			}
		}
	})
	return w
}

// start runs the guard and returns once it is ready. stop ends it as SIGTERM does.
func (w *world) start() *guard.Guard {
	w.t.Helper()
	g, err := guard.New(w.opts)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	g.OnReady(func() { close(ready) })
	go func() { ended <- g.Run(ctx) }()
	select {
	case <-ready:
	case err := <-ended:
		cancel()
		w.t.Fatalf("the guard did not start: %v; %q", err, w.rec.logs)
	}
	var once sync.Once
	w.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				w.t.Errorf("the guard ended: %v", err)
			}
			g.Close()
		})
	}
	return g
}

// spec is a spec with the defaults of a session.
func (w *world) spec(name string, change func(*run.Net)) run.Net {
	s := run.Net{
		SchemaVersion: 1, Container: name, Project: "default", Veth: coi.VethName(w.home.VethTag(), "default", name), Phase: run.NetPolicy,
		Policy: run.Policy{Mode: "restricted", BlockPrivate: true, BlockMetadata: true, DNSQPS: 1000, RefreshMinutes: 30, Connections: 8192, SNI: "off"}, Events: run.NetEvents{Enabled: true, PerSecond: 100, DNSThreshold: 100},
	}
	if change != nil {
		change(&s)
	}
	return s
}

// put writes a spec and waits for the guard's answer to it.
func (w *world) put(s run.Net) run.NetStatus {
	w.t.Helper()
	var st run.NetStatus
	_ = run.Read(w.home.Run(s.Container+run.NetStatusFile), &st)
	s.Generation = st.Generation + 1
	if err := run.Write(w.home.Run(s.Container+run.NetFile), &s); err != nil {
		w.t.Fatal(err)
	}
	return w.await(s.Container, func(st run.NetStatus) bool { return st.Generation >= s.Generation })
}

// await waits for a status.
func (w *world) await(name string, ok func(run.NetStatus) bool) (st run.NetStatus) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	defer cancel()
	err := run.Wait(ctx, w.home.Run(name+run.NetStatusFile), func(data []byte) bool {
		st = run.NetStatus{}
		return json.Unmarshal(data, &st) == nil && ok(st)
	})
	if err != nil {
		w.t.Fatalf("status of %s: %v: %+v; logs %q", name, err, st, w.rec.logs)
	}
	return st
}

// launch puts a spec in phase hold, attaches the container, and puts the spec.
func (w *world) launch(name string, change func(*run.Net)) *lab.Container {
	w.t.Helper()
	s := w.spec(name, change)
	s.Phase = run.NetHold
	st := w.put(s)
	if st.State != run.NetEnforcing {
		w.t.Fatalf("hold: %+v", st)
	}
	v4 := netip.MustParseAddr(st.IPv4)
	v6, _ := netip.ParseAddr(st.IPv6)
	c := w.net.Attach(s.Veth, v4, v6)
	w.await(name, func(st run.NetStatus) bool { return st.VethSeen })
	if st := w.put(w.spec(name, change)); st.State != run.NetEnforcing {
		w.t.Fatalf("policy: %+v", st)
	}
	return c
}

// eventually asks until ok says so. There is no file to wait for: what is asked
// about is the state of the kernel.
func (w *world) eventually(ok func() bool) {
	w.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(8 * time.Second); !ok(); {
		select {
		case <-tick.C:
		case <-end:
			w.t.Fatal("it did not come to be")
		}
	}
}
