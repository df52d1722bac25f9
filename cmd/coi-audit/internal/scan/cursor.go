package scan

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/code-on-incus/coi/pkg/audit"
)

// Bad counts lines that cannot be read.
type Bad struct {
	Count int
	First string // file:line
}

func (b *Bad) add(where func() string) {
	if b.Count == 0 {
		b.First = where()
	}
	b.Count++
}

// Cursor gives out the wanted lines of some inputs, one after the other.
type Cursor struct {
	inputs []*Input
	filter *Filter
	bad    *Bad

	buf        []byte
	start, end int   // of the bytes in buf that are not given out yet
	at         int64 // offset of the byte after end
	line       int   // number of the line given out last, counted from where reading began
	long       bool  // in the middle of a line that is too long
	eof        bool
}

// NewCursor reads inputs in order with a buffer of size bytes, which grows to
// the longest line up to audit.MaxLine.
func NewCursor(inputs []*Input, f *Filter, bad *Bad, size int) *Cursor {
	c := &Cursor{inputs: inputs, filter: f, bad: bad, buf: make([]byte, size)}
	c.begin()
	return c
}

func (c *Cursor) begin() {
	c.start, c.end, c.line, c.long, c.eof = 0, 0, 0, false, false
	if len(c.inputs) > 0 {
		c.at = c.inputs[0].from
	}
}

// Next is the next wanted line without its newline, valid until the next call;
// io.EOF after the last.
func (c *Cursor) Next() ([]byte, error) {
	for len(c.inputs) > 0 {
		line, ok, err := c.next()
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", c.inputs[0].Name, err)
		}
		if ok {
			return line, nil
		}
		c.inputs = c.inputs[1:]
		c.begin()
	}
	return nil, io.EOF
}

// next is the next wanted line of the first input.
func (c *Cursor) next() ([]byte, bool, error) {
	own := c.inputs[0].own
	for {
		if own && !c.long {
			if n := c.filter.skips(c.buf[c.start:c.end]); n > 0 {
				c.start += n
				c.line++
				continue
			}
		}
		n := bytes.IndexByte(c.buf[c.start:c.end], '\n')
		if n < 0 {
			line, done, err := c.fill()
			if err != nil || done {
				return line, line != nil, err
			}
			continue
		}
		line := c.buf[c.start : c.start+n]
		c.start += n + 1
		c.line++
		if c.long {
			c.long = false
			continue
		}
		switch c.filter.judge(line, own) {
		case yes:
			return line, true, nil
		case bad:
			if len(bytes.TrimSpace(line)) > 0 {
				c.bad.add(c.where)
			}
		}
	}
}

// fill reads more. At the end of a foreign file what is left is a line too.
func (c *Cursor) fill() (line []byte, done bool, err error) {
	if c.eof {
		rest := c.buf[c.start:c.end]
		c.start = c.end
		if len(bytes.TrimSpace(rest)) == 0 || c.long {
			return nil, true, nil
		}
		c.line++
		switch c.filter.judge(rest, c.inputs[0].own) {
		case yes:
			return rest, true, nil
		case bad:
			c.bad.add(c.where)
		}
		return nil, true, nil
	}
	c.room()
	n, err := c.inputs[0].read(c.buf[c.end:], c.at)
	c.end += n
	c.at += int64(n)
	if errors.Is(err, io.EOF) {
		c.eof = true
		return nil, false, nil
	}
	return nil, false, err
}

// room makes space in the buffer. A line that is longer than any record is
// dropped piece by piece.
func (c *Cursor) room() {
	if c.start > 0 {
		c.end = copy(c.buf, c.buf[c.start:c.end])
		c.start = 0
	}
	if c.long {
		c.end = 0
		return
	}
	if c.end < len(c.buf) {
		return
	}
	if len(c.buf) > audit.MaxLine {
		c.tooLong()
		c.end = 0
		return
	}
	bigger := make([]byte, min(2*len(c.buf), audit.MaxLine+1))
	copy(bigger, c.buf[:c.end])
	c.buf = bigger
}

// tooLong counts the line being read and drops the rest of it.
func (c *Cursor) tooLong() {
	c.bad.add(func() string {
		c.line++
		defer func() { c.line-- }()
		return c.where()
	})
	c.long = true
}

// where names the line given out last. The lines before the place where
// reading began are counted now.
func (c *Cursor) where() string {
	in := c.inputs[0]
	line := c.line
	if in.from > 0 && in.Seekable() {
		buf := make([]byte, 64<<10)
		for at := int64(0); at < in.from; {
			n, err := in.file.ReadAt(buf[:min(int64(len(buf)), in.from-at)], at)
			line += bytes.Count(buf[:n], []byte("\n"))
			at += int64(n)
			if err != nil || n == 0 {
				break
			}
		}
	}
	return fmt.Sprintf("%s:%d", in.Name, line)
}
