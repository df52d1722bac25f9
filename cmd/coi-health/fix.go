package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-health/internal/check"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
)

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

// What became of a remedy. Whether one that was applied has helped, the check
// itself says when it runs again.
const (
	applied  = "applied"
	reLogin  = "re-login: log in again for it to take effect"
	declined = "declined"
)

// mend shows every remedy and takes those that are agreed to. It runs the
// checks again at the end, and names those that the remedy did not help.
func (h *health) mend(c *cli.Context, ws string, checks []check.Check, results map[string]check.Result) error {
	planned := 0
	var taken []check.Check
	for _, ch := range checks {
		r := results[ch.Name]
		if r.Remedy == nil || r.Status == check.OK {
			continue
		}
		planned++
		outcome, err := h.one(c, ch.Name, *r.Remedy)
		if err != nil {
			return err
		}
		if outcome == applied {
			taken = append(taken, ch)
		}
	}
	if planned == 0 {
		_, _ = fmt.Fprintln(c.Stdout, "nothing to fix automatically")
	}
	if h.DryRun {
		return nil
	}
	_, after, _ := h.judge(c, ws)
	for _, ch := range taken {
		if r, again := after[ch.Name]; again && (r.Status == check.Warning || r.Status == check.Failed) {
			_, _ = fmt.Fprintf(c.Stdout, "%s: applied, and still %s: %s\n", ch.Name, r.Status, cli.Escape(r.Message))
		}
	}
	return exitFor(summarise(checks, after, time.Now()).Status)
}

// one shows a remedy, asks, takes it and says what became of it.
func (h *health) one(c *cli.Context, name string, m check.Remedy) (outcome string, err error) {
	argv := m.Command
	if m.Root && (os.Getuid() != 0 || h.ordinary) {
		argv = append([]string{"sudo"}, argv...)
	}
	words := make([]string, len(argv))
	for i, w := range argv {
		words[i] = cli.ShellQuote(w)
	}
	line := strings.Join(words, " ")
	_, _ = fmt.Fprintf(c.Stdout, "%s: %s\n  %s\n", name, m.Why, line)
	if h.DryRun {
		_, _ = fmt.Fprintln(c.Stdout, "  planned")
		return "planned", nil
	}
	if err := c.Ask(h.Consent, "run it?"); err != nil {
		var e *cli.Error
		if errors.As(err, &e) && e.Code == coi.ExitUsage {
			return "", err
		}
		return declined, nil // the next remedy is asked for on its own
	}
	outcome = "manual: there is no sudo here"
	if _, err := exec.LookPath("sudo"); err == nil || argv[0] != "sudo" {
		outcome = execute(c, argv, m.ReLogin)
	}
	_, _ = fmt.Fprintln(c.Stdout, "  "+outcome)
	return outcome, nil
}

func execute(c *cli.Context, argv []string, loginNeeded bool) string {
	if argv[0] == "coi" {
		argv = append([]string{ownDir() + "/coi-" + argv[1]}, argv[2:]...)
	}
	cmd := exec.CommandContext(c, argv[0], argv[1:]...)
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil:
		return "failed: " + cli.Escape(strings.TrimSpace(err.Error()+" "+string(out)))
	case loginNeeded:
		return reLogin
	}
	return applied
}
