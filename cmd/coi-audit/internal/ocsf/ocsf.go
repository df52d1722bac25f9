// Package ocsf turns audit records into events of the Open Cybersecurity
// Schema Framework.
package ocsf

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strconv"
	"strings"

	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/cli/version"
	"github.com/code-on-incus/coi/pkg/coi"
)

// SchemaVersion is the release of the schema the mapping was made for.
const SchemaVersion = "1.3.0"

// Classes that records become.
const (
	BaseEvent        = 0
	FileActivity     = 1001
	ProcessActivity  = 1007
	DetectionFinding = 2004
	NetworkActivity  = 4001
	DNSActivity      = 4003
	AppLifecycle     = 6002
)

// Convert returns the event of a record as one line of JSON without a newline.
// raw, when not nil, becomes raw_data.
func Convert(r audit.Record, raw []byte) ([]byte, error) {
	e := newEvent(r, raw)
	switch e.ClassUID {
	case DetectionFinding:
		e.finding(r)
	case ProcessActivity:
		e.Process = process(r)
	case FileActivity:
		e.File = file(r.Path)
	case NetworkActivity:
		e.network(r)
	case DNSActivity:
		e.dns(r)
	case AppLifecycle:
		e.App = &product{Name: "coi session", Vendor: vendor, UID: r.Container}
	default:
		e.unmap(r)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		return nil, err
	}
	return safe(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), nil
}

const vendor = "code-on-incus"

func newEvent(r audit.Record, raw []byte) *event {
	class := Class(r)
	activity, name := activity(class, r)
	e := &event{
		ActivityID: activity, ActivityName: name, ClassUID: class, CategoryUID: class / 1000,
		TypeUID: class*100 + activity, Time: r.TS.UnixMilli(), SeverityID: severity(r.Level), Count: r.Count,
		Message: r.Title, RawData: string(raw),
		Device:    device{Name: r.Container, TypeID: virtual, Hostname: r.Host},
		Container: named{Name: r.Container},
		Metadata: metadata{
			Product: product{Name: "coi", Vendor: vendor, Version: version.Number}, Version: SchemaVersion,
			Sequence: r.Seq, OriginalTime: r.TS.UTC().Format(audit.TimeForm), CorrelationUID: r.SessionID, UID: r.ID,
			EventCode: r.Rule, Profiles: []string{"container", "host", "security_control"},
		},
		Unmapped: map[string]any{"prev": r.Prev},
	}
	if !r.Until.IsZero() {
		e.EndTime = r.Until.UnixMilli()
	}
	e.act(r)
	if p := process(r); p != nil {
		e.Actor = &actor{Process: p}
	} else if class == ProcessActivity || class == FileActivity {
		e.Actor = &actor{Process: &proc{Name: "unknown"}}
	}
	return e
}

// Class is the class of a record.
func Class(r audit.Record) int {
	switch r.Category {
	case audit.CategoryLifecycle:
		return AppLifecycle
	case audit.CategoryPolicy, audit.CategoryProtection, audit.CategorySensor, audit.CategoryChain:
		return BaseEvent
	}
	switch {
	case r.Source == audit.SourceGuard && r.Category == audit.CategoryDNS:
		return DNSActivity
	case r.Source == audit.SourceGuard && r.Type == audit.TypeNet:
		return NetworkActivity
	case r.Source == audit.SourceWatch && r.Level.Rank() >= coi.Warning.Rank():
		return DetectionFinding
	case r.Type == audit.TypeExec || r.Type == audit.TypeProcess:
		return ProcessActivity
	case r.Type == audit.TypeFile:
		return FileActivity
	case r.Type == audit.TypeNet:
		return NetworkActivity
	}
	return BaseEvent
}

var fileActivities = map[string]int{"create": 1, "read": 2, "write": 3, "delete": 4, "rename": 5, "attrib": 6, "mount": 12, "umount": 13, "open": 14}

// other is the activity of things the schema has no number for.
const other = 99

func activity(class int, r audit.Record) (id int, name string) {
	switch class {
	case FileActivity:
		if id, ok := fileActivities[r.Op]; ok {
			return id, ""
		}
		return other, first(r.Op, r.Rule)
	case NetworkActivity:
		if r.Action == audit.Blocked {
			return 5, "" // refuse
		}
		return 1, "" // open
	case AppLifecycle:
		switch {
		case strings.HasSuffix(r.Rule, ".watched") || strings.HasSuffix(r.Rule, ".watch") || strings.HasSuffix(r.Rule, ".start"):
			return 3, ""
		case strings.HasSuffix(r.Rule, ".ended") || strings.HasSuffix(r.Rule, ".end") || strings.HasSuffix(r.Rule, ".kill") || strings.HasSuffix(r.Rule, ".killed"):
			return 4, ""
		}
		return other, r.Rule
	case BaseEvent:
		return other, r.Rule
	}
	return 1, "" // create, launch, query
}

func severity(l coi.Level) int {
	return map[coi.Level]int{coi.Info: 1, coi.Warning: 3, coi.High: 4, coi.Critical: 5}[l]
}

// outcome is how an action of ours is said there.
type outcome struct {
	action      int
	disposition int
	name        string
	remedy      string
}

var outcomes = map[string]outcome{
	audit.Logged:       {3, 17, "Logged", ""},
	audit.Alerted:      {3, 19, "Alert", ""},
	audit.Blocked:      {2, 2, "Blocked", ""},
	audit.Allowed:      {1, 1, "Allowed", ""},
	audit.Paused:       {2, 4, "Isolated", "the container was paused"},
	audit.Killed:       {2, 2, "Blocked", "the container was killed"},
	audit.Deduplicated: {3, 20, "Count", ""},
	audit.Failed:       {99, 27, "Error", ""},
}

func (e *event) act(r audit.Record) {
	o := outcomes[r.Action]
	e.ActionID, e.DispositionID, e.Disposition = o.action, o.disposition, o.name
	if o.remedy != "" {
		e.Remediation = &remediation{Desc: o.remedy}
	}
}

func (e *event) finding(r audit.Record) {
	e.FindingInfo = &findingInfo{
		UID: r.ID, Title: r.Title, Desc: r.Description, Types: []string{r.Category}, CreatedTime: e.Time,
		Analytic: &analytic{UID: r.Rule, Name: r.Rule, TypeID: 1},
	}
	e.endpoints(r)
	if len(r.Evidence) > 0 {
		e.Unmapped["evidence"] = r.Evidence
	}
	if r.Path != "" {
		e.Evidences = []evidence{{File: file(r.Path)}}
	}
}

func (e *event) network(r audit.Record) {
	e.endpoints(r)
	if e.Dst == nil {
		e.Dst = &endpoint{Name: "unknown"}
	}
	e.FirewallRule = &rule{UID: r.Rule, Name: r.Rule}
	e.Connection = &connection{Protocol: r.Proto, DirectionID: 2}
}

func (e *event) dns(r audit.Record) {
	e.Query = &query{Hostname: r.Name}
	if r.DNS != nil {
		e.Query = &query{Hostname: first(r.DNS.Name, r.Name), Type: r.DNS.QType}
		e.Rcode = r.DNS.Result
		if r.DNS.Names > 0 {
			e.Unmapped["names"] = r.DNS.Names
		}
	}
	// The guard answers the questions of a container.
	e.Dst = &endpoint{Name: "coi-netguard"}
	e.FirewallRule = &rule{UID: r.Rule, Name: r.Rule}
}

func (e *event) endpoints(r audit.Record) {
	if r.Peer != "" || r.Name != "" {
		e.Dst = &endpoint{IP: address(r.Peer), Port: r.Port, Hostname: r.Name}
	}
	if host, port, ok := split(r.Local); ok {
		e.Src = &endpoint{IP: host, Port: port}
	}
}

func address(s string) string {
	if host, _, ok := split(s); ok {
		return host
	}
	return s
}

func split(s string) (host string, port int, ok bool) {
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		return "", 0, false
	}
	return ap.Addr().String(), int(ap.Port()), true
}

// unmap keeps what the class has no place for.
func (e *event) unmap(r audit.Record) {
	for k, v := range map[string]string{"category": r.Category, "type": r.Type, "rule": r.Rule, "description": r.Description, "path": r.Path, "name": r.Name, "text": r.Text, "source": r.Source} {
		if v != "" {
			e.Unmapped[k] = v
		}
	}
	if r.Port != 0 {
		e.Unmapped["port"] = r.Port
	}
	if len(r.Ref) > 0 {
		e.Unmapped["ref"] = r.Ref
	}
	if r.N != nil {
		e.Unmapped["n"] = r.N
	}
	if len(r.Evidence) > 0 {
		e.Unmapped["evidence"] = r.Evidence
	}
}

// process is the process of a record with its parents, nil when not known.
func process(r audit.Record) *proc {
	if r.PID == 0 && r.Exe == "" && r.Comm == "" && len(r.Argv) == 0 {
		return nil
	}
	p := &proc{PID: r.PID, Name: first(r.Comm, base(r.Exe)), CmdLine: strings.Join(r.Argv, " "), File: file(r.Exe), Cwd: r.Cwd}
	if p.File != nil && r.ExeSHA != "" {
		p.File.Hashes = []hash{{AlgorithmID: 3, Value: r.ExeSHA}}
	}
	if r.UID != nil {
		p.User = &user{UID: strconv.Itoa(*r.UID)}
	}
	at := p
	for _, parent := range r.Chain {
		at.Parent = &proc{PID: parent.PID, Name: first(parent.Argv0, base(parent.Exe)), File: file(parent.Exe)}
		at = at.Parent
	}
	if len(r.Chain) == 0 && r.PPID != 0 {
		p.Parent = &proc{PID: r.PPID}
	}
	return p
}

func file(path string) *fileObject {
	if path == "" {
		return nil
	}
	return &fileObject{Name: base(path), Path: path, TypeID: 1}
}

func base(p string) string { return p[strings.LastIndexByte(p, '/')+1:] }

func first(words ...string) string {
	for _, w := range words {
		if w != "" {
			return w
		}
	}
	return ""
}
