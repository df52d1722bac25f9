// Package show writes wanted lines: as they are, counted, or as a table.
package show

import (
	"bufio"
	"strconv"

	"github.com/code-on-incus/coi/pkg/plain"
)

// Writer takes wanted lines, each without its newline.
type Writer interface {
	Line(line []byte) error
	// Flush brings out what is held. final says that no more will come.
	Flush(final bool) error
}

// Raw writes lines byte for byte; to a terminal what could steer it is spelled
// out.
type Raw struct {
	W      *bufio.Writer
	Escape bool
}

// Line is Writer.
func (r *Raw) Line(line []byte) error {
	if r.Escape {
		_, _ = r.W.WriteString(plain.Escape(string(line)))
	} else {
		_, _ = r.W.Write(line)
	}
	return r.W.WriteByte('\n')
}

// Flush is Writer.
func (r *Raw) Flush(bool) error { return r.W.Flush() }

// Count writes only how many lines there were.
type Count struct {
	W *bufio.Writer
	n int
}

// Line is Writer.
func (c *Count) Line([]byte) error {
	c.n++
	return nil
}

// Flush is Writer.
func (c *Count) Flush(final bool) error {
	if !final {
		return nil
	}
	_, _ = c.W.WriteString(strconv.Itoa(c.n) + "\n")
	return c.W.Flush()
}
