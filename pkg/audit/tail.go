package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"os"
	"time"
)

// tail is the end of a file: its last whole line, and what stands after it.
type tail struct {
	seq      int
	hash     string
	ts       time.Time
	torn     []byte
	tornFrom int64 // where the torn line starts, when it is too long for torn
	tornMore int64
}

const (
	tailBlock = 16 << 10
	maxTail   = 4 << 20 // a last line longer than this is no record of ours
)

// readTail reads backwards until it has one whole line.
func readTail(f *os.File, size int64) (tail, error) {
	t := tail{hash: zeroHash}
	for n := int64(tailBlock); ; n *= 4 {
		n = min(n, size, maxTail)
		b := make([]byte, n)
		if _, err := f.ReadAt(b, size-n); err != nil && err != io.EOF {
			return t, err
		}
		end := bytes.LastIndexByte(b, '\n')
		start := -1
		if end >= 0 {
			start = bytes.LastIndexByte(b[:end], '\n')
		}
		whole := n == size
		switch {
		case end < 0 && whole:
			t.torn = b
			return t, nil
		case end >= 0 && (start >= 0 || whole):
			t.torn = b[end+1:]
			t.line(b[start+1 : end])
			if t.seq == 0 {
				t.seq = earlierSeq(b[:start+1])
			}
			return t, nil
		case n == maxTail:
			return t, t.long(f, size)
		}
	}
}

func (t *tail) line(line []byte) {
	sum := sha256.Sum256(line)
	t.hash = hex.EncodeToString(sum[:])
	t.seq, _ = lineSeq(line)
	t.ts = lineTime(line)
}

// earlierSeq finds the seq of the last record of ours, behind which somebody
// put lines that are none.
func earlierSeq(b []byte) int {
	for len(b) > 0 {
		b = b[:len(b)-1]
		start := bytes.LastIndexByte(b, '\n')
		if seq, ok := lineSeq(b[start+1:]); ok {
			return seq
		}
		b = b[:start+1]
	}
	return 0
}

// long handles a file that ends in a line no record can be as long as.
func (t *tail) long(f *os.File, size int64) error {
	var ends []int64 // of the last two newlines
	b := make([]byte, tailBlock)
	for at := size; at > 0 && len(ends) < 2; {
		n := min(int64(len(b)), at)
		at -= n
		if _, err := f.ReadAt(b[:n], at); err != nil && err != io.EOF {
			return err
		}
		for i := n - 1; i >= 0 && len(ends) < 2; i-- {
			if b[i] == '\n' {
				ends = append(ends, at+i)
			}
		}
	}
	if len(ends) == 0 || ends[0] != size-1 {
		t.tornMore, t.tornFrom = 1, 0
		if len(ends) > 0 {
			t.tornFrom = ends[0] + 1
			rest, err := readTail(f, t.tornFrom)
			t.seq, t.hash, t.ts = rest.seq, rest.hash, rest.ts
			return err
		}
		return nil
	}
	from := int64(0)
	if len(ends) == 2 {
		from = ends[1] + 1
		if rest, err := readTail(f, from); err == nil {
			t.seq, t.ts = rest.seq, rest.ts
		}
	}
	sum := sha256.New()
	if err := copyTo(io.Discard, sum, f, from, size-1); err != nil {
		return err
	}
	t.hash = hex.EncodeToString(sum.Sum(nil))
	return nil
}

// copyTo copies f[from:to] to w and into a hash.
func copyTo(w io.Writer, sum hash.Hash, f *os.File, from, to int64) error {
	_, err := io.Copy(io.MultiWriter(w, sum), io.NewSectionReader(f, from, to-from))
	return err
}
