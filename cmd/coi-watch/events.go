package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// eventsCmd shows what happens.
type eventsCmd struct {
	cli.Format
	Container string        `arg:"" optional:"" help:"Only this container."`
	Type      []string      `help:"Only these types (exec, open, connect …)." placeholder:"TYPE"`
	Since     time.Duration `default:"60s" help:"How far back to begin, at most a minute."`
	NoFollow  bool          `name:"no-follow" help:"Print what is there and end."`
}

// Run prints the last minute, then what comes, until it is interrupted.
func (e *eventsCmd) Run(c *cli.Context) error {
	h, err := c.Home()
	if err != nil {
		return err
	}
	for _, t := range e.Type {
		if !event.Type(t).Valid() {
			return cli.Usage("unknown type %q", t).Hint("one of %s", typeList())
		}
	}
	names, err := run.Names(h.Run(), run.WatchEventsFile)
	if err != nil {
		return err
	}
	if e.Container != "" {
		if !slices.Contains(names, e.Container) {
			return cli.Fail(coi.ExitNoContainer, "no events of a container %q", e.Container).Hint("coi watch status")
		}
		names = []string{e.Container}
	}
	f := &eventFollower{cmd: e, c: c, h: h, since: time.Now().Add(-e.Since), seen: map[string]uint64{}}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, n := range names {
			if err := f.show(n); err != nil {
				return err
			}
		}
		if e.NoFollow {
			return nil
		}
		select {
		case <-c.Done():
			return nil
		case <-tick.C:
		}
	}
}

func typeList() string {
	var words []string
	for _, t := range event.Types {
		words = append(words, string(t))
	}
	return strings.Join(words, " ")
}

// eventFollower remembers the last event that was shown of each container.
type eventFollower struct {
	cmd   *eventsCmd
	c     *cli.Context
	h     home.Home
	since time.Time
	seen  map[string]uint64
}

// show prints what came since the last call. The file is replaced now and
// then, so events are told apart by their number, not by their place.
func (f *eventFollower) show(name string) error {
	b, err := home.ReadFile(f.h.Run(name + run.WatchEventsFile))
	if err != nil {
		if home.Missing(err) {
			return nil
		}
		return err
	}
	for len(b) > 0 {
		line, rest, whole := bytes.Cut(b, []byte("\n"))
		if !whole {
			return nil // not finished
		}
		b = rest
		ev, err := event.Unmarshal(line)
		if err != nil || ev.Seq <= f.seen[name] || ev.TS.Before(f.since) {
			continue
		}
		f.seen[name] = ev.Seq
		if len(f.cmd.Type) > 0 && !slices.Contains(f.cmd.Type, string(ev.Type)) {
			continue
		}
		if err := f.print(ev); err != nil {
			return err
		}
	}
	return nil
}

func (f *eventFollower) print(ev event.Event) error {
	if f.cmd.IsJSON() {
		line, err := asciiJSON(ev)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(f.c.Stdout, line)
		return err
	}
	_, err := fmt.Fprintf(f.c.Stdout, "%s  %-10s  %-8s  %7d  %s\n", ev.TS.Local().Format("15:04:05.000"), cli.Escape(ev.Container), ev.Type, ev.PID, cli.Escape(what(ev)))
	return err
}

// asciiJSON is one event with everything outside printable ASCII escaped, so
// that a terminal is safe from what a container put into a name.
func asciiJSON(ev event.Event) (string, error) {
	b, err := event.Marshal(ev)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for _, r := range string(b) {
		switch {
		case r < 0x80 && r != 0x7f:
			out.WriteRune(r)
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&out, `\u%04x\u%04x`, 0xd800+(r>>10), 0xdc00+(r&0x3ff))
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	if !json.Valid([]byte(out.String())) {
		return "", fmt.Errorf("event %d of %s is no JSON", ev.Seq, ev.Container)
	}
	return out.String(), nil
}

// what is an event in a few words.
func what(ev event.Event) string {
	switch ev.Type {
	case event.Exec:
		return strings.Join(ev.Argv, " ")
	case event.Fork, event.Exit:
		return path.Base("/" + ev.Exe)
	case event.Connect, event.Listen, event.Accept:
		peer := ev.Peer
		if peer == "" {
			peer = ev.Local
		}
		return strings.TrimSpace(path.Base("/"+ev.Exe) + " " + ev.Proto + " " + ev.Dir + " " + peer + " " + strconv.Itoa(ev.Port))
	case event.Counter:
		var parts []string
		for _, k := range []string{"pids", "growth", "cpu_cores", "mem_mb", "read_mb", "written_mb", "lost"} {
			if v, ok := ev.N[k]; ok {
				parts = append(parts, fmt.Sprintf("%s=%.4g", k, v))
			}
		}
		return strings.Join(parts, " ")
	case event.Authlog, event.Net, event.DNS:
		return strings.TrimSpace(ev.Op + " " + ev.Name + " " + ev.Text)
	}
	return strings.TrimSpace(path.Base("/"+ev.Exe) + " " + ev.Op + " " + ev.Path + " " + ev.Path2)
}
