// Package audit is the audit trail: its record, the one appender that every
// writer uses, the hash chain over all parts of a trail, and their verifier.
//
// A trail is ~/.coi/audit/<container>.jsonl and its rotated parts
// <container>.<first seq>.jsonl: one JSON object a line, each with the SHA-256
// of the line before. Equal events are equal bytes, because fields have a fixed
// order and absent ones are left out.
package audit

import (
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
	CategoryCredential  = "credential_access"
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
	V         int
	Seq       int       // 1, 2, 3 … per container over all parts
	TS        time.Time // written in UTC with nanoseconds; never before the record before
	Container string
	SessionID string
	Source    string
	Type      string
	Level     coi.Level
	Category  string
	Title     string // at most 120 bytes, plain words
	// Description says in one sentence why it matters, at most 1000 bytes.
	Description string
	Rule        string // shell.net-stdio, block.private, sigma:<uuid>, pattern:<id>
	Action      string
	ID          string // 26-character sortable id, see NewID

	Count int       // condensed records: how many
	Until time.Time // and the time of the last
	Ref   []int     // seq numbers of records this one belongs to

	PID, PPID, NSPID int  // PID and PPID of the host, NSPID as inside
	UID              *int // as inside; nil when not known, since 0 is root
	Comm, Exe        string
	ExeSHA, Cwd      string
	Argv             []string // at most 4 KiB in all; ArgvCut tells
	ArgvCut          bool
	Chain            []Parent // nearest first, at most 8

	Path, Path2 string // inside paths
	Op          string // open read write create rename delete attrib exec mount umount

	Proto, Local, Peer string
	Port               int
	Name               string // the name that was asked for, if known
	DNS                *DNS

	N        *Numbers
	Text     string         // the log line, at most 1 KiB
	Evidence map[string]any // facts of the rule: strings, numbers, booleans, lists and maps of them
	LateMS   int64          // the clock went back, or the record waited, by this many milliseconds
	Host     string
	Prev     string // SHA-256 of the line before, lower-case hex; 64 zeros in record 1
}

// Parent is one ancestor of a process.
type Parent struct {
	PID   int
	Exe   string
	Argv0 string
}

// DNS is the question of a network record.
type DNS struct {
	Name   string
	QType  string
	Result string
	Names  int // different names seen, for records about many
}

// Numbers are the measured values of a record. Value is always written.
type Numbers struct {
	Value     float64
	Threshold float64
	WindowS   float64
	Unit      string
}

// Urgent reports whether the record is synced before its lock is released and
// may use the space kept for a full disk.
func (r *Record) Urgent() bool { return r.Level.Rank() >= coi.High.Rank() }

// synced records are on the disk before their lock is released: what the user
// decided, what calls for him, and what must be known before a part is deleted.
func (r *Record) synced() bool {
	return r.Urgent() || r.Category == CategoryPolicy || r.Rule == "chain.pruned"
}
