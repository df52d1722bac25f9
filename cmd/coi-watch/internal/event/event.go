// Package event is the one kind of thing that sensors say: a line of JSON, the
// same live, in a recording and in a replay. Absent means unknown; nothing is
// ever invented.
package event

import (
	"slices"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/wiring"
)

// Version is the newest form this program writes and reads.
const Version = 1

// Type is what happened.
type Type string

// Types of event.
const (
	Exec    Type = "exec"
	Fork    Type = "fork"
	Exit    Type = "exit"
	Connect Type = "connect"
	Listen  Type = "listen"
	Accept  Type = "accept"
	Open    Type = "open"
	Write   Type = "write"
	Create  Type = "create"
	Rename  Type = "rename"
	Delete  Type = "delete"
	Attrib  Type = "attrib"
	Mount   Type = "mount"
	Umount  Type = "umount"
	Setns   Type = "setns"
	Unshare Type = "unshare"
	Ptrace  Type = "ptrace"
	Module  Type = "module"
	Memfd   Type = "memfd"
	Uring   Type = "uring"
	Syscall Type = "syscall" // bpf, open_by_handle_at, mknod, process_vm_writev, pivot_root: Op names it
	Counter Type = "counter"
	Authlog Type = "authlog"
	Net     Type = "net"
	DNS     Type = "dns"
	FDs     Type = "fds" // Wiring holds the graph
)

// Types lists every type.
var Types = []Type{
	Exec, Fork, Exit, Connect, Listen, Accept, Open, Write, Create, Rename, Delete, Attrib, Mount, Umount,
	Setns, Unshare, Ptrace, Module, Memfd, Uring, Syscall, Counter, Authlog, Net, DNS, FDs,
}

// Valid reports whether t is one of Types.
func (t Type) Valid() bool {
	return slices.Contains(Types, t)
}

// Flags of an executed file (exe_flags).
const (
	FlagDeleted     = "deleted"      // no name at exec time
	FlagMemfd       = "memfd"        // a memory file
	FlagWritableDir = "writable_dir" // its folder is writable by everyone
	FlagSetuid      = "setuid"
	FlagLoader      = "loader"    // started through ld.so, /proc/*/root or /proc/*/fd
	FlagSameBytes   = "same_file" // content equals a root-owned file of the image (ExeIs)
)

// Ancestor is one parent, nearest first in Event.Chain.
type Ancestor struct {
	PID   int    `json:"pid"`
	Exe   string `json:"exe,omitempty"`
	Argv0 string `json:"argv0,omitempty"`
	Class string `json:"class,omitempty"`
}

// Stdio is one of the descriptors 0, 1, 2 at the time of the event.
type Stdio struct {
	Kind wiring.Kind `json:"kind"`
	ID   string      `json:"id,omitempty"`
	Peer string      `json:"peer,omitempty"`
}

// Event is one thing that happened in a container.
type Event struct {
	V         int       `json:"v"`
	Seq       uint64    `json:"seq,omitempty"` // per container; gaps are loss
	TS        time.Time `json:"ts,omitzero"`
	Mono      int64     `json:"mono,omitempty"` // ns, CLOCK_MONOTONIC
	Container string    `json:"container,omitempty"`
	Sensor    string    `json:"sensor,omitempty"`
	Type      Type      `json:"type"`

	PID   int    `json:"pid,omitempty"` // host pid
	PPID  int    `json:"ppid,omitempty"`
	Start uint64 `json:"start,omitempty"` // start time, with PID the key of a process
	NSPID int    `json:"nspid,omitempty"`
	UID   *int   `json:"uid,omitempty"` // as inside the container
	TTY   string `json:"tty,omitempty"`

	Exe      string   `json:"exe,omitempty"` // inside path of the file that runs
	ExeDev   uint64   `json:"exe_dev,omitempty"`
	ExeIno   uint64   `json:"exe_ino,omitempty"`
	ExeSHA   string   `json:"exe_sha,omitempty"`
	ExeClass string   `json:"exe_class,omitempty"` // class by content, of package program
	ExeIs    string   `json:"exe_is,omitempty"`    // name in the image's program folders of the same content: "nc"
	ExeFlags []string `json:"exe_flags,omitempty"`

	Argv       []string `json:"argv,omitempty"`
	ArgvCut    bool     `json:"argv_cut,omitempty"`
	ArgvMissed bool     `json:"argv_missed,omitempty"`
	CWD        string   `json:"cwd,omitempty"`
	Script     string   `json:"script,omitempty"`      // text of the script file that runs, at most 64 KiB
	ScriptPath string   `json:"script_path,omitempty"` // inside path of it

	Chain []Ancestor `json:"chain,omitempty"` // parents, nearest first, at most 8
	Stdio []Stdio    `json:"stdio,omitempty"` // empty or exactly three
	Role  string     `json:"role,omitempty"`  // wiring.Role of the process
	Setup bool       `json:"setup,omitempty"` // root's, entered from outside: coi preparing the container, or its user

	Path  string `json:"path,omitempty"` // inside view
	Path2 string `json:"path2,omitempty"`
	Op    string `json:"op,omitempty"`
	Mode  uint32 `json:"mode,omitempty"`
	Owner *int   `json:"owner,omitempty"`

	Proto string `json:"proto,omitempty"`
	Local string `json:"local,omitempty"`
	Peer  string `json:"peer,omitempty"`
	Port  int    `json:"port,omitempty"`
	Name  string `json:"name,omitempty"` // name asked for
	Dir   string `json:"dir,omitempty"`  // "out" or "in"

	NS     map[string]uint64  `json:"ns,omitempty"`
	N      map[string]float64 `json:"n,omitempty"`
	Text   string             `json:"text,omitempty"`
	Wiring *wiring.Graph      `json:"wiring,omitempty"`
}

// Has reports whether the executed file carries a flag.
func (e Event) Has(flag string) bool {
	return slices.Contains(e.ExeFlags, flag)
}
