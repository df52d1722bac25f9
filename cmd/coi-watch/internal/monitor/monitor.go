// Package monitor lays out the view of a container for a terminal. All text
// that came from the container is escaped and measured in cells.
package monitor

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/mattn/go-runewidth"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/view"
	"github.com/code-on-incus/coi/pkg/cli"
)

// section is a part of the screen; the first lines of it are shown when the
// whole does not fit.
type section struct {
	title string
	lines []string
	least int
}

// Render returns the lines of a view in width cells, 0 for no limit. height
// bounds the number of lines, 0 for no limit: sections are cut, never left out.
func Render(v view.View, width, height int) []string {
	secs := []section{threats(v, width), network(v, width), processes(v, width), {"FILES", []string{files(v)}, 1}, {"RESOURCES", []string{resources(v)}, 1}, {"LOST EVENTS", []string{strconv.Itoa(v.Watcher.Lost)}, 1}}
	if height > 0 {
		shrink(secs, height-len(header(v))-2*len(secs))
	}
	out := header(v)
	for _, s := range secs {
		out = append(out, "", s.title)
		out = append(out, s.lines...)
	}
	if width > 0 {
		for i := range out {
			out[i] = runewidth.Truncate(out[i], width, "…")
		}
	}
	if height > 0 && len(out) > height {
		out = out[:height]
	}
	return out
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
		n := max(s.least, len(s.lines)-(total-room))
		s.lines = s.lines[:n]
	}
}

func header(v view.View) []string {
	state := "watched by " + strings.Join(v.Watcher.Sources, " ")
	switch {
	case !v.Watcher.Running:
		state = "NOT WATCHED: coi-watch is not running"
	case v.Watcher.Frozen:
		state = "FROZEN: coi unfreeze " + v.Container + " goes on, coi watch allow ID goes on and remembers, coi kill " + v.Container + " ends it"
	}
	mode := v.Mode
	if mode == "" {
		mode = "unknown"
	}
	out := []string{
		cli.Escape(fmt.Sprintf("%s  network %s  %s", v.Container, mode, v.Timestamp.Local().Format("15:04:05"))), cli.Escape(state),
	}
	for _, e := range v.Errors {
		out = append(out, "problem: "+cli.Escape(e))
	}
	return out
}

func table(cols []cli.Column, rows [][]string, width int) []string {
	if len(rows) == 0 {
		return []string{"none"}
	}
	return strings.Split(strings.TrimRight(cli.FormatTable(cols, rows, width), "\n"), "\n")
}

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

func threats(v view.View, width int) section {
	var rows [][]string
	for i := len(v.Threats) - 1; i >= 0; i-- { // newest first
		t := v.Threats[i]
		rows = append(rows, []string{t.TS.Local().Format("15:04:05"), t.Level, t.Action, t.Title, t.ID, line(t.Argv)})
	}
	return section{"THREATS", table([]cli.Column{{Name: "TIME"}, {Name: "LEVEL"}, {Name: "ACTION"}, {Name: "TITLE", Flex: true}, {Name: "ID"}, {Name: "COMMAND", Flex: true}}, rows, width), 4}
}

func network(v view.View, width int) section {
	var rows [][]string
	for _, n := range v.Network.Connections {
		rows = append(rows, []string{n.Protocol, n.LocalAddr, n.RemoteAddr, n.Name, n.State, n.Verdict})
	}
	return section{"NETWORK", table([]cli.Column{{Name: "PROTO"}, {Name: "LOCAL"}, {Name: "REMOTE"}, {Name: "NAME", Flex: true}, {Name: "STATE"}, {Name: "VERDICT"}}, rows, width), 2}
}

func processes(v view.View, width int) section {
	var rows [][]string
	for _, p := range v.Processes.List {
		rows = append(rows, []string{strconv.Itoa(p.PID), p.User, line(p.Command), strings.Join(p.Flags, ",")})
	}
	s := section{fmt.Sprintf("PROCESSES (%d)", v.Processes.Total), table([]cli.Column{{Name: "PID"}, {Name: "USER"}, {Name: "COMMAND", Flex: true}, {Name: "FLAG"}}, rows, width), 3}
	return s
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
