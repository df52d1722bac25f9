package ocsf

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/coi"
)

func record(source, typ, category, rule, action string, level coi.Level) audit.Record {
	return audit.Record{
		V: 1, Seq: 7, TS: time.UnixMilli(1_700_000_000_123), Container: "coi-1", SessionID: "s1", Source: source, Type: typ, Level: level, Category: category,
		Title: "title", Description: "why", Rule: rule, Action: action, ID: "01JW0XZ9J0R8T5M3N7Q2V4B6CD", Prev: "p",
	}
}

// T-A-11: one row for each class, with the attributes it must have.
func TestClasses(t *testing.T) {
	proc := func(r audit.Record) audit.Record {
		r.PID, r.UID, r.Exe, r.ExeSHA, r.Argv = 42, new(0), "/usr/bin/curl", "ab", []string{"curl", "-s"}
		r.Chain = []audit.Parent{{PID: 41, Exe: "/bin/sh", Argv0: "sh"}, {PID: 40, Exe: "/usr/bin/node"}}
		return r
	}
	net := func(r audit.Record) audit.Record {
		r.Peer, r.Port, r.Local, r.Proto, r.Name = "198.51.100.7", 4242, "10.213.0.2:5000", "tcp", "evil.example"
		return r
	}
	dns := func(r audit.Record) audit.Record {
		r.DNS = &audit.DNS{Name: "x.example", QType: "TXT", Result: "NXDOMAIN", Names: 184}
		return r
	}
	file := func(r audit.Record) audit.Record {
		r.Path, r.Op = "/etc/passwd", "write"
		return proc(r)
	}
	for _, c := range []struct {
		name  string
		in    audit.Record
		class int
		want  map[string]string
	}{
		{"finding", net(proc(record("watch", "process", "shell", "shell.net-stdio", "killed", coi.Critical))), DetectionFinding, map[string]string{
			"activity_id": "1", "severity_id": "5", "finding_info.uid": "01JW0XZ9J0R8T5M3N7Q2V4B6CD", "finding_info.title": "title", "finding_info.desc": "why",
			"finding_info.analytic.uid": "shell.net-stdio", "finding_info.types.0": "shell", "action_id": "2", "disposition_id": "2", "remediation.desc": "the container was killed",
			"actor.process.pid": "42", "actor.process.parent_process.pid": "41", "actor.process.parent_process.parent_process.pid": "40", "actor.process.user.uid": "0",
			"actor.process.file.path": "/usr/bin/curl", "actor.process.cmd_line": "curl -s", "dst_endpoint.ip": "198.51.100.7", "dst_endpoint.port": "4242",
			"dst_endpoint.hostname": "evil.example", "src_endpoint.port": "5000",
		}},
		{"paused", record("watch", "file", "persistence", "persist.cron", "paused", coi.High), DetectionFinding, map[string]string{"severity_id": "4", "disposition_id": "4", "remediation.desc": "the container was paused"}},
		{"process", proc(record("watch", "exec", "execution", "exec.seen", "logged", coi.Info)), ProcessActivity, map[string]string{"activity_id": "1", "severity_id": "1", "process.pid": "42", "actor.process.pid": "42", "device.name": "coi-1"}},
		{"file", file(record("watch", "file", "persistence", "persist.x", "logged", coi.Info)), FileActivity, map[string]string{"activity_id": "3", "file.path": "/etc/passwd", "file.name": "passwd", "file.type_id": "1", "actor.process.pid": "42"}},
		{"network", net(record("guard", "net", "network", "block.private", "blocked", coi.Warning)), NetworkActivity, map[string]string{"activity_id": "5", "severity_id": "3", "disposition": "Blocked", "firewall_rule.uid": "block.private", "dst_endpoint.ip": "198.51.100.7", "connection_info.protocol_name": "tcp"}},
		{"network without peer", record("guard", "net", "network", "net.scan", "alerted", coi.High), NetworkActivity, map[string]string{"dst_endpoint.name": "unknown", "activity_id": "1"}},
		{"dns", dns(record("guard", "net", "dns", "dns.tunnel", "alerted", coi.High)), DNSActivity, map[string]string{"query.hostname": "x.example", "query.type": "TXT", "rcode": "NXDOMAIN", "activity_id": "1"}},
		{"lifecycle", record("watch", "audit", "lifecycle", "life.thaw", "logged", coi.Info), AppLifecycle, map[string]string{"app.uid": "coi-1", "app.vendor_name": "code-on-incus"}},
		{"policy", record("guard", "audit", "policy", "policy.allow", "allowed", coi.Info), BaseEvent, map[string]string{"action_id": "1", "disposition_id": "1", "unmapped.category": "policy", "unmapped.rule": "policy.allow"}},
		{"protection", record("session", "audit", "protection", "protect.changed", "blocked", coi.Critical), BaseEvent, map[string]string{"unmapped.category": "protection", "severity_id": "5"}},
		{"sensor", record("watch", "audit", "sensor", "sensor.lost", "alerted", coi.Warning), BaseEvent, nil},
		{"chain", record("watch", "audit", "chain", "chain.start", "logged", coi.Info), BaseEvent, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := Convert(c.in, nil)
			if err != nil || !json.Valid(b) {
				t.Fatalf("Convert = %s, %v", b, err)
			}
			v := gjson.ParseBytes(b)
			if got := int(v.Get("class_uid").Int()); got != c.class {
				t.Errorf("class_uid %d; want %d", got, c.class)
			}
			for path, want := range c.want {
				if got := v.Get(path).String(); got != want {
					t.Errorf("%s = %q; want %q", path, got, want)
				}
			}
			for path, want := range map[string]string{
				"time": "1700000000123", "metadata.product.name": "coi", "metadata.product.vendor_name": "code-on-incus", "metadata.version": SchemaVersion,
				"metadata.sequence": "7", "metadata.correlation_uid": "s1", "metadata.original_time": "2023-11-14T22:13:20.123000000Z", "container.name": "coi-1", "unmapped.prev": "p",
			} {
				if got := v.Get(path).String(); got != want {
					t.Errorf("%s = %q; want %q", path, got, want)
				}
			}
			if v.Get("type_uid").Int() != v.Get("class_uid").Int()*100+v.Get("activity_id").Int() || v.Get("category_uid").Int() != v.Get("class_uid").Int()/1000 {
				t.Errorf("ids do not fit: %s", b)
			}
			if v.Get("raw_data").Exists() {
				t.Error("raw_data without being asked for")
			}
		})
	}
}

// T-A-09: what could steer a terminal is spelled out in exports too.
func TestConvertEscapes(t *testing.T) {
	r := record("watch", "exec", "execution", "exec.seen", "logged", coi.Info)
	r.Argv, r.Title = []string{"a\x1b[31m", "\u202e", "\u009b", "\U000e0041"}, "<b>&"
	b, err := Convert(r, []byte(`{"v":1}`))
	if err != nil || !json.Valid(b) {
		t.Fatal(err)
	}
	if strings.ContainsAny(string(b), "\x1b\u202e\u009b\U000e0041") || !strings.Contains(string(b), `<b>&`) || !strings.Contains(string(b), `\udb40\udc41`) {
		t.Errorf("Convert = %s", b)
	}
	if got := gjson.GetBytes(b, "actor.process.cmd_line").String(); got != strings.Join(r.Argv, " ") {
		t.Errorf("cmd_line reads back as %q", got)
	}
	if got := gjson.GetBytes(b, "raw_data").String(); got != `{"v":1}` {
		t.Errorf("raw_data = %q", got)
	}
}
