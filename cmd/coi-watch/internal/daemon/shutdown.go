package daemon

import (
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/detect"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/run"
)

// soften turns what init does while coi shuts its container down into a record:
// it unmounts everything, locked paths too, and ending a container for that
// would cut the shutdown short. Who writes, covers or renames a locked path
// meanwhile is judged as ever, and the check after the end compares the files.
// False means that there is nothing to tell: the start of umount, which its
// system call follows.
// What is known of a file without the process that touched it is never more than
// a warning: sudo reads shadow as well.
func (c *container) soften(f detect.Finding, ev event.Event) (detect.Finding, bool) {
	if ev.Sensor == "file" && ev.PID == 0 && f.Level.Rank() > coi.Warning.Rank() {
		f.Level = coi.Warning
	}
	if f.Rule != "escape.locked" || f.Op != string(event.Umount) || !f.ByInit || !c.goingDown() {
		return f, true
	}
	f.Level, f.Title, f.Why = coi.Info, "unmounted by the shutdown", "coi stops the container, and its init unmounts what was mounted"
	return f, ev.Type != event.Exec
}

// goingDown reports whether the supervisor has begun to end the session.
func (c *container) goingDown() bool {
	var s run.Session
	return run.Read(c.d.Home.Run(c.name+run.SessionFile), &s) == nil && s.Phase == run.Saving
}
