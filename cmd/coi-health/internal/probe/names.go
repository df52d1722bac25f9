package probe

import (
	"encoding/json"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-health/internal/agent"
	"github.com/code-on-incus/coi/cmd/coi-health/internal/check"
	"github.com/code-on-incus/coi/pkg/run"
)

const nameServer = "169.254.0.1:53"

func (l *lab) lookup(network, server, name string) agent.Reply {
	r, err := l.a.do(agent.Request{Op: "lookup", Net: network, Addr: server, Name: name + "." + run.ProbeZone, MS: 2000})
	if err != nil {
		return agent.Reply{Kind: "other", Error: err.Error()}
	}
	return r
}

func networkDNS(l *lab) check.Result {
	undo, why := func() {}, error(nil)
	if l.mode() == "allowlist" {
		undo, why = l.allow("open." + run.ProbeZone)
		for _, name := range []string{"private", "metadata"} {
			also, _ := l.allow(name + "." + run.ProbeZone)
			defer also()
		}
	}
	defer undo()
	if r := l.lookup("udp", nameServer, "open"); !r.OK {
		if r.Kind == "refused" || r.Kind == "unreachable" || strings.Contains(r.Error, "refused") {
			return failed("the guard does not answer names: %s", r.Error)
		}
		return controlFailed("an allowed name is not answered: %s %v", r.Error, errText(why))
	}
	for _, t := range []struct{ what, net, server string }{{"over TCP", "tcp", nameServer}, {"of another server (192.0.2.53)", "udp", "192.0.2.53:53"}} {
		if r := l.lookup(t.net, t.server, "open"); !r.OK {
			return failed("a question %s is not answered by the guard: %s", t.what, r.Error)
		}
	}
	if l.mode() == "open" {
		return ok("answered by the guard over UDP and TCP, also in the name of other servers")
	}
	// The name and the rule that drops its answer.
	drops := map[string]string{"metadata": "dns.rebind"}
	if l.privateClosed() {
		drops["private"] = "dns.rebind"
	}
	if l.mode() == "allowlist" {
		drops["other"] = "allowlist.default"
	}
	for name, rule := range drops {
		switch r := l.lookup("udp", nameServer, name); {
		case r.OK && rule == "allowlist.default":
			return failed("a name that is not on the list was answered with %s", strings.Join(r.Text, " "))
		case r.OK:
			return failed("an answer led to %s", strings.Join(r.Text, " "))
		case r.Kind != "no such name":
			return failed("%s was not refused but ended with: %s %s", name+"."+run.ProbeZone, r.Kind, r.Error)
		}
	}
	if missing := l.unrecorded(drops); len(missing) > 0 {
		return failed("refused, but the audit trail has no record of %s", strings.Join(missing, ", "))
	}
	return ok("answered by the guard over UDP and TCP, also in the name of other servers; answers with closed addresses dropped")
}

// unrecorded are the names whose refusal by their rule is not in the trail.
func (l *lab) unrecorded(drops map[string]string) (missing []string) {
	l.eventually(3*time.Second, func() bool {
		list, _ := l.trail()
		missing = nil
		for name, rule := range drops {
			if !slices.ContainsFunc(list, func(f finding) bool { return f.Rule == rule && strings.Contains(f.Title, name+"."+run.ProbeZone) }) {
				missing = append(missing, name+" ("+rule+")")
			}
		}
		return len(missing) == 0
	})
	slices.Sort(missing)
	return missing
}

func networkReapply(l *lab) check.Result {
	out, _, err := l.coi(l.ctx, nil, "coi-netguard", "check", "--drill", l.a.name)
	if err != nil {
		return failed("%v", err)
	}
	var doc struct {
		US int64 `json:"repaired_us"`
	}
	if err := json.Unmarshal([]byte(out), &doc); err != nil {
		return failed("%v", err)
	}
	took := time.Duration(doc.US) * time.Microsecond
	if took >= time.Second {
		return failed("a removed rule was back after %s", took)
	}
	r := ok("a removed rule was back after %s", took.Round(100*time.Microsecond))
	r.Details = map[string]any{"repaired_us": doc.US}
	return r
}

// services are the names of the agents' own services.
var services = map[string]string{
	"claude": "api.anthropic.com", "codex": "api.openai.com", "gemini": "generativelanguage.googleapis.com", "opencode": "models.dev", "pi": "api.anthropic.com", "aider": "api.openai.com",
}

func connectivity(l *lab) check.Result {
	name := services[l.Facts.Config.Tool.Name]
	if name == "" {
		return skipped("the tool %s has no service of its own", l.Facts.Config.Tool.Name)
	}
	if r := check.Named("uplinks").Run(l.Facts); r.Status != check.OK {
		return skipped("%s", r.Message)
	}
	l.Outside("connecting to " + name)
	r, err := l.a.do(agent.Request{Op: "tls", Addr: net.JoinHostPort(name, "443"), MS: 5000})
	if err != nil {
		return failed("%v", err)
	}
	if !r.OK {
		res := result(check.Warning, "%s: %s", name, r.Error)
		res.Hint = "coi netguard explain NAME " + name + ":443, and the host's own way to it"
		return res
	}
	return ok("%s: resolves, TLS connects", name)
}
