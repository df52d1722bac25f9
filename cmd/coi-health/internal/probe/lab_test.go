package probe

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-health/internal/agent"
	"github.com/code-on-incus/coi/cmd/coi-health/internal/check"
	"github.com/code-on-incus/coi/cmd/coi-health/internal/facts"
	"github.com/code-on-incus/coi/pkg/config"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// stage is a lab whose agents and programs are played.
type stage struct {
	t *testing.T
	*lab
	dir    string
	denied map[string]int
	does   func(box string, r agent.Request) agent.Reply
}

// play writes one of coi's programs.
func (s *stage) play(name, script string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, "bin", name), []byte("#!/bin/sh\ncd "+s.dir+"\n"+script+"\n"), 0o700); err != nil { //nolint:gosec // a program
		s.t.Fatal(err)
	}
}

// allowed reports whether the firewall that is played has been told to open something.
func (s *stage) allowed() bool { return exists(filepath.Join(s.dir, "allowed")) }

// count lets the counter of a rule move.
func (s *stage) count(rule string, by int) {
	s.denied[rule] += by
	if err := run.Write(s.Facts.Home.Run(s.a.name+run.NetStatusFile), run.NetStatus{SchemaVersion: run.Schema, Denied: s.denied}); err != nil {
		s.t.Error(err)
	}
}

// record writes a line of the trail.
func (s *stage) record(rule, title string) {
	f, err := os.OpenFile(filepath.Join(s.dir, "trail"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = fmt.Fprintf(f, "{\"rule\":%q,\"title\":%q}\n", rule, title)
		_ = f.Close()
	}
	if err != nil {
		s.t.Error(err)
	}
}

func (s *stage) box(name string) *box {
	in, orders := io.Pipe()
	answers, out := io.Pipe()
	go func() {
		lines, enc := bufio.NewScanner(in), json.NewEncoder(out)
		for lines.Scan() {
			var r agent.Request
			if json.Unmarshal(lines.Bytes(), &r) != nil || enc.Encode(s.does(name, r)) != nil {
				return
			}
		}
	}()
	s.t.Cleanup(func() { _, _ = orders.Close(), out.Close() })
	return &box{name: "coi-health-1-" + name, ip: "10.13.0.9", agent: agent.NewClient(orders, answers), exec: &exec.Cmd{}}
}

func newStage(t *testing.T, change func(*config.Config)) *stage {
	t.Helper()
	dir := t.TempDir()
	h := home.Home{Dir: filepath.Join(dir, ".coi"), User: dir, UID: os.Getuid(), Prefix: "coi-"}
	for _, d := range []string{h.Dir, h.Run(), filepath.Join(dir, "bin")} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := config.Load(config.Options{Home: h, Getenv: func(string) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(cfg)
	}
	s := &stage{t: t, dir: dir, denied: map[string]int{}}
	s.lab = &lab{
		Options: Options{Facts: &facts.Facts{Home: h, Config: cfg, Exec: filepath.Join(dir, "bin"), Root: dir}},
		ctx:     t.Context(), cookie: "c0ffee", before: map[string]int{}, want: map[string]int{}, owed: map[string]map[string]int{}, current: "x", patience: time.Second,
	}
	s.a, s.b = s.box("a"), s.box("b")
	s.play("coi-netguard", `case "$4" in --remove) rm -f allowed;; *) touch allowed;; esac`)
	s.play("coi-audit", `cat trail 2>/dev/null; exit 0`)
	s.does = func(string, agent.Request) agent.Reply { return agent.Reply{OK: true} }
	return s
}

var (
	answered = agent.Reply{OK: true}
	rejects  = agent.Reply{Kind: "refused", Error: "connection refused"}
	silent   = agent.Reply{Kind: "timeout", Error: "i/o timeout"}
)

// What a refusal needs: the control reached the listener, the attempt was rejected
// and not lost, the counter moved by the attempts and no more, and the trail says
// it. Without the control nothing is said; without another part it is failed.
func TestRefusalHasThreeParts(t *testing.T) {
	for name, tt := range map[string]struct {
		listen, open, shut agent.Reply
		counted            int
		recorded           string
		status             check.Status
		says               string
	}{
		"all three":           {answered, answered, rejects, 2, "block.private", check.OK, ""},
		"no listener":         {rejects, answered, rejects, 2, "block.private", check.Skipped, "control failed"},
		"control is rejected": {answered, rejects, rejects, 2, "block.private", check.Skipped, "control failed"},
		"control is lost":     {answered, silent, silent, 2, "block.private", check.Skipped, "control failed"},
		"reached":             {answered, answered, answered, 2, "block.private", check.Failed, "was reached"},
		"lost, not rejected":  {answered, answered, silent, 2, "block.private", check.Failed, "timeout"},
		"not counted":         {answered, answered, rejects, 0, "block.private", check.Failed, "counted 0 of 2"},
		"counted too often":   {answered, answered, rejects, 3, "block.private", check.Failed, "counted 3 of 2"},
		"not in the trail":    {answered, answered, rejects, 2, "block.cgnat", check.Failed, "no record of rule block.private"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, nil)
			s.does = func(_ string, r agent.Request) agent.Reply {
				switch {
				case r.Op == "listen":
					return tt.listen
				case s.allowed():
					return tt.open
				}
				return tt.shut
			}
			r := ok("refused")
			if no := s.closed(run.ProbePrivate, "block.private"); no != nil {
				r = *no
			}
			s.count("block.private", tt.counted)
			s.record(tt.recorded, "")
			results := map[string]check.Result{"x": r}
			s.settle(results)
			if got := results["x"]; got.Status != tt.status || !strings.Contains(got.Message, tt.says) {
				t.Errorf("%s: %s; want %s with %q", got.Status, got.Message, tt.status, tt.says)
			}
			if s.allowed() {
				t.Error("what the control opened is still open")
			}
		})
	}
}

// An attempt that was not counted is failed also where the rest was skipped, and
// one that could not be counted any more does not stay ok.
func TestSettleLeavesNoDoubt(t *testing.T) {
	s := newStage(t, nil)
	s.owe("sibling")
	results := map[string]check.Result{"x": skipped("private networks are open; other containers are closed (count only)")}
	s.settle(results)
	if r := results["x"]; r.Status != check.Failed || !strings.Contains(r.Message, "counted 0 of 1") {
		t.Errorf("a sibling that was not counted = %s: %s; want failed", r.Status, r.Message)
	}

	s = newStage(t, nil)
	s.owe("sibling")
	s.count("sibling", 1)
	s.record("sibling", "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.ctx = ctx
	results = map[string]check.Result{"x": ok("refused")}
	s.settle(results)
	if r := results["x"]; r.Status != check.Failed || !strings.Contains(r.Message, "no time") {
		t.Errorf("after the end = %s: %s; want failed for want of time", r.Status, r.Message)
	}
}

// Time that ran out is called so, and a stop by the user is not.
func TestNotDone(t *testing.T) {
	late, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if a, b := notDone(late), notDone(stopped); a.Status != check.Failed || a.Message != "timed out" || b.Status != check.Failed || strings.Contains(b.Message, "timed out") {
		t.Errorf("late = %q, stopped = %q", a.Message, b.Message)
	}
}

// Answers with closed addresses are dropped by the rule that is in the trail;
// where private networks are open, an answer that leads there is none of those.
func TestNamesAreFiltered(t *testing.T) {
	const zone = "." + run.ProbeZone
	gone := agent.Reply{Kind: "no such name"}
	leads := agent.Reply{OK: true, Text: []string{"10.0.0.1"}}
	restricted := func(*config.Config) {}
	local := func(c *config.Config) { c.Network.AllowLocalNetworkAccess = true }
	list := func(c *config.Config) { c.Network.Mode = "allowlist" }
	for name, tt := range map[string]struct {
		change                    func(*config.Config)
		open, private, meta, rest agent.Reply
		trail                     []string // "rule name"
		status                    check.Status
		says                      string
	}{
		"restricted":             {restricted, answered, gone, gone, answered, []string{"dns.rebind private", "dns.rebind metadata"}, check.OK, ""},
		"no record":              {restricted, answered, gone, gone, answered, []string{"dns.rebind private"}, check.Failed, "no record of metadata (dns.rebind)"},
		"private is answered":    {restricted, answered, leads, gone, answered, []string{"dns.rebind private", "dns.rebind metadata"}, check.Failed, "led to 10.0.0.1"},
		"lost, not refused":      {restricted, answered, gone, silent, answered, []string{"dns.rebind private", "dns.rebind metadata"}, check.Failed, "timeout"},
		"local networks open":    {local, answered, leads, gone, answered, []string{"dns.rebind metadata"}, check.OK, ""},
		"allowlist":              {list, answered, gone, gone, gone, []string{"dns.rebind private", "dns.rebind metadata", "allowlist.default other"}, check.OK, ""},
		"allowlist, answered":    {list, answered, gone, gone, leads, []string{"dns.rebind private", "dns.rebind metadata", "allowlist.default other"}, check.Failed, "not on the list"},
		"nothing is answered":    {restricted, silent, silent, silent, silent, nil, check.Skipped, "control failed"},
		"nobody answers at all":  {restricted, rejects, rejects, rejects, rejects, nil, check.Failed, "does not answer"},
		"allowlist, wrong rules": {list, answered, gone, gone, gone, []string{"dns.rebind private", "dns.rebind metadata", "dns.rebind other"}, check.Failed, "other (allowlist.default)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, tt.change)
			s.does = func(_ string, r agent.Request) agent.Reply {
				switch r.Name {
				case "open" + zone:
					return tt.open
				case "private" + zone:
					return tt.private
				case "metadata" + zone:
					return tt.meta
				}
				return tt.rest
			}
			for _, line := range tt.trail {
				rule, name, _ := strings.Cut(line, " ")
				s.record(rule, "blocked: "+name+zone)
			}
			if r := networkDNS(s.lab); r.Status != tt.status || !strings.Contains(r.Message, tt.says) {
				t.Errorf("%s: %s; want %s with %q", r.Status, r.Message, tt.status, tt.says)
			}
		})
	}
}

// watched lets the monitor be one that watches a, with what it says of programs.
func (s *stage) watched(events string) {
	s.t.Helper()
	if err := run.Write(s.Facts.Home.Run(s.a.name+run.WatchStatusFile), run.WatchStatus{SchemaVersion: run.Schema, Armed: true}); err != nil {
		s.t.Fatal(err)
	}
	s.play("coi-session", `echo '{"stdout":"","exit_code":0}'`)
	s.play("coi-watch", "echo '"+events+"'")
}

// Nothing above warning is only said by a monitor that saw the commands.
func TestQuietNeedsAMonitorThatSees(t *testing.T) {
	for name, tt := range map[string]struct {
		events string
		level  string
		status check.Status
		says   string
	}{
		"seen":   {`"/bin/true","c0ffee-quiet"`, "warning", check.OK, ""},
		"found":  {`"/bin/true","c0ffee-quiet"`, "high", check.Failed, "by everyday commands"},
		"unseen": {`nothing`, "warning", check.Skipped, "control failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, nil)
			s.watched(tt.events)
			// The first question is what there was before.
			s.play("coi-audit", `if [ -e asked ]; then echo '{"rule":"r","level":"`+tt.level+`"}'; fi; touch asked`)
			if r := monitorQuiet(s.lab); r.Status != tt.status || !strings.Contains(r.Message, tt.says) {
				t.Errorf("%s: %s; want %s with %q", r.Status, r.Message, tt.status, tt.says)
			}
		})
	}
}

// A shell that was wired is shown with the times at which it was seen, frozen and
// killed; one that lives on, or that nobody saw, is failed.
func TestWiringShowsTimes(t *testing.T) {
	for name, tt := range map[string]struct {
		rule           string
		frozen, killed bool
		status         check.Status
		says           []string
	}{
		"frozen and killed": {"shell.net-stdio", true, true, check.OK, []string{"shell.net-stdio: seen after", "frozen after", "killed after"}},
		"killed at once":    {"shell.net-stdio", false, true, check.OK, []string{"shell.net-stdio: seen after", "killed after"}},
		"lives on":          {"shell.net-stdio", true, false, check.Failed, []string{"lives on"}},
		"unseen":            {"cred.key", true, true, check.Failed, []string{"not seen"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, nil)
			s.watched("")
			s.does = func(_ string, r agent.Request) agent.Reply {
				if r.Op == "shell" {
					st := run.WatchStatus{SchemaVersion: run.Schema, Armed: true}
					mark := &run.Mark{At: time.Now().Add(time.Millisecond)}
					if tt.frozen {
						st.Frozen = mark
					}
					if tt.killed {
						st.Killed = mark
					}
					if err := run.Write(s.Facts.Home.Run(s.a.name+run.WatchStatusFile), st); err != nil {
						s.t.Error(err)
					}
					s.record(tt.rule, "")
				}
				return answered
			}
			r := monitorWiring(s.lab)
			if r.Status != tt.status || slices.ContainsFunc(tt.says, func(word string) bool { return !strings.Contains(r.Message, word) }) {
				t.Errorf("%s: %s; want %s with %q", r.Status, r.Message, tt.status, tt.says)
			}
			if _, said := r.Details["frozen_ms"]; r.Status == check.OK && said != tt.frozen {
				t.Errorf("details %v; want frozen_ms: %v", r.Details, tt.frozen)
			}
		})
	}
}

// The address that stands for a network of the host is nobody's: neither a
// neighbour's, nor a gateway's, nor the network's own first and last.
func TestUnusedAddress(t *testing.T) {
	s := newStage(t, nil)
	for name, text := range map[string]string{
		"arp":   "IP address       HW type     Flags       HW address            Mask     Device\n192.0.2.6        0x1         0x2         02:00:00:00:00:06     *        eth0\n",
		"route": "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\nveth\t00000000\t050200C0\t0003\t0\t0\t0\t00000000\n",
	} {
		path := filepath.Join(s.dir, "proc", "net", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	taken := neighbours(s.Facts)
	at, found := unused(netip.MustParsePrefix("192.0.2.1/29"), taken)
	if want := netip.MustParseAddr("192.0.2.4"); !found || at != want {
		t.Errorf("unused = %v, %v; want %v", at, found, want)
	}
	for _, a := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"} {
		taken[netip.MustParseAddr(a)] = true
	}
	if at, found := unused(netip.MustParsePrefix("192.0.2.1/29"), taken); found {
		t.Errorf("unused = %v in a full network; want none", at)
	}
}

// Who is asked outside the host is named before, also where progress is not shown.
func TestOutsideIsTold(t *testing.T) {
	s := newStage(t, nil)
	var order []string
	s.Outside = func(what string) { order = append(order, what) }
	s.Tell = func(what string) { t.Errorf("%q is told as progress", what) }
	s.does = func(_ string, r agent.Request) agent.Reply {
		order = append(order, r.Op+" "+r.Addr)
		return answered
	}
	// A way out by eth0.
	path := filepath.Join(s.dir, "proc", "net", "route")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\neth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := connectivity(s.lab); r.Status != check.OK {
		t.Errorf("%s: %s", r.Status, r.Message)
	}
	name := services[s.Facts.Config.Tool.Name]
	if want := []string{"connecting to " + name, "tls " + name + ":443"}; !slices.Equal(order, want) {
		t.Errorf("order = %v; want %v", order, want)
	}
}

// A lock that root takes off is refused or seen. One that is gone without a word
// is failed, also when only the attempt was seen; so is a host that has changed.
func TestLockTakenOff(t *testing.T) {
	const done, refused, missing = `{"stdout":"","exit_code":0}`, `{"stdout":"","exit_code":32}`, `{"stdout":"","exit_code":127}`
	for name, tt := range map[string]struct {
		first  check.Status
		armed  bool
		answer string
		level  string
		hook   bool
		status check.Status
		says   string
	}{
		"refused":            {check.OK, true, refused, "warning", false, check.OK, "not taken off by root"},
		"seen":               {check.OK, true, done, "critical", false, check.OK, "is seen"},
		"seen, no answer":    {check.OK, true, "killed", "critical", false, check.OK, "is seen"},
		"only the attempt":   {check.OK, true, done, "warning", false, check.Failed, "nobody saw it"},
		"seen, host changed": {check.OK, true, done, "critical", true, check.Failed, "has changed"},
		"no umount":          {check.OK, true, missing, "info", false, check.OK, "cannot be run inside"},
		"no monitor":         {check.OK, false, done, "info", false, check.OK, "does not watch"},
		"failed before":      {check.Failed, true, refused, "critical", false, check.Failed, "five ways"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, nil)
			s.b.ws = filepath.Join(s.dir, "ws")
			if err := os.Mkdir(s.b.ws, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := repository(s.b.ws); err != nil {
				t.Fatal(err)
			}
			if err := run.Write(s.Facts.Home.Run(s.b.name+run.WatchStatusFile), run.WatchStatus{SchemaVersion: run.Schema, Armed: tt.armed}); err != nil {
				t.Fatal(err)
			}
			script := "echo '" + tt.answer + "'"
			if tt.hook {
				script = "echo x > ws/.git/hooks/pre-commit; touch changed; " + script
			}
			s.play("coi-session", script)
			wait := ""
			if tt.hook {
				wait = "[ -e changed ] || exit 0; "
			}
			s.play("coi-audit", wait+`[ "$1" = `+s.b.name+` ] && echo '{"rule":"escape.locked","level":"`+tt.level+`"}'; exit 0`)
			r := s.unmounted(check.Result{Status: tt.first, Message: "five ways"})
			if r.Status != tt.status || !strings.Contains(r.Message, tt.says) {
				t.Errorf("%s: %s; want %s with %q", r.Status, r.Message, tt.status, tt.says)
			}
		})
	}
}

// Where there is no image, no right to Incus or no way to map the user, every
// probe is skipped with that reason: nothing is started, and nothing is ok.
func TestProbesThatCannotBe(t *testing.T) {
	for want, change := range map[string]func(*facts.Facts){
		"does not exist":         func(*facts.Facts) {},
		"Incus cannot be used":   func(f *facts.Facts) { f.Incus.Permitted = false },
		"cannot ask":             func(f *facts.Facts) { f.IncusErr = errors.New("cannot ask") },
		"cannot be read: broken": func(f *facts.Facts) { f.ConfigErr = errors.New("broken") },
		"no home":                func(f *facts.Facts) { f.HomeErr = errors.New("no home") },
	} {
		s := newStage(t, nil)
		s.play("coi-session", "touch started")
		s.Facts.Incus = facts.Incus{Reachable: true, Permitted: true}
		change(s.Facts)
		quiet := func(string) {}
		results := Run(t.Context(), Options{Facts: s.Facts, Tell: quiet, Outside: quiet, Warnings: quiet})
		for _, c := range Checks() {
			if r := results[c.Name]; r.Status != check.Skipped || !strings.Contains(r.Message, want) {
				t.Errorf("%s = %s: %s; want skipped with %q", c.Name, r.Status, r.Message, want)
			}
		}
		if exists(filepath.Join(s.dir, "started")) {
			t.Errorf("%s: coi-session was run", want)
		}
	}
}

// What an earlier run has left is taken away by its name, when its process is gone
// and the container is of this home's probes; all else stays.
func TestSweep(t *testing.T) {
	s := newStage(t, nil)
	s.play("coi-session", `echo "$3" >>removed`)
	const gone = 1 << 30 // above what the kernel gives
	for _, name := range []string{
		fmt.Sprintf("coi-health-%d-a", gone), fmt.Sprintf("coi-health-%d-b", os.Getpid()), fmt.Sprintf("x-health-%d-a", gone), "coi-12345678-1", fmt.Sprintf("coi-health-%d-c", gone),
	} {
		s.Facts.Incus.Containers = append(s.Facts.Incus.Containers, facts.Container{Name: name})
	}
	s.sweep()
	text, err := os.ReadFile(filepath.Join(s.dir, "removed"))
	if want := fmt.Sprintf("coi-health-%d-a\n", gone); err != nil || string(text) != want {
		t.Errorf("removed %q, %v; want %q", text, err, want)
	}
}
