package guard_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/run"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/guard"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/host"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/lab"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/packets"
)

func removeFile(path string) error { return os.Remove(path) }

func (w *world) waitFile(name string, there bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	defer cancel()
	if err := run.Wait(ctx, w.home.Run(name), func(b []byte) bool { return (b != nil) == there }); err != nil {
		w.t.Fatalf("%s: %v; logs %q", name, err, w.rec.logs)
	}
}

func nftRun(t *testing.T, script string) (string, error) {
	t.Helper()
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func ruleset(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("nft", "list", "ruleset").CombinedOutput()
	if err != nil {
		t.Fatalf("nft: %v: %s", err, out)
	}
	return string(out)
}

// TestModes (T-NG-20, T-NG-22, R-NET-05, R-NET-06, R-LIM-09): what each mode reaches,
// against listeners that all answer; local access opens neither metadata nor the host.
func TestModes(t *testing.T) {
	w := newWorld(t)
	w.start()
	for _, a := range []string{lab.Public, lab.Private, lab.Metadata, "192.0.2.1"} {
		w.net.Inet.ServeTCP(a + ":80")
	}
	w.net.Inet.ServeTCP("[" + lab.Public6 + "]:80")
	w.net.Inet.ServeTCP("[" + lab.Private6 + "]:80")
	host := lab.HostNS(t)
	host.ServeTCP(lab.HostAddr + ":80")
	host.ServeTCP("[" + lab.HostAddr6 + "]:80")
	targets := []string{lab.Public + ":80", lab.Private + ":80", lab.Metadata + ":80", "192.0.2.1:80", lab.HostAddr + ":80", "[" + lab.Public6 + "]:80", "[" + lab.Private6 + "]:80", "[" + lab.HostAddr6 + "]:80"}
	for i, m := range []struct {
		name   string
		change func(*run.Net)
		want   [8]bool // in the order of targets
	}{
		{"restricted", nil, [8]bool{true}},
		{"restricted6", func(s *run.Net) { s.Policy.IPv6 = true }, [8]bool{0: true, 5: true}},
		{"open6", func(s *run.Net) { s.Policy.Mode, s.Policy.IPv6 = "open", true }, [8]bool{true, true, true, true, false, true, true, false}},
		{"allowlist", func(s *run.Net) { s.Policy.Mode = "allowlist" }, [8]bool{}},
		{"local", func(s *run.Net) { s.Policy.AllowLocal = true }, [8]bool{true, true, false, true}},
		{"unblocked", func(s *run.Net) { s.Policy.BlockPrivate, s.Policy.BlockMetadata = false, false }, [8]bool{true, true, true}},
		{"hold", func(s *run.Net) { s.Phase = run.NetHold }, [8]bool{}},
	} {
		t.Run(m.name, func(t *testing.T) {
			w.t = t
			name := fmt.Sprintf("coi-mode-%d", i)
			c := w.launch(name, m.change)
			for j, target := range targets {
				if got := c.Reaches(target); got != m.want[j] {
					t.Errorf("%s reached = %v; want %v", target, got, m.want[j])
				}
			}
			w.end(name, c)
		})
	}
}

// TestMetadataIsTold (T-NG-20, R-MON-06): in every mode and form an attempt at a
// metadata address is in the trail as that, refused or not; and no other address is.
func TestMetadataIsTold(t *testing.T) {
	w := newWorld(t)
	w.start()
	forms4 := []string{lab.Metadata, "169.254.170.2", "169.254.170.23", "168.63.129.16", "100.100.100.200", "192.0.0.192"}
	forms6 := []string{"fd00:ec2::254", "fd20:ce::254", "fd00:ec2::23", "64:ff9b::a9fe:a9fe"}
	others := []string{lab.Private, lab.Public, "172.16.0.1", "192.0.0.8", lab.Private6, "64:ff9b::a00:1"}
	six := func(s *run.Net) { s.Policy.IPv6 = true }
	for i, m := range []struct {
		name   string
		change func(*run.Net)
		action string
	}{
		{"restricted", six, audit.Blocked},
		{"allowlist", func(s *run.Net) { six(s); s.Policy.Mode = "allowlist" }, audit.Blocked},
		{"local", func(s *run.Net) { six(s); s.Policy.AllowLocal = true }, audit.Blocked},
		{"open", func(s *run.Net) { six(s); s.Policy.Mode = "open" }, audit.Alerted},
		{"closed in open", func(s *run.Net) {
			six(s)
			s.Policy.Mode = "open"
			s.Phase = run.NetHold
		}, audit.Blocked},
	} {
		t.Run(m.name, func(t *testing.T) {
			w.t = t
			name := fmt.Sprintf("coi-meta-%d", i)
			c := w.launch(name, m.change)
			raw := c.Raw(t)
			send := func(dst string, proto uint8, port uint16) {
				t.Helper()
				d, src := netip.MustParseAddr(dst), c.V4
				if d.Is6() {
					src = c.V6
				}
				if err := raw.Send(lab.IP(proto, src, d, lab.Segment(proto, src, d, 40000+port, port, 8))); err != nil {
					t.Fatal(err)
				}
			}
			for _, dst := range others {
				send(dst, unix.IPPROTO_TCP, 80)
			}
			for _, dst := range slices.Concat(forms4, forms6) {
				protos := []uint8{unix.IPPROTO_TCP, unix.IPPROTO_UDP}
				if netip.MustParseAddr(dst).Is4() {
					protos = append(protos, unix.IPPROTO_ICMP, 47)
				}
				for _, proto := range protos {
					send(dst, proto, 80)
					r := w.rec.find(t, func(r audit.Record) bool {
						return r.Container == name && r.Rule == "net.metadata" && r.Peer == dst && r.Proto == packets.ProtoName(proto)
					})
					if r.Level != coi.Warning || r.Action != m.action {
						t.Errorf("%s %s: %+v; want a warning, %s", dst, r.Proto, r, m.action)
					}
				}
			}
			w.rec.mu.Lock()
			defer w.rec.mu.Unlock()
			for _, r := range w.rec.recs {
				if r.Container == name && r.Rule == "net.metadata" && slices.Contains(others, r.Peer) {
					t.Errorf("no metadata service: %+v", r)
				}
			}
		})
	}
}

// TestSiblings (T-NG-22, R-REG-10, R-LIM-09): containers do not reach each other, not
// even in the open mode with local access,
// nor does the outside reach them; the host does.
func TestSiblings(t *testing.T) {
	w := newWorld(t)
	w.start()
	open := func(s *run.Net) { s.Policy.Mode, s.Policy.AllowLocal = "open", true }
	a, b := w.launch("coi-sib-1", open), w.launch("coi-sib-2", open)
	b.ServeTCP(b.V4.String() + ":80")
	if a.Reaches(b.V4.String() + ":80") {
		t.Error("one container reaches another")
	}
	w.net.Inet.Do(func() {
		_ = netlink.RouteReplace(&netlink.Route{Dst: prefixNet(b.V4), Gw: netip.MustParseAddr(lab.HostAddr).AsSlice()})
	})
	if w.net.Inet.Reaches(b.V4.String() + ":80") {
		t.Error("the outside reaches a container")
	}
	if !lab.HostNS(t).Reaches(b.V4.String() + ":80") {
		t.Error("control: the host must reach the listener")
	}
	w.rec.find(t, func(r audit.Record) bool { return r.Rule == "sibling" && r.Container == "coi-sib-1" })
	w.rec.find(t, func(r audit.Record) bool { return r.Rule == "in.new" && r.Container == "coi-sib-2" })
}

// TestNoPolicy (T-NG-02, R-NET-01): a device with our tag and no spec reaches nothing.
func TestNoPolicy(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.net.Inet.ServeTCP(lab.Public + ":80")
	veth := coi.VethName(w.home.VethTag(), "default", "nobody")
	c := w.net.Attach(veth, netip.MustParseAddr("10.213.77.7"), netip.Addr{})
	if c.Reaches(lab.Public + ":80") {
		t.Error("a device without policy reaches the internet")
	}
	if out, err := exec.Command("nft", "list", "set", "inet", w.home.Table(), "n_base.no-policy").CombinedOutput(); err != nil || !strings.Contains(string(out), veth) {
		t.Errorf("the counter of base.no-policy did not move: %v %s", err, out)
	}
	w.launchOn(c, "nobody")
	if !c.Reaches(lab.Public + ":80") {
		t.Error("control: with a policy it must reach the listener")
	}
}

// launchOn puts a policy on a device that is there already.
func (w *world) launchOn(c *lab.Container, name string) {
	w.t.Helper()
	s := w.spec(name, nil)
	st := w.put(s)
	if st.State != run.NetEnforcing {
		w.t.Fatalf("%+v", st)
	}
	c.Rename(w.t, netip.MustParseAddr(st.IPv4))
}

// TestChangedRules (T-NG-11, T-NG-12, R-NET-02, R-NET-14): whatever another program does
// to the table is found, recorded and repaired.
func TestChangedRules(t *testing.T) {
	for _, plain := range []bool{true, false} {
		t.Run(fmt.Sprint("plain=", plain), func(t *testing.T) {
			w := newWorld(t)
			w.opts.Plain = plain
			w.start()
			w.net.Inet.ServeTCP(lab.Public + ":80")
			w.net.Inet.ServeTCP(lab.Private + ":80")
			c := w.launch("coi-chg-1", nil)
			table := w.home.Table()
			before := strings.Count(ruleset(t), "\n")
			for _, script := range []string{
				"flush ruleset",
				"delete table inet " + table,
				"flush chain inet " + table + " o_1",
				"flush set inet " + table + " soft4",
				"flush map inet " + table + " port",
				"add rule inet " + table + " pass accept",
				"add chain inet " + table + " extra",
				"delete chain inet " + table + " forward",
				"insert rule inet " + table + " pre accept",
			} {
				w.rec.clear()
				out, err := nftRun(t, script)
				if !plain {
					if err == nil && strings.Count(ruleset(t), "\n") < before-2 {
						t.Errorf("%s: an owned table was changed", script)
					}
					continue
				}
				if err != nil {
					t.Fatalf("%s: %v %s", script, err, out)
				}
				w.rec.find(t, func(r audit.Record) bool { return r.Rule == "net.ruleset-changed" && r.Level == coi.High })
				if !c.Reaches(lab.Public + ":80") {
					t.Errorf("%s: the public listener is not reached after the repair", script)
				}
				if c.Reaches(lab.Private + ":80") {
					t.Errorf("%s: the private listener is reached after the repair", script)
				}
			}
		})
	}
}

// TestLatch (T-NG-11, R-NET-16): guard dead and table flushed, nothing is forwarded.
func TestLatch(t *testing.T) {
	w := newWorld(t)
	w.opts.Plain = true
	w.start()
	w.net.Inet.ServeTCP(lab.Public + ":80")
	c := w.launch("coi-latch-1", nil)
	if !c.Reaches(lab.Public + ":80") {
		t.Fatal("control: the listener must be reached first")
	}
	w.stop()
	if !c.Reaches(lab.Public + ":80") {
		t.Error("stopping the guard closed what was open")
	}
	if _, err := nftRun(t, "flush ruleset"); err != nil {
		t.Fatal(err)
	}
	if c.Reaches(lab.Public + ":80") {
		t.Error("forwarded without any rule of ours")
	}
	// Masquerade is gone as well, so the control needs a way back.
	w.net.Inet.Do(func() {
		_ = netlink.RouteReplace(&netlink.Route{Dst: prefixNet(c.V4), Gw: netip.MustParseAddr(lab.HostAddr).AsSlice()})
	})
	if c.Reaches(lab.Public + ":80") {
		t.Error("forwarded without any rule of ours")
	}
	if out, err := exec.Command("ip", "rule", "del", "pref", "5200").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	if !c.Reaches(lab.Public + ":80") {
		t.Error("control: without the latch the packet must pass")
	}
}

// TestLatchIsPutBack (T-H-03): a latch that goes while the table stands is not seen
// in the table, and found all the same.
func TestLatchIsPutBack(t *testing.T) {
	w := newWorld(t)
	w.start()
	c := w.launch("coi-latch-2", nil)
	n, err := host.Open()
	if err != nil {
		t.Fatal(err)
	}
	before, err := n.Latched(w.opts.Settings.Mark)
	if err != nil || len(before[c.Veth]) == 0 {
		t.Fatalf("latches before = %v, %v", before, err)
	}
	w.rec.clear()
	for _, f := range []string{"-4", "-6"} {
		_ = exec.Command("ip", f, "rule", "del", "pref", "5200").Run()
	}
	if gone, err := n.Latched(w.opts.Settings.Mark); err != nil || len(gone) != 0 {
		t.Fatalf("latches after their deletion = %v, %v", gone, err)
	}
	w.local("coi-latch-2", guard.Local{}) // as coi netguard check asks
	w.rec.find(t, func(r audit.Record) bool { return r.Rule == "net.ruleset-changed" && r.Level == coi.Warning })
	if after, err := n.Latched(w.opts.Settings.Mark); err != nil || !maps.EqualFunc(after, before, slices.Equal) {
		t.Errorf("latches after the guard looked = %v, %v; want %v", after, err, before)
	}
}

// TestRestart (T-NG-10, T-NG-13): a guard that follows a dead one takes its table over:
// open flows and answered addresses go on, closed ones stay closed.
func TestRestart(t *testing.T) {
	w := newWorld(t)
	z := w.resolver()
	w.start()
	w.net.Inet.ServeTCP(lab.Public + ":80")
	w.net.Inet.ServeTCP(lab.Public2 + ":80")
	z.set("www.example.com A", "www.example.com. 60 IN A "+lab.Public)
	c := w.launch("coi-again-1", allowlist(run.Dest{Dest: "www.example.com"}))
	lookup(t, c, "www.example.com", 1)
	conn, err := c.Dial(lab.Public + ":80")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		w.stop()
		if st := w.await("coi-again-1", func(st run.NetStatus) bool { return st.State == run.NetUnattended }); st.State != run.NetUnattended {
			t.Error(st)
		}
		w.start()
		if st := w.await("coi-again-1", func(st run.NetStatus) bool { return st.State == run.NetEnforcing }); st.IPv4 != c.V4.String() {
			t.Errorf("another address after the restart: %s", st.IPv4)
		}
		if !lab.Echoed(conn) {
			t.Fatal("an allowed flow broke")
		}
		if !c.Reaches(lab.Public + ":80") {
			t.Error("an answered address is closed after the restart")
		}
		if c.Reaches(lab.Public2 + ":80") {
			t.Error("another address is open after the restart")
		}
	}
}

// TestBadSpecs (T-NG-14): what cannot be read or believed changes nothing.
func TestBadSpecs(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.net.Inet.ServeTCP(lab.Public + ":80")
	w.net.Inet.ServeTCP(lab.Private + ":80")
	c := w.launch("coi-bad-1", nil)
	path := w.home.Run("coi-bad-1" + run.NetFile)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(elsewhere, bytes.Replace(good, []byte("restricted"), []byte("open"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	open := func(b []byte) []byte {
		return bytes.Replace(b, []byte(`"mode":"restricted"`), []byte(`"mode":"open"`), 1)
	}
	for name, write := range map[string]func() error{
		"empty":   func() error { return os.WriteFile(path, nil, 0o600) },
		"cut off": func() error { return os.WriteFile(path, open(good)[:200], 0o600) },
		"newer": func() error {
			return os.WriteFile(path, bytes.Replace(open(good), []byte(`"schema_version":1`), []byte(`"schema_version":99`), 1), 0o600)
		},
		"no mode": func() error {
			return os.WriteFile(path, bytes.Replace(good, []byte("restricted"), []byte("lax"), 1), 0o600)
		},
		"other": func() error {
			return os.WriteFile(path, bytes.Replace(open(good), []byte(`"container":"coi-bad-1"`), []byte(`"container":"coi-bad-2"`), 1), 0o600)
		},
		"foreign": func() error {
			return os.WriteFile(path, bytes.Replace(open(good), []byte(`"veth":"coi`), []byte(`"veth":"eth`), 1), 0o600)
		},
		"sni": func() error {
			return os.WriteFile(path, bytes.Replace(open(good), []byte(`"sni":"off"`), []byte(`"sni":"lax"`), 1), 0o600)
		},
		"huge": func() error {
			// At once: half of it would be a good spec.
			return errors.Join(os.WriteFile(path+".new", append(open(good), bytes.Repeat([]byte(" "), 17<<20)...), 0o600), os.Rename(path+".new", path))
		},
		"symlink":   func() error { return errors.Join(os.Remove(path), os.Symlink(elsewhere, path)) },
		"directory": func() error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
	} {
		if err := write(); err != nil {
			t.Fatal(name, err)
		}
		st := w.await("coi-bad-1", func(st run.NetStatus) bool { return st.State == run.NetFailed })
		if st.Error == "" {
			t.Errorf("%s: no problem text", name)
		}
		if open, shut := c.Reaches(lab.Public+":80"), c.Reaches(lab.Private+":80"); !open || shut {
			t.Errorf("%s: the last good rules do not hold: public reached %v, private reached %v", name, open, shut)
		}
		if err := errors.Join(os.RemoveAll(path), os.WriteFile(path+".new", good, 0o600), os.Rename(path+".new", path)); err != nil {
			t.Fatal(err)
		}
		w.await("coi-bad-1", func(st run.NetStatus) bool { return st.State == run.NetEnforcing })
	}
	// Positive control: the same text, well formed, opens.
	w.put(w.spec("coi-bad-1", func(s *run.Net) { s.Policy.Mode = "open" }))
	if !c.Reaches(lab.Private + ":80") {
		t.Error("control: open mode must reach the listener")
	}
}

// TestFlood (T-NG-50, R-NET-09): the number of refused packets is exact, the log is
// bounded, and another container's event is there.
func TestFlood(t *testing.T) {
	w := newWorld(t)
	w.opts.Settings.LogRate = 100
	w.start()
	a, b := w.launch("coi-flood-1", nil), w.launch("coi-flood-2", nil)
	const n = 100000
	raw := a.Raw(t)
	dst := netip.MustParseAddr(lab.Private)
	packet := lab.IP(17, a.V4, dst, lab.Segment(17, a.V4, dst, 5000, 9999, 0))
	for range n {
		if err := raw.Send(packet); err != nil {
			t.Fatal(err)
		}
	}
	b.Reaches(lab.Metadata + ":80")
	w.rec.find(t, func(r audit.Record) bool { return r.Container == "coi-flood-2" && r.Rule == "block.link-local" })
	st := w.await("coi-flood-1", func(st run.NetStatus) bool { return st.Denied["block.private"] >= n })
	if st.Denied["block.private"] != n {
		t.Errorf("counted %d; want %d", st.Denied["block.private"], n)
	}
	w.rec.find(t, func(r audit.Record) bool {
		return r.Container == "coi-flood-1" && r.Rule == "block.private" && r.Count > n/2
	})
	w.rec.mu.Lock()
	defer w.rec.mu.Unlock()
	if len(w.rec.recs) > 50 {
		t.Errorf("%d records for one flood", len(w.rec.recs))
	}
}

// TestHold (T-NG-52): a hold stops everything and keeps flows for its release.
func TestHold(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.net.Inet.ServeTCP(lab.Public + ":80")
	c := w.launch("coi-hold-1", nil)
	conn, err := c.Dial(lab.Public + ":80")
	if err != nil {
		t.Fatal(err)
	}
	hold := func(on bool, gen int) {
		if err := run.Write(w.home.Run("coi-hold-1"+run.NetHoldFile), &run.Hold{SchemaVersion: 1, Generation: gen, Hold: on}); err != nil {
			t.Fatal(err)
		}
		w.await("coi-hold-1", func(st run.NetStatus) bool { return st.HoldGeneration == gen })
	}
	hold(true, 1)
	if lab.Echoed(conn) || c.Reaches(lab.Public+":80") {
		t.Error("packets pass under hold")
	}
	hold(false, 2)
	_ = conn.SetDeadline(time.Time{})
	if !lab.EchoedWithin(conn, 5*time.Second) {
		t.Error("the flow did not go on after the hold")
	}
}

// TestLeftovers (T-NG-62, R-REG-06, R-REG-21): containers come and go; nothing stays.
func TestLeftovers(t *testing.T) {
	w := newWorld(t)
	w.opts.Settings.Pool4 = netip.MustParsePrefix("10.213.0.0/29")
	w.start()
	first := ruleset(t)
	var veths []string
	for i := range 40 {
		name := fmt.Sprintf("coi-left-%d", i)
		c := w.launch(name, allowlist(run.Dest{Dest: "a.example.com", Ports: []string{fmt.Sprint(1000 + i)}}))
		c.Reaches(lab.Public + ":80")
		veth := w.spec(name, nil).Veth
		if !strings.Contains(ruleset(t), strconv.Quote(veth)+" limit") {
			t.Fatalf("control: what was refused to %s must be in a set", name)
		}
		veths = append(veths, veth)
		w.end(name, c)
	}
	after := ruleset(t)
	if stripCounts(after) != stripCounts(first) {
		t.Errorf("rules are left: %d lines before, %d after", strings.Count(first, "\n"), strings.Count(after, "\n"))
	}
	for _, veth := range veths {
		if strings.Contains(after, veth) {
			t.Errorf("counters of %s are left; a set full of those neither counts nor logs", veth)
		}
	}
	for _, args := range [][]string{{"rule"}, {"-6", "rule"}} {
		out, err := exec.Command("ip", args...).CombinedOutput()
		if err != nil || strings.Contains(string(out), "5200:") {
			t.Errorf("policy rules are left: %v %s", err, out)
		}
	}
	flows, err := netlink.ConntrackTableList(netlink.ConntrackTable, 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range flows {
		// Containers of other tests may have had other addresses of the same host.
		if src, ok := netip.AddrFromSlice(f.Forward.SrcIP); ok && w.opts.Settings.Pool4.Contains(src.Unmap()) {
			t.Errorf("a flow is left: %v", f)
		}
	}
	var pool struct{ Leases map[string]any }
	if err := run.Read(w.home.Run(run.NetguardPoolFile), &pool); err != nil || len(pool.Leases) > 0 {
		t.Errorf("leases are left: %v %v", pool, err)
	}
	entries, err := os.ReadDir(w.home.Run())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "coi-left") {
			t.Errorf("a file is left: %s", e.Name())
		}
	}
}

// TestApplyFails (T-NG-15, R-NET-03): each step that fails leaves the container closed
// and says so.
func TestApplyFails(t *testing.T) {
	w := newWorld(t)
	g := w.start()
	w.net.Inet.ServeTCP(lab.Public + ":80")
	c := w.launch("coi-fail-1", nil)
	broken := errors.New("injected")
	for fails := 1; fails <= 3; fails++ {
		left := fails
		g.FailCommits(func(int) error {
			if left > 0 {
				left--
				return broken
			}
			return nil
		})
		st := w.put(w.spec("coi-fail-1", func(s *run.Net) { s.Policy.Mode = "allowlist" }))
		g.FailCommits(nil)
		open := c.Reaches(lab.Public + ":80")
		switch {
		case fails == 1 && (st.State != run.NetEnforcing || open): // the second try works
			t.Errorf("one failure: %s, reached %v", st.State, open)
		case fails == 2 && (st.State != run.NetFailed || open): // the plain drop works
			t.Errorf("two failures: %s, reached %v", st.State, open)
		case fails == 3 && st.State != run.NetFailed: // nothing works: the last good rules hold
			t.Errorf("three failures: %s", st.State)
		}
		if st := w.put(w.spec("coi-fail-1", nil)); st.State != run.NetEnforcing || !c.Reaches(lab.Public+":80") {
			t.Fatalf("control: %+v", st)
		}
	}
	s := w.spec("coi-fail-1", nil)
	s.Phase = run.NetClosed
	w.put(s)
	c.Detach()
	g.FailCommits(func(int) error { return broken })
	if err := os.Remove(w.home.Run("coi-fail-1" + run.NetFile)); err != nil {
		t.Fatal(err)
	}
	if st := w.await("coi-fail-1", func(st run.NetStatus) bool { return st.State == run.NetFailed }); !strings.Contains(st.Error, "injected") {
		t.Errorf("a removal that did not happen: %+v", st)
	}
	g.FailCommits(nil)
}

// TestTwoGuards (T-NG-61): guards of two homes leave each other's containers alone.
func TestTwoGuards(t *testing.T) {
	w := newWorld(t)
	w.start()
	c := w.launch("coi-two-1", nil)
	w.net.Inet.ServeTCP(lab.Public + ":80")
	other := &world{t: t, net: w.net, rec: newMemory(), stop: func() {}}
	other.home = w.home
	other.home.Dir = filepath.Join(t.TempDir(), "coi")
	other.home.Custom = other.home.Dir
	if _, err := other.home.Ensure(other.home.Run()); err != nil {
		t.Fatal(err)
	}
	other.opts = w.opts
	other.opts.Home, other.opts.Dir, other.opts.Recorder = other.home, other.home.Run(), other.rec
	other.start()
	defer other.stop()
	s := other.spec("coi-two-1", func(s *run.Net) { s.Policy.Mode = "open" })
	s.Veth = c.Veth
	if st := other.put(s); st.State != run.NetFailed || !strings.Contains(st.Error, "veth") {
		t.Errorf("a guard took another one's interface: %+v", st)
	}
	d := other.launch("coi-two-2", nil)
	if d.V4 == c.V4 {
		t.Errorf("both guards gave out %s", d.V4)
	}
	if !c.Reaches(lab.Public+":80") || !d.Reaches(lab.Public+":80") {
		t.Error("side by side they do not work")
	}
	c.ServeTCP(c.V4.String() + ":80")
	if d.Reaches(c.V4.String() + ":80") {
		t.Error("a container of one guard reaches one of the other")
	}
	opts := w.opts
	opts.Home, opts.Dir, opts.Settings.Tag = other.home, t.TempDir(), w.home.VethTag()
	opts.Home.Custom = "/elsewhere"
	g, err := guard.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if err := g.Start(context.Background()); err == nil || !strings.Contains(err.Error(), "veth_tag") {
		t.Errorf("a guard with a tag in use started: %v", err)
	}
}

func stripCounts(s string) string {
	var out []string
	for line := range strings.Lines(s) {
		if !strings.Contains(line, "elements") && !strings.Contains(line, "\" ") && !strings.Contains(line, "counter") {
			out = append(out, line)
		}
	}
	return strings.Join(out, "")
}

// TestStrayInterface: an interface that Incus left of an earlier container, both
// of its ends on the host, is removed before the next container of that name is
// made, and when the last one is gone; that of a living container stays.
func TestStrayInterface(t *testing.T) {
	w := newWorld(t)
	w.start()
	stray := func(name string) {
		t.Helper()
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: "strayend"}); err != nil {
			t.Fatal(err)
		}
	}
	there := func(name string) bool {
		_, err := netlink.LinkByName(name)
		return err == nil
	}
	s := w.spec("coi-stray-1", nil)
	s.Phase = run.NetHold
	stray(s.Veth)
	w.put(s)
	if there(s.Veth) {
		t.Error("the interface is in the way of the next container")
	}
	stray(s.Veth)
	if err := os.Remove(w.home.Run("coi-stray-1" + run.NetFile)); err != nil {
		t.Fatal(err)
	}
	w.eventually(func() bool { return !there(s.Veth) })

	c := w.launch("coi-stray-2", nil)
	s = w.spec("coi-stray-2", nil)
	s.Phase = run.NetHold
	w.put(s)
	if !there(s.Veth) || c.Reaches(lab.Public+":80") {
		t.Error("the interface of a living container is removed, or open in hold")
	}
}
