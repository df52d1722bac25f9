package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/supervise"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/term"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// banner tells the person in front of a session that the monitor stopped it.
// Nothing inside can: it stands still, tmux with it. So it is written over the
// picture here, and tmux paints over it when it goes on.
type banner struct {
	home home.Home
	name string
	out  io.Writer

	mu  sync.Mutex
	ctl *incus.Control
}

// control hands over what can change the size of the terminal inside.
func (b *banner) control(ctl *incus.Control) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ctl = ctl
}

// follow shows the banner while the container is frozen, until the context ends.
func (b *banner) follow(ctx context.Context, t *term.Terminal) {
	path := b.home.Run(b.name + run.WatchStatusFile)
	for shown := ""; ; {
		var st run.WatchStatus
		err := run.Wait(ctx, path, func([]byte) bool {
			st = run.WatchStatus{}
			return run.Read(path, &st) == nil && eventOf(st) != shown
		})
		if err != nil {
			return
		}
		if shown = eventOf(st); shown != "" {
			_, _ = io.WriteString(b.out, b.paint(st))
			continue
		}
		b.repaint(t)
	}
}

// tellFrozen says on the error stream that the monitor stopped a command that has
// no terminal of its own, each time, until the context ends.
func tellFrozen(ctx context.Context, c *cli.Context, h home.Home, name string) {
	path := h.Run(name + run.WatchStatusFile)
	for told := ""; ; {
		var st run.WatchStatus
		err := run.Wait(ctx, path, func([]byte) bool {
			st = run.WatchStatus{}
			return run.Read(path, &st) == nil && eventOf(st) != told
		})
		if err != nil {
			return
		}
		if told = eventOf(st); told == "" {
			continue
		}
		if w, ends := endsIt(h, name, st); ends {
			hints := []string{"coi audit " + name}
			if w.Settings.ForensicsOnKill {
				hints = append(hints, "coi list --all")
			}
			c.Warn(fmt.Sprintf("the monitor ends %s: %s: %s", name, st.FrozenLevel, st.FrozenTitle), hints...)
		} else {
			c.Warn(fmt.Sprintf("the monitor stopped %s: %s: %s", name, st.FrozenLevel, st.FrozenTitle),
				"coi unfreeze "+name, "coi watch allow "+st.Frozen.Event, "coi kill "+name)
		}
	}
}

// endsIt reports whether what the monitor froze is about to be killed by it: then
// there is nothing to decide any more.
func endsIt(h home.Home, name string, st run.WatchStatus) (run.Watch, bool) {
	var w run.Watch
	err := run.Read(h.Run(name+run.WatchFile), &w)
	return w, err == nil && supervise.Ends(st, w.Settings)
}

func eventOf(st run.WatchStatus) string {
	if st.Frozen == nil {
		return ""
	}
	return st.Frozen.At.String() + st.Frozen.Event
}

// paint is the banner, in reverse video at the top of the terminal, cut where the
// terminal ends, with the cursor left where it was. The bell rings if that is
// asked for.
func (b *banner) paint(st run.WatchStatus) string {
	lines := []string{
		fmt.Sprintf("coi: the monitor stopped this session: %s: %s", st.FrozenLevel, cli.Escape(st.FrozenTitle)),
		"  see it     coi monitor " + b.name,
		"  go on      coi unfreeze " + b.name,
		"  remember   coi watch allow " + st.Frozen.Event,
		"  end it     coi kill " + b.name,
	}
	w, ends := endsIt(b.home, b.name, st)
	if ends {
		lines = []string{
			fmt.Sprintf("coi: the monitor ends this session: %s: %s", st.FrozenLevel, cli.Escape(st.FrozenTitle)),
			"  see why    coi audit " + b.name,
		}
	}
	var s strings.Builder
	if slices.Contains(w.Settings.Notify, "bell") {
		s.WriteByte('\a')
	}
	s.WriteString("\x1b7\x1b[?7l") // remember the cursor, do not wrap
	for i, l := range lines {
		fmt.Fprintf(&s, "\x1b[%d;1H\x1b[0;7m\x1b[2K%s", i+1, l)
	}
	s.WriteString("\x1b[0m\x1b[?7h\x1b8")
	return s.String()
}

// repaint has tmux draw everything again: it does when the size changes.
func (b *banner) repaint(t *term.Terminal) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ctl == nil {
		return
	}
	width, height := t.Size()
	_ = b.ctl.Resize(width, height-1)
	_ = b.ctl.Resize(width, height)
}
