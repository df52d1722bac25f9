package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"
)

// MaxLine is the longest line in bytes that readers take for a record.
const MaxLine = 1 << 20

// verifier walks the lines of all files of a trail.
type verifier struct {
	Report
	head     Head
	headSeen bool
	anchors  map[int][]Anchor
	started  time.Time // ts of the first record
	current  bool      // the last file is the one being written
	prefix   []byte

	name      string // of the file being read
	firstFile string
	line      int   // number of the line in it
	lineAt    int64 // its offset
	next      int64

	seq      int
	hash     hexHash // of the line before
	earlier  hexHash // of the line before that
	before   place   // where the line before stands
	pruneTo  string  // prev of the first record, when records before it were pruned
	pruneSeq int
}

// place is where a line stands.
type place struct {
	file string
	line int
	at   int64
	seq  int
}

func (p place) fault(kind, detail string) *Fault {
	return &Fault{File: p.file, Line: p.line, Byte: p.at, Seq: p.seq, Kind: kind, Detail: detail}
}

// hexHash is a SHA-256 in lower-case hex.
type hexHash [2 * sha256.Size]byte

func hashOf(line []byte) (h hexHash) {
	sum := sha256.Sum256(line)
	for i, b := range sum {
		pair := hexPairs[b]
		h[2*i], h[2*i+1] = pair[0], pair[1]
	}
	return h
}

// hexPairs are the two digits of each byte: a third of the time that the
// digits one by one take, and there are three million hashes in a gigabyte.
var hexPairs = func() (t [256][2]byte) {
	for b := range t {
		hex.Encode(t[b][:], []byte{byte(b)})
	}
	return t
}()

// hashed is a line with its hash.
type hashed struct {
	line []byte // without the newline
	hash hexHash
}

// file checks all lines of one file, up to limit bytes where it is not negative.
func (v *verifier) file(f *os.File, limit int64) error {
	v.name, v.line, v.next = filepath.Base(f.Name()), 0, 0
	if v.firstFile == "" {
		v.firstFile = v.name
	}
	var r io.Reader = f
	if limit >= 0 {
		r = io.LimitReader(f, limit)
	}
	return v.blocks(r, f.Name())
}

// blockSize is how much is read and hashed at a time, in bytes.
const blockSize = 512 << 10

// chunk is a block of a file as whole lines with their hashes.
type chunk struct {
	buf   []byte
	lines []hashed
	rest  []byte // what follows the lines: it belongs to the next chunk
	end   bool   // of the file
	long  bool   // rest begins with a line longer than any record
	err   error
}

// fill reads the block that follows carry. But for the end of a file its last
// line is left to the next chunk, so that every line has its neighbour.
func (c *chunk) fill(r io.Reader, carry []byte) {
	if want := len(carry) + blockSize; len(c.buf) < want {
		c.buf = make([]byte, want)
	}
	held := copy(c.buf, carry)
	n, err := io.ReadFull(r, c.buf[held:held+blockSize])
	c.end = err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF)
	if err != nil && !c.end {
		c.err = err
		return
	}
	data := c.buf[:held+n]
	c.lines, c.rest = hashLines(c.lines[:0], data)
	c.long = !c.end && len(c.rest) > MaxLine
	if last := len(c.lines) - 1; last >= 0 && !c.end && !c.long {
		c.rest = data[len(data)-len(c.rest)-len(c.lines[last].line)-1:]
		c.lines = c.lines[:last]
	}
}

// blocks reads a file chunk by chunk. The hashes of one are made by several
// goroutines while the links of the one before are followed.
func (v *verifier) blocks(r io.Reader, name string) error {
	now, next := &chunk{}, &chunk{}
	now.fill(r, nil)
	for now.err == nil {
		filled := make(chan struct{})
		if now.end || now.long {
			close(filled)
		} else {
			go func() { defer close(filled); next.fill(r, now.rest) }()
		}
		v.lines(now.lines)
		<-filled
		switch {
		case v.Fault != nil:
			return nil
		case now.long:
			v.line++
			v.lineAt = v.next
			v.fault(Inserted, "a line longer than any record")
			return nil
		case now.end:
			if len(now.rest) > 0 {
				v.line++
				v.lineAt = v.next
				v.fault(Torn, fmt.Sprintf("%d bytes without a newline at the end", len(now.rest)))
			}
			return nil
		}
		now, next = next, now
	}
	return fmt.Errorf("read %s: %w", name, now.err)
}

func (v *verifier) lines(lines []hashed) {
	for i, l := range lines {
		v.line++
		v.lineAt, v.next = v.next, v.next+int64(len(l.line))+1
		var next []byte
		if i+1 < len(lines) {
			next = lines[i+1].line
		}
		if v.check(l, next); v.Fault != nil {
			return
		}
	}
}

// hashLines splits data into whole lines with their hashes, and what is left.
func hashLines(lines []hashed, data []byte) ([]hashed, []byte) {
	for {
		i := bytes.IndexByte(data, '\n')
		if i < 0 {
			break
		}
		lines = append(lines, hashed{line: data[:i]})
		data = data[i+1:]
	}
	var wg sync.WaitGroup
	each := len(lines)/runtime.GOMAXPROCS(0) + 1
	for part := range slices.Chunk(lines, each) {
		wg.Go(func() {
			for i := range part {
				part[i].hash = hashOf(part[i].line)
			}
		})
	}
	wg.Wait()
	return lines, data
}

func (v *verifier) fault(kind, detail string) {
	v.Fault = &Fault{File: v.name, Line: v.line, Byte: v.lineAt, Seq: v.seq + 1, Kind: kind, Detail: detail}
}

// link is what a line says about its place in the chain.
type link struct {
	seq  int
	prev []byte
}

var prevKey = []byte(`,"prev":"`)

// parseLink reads a line in the fixed form our encoder writes.
func parseLink(line []byte) (link, bool) {
	seq, ok := lineSeq(line)
	const tail = len(`,"prev":"`) + len(zeroHash) + len(`"}`)
	if !ok || len(line) < tail || line[len(line)-1] != '}' || line[len(line)-2] != '"' {
		return link{}, false
	}
	end := line[len(line)-tail:]
	if !bytes.HasPrefix(end, prevKey) {
		return link{}, false
	}
	return link{seq, end[len(prevKey) : len(end)-2]}, true
}

// check is the heart: one line against the one before it.
func (v *verifier) check(h hashed, next []byte) {
	line := h.line
	l, ok := parseLink(line)
	if !ok {
		v.odd(line, next)
		return
	}
	if v.Records == 0 && l.seq > 1 {
		v.hash, v.seq = hexHash(l.prev), l.seq-1
		v.pruneTo, v.pruneSeq = string(l.prev), v.seq
	}
	if l.seq != v.seq+1 || !bytes.Equal(l.prev, v.hash[:]) {
		v.blame(h.hash, l, next)
		return
	}
	if !v.ours(line) {
		v.fault(Foreign, "the record names another container")
		return
	}
	v.accept(h, l)
}

// ours reports whether a line names this container. The name stands at a
// place that depends on nothing but the digits of seq.
func (v *verifier) ours(line []byte) bool {
	const start = len(`{"v":1,"seq":`)
	comma := bytes.IndexByte(line[start:start+20], ',')
	at := start + comma + len(`,"ts":""`) + len(TimeForm)
	return comma > 0 && at < len(line) && bytes.HasPrefix(line[at:], v.prefix)
}

func (v *verifier) accept(h hashed, l link) {
	line := h.line
	v.earlier, v.hash = v.hash, h.hash
	v.seq = l.seq
	v.Records++
	if v.Records == 1 {
		v.First, v.started = l.seq, lineTime(line)
	}
	if l.seq == v.head.Seq {
		v.headSeen = string(v.hash[:]) == v.head.Hash
		if !v.headSeen && v.current {
			v.finishLine(Changed, "the head holds another hash for this record")
		}
	}
	if len(v.anchors) > 0 && !v.anchored(v.anchors[l.seq]) {
		v.finishLine(Changed, "an anchor in the journal holds another hash for this record")
		return
	}
	if v.pruneTo != "" && v.PrunedBy == 0 && bytes.Contains(line, []byte(`"rule":"chain.pruned"`)) {
		v.pruned(line)
	}
	v.before = place{v.name, v.line, v.lineAt, l.seq}
}

// anchored compares the record just accepted with its anchors.
func (v *verifier) anchored(list []Anchor) bool {
	for _, a := range list {
		switch {
		case v.older(a):
			v.Earlier++
		case a.Hash != string(v.hash[:]):
			return false
		default:
			v.Anchors++
		}
	}
	return true
}

// older reports whether an anchor was made before this trail began: then it
// belongs to one whose files were deleted with their container.
func (v *verifier) older(a Anchor) bool {
	return !a.At.IsZero() && a.At.Before(v.started.Add(-time.Second))
}

func (v *verifier) finishLine(kind, detail string) {
	v.fault(kind, detail)
	v.Fault.Seq = v.seq
}

// pruned takes note of the record that tells of the parts before the first.
func (v *verifier) pruned(line []byte) {
	var r struct {
		Evidence struct {
			Last int    `json:"last"`
			Hash string `json:"hash"`
		} `json:"evidence"`
	}
	if json.Unmarshal(line, &r) == nil && r.Evidence.Last == v.pruneSeq && r.Evidence.Hash == v.pruneTo {
		v.PrunedBy = v.seq
	}
}

// odd blames a line that is not in our form.
func (v *verifier) odd(line, following []byte) {
	var head struct{ V int }
	if json.Unmarshal(line, &head) == nil && head.V > Version {
		v.fault(Foreign, fmt.Sprintf("record of version %d; this program understands %d", head.V, Version))
		return
	}
	if next, ok := parseLink(following); ok && bytes.Equal(next.prev, v.hash[:]) && next.seq == v.seq+1 {
		v.fault(Inserted, "this line was not written by coi")
		return
	}
	if json.Valid(line) {
		v.fault(Changed, "this line is not as coi wrote it")
		return
	}
	v.fault(Changed, "this line is no record")
}

// blame says which line is wrong when two neighbours do not fit.
func (v *verifier) blame(own hexHash, l link, following []byte) {
	next, hasNext := parseLink(following)
	switch {
	case v.line == 1 && l.seq != v.seq+1 && v.Records > 0:
		v.fault(Swapped, fmt.Sprintf("%s begins with record %d, expected %d", v.name, l.seq, v.seq+1))
	case l.seq > v.seq+1 && hasNext && next.seq == v.seq+1:
		v.fault(Swapped, fmt.Sprintf("record %d stands before record %d", l.seq, next.seq))
	case l.seq > v.seq+1:
		v.fault(Missing, fmt.Sprintf("records %d to %d are not there", v.seq+1, l.seq-1))
	case l.seq <= v.seq && l.seq == v.before.seq && bytes.Equal(l.prev, v.earlier[:]):
		v.Fault = v.before.fault(Inserted, fmt.Sprintf("another record %d follows that belongs to the chain", l.seq))
	case l.seq <= v.seq:
		v.fault(Inserted, fmt.Sprintf("record %d where %d was expected", l.seq, v.seq+1))
	case v.Records == 0:
		v.fault(Changed, "prev of the first record must be 64 zeros")
	default:
		v.blameChange(own, l, next, hasNext)
	}
}

// blameChange decides between a changed line before and a changed line here:
// when the line after this one links to it, this one is as it was written.
func (v *verifier) blameChange(own hexHash, l, next link, hasNext bool) {
	whole := hasNext && bytes.Equal(next.prev, own[:]) || !hasNext && v.head.Seq == l.seq && v.head.Hash == string(own[:])
	if whole {
		v.Fault = v.before.fault(Changed, fmt.Sprintf("record %d does not have the hash that record %d names", v.seq, l.seq))
		return
	}
	v.fault(Changed, fmt.Sprintf("record %d does not link to record %d", l.seq, v.seq))
}
