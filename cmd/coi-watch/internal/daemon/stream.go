package daemon

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/pkg/home"
)

// Limits of run/<c>.watch.events.jsonl.
const (
	streamKeep  = 60 * time.Second
	streamMax   = 8 << 20 // after trimming; the file never passes twice that
	streamFlush = 200 * time.Millisecond
	streamBuf   = 128 << 10 // lines in memory, above which they are written at once
)

// stream is the file of the last events. Lines gather in memory for a moment,
// so that a storm costs few writes.
type stream struct {
	path    string
	buf     []byte
	size    int64
	trimmed time.Time
}

func (s *stream) add(ev event.Event) {
	if len(s.buf) > streamMax {
		return
	}
	n := len(s.buf)
	line, err := event.Append(s.buf, ev)
	if s.buf = line; err != nil {
		s.buf = s.buf[:n]
		return
	}
	s.buf = append(s.buf, '\n')
}

// flush writes what gathered, and cuts off what is older than a minute.
func (s *stream) flush(now time.Time, force bool) error {
	if len(s.buf) == 0 || !force && len(s.buf) < streamBuf {
		return nil
	}
	if s.trimmed.IsZero() || s.size+int64(len(s.buf)) > 2*streamMax || now.Sub(s.trimmed) > streamKeep && s.size > 0 {
		return s.trim(now)
	}
	f, err := home.OpenAppend(s.path)
	if err != nil {
		return err
	}
	n, err := f.Write(s.buf)
	s.size += int64(n)
	s.empty()
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// empty makes room for new lines; what a storm took is given back.
func (s *stream) empty() {
	if s.buf = s.buf[:0]; cap(s.buf) > 4*streamBuf {
		s.buf = nil
	}
}

// trim replaces the file by its lines of the last minute and the new ones. The
// old ones are not taken into memory: the kernel copies them.
func (s *stream) trim(now time.Time) error {
	old, err := home.Open(s.path)
	if err != nil && !home.Missing(err) {
		return err
	}
	var size int64
	err = home.Replace(s.path, func(w *os.File) error {
		if old != nil {
			defer func() { _ = old.Close() }()
			from, err := firstSince(old, int64(len(s.buf)), now.Add(-streamKeep))
			if err != nil {
				return err
			}
			if _, err := old.Seek(from, io.SeekStart); err != nil {
				return err
			}
			if size, err = io.Copy(w, old); err != nil {
				return err
			}
		}
		n, err := w.Write(s.buf)
		size += int64(n)
		return err
	})
	s.trimmed, s.size = now, size
	s.empty()
	return err
}

// firstSince is where in f the first line begins that is not older than from and
// that, with more bytes to come, is within streamMax of the end. Lines are in
// the order of their time but for moments.
func firstSince(f *os.File, more int64, from time.Time) (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	low, high := max(0, st.Size()+more-streamMax), st.Size()
	for low < high {
		mid := low + (high-low)/2
		at, ev, ok := lineAt(f, mid)
		switch {
		case at >= high:
			high = mid // no line begins between
		case ok && !ev.TS.Before(from):
			high = mid
		default:
			low = at + 1
		}
	}
	at, _, _ := lineAt(f, low)
	return at, nil
}

// lineAt is the first line of f that begins at or after a place, and where that
// is: the end of the file when there is none.
func lineAt(f *os.File, place int64) (at int64, ev event.Event, ok bool) {
	at = max(place-1, 0)
	r := bufio.NewReaderSize(io.NewSectionReader(f, at, 1<<62), 4096)
	if place > 0 {
		n, err := skipLine(r)
		if at += n; err != nil {
			return at, ev, false
		}
	}
	line, err := r.ReadBytes('\n')
	if err != nil {
		return at, ev, false // the last line was cut by a crash
	}
	ev, err = event.Unmarshal(bytes.TrimSuffix(line, []byte("\n")))
	return at, ev, err == nil
}

// skipLine reads to the end of a line without keeping it.
func skipLine(r *bufio.Reader) (n int64, err error) {
	for {
		part, err := r.ReadSlice('\n')
		n += int64(len(part))
		if !errors.Is(err, bufio.ErrBufferFull) {
			return n, err
		}
	}
}

// last is the number of the last event in the file: a new daemon counts on from
// there, so that no reader takes new events for old ones.
func (s *stream) last() uint64 {
	f, err := home.Open(s.path)
	if err != nil {
		return 0
	}
	defer func() { _ = f.Close() }()
	st, err := f.Stat()
	if err != nil {
		return 0
	}
	for _, back := range []int64{32 << 10, 2 * event.MaxLine} {
		var seq uint64
		for at := max(0, st.Size()-back); at < st.Size(); at++ {
			next, ev, ok := lineAt(f, at)
			if at = next; ok {
				seq = max(seq, ev.Seq)
			}
		}
		if seq > 0 {
			return seq
		}
	}
	return 0
}
