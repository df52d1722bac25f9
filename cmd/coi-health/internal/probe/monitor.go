package probe

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-health/internal/agent"
	"github.com/code-on-incus/coi/cmd/coi-health/internal/check"
	"github.com/code-on-incus/coi/pkg/run"
)

// codeUser is the user of agents in coi's images.
const codeUser = 1000

// unwatched says why nothing can be asked of the monitor.
func (l *lab) unwatched() *check.Result {
	var r check.Result
	var st run.WatchStatus
	switch {
	case !l.Facts.Config.Monitored():
		r = skipped("monitoring is switched off")
	case run.Read(l.Facts.Home.Run(l.a.name+run.WatchStatusFile), &st) != nil || !st.Armed:
		r = skipped("the monitor does not watch the probe container: see the check watch")
	default:
		return nil
	}
	return &r
}

// finding is one line of the trail, as far as it matters here.
type finding struct {
	TS     time.Time `json:"ts"`
	Rule   string    `json:"rule"`
	Level  string    `json:"level"`
	Action string    `json:"action"`
	Title  string    `json:"title"`
	Peer   string    `json:"peer"`
}

// trail is what the audit trail of a holds.
func (l *lab) trail() (list []finding, text string) { return l.trailOf(l.a) }

func (l *lab) trailOf(x *box) (list []finding, text string) {
	out, _, err := l.coi(l.ctx, nil, "coi-audit", x.name, "--format", "jsonl")
	if err != nil {
		return nil, ""
	}
	lines := bufio.NewScanner(strings.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var f finding
		if json.Unmarshal(lines.Bytes(), &f) == nil {
			list = append(list, f)
		}
	}
	return list, out
}

// told are the rules that the trail of a has a record of.
func (l *lab) told() map[string]bool {
	list, _ := l.trail()
	rules := map[string]bool{}
	for _, f := range list {
		rules[f.Rule] = true
	}
	return rules
}

// found waits for a finding of a rule.
func (l *lab) found(limit time.Duration, prefix string) (f finding, ok bool) {
	ok = l.eventually(limit, func() bool {
		list, _ := l.trail()
		for _, x := range list {
			if strings.HasPrefix(x.Rule, prefix) {
				f = x
				return true
			}
		}
		return false
	})
	return f, ok
}

func monitorExec(l *lab) check.Result {
	if r := l.unwatched(); r != nil {
		return *r
	}
	if _, code, err := l.sh(codeUser, "/bin/true "+l.cookie+"-exec"); err != nil || code != 0 {
		return controlFailed("the marker did not run: %v", err)
	}
	seen := l.eventually(2*time.Second, func() bool {
		out, _, err := l.coi(l.ctx, nil, "coi-watch", "events", l.a.name, "--no-follow", "--json", "--type", "exec")
		return err == nil && strings.Contains(out, l.cookie+"-exec")
	})
	if !seen {
		return failed("a program that lived less than a millisecond was not seen with its arguments")
	}
	return ok("seen with its arguments")
}

func monitorQuiet(l *lab) check.Result {
	if r := l.unwatched(); r != nil {
		return *r
	}
	before, _ := l.trail()
	script := `cat < /dev/null > /dev/tcp/127.0.0.1/5432; ssh -o BatchMode=yes -o ConnectTimeout=1 -i ~/.ssh/none 127.0.0.1 true
sudo true
printf 'echo served\n' > /tmp/served.sh; cd /tmp; (timeout 5 bash -c 'exec python3 -m http.server --bind 127.0.0.1 18473' >/dev/null 2>&1 &)
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do curl -fsS http://127.0.0.1:18473/served.sh 2>/dev/null | sh | grep -q served && break; sleep 0.1; done
/bin/true ` + l.cookie + "-quiet"
	if _, _, err := l.sh(codeUser, script); err != nil {
		return controlFailed("%v", err)
	}
	// A record of something later shows that the earlier has been judged.
	if !l.eventually(5*time.Second, func() bool {
		out, _, err := l.coi(l.ctx, nil, "coi-watch", "events", l.a.name, "--no-follow", "--json", "--type", "exec")
		return err == nil && strings.Contains(out, l.cookie+"-quiet")
	}) {
		return controlFailed("the monitor did not see the commands")
	}
	now, _ := l.trail()
	for _, f := range now[min(len(before), len(now)):] {
		if f.Level == "high" || f.Level == "critical" {
			return failed("%s by everyday commands: %s (%s)", f.Level, f.Title, f.Rule)
		}
	}
	return ok("a port probe, ssh -i, sudo and curl | sh of its own loopback: nothing above warning")
}

// decoyKey is made inside a; nobody uses it.
const decoyKey = "/home/code/.ssh/id_ed25519"

func monitorFile(l *lab) check.Result {
	if r := l.unwatched(); r != nil {
		return *r
	}
	if out, code, err := l.sh(0, "install -d -m 700 -o 1000 -g 1000 /home/code/.ssh && echo decoy-"+l.cookie+" > "+decoyKey+" && chown 1000:1000 "+decoyKey+" && chmod 600 "+decoyKey); err != nil || code != 0 {
		return controlFailed("no decoy key: %v %s", err, first(out))
	}
	start := time.Now()
	// The container may be frozen before the answer: what counts is the trail.
	go func() { _, _, _ = l.sh(codeUser, "cat "+decoyKey) }()
	f, seen := l.found(3*time.Second, "cred.key")
	if !seen {
		return failed("reading a private key was not seen")
	}
	r := ok("%s (%s) after %d ms", f.Rule, f.Level, time.Since(start).Milliseconds())
	r.Details = map[string]any{"action": f.Action}
	return r
}

// frozen reports whether the monitor holds a frozen.
func (l *lab) frozen() bool {
	var st run.WatchStatus
	return run.Read(l.Facts.Home.Run(l.a.name+run.WatchStatusFile), &st) == nil && st.Frozen != nil
}

// status is what coi list says of a.
func (l *lab) status() string {
	out, _, err := l.coi(l.ctx, nil, "coi-session", "list", "--json")
	var doc struct {
		Active []struct {
			Name   string `json:"name"`
			Status string `json:"status"`
		} `json:"active_containers"`
	}
	if err != nil || json.Unmarshal([]byte(out), &doc) != nil {
		return ""
	}
	for _, c := range doc.Active {
		if c.Name == l.a.name {
			return strings.ToLower(c.Status)
		}
	}
	return ""
}

func freezeThaw(l *lab) check.Result {
	var words []string
	if l.unwatched() == nil && l.Facts.Config.Monitoring.AutoPauseOnHigh {
		if !l.eventually(2*time.Second, l.frozen) {
			return failed("a high finding did not freeze the container")
		}
		if s := l.status(); !strings.HasPrefix(s, "frozen") {
			return failed("the monitor has frozen the container, and coi list says %q", s)
		}
		took, err := l.thaw()
		// What was stopped in the middle goes on after the thaw, and what it does next may be a finding of its own.
		for range 2 {
			if err == nil || !l.frozen() {
				break
			}
			took, err = l.thaw()
		}
		if err != nil {
			return failed("after a finding: %v", err)
		}
		words = append(words, fmt.Sprintf("frozen by a finding and thawed in %d ms", took.Milliseconds()))
	}
	start := time.Now()
	if _, _, err := l.coi(l.ctx, nil, "coi-session", "freeze", l.a.name); err != nil {
		return failed("coi freeze: %v", err)
	}
	frozen := time.Since(start)
	if s := l.status(); !strings.HasPrefix(s, "frozen") {
		return failed("coi freeze answered, and coi list says %q", s)
	}
	took, err := l.thaw()
	if err != nil {
		return failed("after coi freeze: %v", err)
	}
	words = append(words, fmt.Sprintf("coi freeze in %d ms, thawed in %d ms", frozen.Milliseconds(), took.Milliseconds()))
	return ok("%s", strings.Join(words, "; "))
}

// thaw ends a freeze, and shows that processes run again and that all say so.
func (l *lab) thaw() (time.Duration, error) {
	start := time.Now()
	if _, _, err := l.coi(l.ctx, nil, "coi-session", "unfreeze", l.a.name); err != nil {
		return 0, fmt.Errorf("coi unfreeze: %w", err)
	}
	took := time.Since(start)
	if out, code, err := l.sh(codeUser, "echo awake"); err != nil || code != 0 || !strings.Contains(out, "awake") {
		return 0, fmt.Errorf("nothing runs after coi unfreeze: %w %s", err, first(out))
	}
	// Incus may hear of the freeze while the thaw is on its way, and then hears of both.
	says := ""
	if !l.eventually(3*time.Second, func() bool { says = l.status(); return strings.HasPrefix(says, "running") }) {
		return 0, fmt.Errorf("coi list says %q after coi unfreeze", says)
	}
	return took, nil
}

func auditRecord(l *lab) check.Result {
	var missing []string
	var text string
	l.eventually(3*time.Second, func() bool {
		var list []finding
		list, text = l.trail()
		has := map[string]bool{}
		for _, f := range list {
			has[f.Rule] = true
		}
		missing = nil
		for rule := range l.want {
			if !has[rule] {
				missing = append(missing, rule)
			}
		}
		return len(missing) == 0
	})
	if len(missing) > 0 {
		return failed("not in the trail: %s", strings.Join(missing, ", "))
	}
	if strings.Contains(text, "decoy-"+l.cookie) || strings.Contains(text, secretLine+l.cookie) {
		return failed("a secret is in the trail")
	}
	if _, _, err := l.coi(l.ctx, nil, "coi-audit", "verify", l.a.name); err != nil {
		return failed("the chain does not verify: %v", err)
	}
	return ok("a record of each of %d rules, the chain verifies, no decoy secret in it", len(l.want))
}

// monitorWiring is last: it ends with the container killed.
func monitorWiring(l *lab) check.Result {
	if r := l.unwatched(); r != nil {
		return *r
	}
	if !l.Facts.Config.Monitoring.AutoKillOnCritical {
		return skipped("monitoring.auto_kill_on_critical is false")
	}
	addr := net.JoinHostPort(run.ProbePrivate, port())
	if r, err := l.b.do(agent.Request{Op: "listen", Net: "tcp", Addr: addr}); err != nil || !r.OK {
		return controlFailed("no listener: %v %s", err, r.Error)
	}
	_, why := l.allow(addr)
	if r := l.dial("tcp", addr); !r.OK {
		return controlFailed("%s does not answer although it is allowed: %s %s", addr, r.Error, errText(why))
	}
	start := time.Now()
	go func() { _, _ = l.a.do(agent.Request{Op: "shell", Addr: addr, MS: 5000}) }()
	f, seen := l.found(4*time.Second, "shell.")
	if !seen {
		return failed("a shell wired to a connection was not seen")
	}
	var frozen, killed time.Duration
	gone := l.eventually(8*time.Second, func() bool {
		var st run.WatchStatus
		err := run.Read(l.Facts.Home.Run(l.a.name+run.WatchStatusFile), &st)
		if err == nil && st.Frozen != nil && st.Frozen.At.After(start) {
			frozen = st.Frozen.At.Sub(start)
		}
		if err != nil || st.Killed != nil {
			killed = time.Since(start)
			return true
		}
		return false
	})
	if !gone {
		return failed("%s was seen (%s), but the container lives on", f.Rule, f.Level)
	}
	words := []string{fmt.Sprintf("seen after %d ms", f.TS.Sub(start).Milliseconds())}
	details := map[string]any{"killed_ms": killed.Milliseconds()}
	if frozen > 0 { // most die before their status says that they are frozen
		words = append(words, fmt.Sprintf("frozen after %d ms", frozen.Milliseconds()))
		details["frozen_ms"] = frozen.Milliseconds()
	}
	r := ok("%s: %s, killed after %d ms", f.Rule, strings.Join(words, ", "), killed.Milliseconds())
	r.Details = details
	return r
}
