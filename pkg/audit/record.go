// Package audit is the audit trail: its record, the one appender that every
// writer uses, the hash chain over all parts of a trail, and their verifier.
//
// A trail is ~/.coi/audit/<container>.jsonl and its rotated parts
// <container>.<first seq>.jsonl: one JSON object a line, each with the SHA-256
// of the line before. Equal events are equal bytes, because fields have a fixed
// order and absent ones are left out.
package audit

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/code-on-incus/coi/pkg/coi"
)

// Version is the v of the records this house writes and the highest it reads.
const Version = 1

// Values of Record.Source.
const (
	SourceWatch   = "watch"
	SourceGuard   = "guard"
	SourceSession = "session"
)

// Values of Record.Type.
const (
	TypeExec     = "exec"
	TypeFile     = "file"
	TypeNet      = "net"
	TypeProcess  = "process"
	TypeResource = "resource"
	TypeAuth     = "auth"
	TypeAudit    = "audit"
)

// Values of Record.Category.
const (
	CategoryShell       = "shell"
	CategoryExecution   = "execution"
	CategoryEscape      = "escape"
	CategoryPrivilege   = "privilege"
	CategoryCredential  = "credential_access" //nolint:gosec // the name of a category
	CategoryExfil       = "exfiltration"
	CategoryPersistence = "persistence"
	CategoryTamper      = "tamper"
	CategoryResource    = "resource"
	CategoryAuth        = "auth"
	CategoryNetwork     = "network"
	CategoryDNS         = "dns"
	CategoryProtection  = "protection"
	CategoryPolicy      = "policy"
	CategoryLifecycle   = "lifecycle"
	CategorySensor      = "sensor"
	CategoryChain       = "chain"
)

// Values of Record.Action.
const (
	Logged       = "logged"
	Alerted      = "alerted"
	Blocked      = "blocked"
	Allowed      = "allowed"
	Paused       = "paused"
	Killed       = "killed"
	Deduplicated = "deduplicated"
	Failed       = "failed"
)

// Record is one event. The order of the fields is the order in the file. A
// zero field is absent. V, Seq, Prev and Container are set by the Appender, and
// so are TS, ID, SessionID and Source where the writer left them empty.
type Record struct {
	V         int       `json:"v"`
	Seq       int       `json:"seq"` // 1, 2, 3 … per container over all parts
	TS        time.Time `json:"ts"`  // written in UTC with nanoseconds; never before the record before
	Container string    `json:"container"`
	SessionID string    `json:"session_id"`
	Source    string    `json:"source"`
	Type      string    `json:"type"`
	Level     coi.Level `json:"level"`
	Category  string    `json:"category"`
	Title     string    `json:"title"` // at most 120 bytes, plain words
	// Description says in one sentence why it matters, at most 1000 bytes.
	Description string `json:"description"`
	Rule        string `json:"rule"` // shell.net-stdio, block.private, sigma:<uuid>, pattern:<id>
	Action      string `json:"action"`
	ID          string `json:"id"` // 26-character sortable id, see NewID

	Count int       `json:"count"` // condensed records: how many
	Until time.Time `json:"until"` // and the time of the last
	Ref   []int     `json:"ref"`   // seq numbers of records this one belongs to

	PID     int      `json:"pid"` // of the host
	PPID    int      `json:"ppid"`
	NSPID   int      `json:"nspid"` // as inside
	UID     *int     `json:"uid"`   // as inside; nil when not known, since 0 is root
	Comm    string   `json:"comm"`
	Exe     string   `json:"exe"`
	ExeSHA  string   `json:"exe_sha"`
	Cwd     string   `json:"cwd"`
	Argv    []string `json:"argv"` // at most 4 KiB in all; ArgvCut tells
	ArgvCut bool     `json:"argv_cut"`
	Chain   []Parent `json:"chain"` // nearest first, at most 8

	Path  string `json:"path"` // inside paths
	Path2 string `json:"path2"`
	Op    string `json:"op"` // open read write create rename delete attrib exec mount umount

	Proto string `json:"proto"`
	Local string `json:"local"`
	Peer  string `json:"peer"`
	Port  int    `json:"port"`
	Name  string `json:"name"` // the name that was asked for, if known
	DNS   *DNS   `json:"dns"`

	N        *Numbers       `json:"n"`
	Text     string         `json:"text"`     // the log line, at most 1 KiB
	Evidence map[string]any `json:"evidence"` // facts of the rule: strings, numbers, booleans, lists and maps of them
	LateMS   int64          `json:"late_ms"`  // the clock went back, or the record waited, by this many milliseconds
	Host     string         `json:"host"`
	Prev     string         `json:"prev"` // SHA-256 of the line before, lower-case hex; 64 zeros in record 1
}

// Parent is one ancestor of a process.
type Parent struct {
	PID   int    `json:"pid"`
	Exe   string `json:"exe"`
	Argv0 string `json:"argv0"`
}

// DNS is the question of a network record.
type DNS struct {
	Name   string `json:"name"`
	QType  string `json:"qtype"`
	Result string `json:"result"`
	Names  int    `json:"names"` // different names seen, for records about many
}

// Numbers are the measured values of a record. Value is always written.
type Numbers struct {
	Value     float64 `json:"value"`
	Threshold float64 `json:"threshold"`
	WindowS   float64 `json:"window_s"`
	Unit      string  `json:"unit"`
}

// Decode reads one line of a trail. Unknown fields are ignored; a v above
// Version is an error.
func Decode(line []byte) (Record, error) {
	var r Record
	if err := json.Unmarshal(line, &r); err != nil {
		return Record{}, fmt.Errorf("audit record: %w", err)
	}
	if r.V > Version {
		return Record{}, fmt.Errorf("audit record %d has v %d; this program understands %d", r.Seq, r.V, Version)
	}
	return r, nil
}

// Urgent reports whether the record is synced before its lock is released and
// may use the space kept for a full disk.
func (r *Record) Urgent() bool { return r.Level.Rank() >= coi.High.Rank() }

// synced records are on the disk before their lock is released: what the user
// decided, what calls for him, and what must be known before a part is deleted.
func (r *Record) synced() bool {
	return r.Urgent() || r.Category == CategoryPolicy || r.Rule == "chain.pruned"
}
