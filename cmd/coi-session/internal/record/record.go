// Package record is run/<c>.json as coi-session itself uses it: the session that
// every tool may read, and the plan that a supervisor needs to bring the session
// to its end without the command that began it.
package record

import (
	"os"
	"sync"
	"time"

	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// KeepFor is how long the record of an ended session stays.
const KeepFor = 7 * 24 * time.Hour

// Kinds of sessions.
const (
	Shell  = "shell"
	Run    = "run"
	Launch = "launch"
	Build  = "build"
)

// Plan is what the end of a session needs to know.
type Plan struct {
	Socket      string       `json:"socket"` // of Incus
	User        string       `json:"user"`
	UID         int          `json:"uid"`
	HomeDir     string       `json:"home_dir"` // of the code user, inside
	Inside      string       `json:"inside"`   // path of the workspace, inside
	Tmux        bool         `json:"tmux"`
	SessionsDir string       `json:"sessions_dir"` // sessions-<tool>
	StorageDir  string       `json:"storage_dir"`
	LogsDir     string       `json:"logs_dir"`
	Save        []string     `json:"save"`         // paths below HomeDir; empty: only metadata
	Saves       bool         `json:"saves"`        // a conversation exists to be saved
	StopTimeout int          `json:"stop_timeout"` // seconds
	AutoStop    bool         `json:"auto_stop"`
	Graceful    bool         `json:"graceful"`         // at the time limit
	Client      *run.Process `json:"client,omitempty"` // runs the command where there is no tmux
	Existed     bool         `json:"existed"`          // the container is older than this session
	Unguarded   bool         `json:"unguarded"`        // open mode; the guard was not there
	Watched     bool         `json:"watched"`
	MustWatch   bool         `json:"must_watch"`          // monitoring.enabled = true is written
	Protected   string       `json:"protected,omitempty"` // summary for info
	OwnerUID    int          `json:"owner_uid"`           // who the files of the workspace belong to
	OwnerGID    int          `json:"owner_gid"`
	Writable    []string     `json:"writable,omitempty"` // host paths of writable mounts outside the workspace
	Secrets     []string     `json:"secrets,omitempty"`  // globs of files to hide
	ResumeID    string       `json:"resume_id,omitempty"`
	Limits      []string     `json:"limits"` // limits in force, for info
	Ports       []string     `json:"ports"`  // published, as list prints them
	Mounts      []string     `json:"mounts"` // for info
	Forensics   bool         `json:"forensics"`
	KeepDays    int          `json:"keep_days,omitempty"` // age at which copies for study go
	Ending      *Ending      `json:"ending,omitempty"`    // an end that has begun
	Outcome     string       `json:"outcome,omitempty"`   // why a container was kept
}

// Ending is an end that has begun: why, how, and which of its steps are done.
// Whoever goes on with it, after the supervisor that began was killed, needs
// nothing else.
type Ending struct {
	run.End
	Kill     bool          `json:"kill,omitempty"`  // delete whatever the kind
	Stay     bool          `json:"stay,omitempty"`  // keep whatever the kind
	Force    bool          `json:"force,omitempty"` // no graceful stop
	Timeout  time.Duration `json:"timeout,omitempty"`
	Verified bool          `json:"verified,omitempty"` // the workspace was compared with its baseline
	Saved    string        `json:"saved,omitempty"`    // id of the session once it is saved
}

// Record is the content of run/<c>.json.
type Record struct {
	run.Session
	Plan Plan `json:"plan"`
}

// Path is the file of a container's record.
func Path(h home.Home, container string) string { return h.Run(container + run.SessionFile) }

// LockPath is the lock that the supervisor of a container holds.
func LockPath(h home.Home, container string) string { return h.Run(container + run.LockFile) }

// Read reads the record of a container.
func Read(h home.Home, container string) (Record, error) {
	var r Record
	err := run.Read(Path(h, container), &r)
	return r, err
}

// Ends reports whether the session of a container is just being brought to its
// end: Incus says running for a while longer.
func (r Record) Ends(h home.Home) bool {
	return (r.Phase == run.Saving || r.Ended != nil) && home.Held(LockPath(h, r.Container))
}

// Write replaces the record of its container.
func (r Record) Write(h home.Home) error {
	r.SchemaVersion = run.Schema
	if r.Refused == nil {
		r.Refused = []string{}
	}
	if r.Warnings == nil {
		r.Warnings = []string{}
	}
	return run.Write(Path(h, r.Container), r)
}

// All reads every readable record; a broken one is left out.
func All(h home.Home) ([]Record, error) {
	names, err := run.Names(h.Run(), run.SessionFile)
	var out []Record
	for _, n := range names {
		if r, err := Read(h, n); err == nil && r.Container == n {
			out = append(out, r)
		}
	}
	return out, err
}

// Prune removes records of sessions that ended more than KeepFor ago.
func Prune(h home.Home, now time.Time) {
	all, _ := All(h)
	for _, r := range all {
		if old(r, now) {
			prune(h, r.Container, now)
		}
	}
}

func old(r Record, now time.Time) bool { return r.Ended != nil && now.Sub(r.Ended.At) > KeepFor }

// prune removes one record under its lock, which a new session of that name may
// have taken meanwhile.
func prune(h home.Home, container string, now time.Time) {
	lock, err := home.TryLock(LockPath(h, container))
	if err != nil {
		return
	}
	defer lock.Unlock()
	if r, err := Read(h, container); err != nil || !old(r, now) {
		return
	}
	for _, suffix := range []string{run.SessionFile, run.NetStatusFile, run.WatchStatusFile, run.LockFile} {
		_ = os.Remove(h.Run(container + suffix))
	}
}

// File is a record that one process keeps up to date.
type File struct {
	Home home.Home
	mu   sync.Mutex
	rec  Record
}

// Open takes over a record for writing.
func Open(h home.Home, r Record) *File { return &File{Home: h, rec: r} }

// Get is a copy of the record.
func (f *File) Get() Record {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rec
}

// Change applies change and writes the file.
func (f *File) Change(change func(*Record)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.rec)
	return f.rec.Write(f.Home)
}
