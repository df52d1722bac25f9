package daemon

import (
	"time"

	"github.com/code-on-incus/coi/pkg/run"
)

// state is run/<c>.watch.state.json: what must survive the daemon.
type state struct {
	SchemaVersion int       `json:"schema_version"`
	Frozen        *run.Mark `json:"frozen,omitempty"`
	Title         string    `json:"title,omitempty"`
	Level         string    `json:"level,omitempty"`
	Killed        *run.Mark `json:"killed,omitempty"`
	Thaw          int       `json:"thaw"`
	GroupID       uint64    `json:"group_id"` // of the run of the container that this is about
}

func (r *responder) save() {
	st := state{
		SchemaVersion: run.Schema, Frozen: r.c.status.Frozen, Title: r.c.status.FrozenTitle, Level: r.c.status.FrozenLevel,
		Killed: r.c.status.Killed, Thaw: r.c.status.Thaw,
	}
	if r.c.group != nil {
		st.GroupID = r.c.group.ID
	}
	if err := run.Write(r.c.d.Home.Run(r.c.name+run.WatchStateFile), st); err != nil {
		r.c.d.logf("%s: %v", r.c.name, err)
	}
}

// restore takes up what an earlier daemon left.
func (c *container) restore() {
	var st state
	if err := run.Read(c.d.Home.Run(c.name+run.WatchStateFile), &st); err != nil {
		c.status.Thaw = c.cfg.Thaw // nothing of ours to thaw: an old number is not a new wish
		return
	}
	c.status.Frozen, c.status.FrozenTitle, c.status.FrozenLevel = st.Frozen, st.Title, st.Level
	c.status.Killed, c.status.Thaw = st.Killed, st.Thaw
	c.resp.from = st.GroupID
}

// born is called when the container's group is there. What is remembered of an
// earlier run of the same name does not count; a frozen group stays frozen.
func (r *responder) born() {
	if r.from != r.c.group.ID {
		r.forget()
	}
	r.from = 0
	switch {
	case r.c.status.Frozen != nil && !r.c.group.Frozen():
		r.pending = true // killed between the decision and the freezer
	case r.c.status.Frozen == nil && r.c.group.Frozen():
		r.c.status.Frozen = &run.Mark{At: time.Now().UTC()}
		r.c.status.FrozenTitle = "found frozen when the watch began"
	}
	r.save()
}

// gone drops the state of a run that ended, so that the same name starts clean.
// What was killed stays marked until the next start, for the supervisor to see.
func (r *responder) gone() {
	r.pending, r.from = false, 0
	r.dedup.clear()
	r.c.status.Frozen, r.c.status.FrozenTitle, r.c.status.FrozenLevel = nil, "", ""
}

func (r *responder) forget() {
	r.killed = false
	r.c.status.Frozen, r.c.status.FrozenTitle, r.c.status.FrozenLevel, r.c.status.Killed = nil, "", "", nil
}
