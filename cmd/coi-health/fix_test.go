package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/code-on-incus/coi/cmd/coi-health/internal/check"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
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

// T-H-06: a machine with three things that can be mended is mended, what was half
// done before included; a second time there is nothing to do.
func TestFixTwice(t *testing.T) {
	home := t.TempDir()
	dir := filepath.Join(home, ".coi")
	for path, mode := range map[string]os.FileMode{dir: 0o755, filepath.Join(dir, "audit"): 0o700, filepath.Join(dir, "audit", "x.jsonl"): 0o644} {
		var err error
		if filepath.Ext(path) == ".jsonl" {
			err = errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o600))
		} else {
			err = os.MkdirAll(path, 0o700)
		}
		if err = errors.Join(err, os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{"HOME": home, "COI_HOME": dir}
	fix := func() string {
		var out bytes.Buffer
		c := &cli.Context{Context: t.Context(), Verb: "health", Streams: cli.Streams{
			Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out, Getenv: func(name string) string { return env[name] },
		}}
		h := &health{Fix: true, programs: t.TempDir()}
		h.Yes = true
		checks := []check.Check{check.Named("coi_directory"), check.Named("audit_directory")}
		f, _, _ := h.judge(c, home)
		_ = h.mend(c, home, checks, check.RunAll(t.Context(), f, checks)) // the exit code is that of the whole machine
		return out.String()
	}
	if out := fix(); strings.Count(out, "applied") != 2 || mode(t, dir) != 0o700 || mode(t, filepath.Join(dir, "audit", "x.jsonl")) != 0o600 {
		t.Errorf("first time: modes %o and %o:\n%s", mode(t, dir), mode(t, filepath.Join(dir, "audit", "x.jsonl")), out)
	}
	if out := fix(); !strings.Contains(out, "nothing to fix") {
		t.Errorf("second time: %s", out)
	}
}

// T-H-06: what needs root is shown as one sudo command; without sudo it is left to
// the user, and nothing is done.
func TestFixWithoutSudo(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	var out bytes.Buffer
	c := &cli.Context{Context: t.Context(), Streams: cli.Streams{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out, Getenv: func(string) string { return "" }}}
	h := &health{Fix: true, ordinary: true}
	h.Yes = true
	if _, err := h.one(c, "x", check.Remedy{Why: "a reason", Command: []string{"sysctl", "-w", "a=b c"}, Root: true}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "sudo sysctl -w 'a=b c'") || !strings.Contains(out.String(), "manual") || strings.Contains(out.String(), "applied") {
		t.Errorf("said %q", out.String())
	}
}

// A command that ends well and changes nothing has not mended the check: that is said.
func TestFixLooksAgain(t *testing.T) {
	for name, tt := range map[string]struct {
		command []string
		want    bool
	}{"helps": {[]string{"chmod", "700"}, false}, "does not help": {[]string{"chmod", "755"}, true}} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			dir := filepath.Join(home, ".coi")
			if err := errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o755)); err != nil { //nolint:gosec // what is to be mended
				t.Fatal(err)
			}
			env := map[string]string{"HOME": home, "COI_HOME": dir}
			var out bytes.Buffer
			c := &cli.Context{Context: t.Context(), Verb: "health", Streams: cli.Streams{
				Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out, Getenv: func(name string) string { return env[name] },
			}}
			h := &health{Fix: true, programs: t.TempDir()}
			h.Yes = true
			broken := check.Result{Status: check.Failed, Remedy: &check.Remedy{Why: "a private directory", Command: append(tt.command, dir)}}
			_ = h.mend(c, home, []check.Check{check.Named("coi_directory")}, map[string]check.Result{"coi_directory": broken}) // the exit code is that of the whole machine
			if got := strings.Contains(out.String(), "coi_directory: applied, and still failed: others may look into"); got != tt.want || !strings.Contains(out.String(), "applied") {
				t.Errorf("said %q; want that it is still failed: %v", out.String(), tt.want)
			}
		})
	}
}

// What excludes each other is wrong use, before anything is looked at.
func TestFixWrongUse(t *testing.T) {
	json := &health{Fix: true}
	json.JSON = true
	for name, h := range map[string]*health{"--dry-run": {DryRun: true}, "--fix --json": json, "--fix --probe": {Fix: true, Probe: true}} {
		var e *cli.Error
		if err := h.validate(); !errors.As(err, &e) || e.Code != coi.ExitUsage {
			t.Errorf("%s = %v; want wrong use", name, err)
		}
	}
}
