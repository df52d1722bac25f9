package daemon

import (
	"bytes"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
)

// authFiles are the logs in which logins and refusals are told. The container
// can write anything there: what is found is never more than a warning.
var authFiles = []string{"/var/log/auth.log", "/var/log/secure", "/var/log/syslog", "/var/log/audit/audit.log"}

// maxLog is how much of one log is read in one pass, in bytes.
const maxLog = 256 << 10

// auth follows the authentication logs of a container.
type auth struct {
	at map[string]logPlace
}

// logPlace is how far a log was read.
type logPlace struct {
	ino    uint64
	offset int64
}

// read has the lines judged that were written since the last pass. The first
// pass begins at the end: old lines are no news.
func (a *auth) read(c *container) {
	first := a.at == nil
	if first {
		a.at = map[string]logPlace{}
	}
	for _, name := range authFiles {
		in, err := c.scene.Root.Stat(name)
		if err != nil {
			continue
		}
		p, known := a.at[name]
		if !known || p.ino != in.Ino || in.Size < p.offset {
			p = logPlace{ino: in.Ino}
			if first {
				p.offset = in.Size
			}
		}
		if in.Size-p.offset > maxLog {
			p.offset = in.Size - maxLog
		}
		data, _, err := c.scene.Root.Read(name, p.offset, maxLog)
		if err != nil {
			continue
		}
		end := bytes.LastIndexByte(data, '\n') + 1 // a line that is not finished waits
		p.offset += int64(end)
		a.at[name] = p
		for line := range strings.SplitSeq(string(data[:end]), "\n") {
			if line == "" {
				continue
			}
			ev := event.Event{Type: event.Authlog, Path: name, Text: line}
			c.scene.Stamp(&ev, "auth", 0)
			c.judgeEvent(ev)
		}
	}
}
