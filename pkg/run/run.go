// Package run holds the files of ~/.coi/run: what a session is, what its guards
// are asked to do and what they answer. Each file has one writer; a writer
// raises generation, a guard echoes it with its result.
package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/code-on-incus/coi/pkg/home"
)

// Schema is the schema_version that this house writes and the highest it reads.
const Schema = 1

// Suffixes of the files of one container in ~/.coi/run.
const (
	SessionFile     = ".json"
	NetFile         = ".net.json"
	NetLocalFile    = ".net.local.json"
	NetHoldFile     = ".net.hold.json"
	NetStatusFile   = ".net.status.json"
	NetViewFile     = ".net.view.json"
	WatchFile       = ".watch.json"
	WatchStatusFile = ".watch.status.json"
	WatchViewFile   = ".watch.view.json"
	WatchStateFile  = ".watch.state.json"
	WatchEventsFile = ".watch.events.jsonl"
	LockFile        = ".lock"
)

// Names of the daemons' own files in ~/.coi/run.
const (
	NetguardFile     = "netguard.json"
	NetguardPoolFile = "netguard.pool.json"
	NetguardLock     = "netguard.lock"
	WatchDaemonFile  = "watch.json"
	WatchLock        = "watch.lock"
	WatchReloadFile  = "watch.reload.json"
)

// HeartbeatEvery is how often a daemon or supervisor shows that it lives;
// after StaleAfter without a sign it is taken for dead.
const (
	HeartbeatEvery = 2 * time.Second
	StaleAfter     = 10 * time.Second
)

// Phase of a session.
type Phase string

// Phases of a session in order.
const (
	Creating Phase = "creating"
	Starting Phase = "starting"
	Running  Phase = "running"
	Saving   Phase = "saving"
	Ended    Phase = "ended"
)

// Process is a process that may be gone: pid and start time (field 22 of
// /proc/PID/stat, clock ticks since boot) name it for good.
type Process struct {
	PID         int       `json:"pid"`
	StartTime   uint64    `json:"start_time"`
	HeartbeatAt time.Time `json:"heartbeat_at"`
}

// Mark is when and by which audit event something was done to a container.
type Mark struct {
	At    time.Time `json:"at"`
	Event string    `json:"event"`
}

// End is how a session ended.
type End struct {
	At     time.Time `json:"at"`
	Reason string    `json:"reason"` // exit shutdown kill max_duration monitor crash
	Detail string    `json:"detail,omitempty"`
	Status int       `json:"status"`
}

// Session is run/<c>.json, written by coi-session alone.
type Session struct {
	SchemaVersion int         `json:"schema_version"`
	Container     string      `json:"container"`
	Project       string      `json:"project"`
	Identity      string      `json:"identity"`
	Workspace     string      `json:"workspace"`
	Slot          int         `json:"slot"`
	Alias         string      `json:"alias,omitempty"`
	Tool          string      `json:"tool"`
	SessionID     string      `json:"session_id"`
	Profile       string      `json:"profile,omitempty"`
	Image         string      `json:"image"`
	Persistent    bool        `json:"persistent"`
	Kind          string      `json:"kind"` // shell run launch build
	Phase         Phase       `json:"phase"`
	Veth          string      `json:"veth"`
	CreatedAt     time.Time   `json:"created_at"`
	StartedAt     *time.Time  `json:"started_at,omitempty"`
	Deadline      *time.Time  `json:"deadline,omitempty"`
	WarnAt        []time.Time `json:"warn_at,omitempty"`
	Supervisor    *Process    `json:"supervisor,omitempty"`
	Mode          string      `json:"mode"` // network mode
	Refused       []string    `json:"refused"`
	Warnings      []string    `json:"warnings"`
	Killed        *Mark       `json:"killed,omitempty"`
	Ended         *End        `json:"ended,omitempty"`
}

// Dest is one allowed destination with the place it was written in.
type Dest struct {
	Dest    string   `json:"dest"`            // name, *.name, address or prefix; no ports
	Ports   []string `json:"ports,omitempty"` // "443", "8000-8100"; empty: all, or the port cap
	Origin  string   `json:"origin,omitempty"`
	Trusted bool     `json:"trusted"`
}

// HostEntry is a fixed name and the hole that goes with it.
type HostEntry struct {
	IP    string   `json:"ip"` // an address, or "host" for 169.254.0.1
	Names []string `json:"names"`
	Ports []string `json:"ports,omitempty"`
}

// Policy is the network policy of one container (netguard.md 6).
type Policy struct {
	Mode           string      `json:"mode"` // open restricted allowlist
	BlockPrivate   bool        `json:"block_private"`
	BlockMetadata  bool        `json:"block_metadata"`
	AllowLocal     bool        `json:"allow_local"`
	IPv6           bool        `json:"ipv6"`
	Allowed        []Dest      `json:"allowed"`
	AllowedPorts   []string    `json:"allowed_ports"`
	DNSServers     []string    `json:"dns_servers"`
	DNSQPS         int         `json:"dns_qps"`
	RefreshMinutes int         `json:"refresh_minutes"`
	Hosts          []HostEntry `json:"hosts"`
	Connections    int         `json:"connections"`
	SNI            string      `json:"sni"`
	ExtraAddresses []string    `json:"extra_addresses"`
}

// NetEvents says what the guard records.
type NetEvents struct {
	Enabled      bool `json:"enabled"`
	PerSecond    int  `json:"per_second"`
	DNSThreshold int  `json:"dns_threshold"`
	LogDNS       bool `json:"log_dns"`
}

// Net phases wanted by the session.
const (
	NetHold   = "hold"
	NetPolicy = "policy"
	NetClosed = "closed"
)

// Net is run/<c>.net.json: the wanted network state.
type Net struct {
	SchemaVersion int       `json:"schema_version"`
	Generation    int       `json:"generation"`
	Container     string    `json:"container"`
	Project       string    `json:"project"`
	SessionID     string    `json:"session_id,omitempty"`
	Veth          string    `json:"veth"`
	Phase         string    `json:"phase"`
	Policy        Policy    `json:"policy"`
	Events        NetEvents `json:"events"`
}

// Net states answered by the guard.
const (
	NetPending    = "pending"
	NetEnforcing  = "enforcing"
	NetDegraded   = "degraded"
	NetFailed     = "failed"
	NetUnattended = "unattended"
)

// NetStatus is run/<c>.net.status.json: what is in force.
type NetStatus struct {
	SchemaVersion   int            `json:"schema_version"`
	Container       string         `json:"container"`
	Generation      int            `json:"generation"`
	LocalGeneration int            `json:"local_generation"`
	HoldGeneration  int            `json:"hold_generation"`
	State           string         `json:"state"`
	Phase           string         `json:"phase"`
	Mode            string         `json:"mode"`
	InForce         bool           `json:"in_force"`
	IPv4            string         `json:"ipv4"`
	IPv6            string         `json:"ipv6"`
	Veth            string         `json:"veth"`
	VethSeen        bool           `json:"veth_seen"`
	Ruleset         string         `json:"ruleset"`
	AppliedAt       time.Time      `json:"applied_at"`
	CheckedAt       time.Time      `json:"checked_at"`
	Addresses       int            `json:"addresses"`
	Passed          uint64         `json:"passed"`
	Dropped         uint64         `json:"dropped"`
	Denied          map[string]int `json:"denied"`
	DNSQueries      uint64         `json:"dns_queries"`
	DNSRefused      uint64         `json:"dns_refused"`
	Problems        []string       `json:"problems"`
	Error           string         `json:"error"`
	Drill           int            `json:"drill,omitempty"`    // last one done, of probe containers
	DrillUS         int64          `json:"drill_us,omitempty"` // µs until its damage was repaired; 0: it was not
}

// Hold is run/<c>.net.hold.json: while Hold is true every packet of the container is dropped.
type Hold struct {
	SchemaVersion int    `json:"schema_version"`
	Generation    int    `json:"generation"`
	Hold          bool   `json:"hold"`
	Reason        string `json:"reason"`
}

// WatchMount is a mount to be compared after the start.
type WatchMount struct {
	Path   string `json:"path"`
	Source string `json:"source"`
	Dev    uint64 `json:"dev"`
	Ino    uint64 `json:"ino"`
}

// SecretHash lets the watcher find a forwarded value without knowing it.
type SecretHash struct {
	Hash string `json:"hash"`
	Len  int    `json:"len"`
}

// WatchSettings are the keys of [monitoring] that the watcher obeys (config.md 5.10).
type WatchSettings struct {
	AutoPauseOnHigh       bool              `json:"auto_pause_on_high"`
	AutoKillOnCritical    bool              `json:"auto_kill_on_critical"`
	PollIntervalSec       int               `json:"poll_interval_sec"`
	FileReadThresholdMB   float64           `json:"file_read_threshold_mb"`
	FileReadThresholdSet  bool              `json:"file_read_threshold_set"` // written in a trusted file
	FileReadRateMBPerSec  float64           `json:"file_read_rate_mb_per_sec"`
	ProcessCount          int               `json:"process_count_threshold"`
	ProcessSpawnRate      int               `json:"process_spawn_rate_threshold"`
	UploadWarnMB          int               `json:"upload_warn_mb"`
	UploadHighMB          int               `json:"upload_high_mb"`
	OnLoss                string            `json:"on_loss"`
	FileEvents            string            `json:"file_events"`
	Notify                []string          `json:"notify"`
	Levels                map[string]string `json:"levels"`
	ReverseShellOneLiners string            `json:"reverse_shell_one_liners"`
	AuditRetentionDays    int               `json:"audit_log_retention_days"`
	AuditMaxSizeMB        int               `json:"audit_max_size_mb"`
	ForensicsOnKill       bool              `json:"forensics_on_kill"`
	AllowedDomains        []string          `json:"allowed_domains"`
	SigmaDir              string            `json:"sigma_dir"`
	GTFOBinsDir           string            `json:"gtfobins_dir"`
	PatternsDir           string            `json:"patterns_dir"`
}

// EnterPath is the program in a container with which coi starts every command of
// a session. The monitor knows by it where the set-up ends.
const EnterPath = "/run/coi/enter"

// Watch is run/<c>.watch.json: the wanted watching.
type Watch struct {
	SchemaVersion int           `json:"schema_version"`
	Generation    int           `json:"generation"`
	Container     string        `json:"container"`
	Project       string        `json:"project"`
	SessionID     string        `json:"session_id,omitempty"`
	Workspace     string        `json:"workspace"`         // inside path
	Source        string        `json:"source"`            // host path of the workspace
	MadeAt        *time.Time    `json:"made_at,omitempty"` // when the container was made; what changed in it before is the image's
	Settings      WatchSettings `json:"settings"`
	User          string        `json:"user"`
	UID           int           `json:"uid"`
	Home          string        `json:"home"`
	Tool          []string      `json:"tool"`
	Locked        []string      `json:"locked"`
	Watched       []string      `json:"watched"`
	Secrets       []string      `json:"secrets"`
	Immutable     []string      `json:"immutable"`
	Mounts        []WatchMount  `json:"mounts"`
	Redact        []SecretHash  `json:"redact"`
	Deadline      *time.Time    `json:"deadline,omitempty"`
	Thaw          int           `json:"thaw"`
	Endcheck      bool          `json:"endcheck"`
}

// WatchStatus is run/<c>.watch.status.json: what is armed, frozen and lost.
type WatchStatus struct {
	SchemaVersion int      `json:"schema_version"`
	Container     string   `json:"container"`
	Generation    int      `json:"generation"`
	Armed         bool     `json:"armed"`
	Sources       []string `json:"sources"`
	Problems      []string `json:"problems"`
	Weak          string   `json:"weak,omitempty"` // why what is armed is no real watch (watch.md 17)
	Lost          uint64   `json:"lost"`
	Mounts        string   `json:"mounts"`    // "verified", "mismatch: PATH", "unknown"
	Immutable     string   `json:"immutable"` // "set", "off: WHY"
	Endcheck      string   `json:"endcheck"`  // "done", "not verified: WHY", ""
	Frozen        *Mark    `json:"frozen,omitempty"`
	FrozenTitle   string   `json:"frozen_title,omitempty"`
	FrozenLevel   string   `json:"frozen_level,omitempty"`
	Thaw          int      `json:"thaw"`
	Killed        *Mark    `json:"killed,omitempty"`
	Error         string   `json:"error"`
}

// Daemon is the state file of a guard: netguard.json or watch.json.
type Daemon struct {
	SchemaVersion int       `json:"schema_version"`
	PID           int       `json:"pid"`
	StartTime     uint64    `json:"start_time"`
	Version       string    `json:"version"`
	HeartbeatAt   time.Time `json:"heartbeat_at"`
	Since         time.Time `json:"since"`
	Sources       []string  `json:"sources"`
	Problems      []string  `json:"problems"`
	Weak          string    `json:"weak,omitempty"` // of the monitor: see WatchStatus
}

// Alive reports whether the daemon has shown a sign of life within StaleAfter
// and its process still exists.
func (d Daemon) Alive(now time.Time) bool {
	return d.PID > 0 && now.Sub(d.HeartbeatAt) < StaleAfter && StartTime(d.PID) == d.StartTime
}

// StartTime is field 22 of /proc/PID/stat, 0 when there is no such process.
func StartTime(pid int) uint64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The command name may hold spaces and parentheses; the last one ends it.
	s := string(b)
	fields := strings.Fields(s[strings.LastIndexByte(s, ')')+1:])
	if len(fields) < 20 {
		return 0
	}
	var t uint64
	_, _ = fmt.Sscan(fields[19], &t)
	return t
}

// Read reads one of the files above into v.
func Read(path string, v any) error { return home.ReadJSON(path, Schema, v) }

// Write replaces one of the files above.
func Write(path string, v any) error { return home.WriteJSON(path, v, false) }

// Names lists the containers that have a file with this suffix in dir, in
// directory order. Names that no container can have are left out.
func Names(dir, suffix string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, nil
		}
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), suffix); ok && validStem(name) {
			names = append(names, name)
		}
	}
	return names, nil
}

func validStem(s string) bool {
	if s == "" || s == "netguard" || s == "watch" {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-')
	})
}

// Wait reads path each time it changes until done says so or the context ends.
// done gets the raw bytes, nil while the file is missing. The last error of
// reading is part of the error returned when the context ends.
func Wait(ctx context.Context, path string, done func(data []byte) bool) error {
	c := watchFile(path)
	defer c.close()
	for {
		c.arm()
		data, rerr := home.ReadFile(path)
		if rerr == nil && !json.Valid(data) {
			rerr = fmt.Errorf("%s: not JSON", path)
			data = nil
		}
		if (rerr == nil || home.Missing(rerr)) && done(data) {
			return nil
		}
		if err := c.next(ctx); err != nil {
			if rerr != nil && !home.Missing(rerr) {
				return fmt.Errorf("%w: %w", err, rerr)
			}
			return err
		}
	}
}

// How often a file is looked at that may have changed without an event: network
// file systems and a full watch table leave without events. With a watch in
// place the look is only the net under it.
const (
	lookBlind   = 100 * time.Millisecond
	lookWatched = time.Second
)

// changes tells when a file may have changed. It watches the file itself, which
// its replacement ends, and the folder only while there is no file: in the
// folder the files of all sessions change all the time, and each would wake
// everybody who waits for one.
type changes struct {
	path, dir string
	w         *fsnotify.Watcher // nil: none to be had
	events    chan fsnotify.Event
	errs      chan error
	inDir     bool
	tick      *time.Ticker
}

func watchFile(path string) *changes {
	c := &changes{path: filepath.Clean(path), dir: filepath.Dir(path), tick: time.NewTicker(lookBlind)}
	if w, err := fsnotify.NewWatcher(); err == nil {
		c.w, c.events, c.errs = w, w.Events, w.Errors
	}
	return c
}

func (c *changes) close() {
	c.tick.Stop()
	if c.w != nil {
		_ = c.w.Close()
	}
}

// arm watches what is there now; the file is to be read after it.
func (c *changes) arm() {
	if c.w == nil {
		return
	}
	err := c.w.Add(c.path)
	switch {
	case err == nil && c.inDir:
		c.inDir = c.w.Remove(c.dir) != nil
	case err != nil && !c.inDir:
		c.inDir = c.w.Add(c.dir) == nil
		if c.inDir && c.w.Add(c.path) == nil { // it came in between
			err = nil
		}
	}
	if err == nil || c.inDir {
		c.tick.Reset(lookWatched)
	} else {
		c.tick.Reset(lookBlind)
	}
}

// next returns when the file may have changed.
func (c *changes) next(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e := <-c.events:
			if e.Name == c.path {
				return nil
			}
			if e.Name == c.dir { // the folder itself is gone: arm looks for a new one
				c.inDir = false
				return nil
			}
		case <-c.errs: // some events were lost
			return nil
		case <-c.tick.C:
			return nil
		}
	}
}
