package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/code-on-incus/coi/cmd/coi-health/internal/check"
	"github.com/code-on-incus/coi/pkg/cli"
)

// fixer is coi health --fix with one check that a chmod mends.
func fixer(t *testing.T, h *health, stdin string) (out, file string, err error) {
	t.Helper()
	dir := t.TempDir()
	file = filepath.Join(dir, "open")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o666); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	env := map[string]string{"HOME": dir, "PATH": os.Getenv("PATH")}
	c := &cli.Context{Context: context.Background(), Verb: "health", Streams: cli.Streams{
		Stdin: strings.NewReader(stdin), Stdout: &stdout, Stderr: &stderr, Getenv: func(name string) string { return env[name] },
	}}
	checks := []check.Check{{Name: "modes", Group: "storage", Title: "modes"}}
	results := map[string]check.Result{"modes": {Status: check.Failed, Remedy: &check.Remedy{Why: "nobody else may write it", Command: []string{"chmod", "go=", file}}}}
	err = h.mend(c, dir, checks, results)
	return stdout.String() + stderr.String(), file, err
}

func mode(t *testing.T, file string) os.FileMode {
	t.Helper()
	st, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return st.Mode().Perm()
}

// T-H-06: the plan is shown with the exact command; --dry-run stops there; off a
// terminal nothing is done without --yes; with it the remedy is applied.
func TestFixAsksFirst(t *testing.T) {
	out, file, err := fixer(t, &health{Fix: true, DryRun: true}, "")
	if err != nil || !strings.Contains(out, "chmod go= ") || !strings.Contains(out, "nobody else may write it") || !strings.Contains(out, "planned") || mode(t, file) != 0o666 {
		t.Errorf("--dry-run = %v, mode %o:\n%s", err, mode(t, file), out)
	}
	out, file, err = fixer(t, &health{Fix: true}, "")
	if err == nil || mode(t, file) != 0o666 {
		t.Errorf("off a terminal = %v, mode %o; want exit 2 and nothing changed:\n%s", err, mode(t, file), out)
	}
	h := &health{Fix: true}
	h.Yes = true
	out, file, _ = fixer(t, h, "")
	if mode(t, file) != 0o600 || !strings.Contains(out, "applied") {
		t.Errorf("--yes: mode %o:\n%s", mode(t, file), out)
	}
}

// T-H-06: with nothing to mend it says so; a second time is such a time.
func TestFixWithNothingToDo(t *testing.T) {
	var stdout bytes.Buffer
	c := &cli.Context{Context: context.Background(), Streams: cli.Streams{Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stdout, Getenv: func(string) string { return "" }}}
	h := &health{Fix: true, DryRun: true}
	if err := h.mend(c, ".", []check.Check{{Name: "modes"}}, map[string]check.Result{"modes": {Status: check.OK}}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(stdout.String(), "nothing to fix") {
		t.Errorf("said %q", stdout.String())
	}
}
