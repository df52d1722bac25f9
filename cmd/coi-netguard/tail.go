package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/gjson"
	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
	"github.com/code-on-incus/coi/pkg/tail"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/client"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/guard"
)

type tailCmd struct {
	Container string `arg:"" optional:"" help:"Container or alias; default: all."`
	All       bool   `help:"New flows that were let through too."`
	JSON      bool   `name:"json" help:"One JSON object a line."`
}

// attempt is one line of the output.
type attempt struct {
	Time      string `json:"time"`
	Container string `json:"container"`
	Process   string `json:"process,omitempty"`
	Dest      string `json:"dest"`
	Address   string `json:"address,omitempty"`
	Port      int64  `json:"port,omitempty"`
	Proto     string `json:"proto,omitempty"`
	Verdict   string `json:"verdict"`
	Rule      string `json:"rule"`
	Count     int64  `json:"count,omitempty"`
}

func (c *tailCmd) Run(x *cli.Context) error {
	h, err := x.Home()
	if err != nil {
		return err
	}
	var names []string
	if c.Container != "" {
		f, err := client.Open(x, c.Container)
		if err != nil {
			return err
		}
		names = []string{f.Name}
	} else if names, err = client.All(h); err != nil {
		return err
	}
	if len(names) == 0 {
		_, _ = fmt.Fprintln(x.Stderr, "no containers")
		return nil
	}
	ctx, stop := context.WithCancel(x)
	defer stop()
	p := &tailPrinter{x: x, json: c.JSON}
	restore := p.keys(ctx, stop)
	defer restore()
	if c.All {
		for _, n := range names {
			go p.flows(ctx, h, n)
		}
	}
	files := make([]tail.File, len(names))
	for i, n := range names {
		files[i] = atEnd(h.Audit(n + ".jsonl"))
	}
	return tail.Follow(ctx, files, tail.Options{Open: home.Open}, func(ch tail.Chunk) error {
		for line := range strings.Lines(string(ch.Data)) {
			p.line(line)
		}
		return nil
	})
}

// atEnd follows a file from its end on; one that is not there yet from its start.
func atEnd(path string) tail.File {
	f, err := home.Open(path)
	if err != nil {
		return tail.File{Path: path}
	}
	st, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return tail.File{Path: path}
	}
	return tail.File{Path: path, F: f, Offset: st.Size()}
}

type tailPrinter struct {
	x    *cli.Context
	json bool

	mu   sync.Mutex
	last attempt
	tty  bool
}

// line prints one record of the audit trail if it is a refusal.
func (p *tailPrinter) line(line string) {
	r := gjson.Parse(line)
	rule := r.Get("rule").String()
	if r.Get("source").String() != "guard" && rule != "net.who" {
		return
	}
	category := r.Get("category").String()
	if category != "network" && category != "dns" {
		return
	}
	a := attempt{
		Time: r.Get("ts").String(), Container: r.Get("container").String(), Rule: rule, Verdict: r.Get("action").String(), Process: r.Get("exe").String(),
		Address: r.Get("peer").String(), Port: r.Get("port").Int(), Proto: r.Get("proto").String(), Count: r.Get("count").Int(), Dest: r.Get("name").String(),
	}
	if a.Dest == "" {
		a.Dest = r.Get("dns.name").String()
	}
	if a.Dest == "" {
		a.Dest = a.Address
	}
	if rule == "net.who" {
		a.Verdict = "by"
	}
	p.print(a)
}

func (p *tailPrinter) print(a attempt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.json {
		_ = printLine(p.x, a)
		return
	}
	at := a.Time
	if t, err := time.Parse(time.RFC3339Nano, a.Time); err == nil {
		at = t.Local().Format("15:04:05.000")
	}
	to := a.Dest
	if a.Address != "" && a.Address != a.Dest {
		to += " (" + a.Address + ")"
	}
	if a.Port > 0 {
		to += fmt.Sprintf(" port %d", a.Port)
	}
	parts := []string{at, a.Container, a.Verdict, to, a.Proto, a.Rule}
	if a.Process != "" {
		parts = append(parts, a.Process)
	}
	if a.Count > 1 {
		parts = append(parts, fmt.Sprintf("×%d", a.Count))
	}
	_, _ = fmt.Fprint(p.x.Stdout, cli.Escape(strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), "  "))+"\n")
	if a.Verdict != "blocked" || !allowable(a.Rule) {
		return
	}
	p.last = a
	if p.tty {
		_, _ = fmt.Fprint(p.x.Stderr, "    a: allow "+cli.Escape(target(a))+" for 10 minutes   s: until the container ends   q: quit\n")
	} else {
		_, _ = fmt.Fprint(p.x.Stderr, "hint: coi netguard allow "+cli.ShellQuote(a.Container)+" "+cli.ShellQuote(target(a))+"\n")
	}
}

// allowable rules are those that an allow entry overrules.
func allowable(rule string) bool { return rule == "allowlist.default" || rule == "port.class" }

func target(a attempt) string {
	host := a.Dest
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if a.Port > 0 {
		return fmt.Sprintf("%s:%d", host, a.Port)
	}
	return host
}

// keys puts the terminal into a state where one key is read at once. The
// returned function puts it back.
func (p *tailPrinter) keys(ctx context.Context, stop func()) func() {
	in, ok := p.x.Stdin.(*os.File)
	if !ok || p.json || !cli.IsTerminal(p.x.Stdin) || !cli.IsTerminal(p.x.Stdout) {
		return func() {}
	}
	fd := int(in.Fd())
	old, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return func() {}
	}
	// Only the line editor goes: Ctrl+C stays a signal, and what is printed meanwhile keeps its lines.
	now := *old
	now.Lflag &^= unix.ICANON | unix.ECHO
	now.Cc[unix.VMIN], now.Cc[unix.VTIME] = 1, 0
	if unix.IoctlSetTermios(fd, unix.TCSETS, &now) != nil {
		return func() {}
	}
	p.tty = true
	go func() {
		key := make([]byte, 1)
		for ctx.Err() == nil {
			if _, err := in.Read(key); err != nil {
				return
			}
			switch key[0] {
			case 'a':
				p.allow(10 * time.Minute)
			case 's':
				p.allow(0)
			case 'q', 4: // Ctrl+D is a plain byte now
				stop()
				return
			}
		}
	}()
	return func() { _ = unix.IoctlSetTermios(fd, unix.TCSETS, old) }
}

func (p *tailPrinter) allow(span time.Duration) {
	p.mu.Lock()
	a := p.last
	p.mu.Unlock()
	if a.Dest == "" {
		return
	}
	c := allowCmd{entryArgs{Container: a.Container, Dests: []string{target(a)}, For: span}}
	if err := c.Run(p.x); err != nil {
		p.mu.Lock()
		_, _ = fmt.Fprint(p.x.Stderr, "    "+cli.Escape(err.Error())+"\n")
		p.mu.Unlock()
	}
}

// flows prints new flows from the view as they come.
func (p *tailPrinter) flows(ctx context.Context, h home.Home, container string) {
	var seen uint64
	first := true
	_ = run.Wait(ctx, h.Run(container+run.NetViewFile), func([]byte) bool {
		var v guard.View
		if run.Read(h.Run(container+run.NetViewFile), &v) != nil {
			return false
		}
		for _, f := range v.Recent {
			if f.Seq <= seen {
				continue
			}
			seen = f.Seq
			if first {
				continue // what was there before
			}
			a := attempt{Time: f.At.Format(time.RFC3339Nano), Container: container, Dest: f.Peer, Address: f.Peer, Port: int64(f.Port), Proto: f.Proto, Verdict: "allowed", Rule: "flow"}
			if f.Name != "" {
				a.Dest = f.Name
			}
			p.print(a)
		}
		first = false
		return false
	})
}
