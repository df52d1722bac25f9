package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/allow"
	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// allowCmd remembers that a finding is fine.
type allowCmd struct {
	cli.Format
	Finding    string `arg:"" optional:"" help:"Id of the finding (coi audit, coi monitor)."`
	For        string `placeholder:"DUR|session" help:"How long; without it for good."`
	AnyArgs    bool   `name:"any-args" help:"Whatever the arguments of the program."`
	Everywhere bool   `help:"In every workspace, not only in this one."`
	Note       string `help:"Why, for later."`
	List       bool   `help:"List what is allowed."`
	Remove     int    `placeholder:"N" help:"Take entry N of the list back."`
}

// Run lists, removes or adds.
func (a *allowCmd) Run(c *cli.Context) error {
	h, err := c.Home()
	if err != nil {
		return err
	}
	entries, err := allow.Load(h)
	if err != nil {
		return cli.Fail(coi.ExitConfig, "%w", err)
	}
	switch {
	case a.List:
		return a.list(c, h, entries)
	case a.Remove != 0:
		if a.Remove < 1 || a.Remove > len(entries) {
			return cli.Usage("no entry %d", a.Remove).Hint("coi watch allow --list")
		}
		return allow.Save(h, append(entries[:a.Remove-1:a.Remove-1], entries[a.Remove:]...))
	case a.Finding == "":
		return cli.Usage("which finding?").Hint("coi audit --level high")
	}
	f, err := findFinding(h, a.Finding)
	if err != nil {
		return err
	}
	e, err := a.entry(h, f, time.Now())
	if err != nil {
		return err
	}
	live, now := liveSessions(h), time.Now()
	kept := slices.DeleteFunc(entries, func(e allow.Entry) bool { return e.Over(live, now) })
	if err := allow.Save(h, append(kept, e)); err != nil {
		return err
	}
	c.Note(fmt.Sprintf("%s is allowed from now on%s", e.Rule, untilWords(e)), "coi watch allow --list")
	return goOn(c, h, f.Container)
}

// finding is the part of an audit record that an entry is made from.
type finding struct {
	ID        string    `json:"id"`
	Container string    `json:"container"`
	Session   string    `json:"session_id"`
	Rule      string    `json:"rule"`
	Exe       string    `json:"exe"`
	SHA       string    `json:"exe_sha"`
	Argv      []string  `json:"argv"`
	Source    string    `json:"source"`
	Level     coi.Level `json:"level"`
}

// findFinding looks for the record with that id in all trails.
func findFinding(h home.Home, id string) (finding, error) {
	bad := cli.Fail(coi.ExitUsage, "no finding %q", id).Hint("coi audit --level warning")
	if !audit.ValidID(id) {
		return finding{}, bad
	}
	names, err := audit.Containers(h)
	if err != nil {
		return finding{}, err
	}
	for _, n := range names {
		parts, err := audit.Files(h, n)
		if err != nil {
			return finding{}, err
		}
		for _, p := range parts {
			if f, ok := scanFor(p.Path, id); ok && f.Source == audit.SourceWatch {
				return f, nil
			}
		}
	}
	return finding{}, bad
}

func scanFor(path, id string) (f finding, ok bool) {
	file, err := home.Open(path)
	if err != nil {
		return f, false
	}
	defer func() { _ = file.Close() }()
	s := bufio.NewScanner(file)
	s.Buffer(make([]byte, 64<<10), 4<<20)
	for s.Scan() {
		if strings.Contains(s.Text(), id) && json.Unmarshal(s.Bytes(), &f) == nil && f.ID == id {
			return f, true
		}
	}
	return f, false
}

func (a *allowCmd) entry(h home.Home, f finding, now time.Time) (allow.Entry, error) {
	e := allow.Entry{Rule: f.Rule, Program: f.Exe, SHA: f.SHA, AnyArgs: a.AnyArgs, Note: a.Note}
	if !a.AnyArgs {
		e.Argv = f.Argv
	}
	if !a.Everywhere {
		var w run.Watch
		if err := run.Read(h.Run(f.Container+run.WatchFile), &w); err != nil {
			return e, cli.Fail(coi.ExitFailed, "the workspace of %s is not known any more: %w", f.Container, err).Hint("add --everywhere")
		}
		e.Workspace = w.Source
	}
	switch {
	case a.For == "session":
		e.Session = f.Session
	case a.For != "":
		d, err := time.ParseDuration(a.For)
		if err != nil || d <= 0 {
			return e, cli.Usage("--for wants a duration such as 1h, or session")
		}
		e.Until = now.Add(d).UTC().Truncate(time.Second)
	}
	if allow.Grave(f.Rule) && (e.Until.IsZero() || e.Until.Sub(now) > allow.MaxShort) {
		return e, cli.Usage("%s has no benign explanation: it can be allowed for at most an hour", f.Rule).Hint("coi watch allow %s --for 1h", f.ID)
	}
	return e, nil
}

func untilWords(e allow.Entry) string {
	switch {
	case e.Session != "":
		return " in this session"
	case !e.Until.IsZero():
		return " until " + e.Until.Local().Format("15:04:05")
	}
	return ""
}

// goOn lets a frozen container go on, by the verb whose work that is.
func goOn(c *cli.Context, h home.Home, container string) error {
	var st run.WatchStatus
	if run.Read(h.Run(container+run.WatchStatusFile), &st) != nil || st.Frozen == nil {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(c, filepath.Join(filepath.Dir(self), "coi-unfreeze"), container)
	cmd.Stdout, cmd.Stderr = c.Stdout, c.Stderr
	if err := cmd.Run(); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			c.Note(container+" is still frozen", "coi unfreeze "+cli.ShellQuote(container))
			return nil
		}
		return cli.Fail(coi.ExitFailed, "unfreeze %s: %w", container, err)
	}
	return nil
}

// liveSessions are the sessions whose containers are watched.
func liveSessions(h home.Home) map[string]bool {
	live := map[string]bool{}
	names, err := run.Names(h.Run(), run.WatchFile)
	if err != nil {
		return live // nothing is watched, or nothing can be seen: both end what is bound to a session
	}
	for _, n := range names {
		var w run.Watch
		if run.Read(h.Run(n+run.WatchFile), &w) == nil && w.SessionID != "" {
			live[w.SessionID] = true
		}
	}
	return live
}

// allowRow is an entry by its number.
type allowRow struct {
	N int `json:"n"`
	allow.Entry
	Over bool `json:"over"`
}

func (a *allowCmd) list(c *cli.Context, h home.Home, entries []allow.Entry) error {
	live, now := liveSessions(h), time.Now()
	if a.IsJSON() {
		list := []allowRow{}
		for i, e := range entries {
			list = append(list, allowRow{i + 1, e, e.Over(live, now)})
		}
		return c.PrintJSON(map[string]any{"schema_version": run.Schema, "allow": list})
	}
	var rows [][]string
	for i, e := range entries {
		until := strings.TrimSpace(untilWords(e))
		if e.Over(live, now) {
			until = "over"
		}
		args := strings.Join(e.Argv, " ")
		if e.AnyArgs {
			args = "any"
		}
		where := e.Workspace
		if where == "" {
			where = "everywhere"
		}
		rows = append(rows, []string{strconv.Itoa(i + 1), e.Rule, e.Program, args, where, until, e.Note})
	}
	return c.Table([]cli.Column{{Name: "N"}, {Name: "RULE"}, {Name: "PROGRAM"}, {Name: "ARGUMENTS", Flex: true}, {Name: "WHERE", Flex: true}, {Name: "UNTIL"}, {Name: "NOTE", Flex: true}}, rows)
}
