package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/monitor"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/netrec"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/view"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/pick"
	"github.com/code-on-incus/coi/pkg/run"
)

// monitorGrammar is `coi monitor`.
type monitorGrammar struct {
	cli.Globals
	cli.Format
	pick.Flags
	Name  string `arg:"" optional:"" name:"container" help:"Container or alias; needless when only one is watched."`
	Watch int    `placeholder:"N" help:"Show it again every N seconds."`
	Once  bool   `help:"Show it once; so it is off a terminal."`
}

func monitorCommand() cli.Command {
	return cli.Command{
		Verb:     "monitor",
		Summary:  "watch one container live",
		Detail:   "Shows findings, connections, processes, files and use of one container. q ends the live view.",
		Examples: []string{"coi monitor", "coi monitor --json | jq .watcher.running"},
		Grammar:  &monitorGrammar{},
	}
}

// Run shows the view once, again and again, or live.
func (m *monitorGrammar) Run(c *cli.Context) error {
	if m.IsJSON() && m.Watch != 0 {
		return cli.Usage("--json shows the view once: it does not go with --watch")
	}
	if m.Watch < 0 {
		return cli.Usage("--watch wants a number of seconds")
	}
	h, err := c.Home()
	if err != nil {
		return err
	}
	name, err := m.which(c, h)
	if err != nil {
		return err
	}
	switch {
	case m.IsJSON():
		v, err := readView(h, name, time.Now())
		if err != nil {
			return err
		}
		return c.PrintJSON(v.Safe())
	case m.Once || m.Watch == 0 && !cli.IsTerminal(c.Stdout):
		return m.print(c, h, name)
	case m.Watch > 0:
		return m.again(c, h, name)
	}
	return m.live(c, h, name)
}

// which is the container that was named, that of the workspace, or the only one
// that is watched.
func (m *monitorGrammar) which(c *cli.Context, h home.Home) (string, error) {
	watched, err := run.Names(h.Run(), run.WatchFile)
	if err != nil {
		return "", err
	}
	name, err := m.Find(c, m.Name)
	if err != nil {
		var e *cli.Error
		if errors.As(err, &e) && e.Code == coi.ExitNoContainer && len(watched) == 1 && m.unnamed(c) {
			return watched[0], nil
		}
		return "", err
	}
	if !slices.Contains(watched, name) {
		if len(watched) == 1 && m.unnamed(c) {
			return watched[0], nil
		}
		return "", cli.Fail(coi.ExitNoContainer, "%s is not watched", name).Hint("coi list")
	}
	return name, nil
}

// unnamed reports whether nothing typed or exported says which container.
func (m *monitorGrammar) unnamed(c *cli.Context) bool {
	return m.Name == "" && m.Flags == (pick.Flags{}) && c.Getenv("COI_CONTAINER") == ""
}

// readView reads the view of a container and says whether anybody still keeps
// it up to date.
func readView(h home.Home, name string, now time.Time) (view.View, error) {
	v := view.New(name)
	if err := run.Read(h.Run(name+run.WatchViewFile), &v); err != nil && !home.Missing(err) {
		return v, err
	}
	var d run.Daemon
	_ = run.Read(h.Run(run.WatchDaemonFile), &d) // a missing file is a daemon that never ran
	v.Watcher.Running = d.Alive(now)
	var s run.Session
	if run.Read(h.Run(name+run.SessionFile), &s) == nil {
		v.Mode = s.Mode
	}
	v.Judge(guardVerdicts(h, name))
	return v, nil
}

// guardVerdicts are the names and verdicts of the firewall by destination.
func guardVerdicts(h home.Home, name string) map[string]view.Verdict {
	out := map[string]view.Verdict{}
	for _, u := range netrec.ReadView(h, name).Used {
		v := view.Verdict{Verdict: "allowed"}
		if len(u.Names) > 0 {
			v.Name = u.Names[0]
		}
		out[view.Join(u.Addr, u.Port)] = v
	}
	return out
}

func (m *monitorGrammar) print(c *cli.Context, h home.Home, name string) error {
	v, err := readView(h, name, time.Now())
	if err != nil {
		return err
	}
	for _, line := range monitor.Render(v, c.Width(), 0) {
		if _, err := fmt.Fprintln(c.Stdout, line); err != nil {
			return err
		}
	}
	return nil
}

func (m *monitorGrammar) again(c *cli.Context, h home.Home, name string) error {
	tick := time.NewTicker(time.Duration(m.Watch) * time.Second)
	defer tick.Stop()
	for {
		if !watched(h, name) {
			c.Note(name + " is gone")
			return nil
		}
		if err := m.print(c, h, name); err != nil {
			return err
		}
		select {
		case <-c.Done():
			return nil
		case <-tick.C:
		}
	}
}

// watched reports whether anybody wants the container watched.
func watched(h home.Home, name string) bool {
	_, err := os.Stat(h.Run(name + run.WatchFile))
	return err == nil
}

// screen is what a live view shows: what is now, or what was before the end.
type screen struct {
	h    home.Home
	name string
	last view.View
}

func (s *screen) next(now time.Time) (view.View, error) {
	if !watched(s.h, s.name) {
		s.last.Ended = true
		return s.last, nil
	}
	v, err := readView(s.h, s.name, now)
	if err != nil {
		return v, err
	}
	if v.Timestamp.IsZero() && !s.last.Timestamp.IsZero() && !s.last.Ended {
		return s.last, nil // it is about to end: its view goes first
	}
	s.last = v
	if v.Watcher.Running && !v.Timestamp.IsZero() {
		v.Timestamp = now // the file is written anew when something changes: it tells of this moment
	}
	return v, nil
}

// live shows the view on the whole terminal until q is pressed.
func (m *monitorGrammar) live(c *cli.Context, h home.Home, name string) error {
	in, ok := c.Stdin.(*os.File)
	out, ok2 := c.Stdout.(*os.File)
	if !ok || !ok2 || !term.IsTerminal(int(in.Fd())) {
		return m.print(c, h, name)
	}
	old, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return fmt.Errorf("terminal: %w", err)
	}
	defer func() { _ = term.Restore(int(in.Fd()), old) }()
	_, _ = fmt.Fprint(out, "\x1b[?1049h\x1b[?25l")
	defer func() { _, _ = fmt.Fprint(out, "\x1b[?25h\x1b[?1049l") }()
	keys := make(chan byte, 8)
	go readKeys(in, keys)
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	s := screen{h: h, name: name, last: view.New(name)}
	for {
		w, height, err := term.GetSize(int(out.Fd()))
		if err != nil {
			return err
		}
		v, err := s.next(time.Now())
		if err != nil {
			return err
		}
		lines := monitor.Render(v, w, height)
		_, _ = fmt.Fprint(out, "\x1b[H"+strings.Join(lines, "\x1b[K\r\n")+"\x1b[K\x1b[J")
		select {
		case <-c.Done():
			return nil
		case k := <-keys:
			if k == 'q' || k == 'Q' || k == 3 { // 3: Ctrl-C, which a raw terminal does not turn into a signal
				return nil
			}
		case <-tick.C:
		}
	}
}

func readKeys(in *os.File, keys chan<- byte) {
	b := make([]byte, 1)
	for {
		n, err := in.Read(b)
		if n == 1 {
			keys <- b[0]
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
	}
}
