package daemon

import (
	"bytes"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/pkg/home"
)

// Limits of run/<c>.watch.events.jsonl.
const (
	streamKeep  = 60 * time.Second
	streamMax   = 8 << 20 // after trimming; the file never passes twice that
	streamFlush = 200 * time.Millisecond
)

// stream is the file of the last events. Lines gather in memory for a moment,
// so that a storm costs few writes.
type stream struct {
	path    string
	buf     []byte
	size    int64
	flushed time.Time
	trimmed time.Time
}

func (s *stream) add(ev event.Event) {
	line, err := event.Marshal(ev)
	if err != nil || len(s.buf) > streamMax {
		return
	}
	s.buf = append(append(s.buf, line...), '\n')
}

// flush writes what gathered, and cuts off what is older than a minute.
func (s *stream) flush(now time.Time, force bool) error {
	if len(s.buf) == 0 || !force && now.Sub(s.flushed) < streamFlush {
		return nil
	}
	s.flushed = now
	if s.trimmed.IsZero() || s.size+int64(len(s.buf)) > 2*streamMax || now.Sub(s.trimmed) > streamKeep && s.size > 0 {
		return s.trim(now)
	}
	f, err := home.OpenAppend(s.path)
	if err != nil {
		return err
	}
	n, err := f.Write(s.buf)
	s.size += int64(n)
	s.buf = s.buf[:0]
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// trim replaces the file by its lines of the last minute and the new ones.
func (s *stream) trim(now time.Time) error {
	old, err := home.ReadFile(s.path)
	if err != nil && !home.Missing(err) {
		return err
	}
	all := recent(append(old, s.buf...), now.Add(-streamKeep))
	s.buf, s.trimmed, s.size = s.buf[:0], now, int64(len(all))
	return home.ReplaceFile(s.path, all)
}

// recent is the part of b from the first line that is not older than since, at
// most streamMax bytes.
func recent(b []byte, since time.Time) []byte {
	if over := len(b) - streamMax; over > 0 {
		b = b[over:]
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			b = b[i+1:]
		}
	}
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			return nil
		}
		if ev, err := event.Unmarshal(b[:i]); err == nil && !ev.TS.Before(since) {
			return b
		}
		b = b[i+1:]
	}
	return nil
}

// last is the number of the last event in the file: a new daemon counts on from
// there, so that no reader takes new events for old ones.
func (s *stream) last() uint64 {
	b, err := home.ReadFile(s.path)
	if err != nil {
		return 0
	}
	b = bytes.TrimRight(b, "\n")
	ev, err := event.Unmarshal(b[bytes.LastIndexByte(b, '\n')+1:])
	if err != nil {
		return 0
	}
	return ev.Seq
}
