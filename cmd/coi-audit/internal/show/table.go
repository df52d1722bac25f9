package show

import (
	"bufio"
	"strings"

	"github.com/mattn/go-runewidth"
)

const (
	learn    = 500 // rows whose widths decide the columns
	joinBack = 64  // rows a record is held for the one that tells its process
	minFlex  = 12
	minTable = 60 // cells; below, each row is a block
)

// Table writes rows of TIME LEVEL ACTION RULE TITLE WHO. Its columns are
// fitted to Width cells, or not cut at all when Width is 0.
type Table struct {
	W      *bufio.Writer
	Width  int
	Colour bool
	Join   bool // show the process of a net.who record with the attempt it belongs to
	// Known are the processes of attempts whose net.who record is not among the
	// lines that are written, by what Who gives.
	Known map[string]string

	clock  clock
	held   []parsed
	widths [columns]int
	shown  [columns]bool
	ready  bool
	blocks int
}

// Line is Writer.
func (t *Table) Line(line []byte) error {
	p := t.clock.parse(line)
	if t.Join && p.isWho && t.join(&p) {
		return nil
	}
	if who := t.Known[p.key]; t.Join && who != "" {
		p.cells[colWho] = who
	}
	t.held = append(t.held, p)
	if !t.ready && len(t.held) < learn {
		return nil
	}
	t.fit()
	if len(t.held) >= 2*joinBack {
		return t.out(len(t.held) - joinBack)
	}
	return nil
}

// Who is the process that a net.who record names and the keys of the records
// that it belongs to.
func Who(line []byte) (who string, keys []string) {
	p := new(clock).parse(line)
	return p.cells[colWho], p.refs
}

// join puts the process to the records it belongs to. It reports whether they
// were all still here.
func (t *Table) join(p *parsed) bool {
	done := 0
	for _, ref := range p.refs {
		for i := len(t.held) - 1; i >= 0; i-- {
			if t.held[i].key == ref {
				t.held[i].cells[colWho] = p.cells[colWho]
				done++
				break
			}
		}
	}
	return done > 0 && done == len(p.refs)
}

// Flush is Writer.
func (t *Table) Flush(final bool) error {
	if len(t.held) > 0 {
		t.fit()
		if err := t.out(len(t.held)); err != nil {
			return err
		}
	}
	return t.W.Flush()
}

// fit decides the widths by the rows that are here, once.
func (t *Table) fit() {
	if t.ready {
		return
	}
	t.ready = true
	for i, h := range headings {
		t.widths[i], t.shown[i] = len(h), true
		for _, r := range t.held {
			t.widths[i] = max(t.widths[i], cells(r.cells[i]))
		}
	}
	t.widths[colTime] = max(t.widths[colTime], 19)
	t.widths[colLevel] = max(t.widths[colLevel], len("critical"))
	if t.Width > 0 {
		t.shrink()
	}
	if t.Width == 0 || t.Width >= minTable {
		t.write(headings, "")
	}
}

func (t *Table) total() int {
	sum := -2
	for i := range columns {
		if t.shown[i] {
			sum += t.widths[i] + 2
		}
	}
	return sum
}

// shrink takes from the flexible columns, then drops from the right.
func (t *Table) shrink() {
	for _, i := range []int{colWho, colTitle, colWho} {
		if over := t.total() - t.Width; over > 0 {
			least := minFlex
			if i == colWho {
				least = min(20, t.widths[i])
			}
			if t.widths[i] > least {
				t.widths[i] = max(least, t.widths[i]-over)
			}
		}
	}
	for i := columns - 1; i > 0 && t.total() > t.Width; i-- {
		t.shown[i] = false
	}
	if free := t.Width - t.total(); free > 0 && t.shown[colTitle] && !t.shown[colWho] {
		t.widths[colTitle] += free
	}
}

func (t *Table) out(n int) error {
	for i := range n {
		if t.Width > 0 && t.Width < minTable {
			t.block(t.held[i].cells)
		} else {
			t.write(t.held[i].cells, t.held[i].cells[colLevel])
		}
	}
	t.held = append(t.held[:0], t.held[n:]...)
	if t.W.Buffered() > 0 {
		return nil
	}
	return t.W.Flush()
}

var colours = map[string]string{"warning": "\x1b[33m", "high": "\x1b[31m", "critical": "\x1b[1;31m"}

func (t *Table) write(c [columns]string, level string) {
	last := columns - 1
	for last > 0 && (!t.shown[last] || c[last] == "") {
		last--
	}
	for i := range last + 1 {
		if !t.shown[i] {
			continue
		}
		text := c[i]
		n := cells(text)
		if t.Width > 0 && n > t.widths[i] {
			text = runewidth.Truncate(text, t.widths[i], "…")
			n = cells(text)
		}
		if colour := colours[level]; i == colLevel && t.Colour && colour != "" {
			text = colour + text + "\x1b[0m"
		}
		_, _ = t.W.WriteString(text)
		if i < last {
			_, _ = t.W.WriteString(spaces(t.widths[i] - n + 2))
		}
	}
	_ = t.W.WriteByte('\n')
}

// block is a row on a terminal too narrow for a table.
func (t *Table) block(c [columns]string) {
	if t.blocks++; t.blocks > 1 {
		_ = t.W.WriteByte('\n')
	}
	for i, text := range c {
		line := strings.ToLower(headings[i]) + ": " + text
		if i > 0 {
			line = runewidth.Truncate(line, t.Width, "…")
		}
		_, _ = t.W.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}

const blank = "                                                                "

func spaces(n int) string {
	if n <= len(blank) {
		return blank[:max(n, 1)]
	}
	return strings.Repeat(" ", n)
}

// cells is the display width of text.
func cells(s string) int {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return runewidth.StringWidth(s)
		}
	}
	return len(s)
}
