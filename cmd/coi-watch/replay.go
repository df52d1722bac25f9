package main

import (
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/engine"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/replay"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/score"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
)

// replayCmd judges recordings.
type replayCmd struct {
	cli.Format
	Score    bool     `help:"Print the table of hit rates; exit 1 below the bars."`
	Mutate   bool     `help:"Also score every line written differently: renamed, linked, quoted apart, encoded, from a script."`
	Markdown bool     `help:"Print the score as the page of the manual."`
	Sigma    string   `placeholder:"DIR" help:"Also use the Sigma rules of DIR; with --score both scores are printed."`
	Patterns string   `placeholder:"DIR" help:"Also use the patterns of DIR."`
	Files    []string `arg:"" name:"file" help:"Events, command lines, or JSON lines with cmd; - is standard input."`
}

// Run reads the files. Rule files are not used unless asked for, so that a
// score is the same on every machine.
func (r *replayCmd) Run(c *cli.Context) error {
	plain := engine.Config{Workspace: "/workspace", Home: "/home/code", User: "code"}
	ruled := plain
	ruled.SigmaDir, ruled.PatternD = r.Sigma, r.Patterns
	rules, err := engine.LoadRules(ruled)
	if err != nil {
		return err
	}
	ruled.Rules = rules
	switch {
	case r.Markdown:
		return r.page(c, plain, ruled)
	case r.Score:
		return r.score(c, plain, ruled)
	}
	var rows [][]string
	var all []replay.Verdict
	err = r.each(c, ruled, func(v replay.Verdict) error {
		if r.IsJSON() {
			all = append(all, v)
			return nil
		}
		var rules []string
		for _, f := range v.Findings {
			rules = append(rules, f.Rule)
		}
		level := string(v.Level)
		if level == "" {
			level = "-"
		}
		rows = append(rows, []string{level, strings.Join(rules, " "), v.Text})
		return nil
	})
	if err != nil {
		return err
	}
	if r.IsJSON() {
		return c.PrintJSON(map[string]any{"schema_version": 1, "verdicts": all})
	}
	return c.Table([]cli.Column{{Name: "LEVEL"}, {Name: "RULES"}, {Name: "LINE", Flex: true}}, rows)
}

func (r *replayCmd) score(c *cli.Context, plain, ruled engine.Config) error {
	res, rows, err := r.board(c, plain)
	if err != nil {
		return err
	}
	if rows == 0 {
		return cli.Fail(coi.ExitFailed, "no labelled row found").Hint("rows have cmd and either expect with category, or hard_negative")
	}
	var changed []score.Mutated
	if r.Mutate {
		if changed, err = r.mutated(c, plain); err != nil {
			return err
		}
	}
	if r.IsJSON() {
		err = c.PrintJSON(scored{res, changed})
	} else {
		err = res.Print(c.Stdout, rows)
	}
	if err != nil {
		return err
	}
	if r.Mutate && !r.IsJSON() {
		if _, err := io.WriteString(c.Stdout, "\n"); err != nil {
			return err
		}
		if err := score.PrintMutated(c.Stdout, changed); err != nil {
			return err
		}
	}
	if (r.Sigma != "" || r.Patterns != "") && !r.IsJSON() {
		with, rows, err := r.board(c, ruled)
		if err != nil {
			return err
		}
		if _, err := io.WriteString(c.Stdout, "\nwith rule files\n"); err != nil {
			return err
		}
		if err := with.Print(c.Stdout, rows); err != nil {
			return err
		}
	}
	if !res.Met() {
		return cli.Exit(coi.ExitFailed)
	}
	return nil
}

// scored is the score with what mutations make of it.
type scored struct {
	score.Result
	Mutated []score.Mutated `json:"mutated,omitempty"`
}

// mutated scores the labelled rows under every mutation.
func (r *replayCmd) mutated(c *cli.Context, cfg engine.Config) ([]score.Mutated, error) {
	var rows []replay.Row
	err := r.each(c, cfg, func(v replay.Verdict) error {
		if !v.Row.Plain {
			rows = append(rows, v.Row)
		}
		return nil
	})
	return score.Mutate(rows, func(row replay.Row) replay.Verdict { return replay.Line(row, cfg) }), err
}

// page writes the page of the manual about detection.
func (r *replayCmd) page(c *cli.Context, plain, ruled engine.Config) error {
	res, rows, err := r.board(c, plain)
	if err != nil {
		return err
	}
	with, _, err := r.board(c, ruled)
	if err != nil {
		return err
	}
	changed, err := r.mutated(c, plain)
	if err != nil {
		return err
	}
	return score.Page(c.Stdout, res, with, rows, engine.New(ruled).Rules(), changed)
}

func (r *replayCmd) board(c *cli.Context, cfg engine.Config) (score.Result, int, error) {
	b := score.New()
	err := r.each(c, cfg, func(v replay.Verdict) error {
		b.Add(v)
		return nil
	})
	return b.Result(), b.Rows(), err
}

// each judges every file in order.
func (r *replayCmd) each(c *cli.Context, cfg engine.Config, fn func(replay.Verdict) error) error {
	for _, name := range r.Files {
		if err := judgeFile(c, name, cfg, fn); err != nil {
			return cli.Fail(coi.ExitFailed, "%s: %w", name, err)
		}
	}
	return nil
}

func judgeFile(c *cli.Context, name string, cfg engine.Config, fn func(replay.Verdict) error) error {
	if name == "-" {
		return replay.Judge(c.Stdin, cfg, fn)
	}
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	return replay.Judge(f, cfg, fn)
}
