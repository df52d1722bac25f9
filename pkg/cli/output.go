package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"
	"golang.org/x/term"
)

// Format is the flag pair --format text|json and --json; a grammar embeds it.
type Format struct {
	Format string `enum:"text,json" default:"text" placeholder:"text|json" help:"Output format."`
	JSON   bool   `name:"json" help:"Same as --format json."`
}

// IsJSON reports whether JSON was asked for.
func (f Format) IsJSON() bool { return f.JSON || f.Format == "json" }

// PrintJSON writes v as one indented document with a final newline.
func (c *Context) PrintJSON(v any) error {
	e := json.NewEncoder(c.Stdout)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// IsTerminal reports whether a stream is a terminal.
func IsTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Width is the number of cells of stdout: of its terminal, else COLUMNS, else 0
// for no limit.
func (c *Context) Width() int {
	if f, ok := c.Stdout.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			return w
		}
	}
	if n, err := strconv.Atoi(c.Getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	return 0
}

// Colour reports whether a stream may get colours.
func (c *Context) Colour(stream io.Writer) bool {
	return IsTerminal(stream) && !c.NoColor && c.Getenv("NO_COLOR") == "" && c.Getenv("TERM") != "dumb" && c.Getenv("TERM") != ""
}

// Column is a heading of a table. A flexible one shrinks and drops when the
// terminal is narrow.
type Column struct {
	Name string
	Flex bool
}

// Table prints rows under columns, fitted to Width. Cells are escaped.
func (c *Context) Table(cols []Column, rows [][]string) error {
	_, err := io.WriteString(c.Stdout, FormatTable(cols, rows, c.Width()))
	return err
}

const minFlex = 12

// FormatTable lays out a table in width cells; 0 means no limit. Under 60 cells
// each row becomes a block of "key: value" lines.
func FormatTable(cols []Column, rows [][]string, width int) string {
	clean := make([][]string, len(rows))
	for i, r := range rows {
		clean[i] = make([]string, len(cols))
		for j := range cols {
			if j < len(r) {
				clean[i][j] = Escape(r[j])
			}
		}
	}
	var b strings.Builder
	if width > 0 && width < 60 {
		for i, r := range clean {
			if i > 0 {
				b.WriteByte('\n')
			}
			for j, col := range cols {
				line := strings.ToLower(col.Name) + ": " + r[j]
				if j > 0 {
					line = runewidth.Truncate(line, width, "…")
				}
				b.WriteString(strings.TrimRight(line, " ") + "\n")
			}
		}
		return b.String()
	}
	widths, show := fit(cols, clean, width)
	line := func(cells func(int) string) {
		var parts []string
		for j := range cols {
			if show[j] {
				parts = append(parts, runewidth.FillRight(runewidth.Truncate(cells(j), widths[j], "…"), widths[j]))
			}
		}
		b.WriteString(strings.TrimRight(strings.Join(parts, "  "), " ") + "\n")
	}
	line(func(j int) string { return cols[j].Name })
	for _, r := range clean {
		line(func(j int) string { return r[j] })
	}
	return b.String()
}

func fit(cols []Column, rows [][]string, width int) (widths []int, show []bool) {
	widths, show = make([]int, len(cols)), make([]bool, len(cols))
	for j, col := range cols {
		show[j] = true
		widths[j] = runewidth.StringWidth(col.Name)
		for _, r := range rows {
			widths[j] = max(widths[j], runewidth.StringWidth(r[j]))
		}
	}
	if width == 0 {
		return widths, show
	}
	total := func() int {
		sum := -2
		for j := range cols {
			if show[j] {
				sum += widths[j] + 2
			}
		}
		return sum
	}
	for j := len(cols) - 1; j > 0; j-- {
		if over := total() - width; over > 0 && cols[j].Flex && widths[j] > minFlex {
			widths[j] = max(minFlex, widths[j]-over)
		}
	}
	for j := len(cols) - 1; j > 0 && total() > width; j-- {
		if cols[j].Flex {
			show[j] = false
		}
	}
	for j := len(cols) - 1; j > 0 && total() > width; j-- {
		show[j] = false
	}
	return widths, show
}

// Step shows progress of something that may take more than a second: "name …
// 12s" on stderr, rewritten in place on a terminal, one line otherwise. The
// returned function ends it. Nothing is shown before a second has passed, or
// with --quiet.
func (c *Context) Step(name string) (update func(detail string), done func()) {
	if c.Quiet {
		return func(string) {}, func() {}
	}
	start, tty := time.Now(), IsTerminal(c.Stderr)
	stop, ended := make(chan struct{}), make(chan struct{})
	details := make(chan string, 16)
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		detail, shown := "", false
		for {
			select {
			case <-stop:
				if shown && !tty {
					return
				}
				c.wipe()
				return
			case detail = <-details:
			case <-tick.C:
				text := fmt.Sprintf("%s … %ds", name, int(time.Since(start).Seconds()))
				if detail != "" {
					text += " " + detail
				}
				if tty {
					c.show(text)
				} else if !shown {
					_, _ = fmt.Fprintln(c.Stderr, Escape(name)+" …")
				}
				shown = true
			}
		}
	}()
	var once bool
	return func(d string) {
			select {
			case details <- d:
			default:
			}
		}, func() {
			if !once {
				once = true
				close(stop)
				<-ended
			}
		}
}

func (c *Context) show(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	width := 80
	if f, ok := c.Stderr.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			width = w
		}
	}
	c.live = runewidth.Truncate(Escape(text), width-1, "…")
	_, _ = fmt.Fprint(c.Stderr, "\r\x1b[K"+c.live)
}

func (c *Context) wipe() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.live != "" {
		c.live = ""
		_, _ = fmt.Fprint(c.Stderr, "\r\x1b[K")
	}
}
