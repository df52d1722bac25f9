package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/pkg/cli"
)

// insideUser names the user of a process as the container numbers it: the host
// uid less the start of the container's range.
func insideUser(i incus.Instance, uid int) string {
	base, err := strconv.Atoi(i.Config["volatile.idmap.base"])
	if err == nil && uid >= base {
		if uid -= base; uid == 0 {
			return "root"
		}
	}
	return strconv.Itoa(uid)
}

// live refreshes until N samples were shown, q, or Ctrl+C.
func (t *topCmd) live(c *cli.Context, s *sampler) error {
	keys, restore := t.screen(c)
	defer restore()
	show := t.procs()
	tick := time.NewTicker(s.interval)
	defer tick.Stop()
	// The first sample has no rates; it is only the start of the first interval.
	if _, err := t.sample(c, s, show); err != nil {
		return err
	}
	for n := 0; t.Watch == 0 || n < t.Watch; {
		select {
		case <-c.Done():
			return nil // Ctrl+C is how a live view ends
		case k, open := <-keys:
			if !open || k == 'q' || k == 3 {
				return nil
			}
			if show = t.key(k, show, s); k != 's' && k != 'p' {
				continue
			}
		case <-tick.C:
			n++
		}
		text, err := t.sample(c, s, show)
		if err != nil {
			return err
		}
		t.draw(c, text, keys != nil)
	}
	return nil
}

func (t *topCmd) key(k byte, procs bool, s *sampler) bool {
	switch k {
	case 's':
		sorts := topSorts
		if procs {
			sorts = topSorts[:2]
		}
		t.Sort = sorts[(slices.Index(sorts, t.Sort)+1)%len(sorts)]
	case 'p':
		procs = !procs
		t.Sort = "cpu"
		s.lastProc = map[procKey]time.Duration{}
	}
	return procs
}

// screen switches a terminal to its other screen and reads single keys. Off a
// terminal keys is nil and lines are simply printed.
func (t *topCmd) screen(c *cli.Context) (keys chan byte, restore func()) {
	in, isFile := c.Stdin.(*os.File)
	if !isFile || !cli.IsTerminal(c.Stdin) || !cli.IsTerminal(c.Stdout) || c.Getenv("TERM") == "dumb" {
		return nil, func() {}
	}
	old, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return nil, func() {}
	}
	_, _ = fmt.Fprint(c.Stdout, "\x1b[?1049h\x1b[?25l")
	keys = make(chan byte)
	go func() {
		b := make([]byte, 1)
		for {
			if n, err := in.Read(b); err != nil || n == 0 {
				return
			}
			select {
			case keys <- b[0]:
			case <-c.Done():
				return
			}
		}
	}()
	return keys, func() {
		_, _ = fmt.Fprint(c.Stdout, "\x1b[?25h\x1b[?1049l")
		_ = term.Restore(int(in.Fd()), old)
	}
}

func (t *topCmd) draw(c *cli.Context, text string, screen bool) {
	if !screen {
		_, _ = fmt.Fprint(c.Stdout, text)
		return
	}
	height := 24
	if f, isFile := c.Stdout.(*os.File); isFile {
		if _, h, err := term.GetSize(int(f.Fd())); err == nil && h > 2 {
			height = h
		}
	}
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(lines) > height-1 {
		lines = lines[:height-1]
	}
	_, _ = fmt.Fprint(c.Stdout, "\x1b[H\x1b[2J"+strings.Join(lines, "\r\n"))
}

func (t *topCmd) sample(c *cli.Context, s *sampler, procs bool) (string, error) {
	if procs {
		rows, err := s.processes()
		if err != nil {
			return "", err
		}
		sortProcs(rows, t.Sort)
		cells := make([][]string, len(rows))
		for i, r := range rows {
			cells[i] = []string{strconv.Itoa(r.PID), r.User, fmt.Sprintf("%.1f", r.CPU), fmt.Sprintf("%.0fM", r.Memory), r.Command}
		}
		return cli.FormatTable([]cli.Column{{Name: "PID"}, {Name: "USER"}, {Name: "CPU%"}, {Name: "MEM"}, {Name: "COMMAND", Flex: true}}, cells, c.Width()), nil
	}
	rows, err := s.containers()
	if err != nil {
		return "", err
	}
	sortTop(rows, t.Sort)
	return cli.FormatTable(topColumns, topCells(rows), c.Width()), nil
}

var topColumns = []cli.Column{
	{Name: "CONTAINER"},
	{Name: "CPU%"},
	{Name: "MEM"},
	{Name: "MEM-LIMIT"},
	{Name: "DISK-R"},
	{Name: "DISK-W"},
	{Name: "NET-RX"},
	{Name: "NET-TX"},
	{Name: "PIDS"},
	{Name: "ALIAS", Flex: true},
	{Name: "WORKSPACE", Flex: true},
}

func topCells(rows []topRow) [][]string {
	var out [][]string
	for _, r := range rows {
		if r.stopped {
			out = append(out, []string{r.Name, "stopped", "", "", "", "", "", "", "", r.Alias, r.Workspace})
			continue
		}
		limit := "-"
		if r.MemoryLimit > 0 {
			limit = fmt.Sprintf("%.0fM", r.MemoryLimit)
		}
		out = append(out, []string{
			r.Name, fmt.Sprintf("%.1f", r.CPU), fmt.Sprintf("%.0fM", r.Memory), limit,
			fmt.Sprintf("%.1fM/s", r.DiskRead), fmt.Sprintf("%.1fM/s", r.DiskWrite), fmt.Sprintf("%.2fM/s", r.NetRX), fmt.Sprintf("%.2fM/s", r.NetTX),
			strconv.Itoa(r.Processes), r.Alias, r.Workspace,
		})
	}
	return out
}
