// Package why finds out from coi's files why a session failed or stopped: its
// record, the guards' status files, the audit trail and the session log.
package why

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/run"
)

// Reason is one thing that failed or stopped, with what to change.
type Reason struct {
	At      time.Time `json:"at"`
	Kind    string    `json:"kind"`
	Detail  string    `json:"detail"`
	Setting string    `json:"setting"` // key to change, empty when none applies
	Command string    `json:"command"` // what to type
	Ref     int       `json:"ref"`     // seq of the audit record, 0 when there is none
}

// Event is the part of an audit record that matters here.
type Event struct {
	Seq      int       `json:"seq"`
	TS       time.Time `json:"ts"`
	Level    string    `json:"level"`
	Category string    `json:"category"`
	Title    string    `json:"title"`
	Rule     string    `json:"rule"`
	Action   string    `json:"action"`
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Peer     string    `json:"peer"`
	Port     int       `json:"port"`
	Path     string    `json:"path"`
}

// Input is everything known of one container.
type Input struct {
	Container string
	Session   *run.Session
	Net       *run.NetStatus
	Watch     *run.WatchStatus
	Netguard  *run.Daemon
	Watcher   *run.Daemon
	Events    []Event
	Log       []string // lines of the session log, oldest first
	FrozenBy  string   // "user" or "monitor" while it is frozen, else empty
	Now       time.Time
}

// Reasons lists what failed or stopped, newest first.
func Reasons(in Input) []Reason {
	var list []Reason
	add := func(r ...Reason) { list = append(list, r...) }
	add(ending(in)...)
	add(guards(in)...)
	for _, e := range in.Events {
		if r, found := event(in.Container, e); found {
			add(r)
		}
	}
	for _, line := range in.Log {
		if r, found := logLine(line, in.Now.Location()); found {
			add(r)
		}
	}
	// A trail and a log collect all sessions of a container's name.
	for i := range list {
		if in.Session != nil && list[i].At.Before(in.Session.CreatedAt.Truncate(time.Second)) { // logs tell seconds
			list[i].Detail += " (in an earlier session)"
		}
	}
	slices.SortStableFunc(list, func(a, b Reason) int { return b.At.Compare(a.At) })
	return slices.CompactFunc(list, func(a, b Reason) bool { return a.Kind == b.Kind && a.Detail == b.Detail })
}

func ending(in Input) []Reason {
	var list []Reason
	q := cli.ShellQuote(in.Container)
	if s := in.Session; s != nil && s.Killed != nil {
		list = append(list, Reason{At: s.Killed.At, Kind: "killed", Detail: "the monitor ended it: " + title(in, s.Killed.Event), Setting: "monitoring.auto_kill_on_critical", Command: "coi audit " + q + " --level high"})
	}
	if s := in.Session; s != nil && s.Ended != nil {
		switch s.Ended.Reason {
		case "max_duration":
			list = append(list, Reason{At: s.Ended.At, Kind: "time_limit", Detail: "the time limit was reached", Setting: "limits.runtime.max_duration", Command: "coi shell --resume=" + cli.ShellQuote(s.SessionID)})
		case "crash":
			list = append(list, Reason{At: s.Ended.At, Kind: "crash", Detail: "the session was lost: " + s.Ended.Detail, Command: "coi shell --resume=" + cli.ShellQuote(s.SessionID)})
		case "failed":
			list = append(list, Reason{At: s.Ended.At, Kind: "launch_failed", Detail: s.Ended.Detail, Command: "coi health"})
		}
	}
	if w := in.Watch; w != nil && w.Frozen != nil {
		list = append(list, Reason{
			At: w.Frozen.At, Kind: "frozen", Detail: "frozen by the monitor: " + title(in, w.Frozen.Event), Setting: "monitoring.auto_pause_on_high",
			Command: "coi unfreeze " + q + "   or   coi watch allow " + cli.ShellQuote(w.Frozen.Event) + "   or   coi kill " + q,
		})
	}
	if in.FrozenBy == "user" {
		list = append(list, Reason{At: in.Now, Kind: "frozen", Detail: "frozen by you", Command: "coi unfreeze " + q + "   or   coi kill " + q})
	}
	return list
}

// title is the title of the audit record with this id.
func title(in Input, id string) string {
	for _, e := range in.Events {
		if e.ID == id {
			return e.Title + " (" + e.Rule + ")"
		}
	}
	return id
}

func guards(in Input) []Reason {
	var list []Reason
	live := in.Session != nil && (in.Session.Phase == run.Running || in.Session.Phase == run.Starting)
	if n := in.Net; n != nil && (n.State == run.NetFailed || n.Error != "") {
		list = append(list, Reason{At: n.CheckedAt, Kind: "guard_down", Detail: "the firewall could not do its work: " + n.Error, Command: "coi netguard check"})
	}
	if live && in.Net != nil && (in.Netguard == nil || !in.Netguard.Alive(in.Now)) {
		list = append(list, Reason{At: in.Now, Kind: "guard_down", Detail: "the firewall daemon does not run; its rules are still in force", Command: "coi health --fix"})
	}
	if live && in.Watch != nil && (in.Watcher == nil || !in.Watcher.Alive(in.Now)) {
		list = append(list, Reason{At: in.Now, Kind: "watcher_down", Detail: "the monitor does not run", Setting: "monitoring.enabled", Command: "coi health --fix"})
	}
	return list
}

func event(container string, e Event) (Reason, bool) {
	r := Reason{At: e.TS, Detail: e.Title, Ref: e.Seq}
	q := cli.ShellQuote(container)
	switch {
	case e.Action == "paused":
		r.Kind, r.Setting = "frozen", "monitoring.auto_pause_on_high"
		r.Detail += " (" + e.Rule + ")"
		r.Command = "coi unfreeze " + q + "   or   coi watch allow " + cli.ShellQuote(e.ID) + "   or   coi kill " + q
	case e.Action == "killed":
		r.Kind, r.Setting, r.Command = "killed", "monitoring.auto_kill_on_critical", "coi audit "+q+" --level high"
		r.Detail += " (" + e.Rule + ")"
	case e.Category == "network" && e.Action == "blocked":
		r.Kind, r.Setting = "refused_address", keyOf(e.Rule)
		r.Command = fmt.Sprintf("coi netguard explain %s %s", q, cli.ShellQuote(destination(e)))
	case e.Category == "dns" && e.Action == "blocked":
		r.Kind, r.Setting = "refused_name", "network.allowed_domains"
		r.Command = fmt.Sprintf("coi netguard allow %s %s", q, cli.ShellQuote(e.Name))
	case e.Category == "protection":
		r.Kind, r.Setting, r.Command = "read_only", "security.writable_paths", "coi audit "+q+" --category protection"
	default:
		return r, false
	}
	return r, true
}

func destination(e Event) string {
	d := e.Peer
	if e.Name != "" {
		d = e.Name
	}
	if e.Port > 0 {
		d = fmt.Sprintf("%s:%d", d, e.Port)
	}
	return d
}

// keyOf is the setting behind a rule of the firewall.
func keyOf(rule string) string {
	switch {
	case rule == "block.link-local" || rule == "block.metadata":
		return "network.block_metadata_endpoint"
	case strings.HasPrefix(rule, "block.") || rule == "onlink":
		return "network.allow_local_network_access"
	case rule == "allowlist.default" || rule == "port.class":
		return "network.allowed_domains"
	case rule == "port.cap":
		return "network.allowed_ports"
	case rule == "host.service":
		return "network.hosts"
	case rule == "conn.limit":
		return "network.connections"
	case rule == "v6.off":
		return "network.ipv6"
	}
	return ""
}

// logSigns are words of the session log that name a cause.
var logSigns = []struct{ word, kind, setting, command string }{
	{"out of memory", "out_of_memory", "limits.memory.limit", "coi top"},
	{"process limit", "process_limit", "limits.runtime.max_processes", "coi top"},
	{"time limit", "time_limit", "limits.runtime.max_duration", "coi shell --resume"},
	{"Read-only file system", "read_only", "security.writable_paths", "coi info"},
	{"disk", "disk_full", "limits.disk.size", "coi info"},
}

const logTime = "2006/01/02 15:04:05"

func logLine(line string, zone *time.Location) (Reason, bool) {
	if !strings.Contains(line, "[limits]") && !strings.HasPrefix(line, "[ERR] ") {
		return Reason{}, false
	}
	text := strings.TrimPrefix(line, "[ERR] ")
	if len(text) < len(logTime) {
		return Reason{}, false
	}
	at, err := time.ParseInLocation(logTime, text[:len(logTime)], zone)
	if err != nil {
		return Reason{}, false
	}
	for _, s := range logSigns {
		if strings.Contains(text, s.word) {
			return Reason{At: at, Kind: s.kind, Detail: strings.TrimSpace(text[len(logTime):]), Setting: s.setting, Command: s.command}, true
		}
	}
	return Reason{}, false
}
