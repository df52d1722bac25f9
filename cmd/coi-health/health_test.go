package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-health/internal/check"
	"github.com/code-on-incus/coi/cmd/coi-health/internal/facts"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/config"
	"github.com/code-on-incus/coi/pkg/home"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || got != string(want) {
		t.Errorf("%s (%v) is\n%s\nwant\n%s", name, err, got, want)
	}
}

// T-H-01: the same results as text, as text with details and as JSON. Nothing that
// a check was told can speak to the terminal.
func TestOutput(t *testing.T) {
	checks := []check.Check{
		{Name: "os", Group: "system"},
		{Name: "lsm", Group: "system"},
		{Name: "incus", Group: "incus"},
		{Name: "image", Group: "incus"},
		{Name: "network_private", Group: "probes"},
	}
	results := map[string]check.Result{
		"os":              {Status: check.OK, Message: "Debian 12", Fix: check.FixNone, Details: map[string]any{}},
		"lsm":             {Status: check.Warning, Message: "neither\x1b[2J one", Hint: "enable AppArmor", Fix: check.FixManual, Details: map[string]any{"a": 1, "b": "x\ny"}},
		"incus":           {Status: check.Failed, Message: "not reachable", Hint: "make setup", Fix: check.FixAuto, Details: map[string]any{}},
		"image":           {Status: check.Skipped, Message: "Incus is not reachable", Hint: "never shown", Fix: check.FixNone, Details: map[string]any{}},
		"network_private": {Status: check.Skipped, Message: "control failed", Fix: check.FixNone, Details: map[string]any{}},
	}
	rep := summarise(checks, results, time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC))
	rep.DurationMS, rep.Version = 412, "0.9.4"
	if rep.Status != "unhealthy" {
		t.Errorf("status = %s; want unhealthy", rep.Status)
	}
	print := func(verbose bool) string {
		var out bytes.Buffer
		c := &cli.Context{Context: t.Context(), Streams: cli.Streams{Stdout: &out, Stderr: &out, Getenv: func(string) string { return "" }}}
		printText(c, rep, checks, verbose, &facts.Facts{})
		return out.String()
	}
	golden(t, "health.txt", print(false))
	golden(t, "health-verbose.txt", print(true))
	text, err := json.MarshalIndent(rep, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "health.json", string(text)+"\n")
	for name, r := range rep.Checks {
		if !strings.Contains(print(false), name) || !strings.Contains(print(false), cli.Escape(r.Message)) {
			t.Errorf("the text lacks %s: %s", name, r.Message)
		}
	}
}

// The details name each setting that decides about safety with its origin: the
// file and line of the user's, or that it is built in.
func TestVerboseSettings(t *testing.T) {
	dir := t.TempDir()
	h := home.Home{Dir: filepath.Join(dir, ".coi"), User: dir, UID: os.Getuid(), Prefix: coi.DefaultPrefix}
	if err := errors.Join(os.Mkdir(h.Dir, 0o700), os.WriteFile(h.Config(), []byte("[monitoring]\nauto_pause_on_high = false\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(config.Options{Home: h, Getenv: func(string) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	printSettings(&cli.Context{Streams: cli.Streams{Stdout: &out}}, &facts.Facts{Config: cfg, Home: h})
	for _, want := range []string{
		"\nMonitoring\n", "\nSecurity\n", "\nNetwork\n", "  auto_pause=false (~/.coi/config.toml:2)\n", "  auto_kill=true (", "  mode=restricted (", "  disable_protection=false (",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the settings lack %q:\n%s", want, out.String())
		}
	}
}

// Exit 0, 1 and 2 by the worst of the results; skipped is no fault.
func TestExit(t *testing.T) {
	checks := []check.Check{{Name: "a"}, {Name: "b"}}
	for _, tt := range []struct {
		a, b check.Status
		want string
		code int
	}{
		{check.OK, check.Skipped, "healthy", 0},
		{check.OK, check.Warning, "degraded", 1},
		{check.Failed, check.Warning, "unhealthy", 2},
		{check.Warning, check.Failed, "unhealthy", 2},
	} {
		rep := summarise(checks, map[string]check.Result{"a": {Status: tt.a}, "b": {Status: tt.b}}, time.Now())
		code := 0
		var e *cli.Error
		if err := exitFor(rep.Status); errors.As(err, &e) {
			code = e.Code
		}
		if rep.Status != tt.want || code != tt.code {
			t.Errorf("%s and %s = %s, exit %d; want %s, %d", tt.a, tt.b, rep.Status, code, tt.want, tt.code)
		}
	}
}

// run is coi health --json with a home and the programs of a directory.
func runHealth(t *testing.T, home, programs string) (rep report, code int, took time.Duration) {
	t.Helper()
	var out, errs bytes.Buffer
	env := map[string]string{"HOME": home, "COI_HOME": filepath.Join(home, ".coi"), "PATH": os.Getenv("PATH")}
	c := &cli.Context{Context: t.Context(), Verb: "health", Streams: cli.Streams{
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Getenv: func(name string) string { return env[name] },
	}}
	h := &health{Workspace: t.TempDir(), programs: programs}
	h.JSON = true
	start := time.Now()
	err := h.Run(c)
	took = time.Since(start)
	var e *cli.Error
	if errors.As(err, &e) {
		code = e.Code
	}
	if err := json.Unmarshal(out.Bytes(), &rep); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out.String(), errs.String())
	}
	for name, r := range rep.Checks {
		if r.Message == "" || strings.Contains(r.Message, "the check itself failed") {
			t.Errorf("%s says %q", name, r.Message)
		}
	}
	return rep, code, took
}

// T-H-05: a broken configuration, no Incus, a home that may not be written, no
// ~/.coi, a home that is a file: the command ends with exit 2, says what is broken
// and judges the rest.
func TestBrokenMachines(t *testing.T) {
	for name, tt := range map[string]struct {
		make   func(home string) error
		failed string
		sound  string
	}{
		"no .coi":        {func(string) error { return nil }, "incus", "config"},
		"read-only home": {func(home string) error { return os.Chmod(home, 0o500) }, "incus", "coi_directory"}, //nolint:gosec // a directory
		"broken config": {func(home string) error {
			if err := os.Mkdir(filepath.Join(home, ".coi"), 0o700); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(home, ".coi", "config.toml"), []byte("[network\n"), 0o600)
		}, "config", "network_mode"},
		"a file for a home": {func(home string) error { return os.WriteFile(filepath.Join(home, ".coi"), nil, 0o600) }, "coi_directory", "disk_space"},
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			if err := tt.make(home); err != nil {
				t.Fatal(err)
			}
			rep, code, _ := runHealth(t, home, t.TempDir())
			if code != coi.ExitUsage || rep.Status != "unhealthy" {
				t.Errorf("exit %d, %s; want 2, unhealthy", code, rep.Status)
			}
			if got := rep.Checks[tt.failed]; got.Status != check.Failed {
				t.Errorf("%s = %s: %s; want failed", tt.failed, got.Status, got.Message)
			}
			if got := rep.Checks[tt.sound]; got.Status == check.Failed {
				t.Errorf("%s = %s: %s; want that it is judged on its own", tt.sound, got.Status, got.Message)
			}
		})
	}
}

// T-H-09: programs that never answer, as with an Incus that hangs, cost their
// checks and no more: the command ends within three seconds and leaves none out.
func TestHangingPrograms(t *testing.T) {
	dir, home := t.TempDir(), t.TempDir()
	for _, name := range []string{"coi-session", "coi-trust", "coi-audit"} {
		// Each has a child that keeps the output open.
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\nsleep 60\n"), 0o700); err != nil { //nolint:gosec // a program
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"audit/x.jsonl": "{}\n", "trust.toml": "schema_version = 1\n"} {
		path := filepath.Join(home, ".coi", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	rep, code, took := runHealth(t, home, dir)
	if took > 3*time.Second {
		t.Errorf("took %s; want at most 3 s", took)
	}
	if code != coi.ExitUsage || len(rep.Checks) != len(check.All()) {
		t.Errorf("exit %d with %d checks; want 2 with %d", code, len(rep.Checks), len(check.All()))
	}
	for _, name := range []string{"incus", "trust_store", "audit_chain"} {
		if got := rep.Checks[name]; got.Status != check.Failed {
			t.Errorf("%s = %s: %s; want failed", name, got.Status, got.Message)
		}
	}
	if got := rep.Checks["config"]; got.Status != check.OK {
		t.Errorf("config = %s: %s; want ok, it does not hang", got.Status, got.Message)
	}
}

// A deadline that has passed leaves every check with a word.
func TestNoTimeAtAll(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f := facts.Gather(ctx, facts.Options{Getenv: func(string) string { return "" }, Workspace: t.TempDir(), Exec: t.TempDir()})
	for name, r := range check.RunAll(t.Context(), f, check.All()) {
		if r.Status == "" || r.Message == "" || strings.Contains(r.Message, "the check itself failed") {
			t.Errorf("%s says %q %q", name, r.Status, r.Message)
		}
	}
}
