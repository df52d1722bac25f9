package main

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-audit/internal/scan"
	"github.com/code-on-incus/coi/cmd/coi-audit/internal/where"
	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/when"
)

type filterFlags struct {
	Since    string   `placeholder:"T" help:"Only records since T: 30m, 2h, 7d, today, 2006-01-02, RFC 3339."`
	Until    string   `placeholder:"T" help:"Only records before T."`
	Level    string   `placeholder:"LEVEL" help:"At least this level: info, warning, high, critical."`
	Category []string `sep:"none" placeholder:"WORD" help:"Only this category; may be repeated."`
	Type     []string `sep:"none" placeholder:"WORD" help:"Only this type: exec, file, net, process, resource, auth, audit; may be repeated."`
	Rule     []string `sep:"none" placeholder:"GLOB" help:"Only this rule, * and ? as in file names; may be repeated."`
	Action   []string `sep:"none" placeholder:"WORD" help:"Only this action; may be repeated."`
	Source   []string `sep:"none" placeholder:"WORD" help:"Only this source: watch, guard, session; may be repeated."`
	PID      []int    `name:"pid" placeholder:"N" help:"Only this process; may be repeated."`
	Where    []string `sep:"none" placeholder:"EXPR" help:"Only records this expression holds for; may be repeated."`
}

var (
	categories = []string{
		audit.CategoryShell, audit.CategoryExecution, audit.CategoryEscape, audit.CategoryPrivilege, audit.CategoryCredential,
		audit.CategoryExfil, audit.CategoryPersistence, audit.CategoryTamper, audit.CategoryResource, audit.CategoryAuth, audit.CategoryNetwork,
		audit.CategoryDNS, audit.CategoryProtection, audit.CategoryPolicy, audit.CategoryLifecycle, audit.CategorySensor, audit.CategoryChain,
	}
	types   = []string{audit.TypeExec, audit.TypeFile, audit.TypeNet, audit.TypeProcess, audit.TypeResource, audit.TypeAuth, audit.TypeAudit}
	actions = []string{audit.Logged, audit.Alerted, audit.Blocked, audit.Allowed, audit.Paused, audit.Killed, audit.Deduplicated, audit.Failed}
	sources = []string{audit.SourceWatch, audit.SourceGuard, audit.SourceSession}
)

// filter turns the flags into a filter. In a foreign file any word may stand.
func (f *filterFlags) filter(now time.Time, foreign bool) (*scan.Filter, error) {
	out := &scan.Filter{Categories: f.Category, Types: f.Type, Rules: f.Rule, Actions: f.Action, Sources: f.Source, PIDs: f.PID}
	if f.Level != "" {
		level, err := coi.ParseLevel(f.Level)
		if err != nil {
			return nil, cli.Usage("--level: %s", cli.Escape(err.Error()))
		}
		out.Levels = scan.AtLeast(level)
	}
	for _, t := range []struct {
		flag, text string
		to         *time.Time
	}{{"--since", f.Since, &out.Since}, {"--until", f.Until, &out.Until}} {
		if t.text == "" {
			continue
		}
		at, err := when.Parse(t.text, now)
		if err != nil {
			return nil, cli.Usage("%s: %s", t.flag, cli.Escape(err.Error()))
		}
		*t.to = at
	}
	if !foreign {
		for _, w := range []struct {
			flag         string
			given, known []string
		}{{"--category", f.Category, categories}, {"--type", f.Type, types}, {"--action", f.Action, actions}, {"--source", f.Source, sources}} {
			if err := known(w.flag, w.given, w.known); err != nil {
				return nil, err
			}
		}
	}
	for _, text := range f.Where {
		e, err := where.Parse(text, now)
		if err != nil {
			return nil, badExpression(err)
		}
		out.Where = append(out.Where, e)
	}
	out.Prepare()
	return out, nil
}

func known(flag string, given, words []string) error {
	for _, w := range given {
		if slices.Contains(words, w) {
			continue
		}
		e := cli.Usage("%s %s: unknown word", flag, cli.Escape(w))
		if near := cli.Near(w, words); len(near) > 0 {
			return e.Hint("%s %s", flag, strings.Join(near, ", "))
		}
		return e.Hint("one of %s", strings.Join(words, " "))
	}
	return nil
}

// badExpression shows the place with a caret.
func badExpression(err error) error {
	var bad *where.Error
	if !errors.As(err, &bad) {
		return err
	}
	e := cli.Usage("--where: %s", bad.Problem)
	e.Lines = []string{bad.Expr, strings.Repeat(" ", len([]rune(bad.Expr[:bad.At]))) + "^"}
	return e
}
