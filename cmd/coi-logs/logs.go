package main

import (
	"bufio"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-logs/internal/merge"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/logs"
	"github.com/code-on-incus/coi/pkg/pick"
	"github.com/code-on-incus/coi/pkg/run"
	"github.com/code-on-incus/coi/pkg/when"
)

type logsCmd struct {
	cli.Globals
	pick.Flags
	Name   string `arg:"" optional:"" name:"container" help:"Container or alias."`
	Follow bool   `short:"f" help:"Print new lines as they come, until Ctrl+C; wait for a missing file."`
	Lines  *int   `short:"n" placeholder:"N" help:"Only the last N lines (with -f: first the last N)."`
	Since  string `placeholder:"T" help:"Only lines since T: 30m, 2h, 7d, today, 2006-01-02, RFC 3339."`
	Grep   string `placeholder:"RE" help:"Only lines that match this expression (RE2)."`
	Path   bool   `help:"Print the paths of the two files."`
}

// Run is coi logs.
func (l *logsCmd) Run(c *cli.Context) error {
	filter, err := l.filter()
	if err != nil {
		return err
	}
	if l.Lines != nil && *l.Lines < 0 {
		return cli.Usage("--lines %d: a number of lines cannot be negative", *l.Lines)
	}
	h, err := c.Home()
	if err != nil {
		return err
	}
	name, err := l.Find(c, l.Name, h.Logs())
	if err != nil {
		return err
	}
	dir := folder(h, name)
	pair := merge.Pair{
		Out:  filepath.Join(dir, name+logs.StdoutSuffix),
		Err:  filepath.Join(dir, name+logs.StderrSuffix),
		Open: opener(dir),
	}
	if l.Path {
		_, err := fmt.Fprintf(c.Stdout, "%s\n%s\n", pair.Out, pair.Err)
		return err
	}
	return l.print(c, pair, filter, name)
}

func (l *logsCmd) print(c *cli.Context, pair merge.Pair, filter merge.Filter, name string) error {
	p := &merge.Printer{Filter: filter, Escape: cli.IsTerminal(c.Stdout)}
	w := bufio.NewWriterSize(c.Stdout, 128<<10)
	if l.Follow {
		n := 0
		if l.Lines != nil {
			n = *l.Lines
		}
		err := pair.Follow(c, p, w, n, func(path string) { c.Note(fmt.Sprintf("%s was truncated", path)) })
		return refused(err)
	}
	n := -1
	if l.Lines != nil {
		n = *l.Lines
	}
	found, err := pair.Print(p, w, n)
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		return refused(err)
	}
	if !found {
		return cli.Fail(coi.ExitFailed, "no logs for %s", name).Hint("coi list --all")
	}
	return nil
}

// folder is where the session of a container writes its logs: paths.logs_dir
// of the time it was started, which its record keeps.
func folder(h home.Home, container string) string {
	var rec struct {
		Plan struct {
			LogsDir string `json:"logs_dir"`
		} `json:"plan"`
	}
	if run.Read(h.Run(container+run.SessionFile), &rec) != nil || !filepath.IsAbs(rec.Plan.LogsDir) {
		return h.Logs()
	}
	return filepath.Clean(rec.Plan.LogsDir)
}

// refused names a file that is not what a log has to be.
func refused(err error) error {
	if errors.Is(err, home.ErrUnsafe) {
		return cli.Fail(coi.ExitFailed, "read the log: %w", err)
	}
	return err
}

func (l *logsCmd) filter() (merge.Filter, error) {
	var f merge.Filter
	if l.Since != "" {
		t, err := when.Parse(l.Since, time.Now())
		if err != nil {
			return f, cli.Usage("--since: %s", err)
		}
		f.Since = t.Local().Format(logs.TimeForm)
	}
	if l.Grep != "" {
		re, err := regexp.Compile(l.Grep)
		if err != nil {
			return f, cli.Usage("--grep: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		}
		f.Match = re.Match
	}
	return f, nil
}
