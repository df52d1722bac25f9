// Package monitor lays out the view of a container for a terminal. All text
// that came from the container is escaped and measured in cells.
package monitor

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/mattn/go-runewidth"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/view"
	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/cli"
)

// section is a part of the screen; the first lines of it are shown when the
// whole does not fit.
type section struct {
	title string
	lines []string
	least int
	rows  int // of a table; its first line names the columns
}

// Render returns the lines of a view in width cells, 0 for no limit. height is
// that of the screen of a live view, 0 for none: sections are cut there, and say
// so, but are not left out.
func Render(v view.View, width, height int) []string {
	live := height > 0
	head := header(v, live)
	tables := []section{threats(v, width, live), network(v, width, live), processes(v, width, live)}
	single := []section{{title: "FILES", lines: []string{files(v)}}, {title: "RESOURCES", lines: []string{resources(v)}}, {title: "LOST EVENTS", lines: []string{strconv.Itoa(v.Watcher.Lost)}}}
	out := head
	if live {
		out = append(out, fill(tables, single, height-len(head))...)
	} else {
		for _, s := range append(tables, single...) {
			out = append(out, "", s.title)
			out = append(out, s.lines...)
		}
	}
	if width > 0 {
		for i := range out {
			out[i] = runewidth.Truncate(out[i], width, "…")
		}
	}
	if live && len(out) > height {
		out = out[:height]
	}
	return out
}

// fill lays out the sections in so many lines. Empty lines between them go
// before anything else does.
func fill(tables, single []section, room int) (out []string) {
	gap := 1
	least := func() int {
		n := len(tables)*(1+gap) + gap + len(single)
		for _, s := range tables {
			n += min(s.least, len(s.lines))
		}
		return n
	}
	if least() > room {
		gap = 0
	}
	for i := range tables {
		// A screen that is too small even so shows fewer lines of each.
		for least() > room && tables[i].least > 1 {
			tables[i].least--
		}
	}
	shrink(tables, room-len(tables)*(1+gap)-gap-len(single))
	space := make([]string, gap)
	for _, s := range tables {
		out = append(append(append(out, space...), s.name()), s.lines...)
	}
	out = append(out, space...)
	for _, s := range single {
		out = append(out, fmt.Sprintf("%-11s  %s", s.title, s.lines[0]))
	}
	return out
}

// name is the title, with what is not shown.
func (s section) name() string {
	if shown := len(s.lines) - 1; s.rows > 0 && shown < s.rows {
		return fmt.Sprintf("%s, %d of %d shown", s.title, max(0, shown), s.rows)
	}
	return s.title
}

// shrink takes lines from the longest section until all fit.
func shrink(secs []section, room int) {
	for {
		total, longest := 0, -1
		for i, s := range secs {
			total += len(s.lines)
			if len(s.lines) > s.least && (longest < 0 || len(s.lines) > len(secs[longest].lines)) {
				longest = i
			}
		}
		if total <= room || longest < 0 {
			return
		}
		s := &secs[longest]
		s.lines = s.lines[:len(s.lines)-1]
	}
}

func header(v view.View, live bool) []string {
	mode := v.Mode
	if mode == "" {
		mode = "unknown"
	}
	first := cli.Escape(fmt.Sprintf("%s  network %s  %s", v.Container, mode, clock(v)))
	if live {
		first += "  q ends"
	}
	out := []string{first}
	switch {
	case v.Ended:
		out = append(out, "ENDED: nothing of it runs any more; this was seen last")
	case !v.Watcher.Running:
		out = append(out, "NOT WATCHED: coi-watch is not running")
	case v.Watcher.Frozen:
		out = append(out, frozen(v)...)
	case v.Timestamp.IsZero():
		out = append(out, "the watch has not looked yet")
	default:
		out = append(out, cli.Escape("watched by "+strings.Join(v.Watcher.Sources, " ")))
	}
	for _, e := range v.Errors {
		out = append(out, "problem: "+cli.Escape(e))
	}
	return out
}

func clock(v view.View) string {
	if v.Timestamp.IsZero() {
		return "--:--:--"
	}
	return v.Timestamp.Local().Format("15:04:05")
}

// frozen says why, and what can be done, a line each: a screen may be narrow.
func frozen(v view.View) []string {
	out := []string{"FROZEN", "go on: coi unfreeze " + cli.Escape(v.Container), "end it: coi kill " + cli.Escape(v.Container)}
	for i := len(v.Threats) - 1; i >= 0; i-- {
		if t := v.Threats[i]; t.Action == audit.Paused {
			out[0] += ": " + cli.Escape(t.Title)
			return []string{out[0], out[1], "go on and remember: coi watch allow " + cli.Escape(t.ID), out[2]}
		}
	}
	return out
}

// column is one that a live view leaves out where the screen is narrower.
type column struct {
	cli.Column
	from int
}

func col(name string, from int) column { return column{cli.Column{Name: name}, from} }

func flex(name string, from int) column { return column{cli.Column{Name: name, Flex: true}, from} }

// table lays out rows; a live one stays a table in any width.
func table(cols []column, rows [][]string, width int, live bool) []string {
	if len(rows) == 0 {
		return []string{"none"}
	}
	var shown []cli.Column
	cells := make([][]string, len(rows))
	for j, c := range cols {
		if live && width > 0 && width < c.from {
			continue
		}
		shown = append(shown, c.Column)
		for i := range rows {
			cells[i] = append(cells[i], rows[i][j])
		}
	}
	if live && width < narrow {
		width = 0 // the ends of the lines are cut
	}
	return strings.Split(strings.TrimRight(cli.FormatTable(shown, cells, width), "\n"), "\n")
}

// narrow is below what cli.FormatTable makes a table.
const narrow = 60

// maxCommand is how much of a command is shown where no width bounds it: the
// text of a whole script may be one argument.
const maxCommand = 160

func line(argv []string) string {
	r := []rune(strings.Join(argv, " "))
	if len(r) > maxCommand {
		return string(r[:maxCommand-1]) + "…"
	}
	return string(r)
}

func threats(v view.View, width int, live bool) section {
	var rows [][]string
	for i := len(v.Threats) - 1; i >= 0; i-- { // newest first
		t := v.Threats[i]
		rows = append(rows, []string{t.TS.Local().Format("15:04:05"), t.Level, t.Action, t.Title, t.ID, line(t.Argv)})
	}
	cols := []column{col("TIME", 0), col("LEVEL", 0), col("ACTION", narrow), flex("TITLE", 0), col("ID", 80), flex("COMMAND", 110)}
	return section{"THREATS", table(cols, rows, width, live), 4, len(rows)}
}

func network(v view.View, width int, live bool) section {
	var rows [][]string
	for _, n := range v.Network.Connections {
		rows = append(rows, []string{n.Protocol, n.LocalAddr, n.RemoteAddr, n.Name, n.State, n.Verdict})
	}
	cols := []column{col("PROTO", 0), col("LOCAL", 80), col("REMOTE", 0), flex("NAME", narrow), col("STATE", 0), col("VERDICT", 50)}
	return section{"NETWORK", table(cols, rows, width, live), 2, len(rows)}
}

func processes(v view.View, width int, live bool) section {
	var rows [][]string
	for _, p := range v.Processes.List {
		rows = append(rows, []string{strconv.Itoa(p.PID), p.User, line(p.Command), strings.Join(p.Flags, ",")})
	}
	cols := []column{col("PID", 0), col("USER", 40), flex("COMMAND", 0), col("FLAG", narrow)}
	return section{fmt.Sprintf("PROCESSES (%d)", v.Processes.Total), table(cols, rows, width, live), 3, len(rows)}
}

func files(v view.View) string {
	f := v.Filesystem
	return fmt.Sprintf("read %.1f MB (%.1f MB/s)  written %.1f MB (%.1f MB/s)  /tmp %.0f %% full", f.ReadMB, f.ReadRate, f.WriteMB, f.WriteRate, f.TmpUsedPercent)
}

func resources(v view.View) string {
	r := v.Resources
	limit := "no limit"
	if r.MemoryLimitMB > 0 {
		limit = fmt.Sprintf("of %.0f MB", r.MemoryLimitMB)
	}
	return fmt.Sprintf("cpu %.0f %%  memory %.0f MB %s  processes %d", r.CPUPercent, r.MemoryMB, limit, r.Processes)
}
