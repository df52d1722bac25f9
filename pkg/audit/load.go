package audit

import (
	"bytes"
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

// load makes the state describe the file, which must be locked. It returns
// records about what it found, to be written before all others.
func (s *store) load() ([]*Record, error) {
	var st unix.Stat_t
	err := unix.Lstat(s.path(), &st)
	if err == nil && s.file != nil && s.head != nil && st.Ino == s.ino && st.Size == s.size && sameFile(s.head) {
		return nil, nil
	}
	s.forget()
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return nil, fmt.Errorf("%s: %w", s.path(), err)
	}
	if !s.spent {
		keepReserve(s.home)
	}
	head := readHead(s.home.Audit(s.name + ".head"))
	if s.head, err = openOwn(s.home.Audit(s.name + ".head")); err != nil {
		return nil, err
	}
	if s.file, err = openTrail(s.path()); err != nil {
		return nil, err
	}
	return s.resume(head)
}

func sameFile(f *os.File) bool {
	var ours, theirs unix.Stat_t
	return unix.Fstat(int(f.Fd()), &ours) == nil && unix.Lstat(f.Name(), &theirs) == nil && ours.Ino == theirs.Ino && ours.Dev == theirs.Dev
}

// openTrail opens the file to append to, and makes it where it is missing.
func openTrail(path string) (*os.File, error) {
	f, err := home.OpenAppend(path)
	if err != nil {
		return nil, err
	}
	return f, private(f)
}

func openOwn(path string) (*os.File, error) {
	f, err := home.OpenWrite(path)
	if err != nil {
		return nil, err
	}
	return f, private(f)
}

// private refuses, beyond what home refuses, files that others may read or
// that have a second name elsewhere. It closes f when it refuses it.
func private(f *os.File) error {
	var st unix.Stat_t
	err := unix.Fstat(int(f.Fd()), &st)
	switch {
	case err != nil:
	case st.Mode&0o077 != 0:
		err = fmt.Errorf("%s: %w: mode %04o, want 0600", f.Name(), home.ErrUnsafe, st.Mode&0o7777)
	case st.Nlink != 1:
		err = fmt.Errorf("%s: %w: it has %d names", f.Name(), home.ErrUnsafe, st.Nlink)
	default:
		return nil
	}
	_ = f.Close()
	return err
}

// begin starts an empty file: a new trail, the next file after a rotation that
// was interrupted, or one whose records somebody removed.
func (s *store) begin(head Head) ([]*Record, error) {
	parts, err := Parts(s.home, s.name)
	if err != nil {
		return nil, err
	}
	s.seq, s.hash, s.ts = 0, zeroHash, time.Time{}
	if head.Seq == 0 && len(parts) == 0 {
		return []*Record{s.chainRecord("chain.start", coi.Info, "audit trail started")}, nil
	}
	if len(parts) > 0 {
		part := parts[len(parts)-1]
		last, err := part.last()
		if err != nil {
			return nil, err
		}
		s.seq, s.hash, s.ts = last.seq, last.hash, last.ts
		if head.Seq == 0 || head.Seq == last.seq && head.Hash == last.hash {
			return []*Record{s.partRecord(part.Name, head.Seq != 0)}, nil
		}
	}
	s.seq, s.hash = head.Seq, head.Hash
	return []*Record{s.partRecord("", false)}, nil
}

// partRecord starts a file after another. Where the one before did not end in
// order it is an alarm.
func (s *store) partRecord(before string, orderly bool) *Record {
	if !orderly {
		r := s.chainRecord("chain.part", coi.High, "trail was removed")
		r.Description = "the file of the trail was missing while its head or older parts were there"
		r.Evidence = map[string]any{"last": int64(s.seq)}
		return r
	}
	r := s.chainRecord("chain.part", coi.Info, "audit trail goes on from "+before)
	r.Evidence = map[string]any{"part": before, "last": int64(s.seq)}
	return r
}

// adopt takes over inode and size of the open file.
func (s *store) adopt(size int64) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(s.file.Fd()), &st); err != nil {
		return err
	}
	s.ino, s.size = st.Ino, size
	return nil
}

// resume goes on with an existing file: a torn last line is put aside, the
// last line becomes the link, and what the head says is compared.
func (s *store) resume(head Head) ([]*Record, error) {
	st, err := s.file.Stat()
	if err != nil {
		return nil, err
	}
	tail, err := readTail(s.file, st.Size())
	if err != nil {
		return nil, err
	}
	var notes []*Record
	size := st.Size() - int64(len(tail.torn))
	if len(tail.torn) > 0 || tail.tornMore > 0 {
		note, err := s.cutTorn(tail, &size)
		if err != nil {
			return nil, err
		}
		notes = append(notes, note)
	}
	if err := s.adopt(size); err != nil {
		return nil, err
	}
	s.seq, s.hash, s.ts = tail.seq, tail.hash, tail.ts
	s.first = firstSeq(s.file)
	if size == 0 {
		first, err := s.begin(head)
		return append(first, notes...), err
	}
	if tail.seq == 0 {
		s.seq = head.Seq
	}
	return append(s.compare(head), notes...), nil
}

// compare finds a tail that was cut off or changed after its head was written.
// The link then goes from the head, so that the verifier finds the place too.
func (s *store) compare(head Head) []*Record {
	// A head from before the first record was left by a rotation that was cut short.
	if head.Seq == 0 || head.Seq < s.first || head.File != s.name+".jsonl" {
		return nil
	}
	switch {
	case s.size < head.Size:
		r := s.chainRecord("chain.lost", coi.High, "the end of the trail was cut off")
		r.N = &Numbers{Value: float64(head.Seq - s.seq)}
		r.Evidence = map[string]any{"first": int64(s.seq + 1), "last": int64(head.Seq)}
		s.seq, s.hash = head.Seq, head.Hash
		return []*Record{r}
	case s.size == head.Size && s.hash != head.Hash:
		r := s.chainRecord("chain.lost", coi.High, "the last record of the trail was changed")
		r.N = &Numbers{Value: 1}
		r.Evidence = map[string]any{"first": int64(head.Seq), "last": int64(head.Seq)}
		s.seq, s.hash = head.Seq, head.Hash
		return []*Record{r}
	}
	return nil
}

// cutTorn moves the bytes after the last newline to <container>.torn.
func (s *store) cutTorn(tail tail, size *int64) (*Record, error) {
	if tail.tornMore > 0 {
		*size = tail.tornFrom
	}
	torn, err := openTrail(s.home.Audit(s.name + ".torn"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = torn.Close() }()
	sum := sha256.New()
	st, err := s.file.Stat()
	if err != nil {
		return nil, err
	}
	if err := copyTo(torn, sum, s.file, *size, st.Size()); err != nil {
		return nil, fmt.Errorf("%s: %w", torn.Name(), err)
	}
	if err := s.file.Truncate(*size); err != nil {
		return nil, err
	}
	n := st.Size() - *size
	r := s.chainRecord("chain.torn", coi.Warning, fmt.Sprintf("%d bytes of a torn record put aside", n))
	r.Description = "a writer died in the middle of a line"
	r.Evidence = map[string]any{"bytes": n, "sha256": hex.EncodeToString(sum.Sum(nil)), "file": s.name + ".torn"}
	return r, nil
}

func firstSeq(f *os.File) int {
	var b [64]byte
	n, _ := f.ReadAt(b[:], 0)
	seq, _ := lineSeq(b[:n])
	return seq
}

// lineSeq reads the seq of a line of ours from its fixed start.
func lineSeq(line []byte) (int, bool) {
	rest, ok := bytes.CutPrefix(line, []byte(`{"v":1,"seq":`))
	if !ok {
		return 0, false
	}
	n := 0
	for i, c := range rest {
		if c < '0' || c > '9' {
			return n, i > 0 && c == ','
		}
		if i > 15 {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return 0, false
}

// lineTime reads the ts of a line of ours.
func lineTime(line []byte) time.Time {
	head := line[:min(len(line), 96)]
	i := bytes.Index(head, []byte(`,"ts":"`))
	if i < 0 || len(head) < i+7+len(TimeForm) {
		return time.Time{}
	}
	t, err := time.Parse(TimeForm, string(head[i+7:i+7+len(TimeForm)]))
	if err != nil {
		return time.Time{}
	}
	return t
}
