package merge

import (
	"bufio"
	"bytes"

	"github.com/code-on-incus/coi/pkg/plain"
	"github.com/code-on-incus/coi/pkg/tail"
)

// Prefix marks lines of the log of warnings and errors.
const Prefix = "[ERR] "

// Filter says which lines are wanted.
type Filter struct {
	Since string            // in the form of a line's time; empty for all
	Match func([]byte) bool // nil for all
}

func (f Filter) active() bool { return f.Since != "" || f.Match != nil }

// Printer writes lines: as they are to a pipe, with control characters spelled
// out to a terminal.
type Printer struct {
	Filter
	Escape bool

	open    int // 1 + index of the file whose line is not finished
	wanted  [2]bool
	keys    [2][keyLen]byte
	partial [2]bool
}

// wants decides by the first piece of a line.
func (p *Printer) wants(s *stream) bool {
	if p.Since != "" && string(s.key[:]) < p.Since {
		return false
	}
	return p.Match == nil || p.Match(bytes.TrimSuffix(s.piece, []byte("\n")))
}

// piece writes a piece of a line of file i.
func (p *Printer) piece(w *bufio.Writer, i int, b []byte, begins, ends bool) error {
	if begins && i == 1 {
		if _, err := w.WriteString(Prefix); err != nil {
			return err
		}
	}
	hasNewline := len(b) > 0 && b[len(b)-1] == '\n'
	if p.Escape {
		_, _ = w.WriteString(plain.Escape(string(bytes.TrimSuffix(b, []byte("\n")))))
	} else {
		_, _ = w.Write(bytes.TrimSuffix(b, []byte("\n")))
	}
	if hasNewline || ends {
		return w.WriteByte('\n')
	}
	return nil
}

// chunk writes what arrived while following.
func (p *Printer) chunk(w *bufio.Writer, c tail.Chunk) error {
	if p.open != 0 && p.open != c.File+1 {
		// A line of the other file comes in the middle of a long one.
		p.open = 0
		if err := w.WriteByte('\n'); err != nil {
			return err
		}
	}
	for b := c.Data; len(b) > 0; {
		n := bytes.IndexByte(b, '\n') + 1
		if n == 0 {
			n = len(b)
		}
		line := b[:n]
		b = b[n:]
		if err := p.follow(w, c.File, line, line[n-1] == '\n'); err != nil {
			return err
		}
	}
	return nil
}

func (p *Printer) follow(w *bufio.Writer, i int, line []byte, ends bool) error {
	begins := !p.partial[i]
	p.partial[i] = !ends
	if begins {
		if dated(line) {
			copy(p.keys[i][:], line)
		}
		p.wanted[i] = p.wants(&stream{key: p.keys[i], piece: line})
	}
	if !p.wanted[i] {
		return nil
	}
	if p.open = 0; !ends {
		p.open = i + 1
	}
	return p.piece(w, i, line, begins, ends)
}
