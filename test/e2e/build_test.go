//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/code-on-incus/coi/test/internal/house"
)

// configure replaces the user's configuration until the test ends.
func configure(t *testing.T, toml string) { t.Helper(); the.Configure(t, toml) }

func fingerprint(t *testing.T, alias string) string {
	t.Helper()
	r := do(t, workspace(t), "image", "info", alias, "--json")
	for line := range strings.Lines(r.Stdout) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), `"fingerprint": "`); ok {
			return v
		}
	}
	return ""
}

const custom = "[container]\nimage = \"e2e-custom\"\n[container.build]\ncompression = \"none\"\n"

// A custom image is its base plus what the script did; a broken or interrupted
// build leaves the image that was there and nothing else.
func TestBuildCustom(t *testing.T) {
	dir := workspace(t)
	t.Cleanup(func() {
		if r := the.Do(context.Background(), house.Call{Args: []string{"image", "delete", "e2e-custom", "-f"}}); r.Code != 0 {
			t.Errorf("%s", r)
		}
	})
	configure(t, custom+"commands = [\"echo made > /etc/mark\"]\n")
	says(t, do(t, dir, "build", "--network", "wild"), 2, "restricted, allowlist or open")
	must(t, dir, "build", "--network", "restricted")
	if r := must(t, dir, "run", "--", "cat", "/etc/mark"); r.Stdout != "made\n" {
		t.Errorf("%s\nwant what the build wrote", r)
	}
	if r := must(t, dir, "build"); !strings.Contains(r.Stdout, "exists, use --force") {
		t.Errorf("%s\nwant it to say that the image exists", r)
	}
	says(t, do(t, dir, "build", "--profile", "hardened"), 0, "e2e-custom exists, use --force")
	says(t, do(t, dir, "build", "--all"), 0, "built 0, skipped 1, failed 0")
	says(t, do(t, dir, "build", "--all", "--profile", "hardened"), 2)
	before := fingerprint(t, "e2e-custom")

	configure(t, custom+"commands = [\"echo the-reason >&2; false\", \"echo never\"]\n")
	r := do(t, dir, "build", "--force")
	if r.Code != 1 || !strings.Contains(r.Stderr, "the-reason") || strings.Contains(r.Stderr, "never") || !strings.Contains(r.Stderr, "hint:") {
		t.Errorf("%s\nwant exit 1, the end of the log and a hint", r)
	}
	unchanged(t, before)

	configure(t, custom+"commands = [\"echo waiting; sleep 300\"]\n")
	code, stderr := interrupted(t, dir, "build-e2e-custom.log", "waiting", "build", "--force")
	if code != 130 {
		t.Errorf("interrupted build = %d; want 130\n%s", code, stderr)
	}
	unchanged(t, before)
}

// Ctrl-C while the root file system is made: no process, file, container or
// image of it stays.
func TestBuildInterruptedAtMirror(t *testing.T) {
	before := fingerprint(t, house.Image)
	code, stderr := interrupted(t, workspace(t), "build-"+house.Image+".log", "extracting archives", "build", "--force")
	if code != 130 {
		t.Errorf("interrupted build = %d; want 130\n%s", code, stderr)
	}
	if left, err := filepath.Glob("/var/tmp/coi-build-0-" + house.Image + "*"); err != nil || len(left) > 0 {
		t.Errorf("files %v are left, %v", left, err)
	}
	if got := fingerprint(t, house.Image); got != before {
		t.Errorf("%s is %s now; want %s", house.Image, got, before)
	}
	gone(t, time.Second, "build")
}

// R-REG-04: a project neither changes the default image nor takes another's name.
func TestBuildProjectMayNotReplaceDefault(t *testing.T) {
	dir := workspace(t)
	if err := os.MkdirAll(filepath.Join(dir, ".coi"), 0o755); err != nil {
		t.Fatal(err)
	}
	text := "[container.build]\ncommands = [\"touch /etc/owned\"]\n"
	if err := os.WriteFile(filepath.Join(dir, ".coi", "config.toml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	r := do(t, dir, "build", "--force")
	if r.Code != 1 || !strings.Contains(r.Stderr, ".coi/config.toml") {
		t.Errorf("%s\nwant a refusal that names the project's file", r)
	}
}

func unchanged(t *testing.T, before string) {
	t.Helper()
	if got := fingerprint(t, "e2e-custom"); got != before || before == "" {
		t.Errorf("e2e-custom is %q now; want %q as before", got, before)
	}
	gone(t, 5*time.Second, "build")
}

// interrupted runs coi until a word is in its build log, sends SIGINT, and
// answers with the exit code.
func interrupted(t *testing.T, dir, log, word string, args ...string) (code int, stderr string) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 3*time.Minute)
	defer stop()
	path := the.Home.Path("logs", log)
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	cmd := the.Command(ctx, house.Call{Dir: dir, Args: args})
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	err := house.Eventually(ctx, 2*time.Minute, func() error {
		text, err := os.ReadFile(path)
		if err == nil && !strings.Contains(string(text), word) {
			err = fmt.Errorf("no %q in the log yet", word)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // the code says it
	return cmd.ProcessState.ExitCode(), errs.String()
}
