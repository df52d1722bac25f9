package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
)

// zeroHash is the prev of record 1.
const zeroHash = "0000000000000000000000000000000000000000000000000000000000000000"

// lockWait is how long the lock is waited for, short enough that the caller
// hears of it before MaxWait is over.
const lockWait = MaxWait * 9 / 10

// errPartly says that only urgent records were written, into the space kept
// for them.
var errPartly = errors.New("only high and critical records were written")

// store is one trail on the disk. Its state describes the file as it left it
// and is refreshed under the lock when somebody else wrote.
type store struct {
	home home.Home
	name string // container
	opts Options

	lock, file, head *os.File
	ino              uint64
	size             int64
	first            int // seq of the first record of the file
	seq              int
	hash             string // of the last line
	ts               time.Time

	dirty      bool // written and not synced
	anchored   int  // seq of the last anchor
	anchorFrom time.Time
	buf        []byte

	spent bool       // the reserve was given back to the disk
	old   []*os.File // closed parts that are not synced yet

	// push is the system call that writes.
	push func(fd int, b []byte) (int, error)
}

func newStore(h home.Home, container string, o Options) *store {
	return &store{home: h, name: container, opts: o, push: unix.Write}
}

func (s *store) path() string { return s.home.Audit(s.name + ".jsonl") }

// append writes records under the lock and sets their seq, ts and prev. Where
// the disk is full only urgent ones may be written: the error wraps errPartly,
// and the others keep Seq 0.
func (s *store) append(recs []*Record) error {
	if err := s.acquire(lockWait); err != nil {
		return err
	}
	defer s.release()
	if !s.roomFor(recs) {
		return s.appendUrgent(recs, fmt.Errorf("append to %s: %w", s.path(), unix.ENOSPC))
	}
	err := s.loadAndWrite(recs)
	if errors.Is(err, unix.ENOSPC) {
		return s.appendUrgent(recs, err)
	}
	return err
}

func (s *store) loadAndWrite(recs []*Record) error {
	notes, err := s.load()
	if err != nil {
		s.forget()
		return err
	}
	return s.write(append(notes, recs...))
}

// appendUrgent writes the high and critical ones of recs into the space that
// was kept for them.
func (s *store) appendUrgent(recs []*Record, why error) error {
	var urgent []*Record
	for _, r := range recs {
		if r.Urgent() {
			urgent = append(urgent, r)
		}
	}
	if len(urgent) == 0 {
		return why
	}
	s.spent = freeReserve(s.home) || s.spent
	if err := s.loadAndWrite(urgent); err != nil {
		return err
	}
	if len(urgent) == len(recs) {
		return nil
	}
	return fmt.Errorf("%w: %w", errPartly, why)
}

// write encodes, writes and, where it is due, rotates and syncs. On an error
// the file is as before and no record has a seq.
func (s *store) write(recs []*Record) error {
	if s.size >= s.opts.MaxSize {
		part, err := s.rotate()
		if err != nil {
			return err
		}
		recs = append([]*Record{part}, recs...)
	}
	seq, hash, ts, first := s.seq, s.hash, s.ts, s.first
	b := s.buf[:0]
	sync, urgent := false, false
	for _, r := range recs {
		seq++
		s.stamp(r, seq, hash, ts)
		ts = r.TS
		from := len(b)
		b = r.Encode(b)
		sum := sha256.Sum256(b[from:])
		hash = hex.EncodeToString(sum[:])
		b = append(b, '\n')
		sync, urgent = sync || r.synced(), urgent || r.Urgent()
	}
	if cap(b) <= 1<<20 {
		s.buf = b
	}
	if s.size == 0 {
		first = recs[0].Seq
	}
	if err := s.writeAll(b); err != nil {
		for _, r := range recs {
			r.Seq = 0
		}
		s.forget()
		return fmt.Errorf("append to %s: %w", s.path(), err)
	}
	s.seq, s.hash, s.ts, s.first = seq, hash, ts, first
	s.size += int64(len(b))
	s.dirty = true
	s.writeHead()
	if sync {
		s.sync()
	}
	if s.anchorFrom.IsZero() {
		s.anchorFrom = time.Now()
	}
	if urgent {
		s.anchor()
	}
	return nil
}

// stamp sets what links a record into the chain. Its time never lies before
// that of the record before it.
func (s *store) stamp(r *Record, seq int, hash string, last time.Time) {
	r.V, r.Seq, r.Prev, r.Container = Version, seq, hash, s.name
	if r.Source == "" {
		r.Source = s.opts.Source
	}
	r.TS = r.TS.UTC().Round(0)
	if r.TS.Before(last) {
		r.LateMS = last.Sub(r.TS).Milliseconds()
		r.TS = last
	}
}

// writeAll writes b at the end; a part of it that did arrive is cut off again.
func (s *store) writeAll(b []byte) error {
	done := 0
	for done < len(b) {
		n, err := s.push(int(s.file.Fd()), b[done:])
		if err != nil && !errors.Is(err, unix.EINTR) {
			if done > 0 {
				_ = s.file.Truncate(s.size)
			}
			return err
		}
		done += max(n, 0)
	}
	return nil
}

// sync brings what was written to the disk.
func (s *store) sync() {
	if !s.dirty || s.file == nil {
		return
	}
	for _, f := range s.old {
		_ = unix.Fdatasync(int(f.Fd()))
		_ = f.Close()
	}
	s.old = nil
	// An error here shows again in the next write; there is nobody to tell now.
	_ = unix.Fdatasync(int(s.file.Fd()))
	s.dirty = false
}

// acquire takes the lock of the trail, and gives up after limit.
func (s *store) acquire(limit time.Duration) error {
	if s.lock == nil {
		if _, err := s.home.Ensure(s.home.Audit()); err != nil {
			return err
		}
		f, err := home.OpenWrite(s.path() + ".lock")
		if err != nil {
			return err
		}
		s.lock = f
	}
	end := time.Now().Add(limit)
	for pause := 20 * time.Microsecond; ; pause = min(2*pause, time.Millisecond) {
		err := unix.Flock(int(s.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return s.sameLock(end)
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("lock %s: %w", s.lock.Name(), err)
		}
		if time.Now().After(end) {
			return fmt.Errorf("lock %s: %w", s.lock.Name(), home.ErrLocked)
		}
		time.Sleep(pause) //nolint:forbidigo // flock has no wait with a limit; bounded by end
	}
}

// sameLock makes sure that the lock we hold is the one others see: a lock file
// that was removed and made again protects nothing.
func (s *store) sameLock(end time.Time) error {
	var ours, theirs unix.Stat_t
	err := unix.Fstat(int(s.lock.Fd()), &ours)
	if err == nil {
		err = unix.Lstat(s.lock.Name(), &theirs)
	}
	if err == nil && ours.Ino == theirs.Ino && ours.Dev == theirs.Dev {
		return nil
	}
	_ = s.lock.Close()
	s.lock = nil
	if err != nil && !home.Missing(err) {
		return err
	}
	if time.Now().After(end) {
		return fmt.Errorf("lock %s.lock: %w", s.path(), home.ErrLocked)
	}
	return s.acquire(time.Until(end))
}

func (s *store) release() {
	if s.lock != nil {
		_ = unix.Flock(int(s.lock.Fd()), unix.LOCK_UN)
	}
}

// forget closes the files, so that the next append looks at them afresh.
func (s *store) forget() {
	for _, f := range []**os.File{&s.file, &s.head} {
		if *f != nil {
			_ = (*f).Close()
			*f = nil
		}
	}
	s.ino = 0
}

func (s *store) close() {
	s.sync()
	if s.anchorFrom.IsZero() {
		s.forget()
	} else {
		s.anchor()
		s.forget()
	}
	if s.lock != nil {
		_ = s.lock.Close()
		s.lock = nil
	}
}

// chainRecord is a record of the trail about itself.
func (s *store) chainRecord(rule string, level coi.Level, title string) *Record {
	now := s.opts.Now()
	action := Logged
	if level.Rank() > coi.Info.Rank() {
		action = Alerted
	}
	source := s.opts.Source
	if source == "" {
		source = SourceSession
	}
	return &Record{
		TS: now, ID: NewID(now), Source: source, Type: TypeAudit, Level: level,
		Category: CategoryChain, Title: title, Rule: rule, Action: action,
	}
}
