package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-audit/internal/scan"
	"github.com/code-on-incus/coi/cmd/coi-audit/internal/show"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/pick"
)

type auditCmd struct {
	cli.Globals
	pick.Flags
	filterFlags
	Args []string `arg:"" optional:"" name:"container" help:"Container or alias."`

	Follow bool   `short:"f" help:"Print new records as they come, until Ctrl+C; wait for a missing trail."`
	Lines  *int   `short:"n" placeholder:"N" help:"Only the last N of the result."`
	File   string `placeholder:"PATH" help:"Read any JSON Lines file, - for stdin; may be gzip."`
	All    bool   `help:"All trails, merged by time."`

	Format string `placeholder:"jsonl|text" help:"Output format (jsonl)."`
	JSON   bool   `name:"json" help:"Same as --format jsonl; with verify and summary one JSON document."`
	Table  bool   `help:"Same as --format text: a table fitted to the terminal."`
	Count  bool   `help:"Print only how many records there are."`
	OCSF   bool   `name:"ocsf" help:"Export as events of the Open Cybersecurity Schema Framework."`
	Raw    bool   `help:"With --ocsf: the stored line as raw_data."`
	NoJoin bool   `name:"no-join" help:"With --table: records that only name a process in rows of their own."`

	Verify  bool   `help:"Check the hash chain over all parts."`
	Anchors bool   `help:"With verify: compare with the anchors in the system journal too."`
	Summary bool   `help:"Counts, timeline, pauses and kills."`
	HTML    string `name:"html" placeholder:"FILE" help:"With summary: write one self-contained page."`

	name string
}

// Run is coi audit.
func (a *auditCmd) Run(c *cli.Context) error {
	if err := a.words(); err != nil {
		return err
	}
	if err := a.check(); err != nil {
		return err
	}
	h, err := c.Home()
	if err != nil {
		return err
	}
	if a.File == "" && !a.All {
		if a.name, err = a.Find(c, a.name, h.Audit()); err != nil {
			return err
		}
	}
	switch {
	case a.Verify:
		return a.verify(c, h)
	case a.Summary:
		return a.summarise(c, h)
	}
	filter, err := a.filter(time.Now(), a.File != "")
	if err != nil {
		return err
	}
	return a.print(c, h, filter)
}

// words takes verify and summary from the arguments, and the container.
func (a *auditCmd) words() error {
	rest := a.Args
	if len(rest) > 0 {
		switch rest[0] {
		case "verify":
			a.Verify, rest = true, rest[1:]
		case "summary":
			a.Summary, rest = true, rest[1:]
		}
	}
	if len(rest) > 1 {
		return cli.Usage("unexpected argument %s", cli.Escape(rest[1]))
	}
	if len(rest) == 1 {
		a.name = rest[0]
	}
	return nil
}

// check refuses flags that do not go together.
func (a *auditCmd) check() error {
	switch a.Format {
	case "":
	case "jsonl", "json":
		a.JSON = true
	case "text", "table":
		a.Table = true
	default:
		return cli.Usage("--format %s: use jsonl or text", cli.Escape(a.Format))
	}
	outputs := 0
	for _, on := range []bool{a.JSON && !a.Verify && !a.Summary, a.Table, a.Count, a.OCSF} {
		if on {
			outputs++
		}
	}
	report := a.Verify || a.Summary
	switch {
	case outputs > 1:
		return cli.Usage("--json, --table, --count and --ocsf exclude each other")
	case a.Verify && a.Summary:
		return cli.Usage("verify and summary exclude each other")
	case report && (a.Follow || a.Lines != nil || a.Count || a.OCSF):
		return cli.Usage("verify and summary read the whole trail: they take no -f, -n, --count or --ocsf")
	case report && a.All, a.Verify && a.File != "":
		return cli.Usage("verify and summary take one container")
	case a.Anchors && !a.Verify:
		return cli.Usage("--anchors goes with verify")
	case a.HTML != "" && !a.Summary:
		return cli.Usage("--html goes with summary")
	case a.Raw && !a.OCSF:
		return cli.Usage("--raw goes with --ocsf")
	case a.Follow && a.Count:
		return cli.Usage("--count needs an end: it does not go with -f")
	case a.Follow && a.File == "-":
		return cli.Usage("stdin cannot be followed; it is read until its end")
	case a.All && (a.File != "" || a.name != ""):
		return cli.Usage("--all takes no container and no --file")
	case a.File != "" && a.name != "":
		return cli.Usage("--file takes no container")
	case a.Lines != nil && *a.Lines < 0:
		return cli.Usage("--lines %d: a number of lines cannot be negative", *a.Lines)
	}
	return nil
}

// print writes the wanted lines, and goes on with new ones when asked to.
func (a *auditCmd) print(c *cli.Context, h home.Home, filter *scan.Filter) error {
	bad := &scan.Bad{}
	w := bufio.NewWriterSize(c.Stdout, 128<<10)
	out, counted := a.writer(c, w, bad)
	trails, err := a.open(c, h)
	if err != nil {
		return err
	}
	defer func() {
		for _, t := range trails {
			scan.Close(t.inputs)
		}
	}()
	if t, ok := out.(*show.Table); ok && t.Join && !filter.All() {
		if t.Known, err = processes(trails, filter); err != nil {
			return err
		}
	}
	n, err := a.existing(trails, filter, bad, out)
	if err == nil {
		err = out.Flush(!a.Follow)
	}
	if err == nil && a.Follow {
		err = follow(c, trails, filter, bad, out)
	}
	if err != nil {
		return err
	}
	if counted && n == 0 && bad.Count == 0 && !a.Follow && !a.Count {
		c.Note("no events")
	}
	a.report(c, bad)
	return nil
}

func (a *auditCmd) report(c *cli.Context, bad *scan.Bad) {
	if bad.Count > 0 {
		lines := "lines"
		if bad.Count == 1 {
			lines = "line"
		}
		c.Warn(fmt.Sprintf("%d unreadable %s (first: %s)", bad.Count, lines, bad.First))
	}
}

func (a *auditCmd) writer(c *cli.Context, w *bufio.Writer, bad *scan.Bad) (out show.Writer, counted bool) {
	switch {
	case a.Count:
		return &show.Count{W: w}, false
	case a.OCSF:
		return &show.OCSF{W: w, Raw: a.Raw, Bad: func() {
			if bad.Count == 0 {
				bad.First = "not an audit record"
			}
			bad.Count++
		}}, true
	case a.Table:
		return &show.Table{W: w, Width: c.Width(), Colour: c.Colour(c.Stdout), Join: !a.NoJoin}, true
	}
	return &show.Raw{W: w, Escape: cli.IsTerminal(c.Stdout)}, true
}

// trail is what is read and followed as one.
type trail struct {
	inputs []*scan.Input
	path   string          // the file that grows
	parts  func() []string // its files in order of time; nil for a foreign file
	own    bool
}

func (a *auditCmd) open(c *cli.Context, h home.Home) ([]*trail, error) {
	if a.File != "" {
		in, err := scan.File(a.File, c.Stdin)
		if errors.Is(err, os.ErrNotExist) && a.Follow {
			return []*trail{{path: a.File}}, nil
		}
		if err != nil {
			return nil, cli.Fail(coi.ExitFailed, "open: %w", err)
		}
		return []*trail{{inputs: []*scan.Input{in}, path: a.File}}, nil
	}
	if a.All {
		return allTrails(h)
	}
	t, err := openTrail(h, a.name)
	if err != nil {
		return nil, cli.Fail(coi.ExitFailed, "open the trail: %w", err)
	}
	if len(t.inputs) == 0 && !a.Follow {
		return nil, noTrail(a.name)
	}
	return []*trail{t}, nil
}

func noTrail(name string) error {
	return cli.Fail(coi.ExitFailed, "no audit trail of %s", name).Hint("coi list --all")
}

// existing writes what is there. It returns how many lines that were.
func (a *auditCmd) existing(trails []*trail, filter *scan.Filter, bad *scan.Bad, out show.Writer) (int, error) {
	if a.Lines != nil && *a.Lines == 0 {
		return 0, nil
	}
	src, skip, err := a.source(trails, filter, bad)
	if err != nil {
		return 0, err
	}
	for n := 0; ; {
		line, err := src.Next()
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		if skip > 0 {
			skip--
			continue
		}
		n++
		if err := out.Line(line); err != nil {
			return n, err
		}
	}
}
