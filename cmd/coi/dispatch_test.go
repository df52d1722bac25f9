package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/code-on-incus/coi/pkg/cli/verbs"
	"github.com/code-on-incus/coi/pkg/coi"
)

type call struct {
	Path string
	Argv []string
}

// stage is a dispatcher in a directory of its own with the named tools beside it.
func stage(t *testing.T, tools ...string) (world, string, *call, *bytes.Buffer, *bytes.Buffer) {
	t.Helper()
	dir := t.TempDir()
	bin := filepath.Join(dir, "bin")
	write(t, filepath.Join(bin, "coi"), 0o755)
	for _, tool := range tools {
		write(t, filepath.Join(bin, tool), 0o755)
	}
	var got call
	var out, errs bytes.Buffer
	w := world{stdout: &out, stderr: &errs, self: filepath.Join(bin, "coi"), environ: []string{"A=1"}}
	w.exec = func(path string, argv, _ []string) error {
		got = call{path, argv}
		return syscall.ENOEXEC
	}
	return w, dir, &got, &out, &errs
}

func write(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func TestExitCodes(t *testing.T) {
	if exitOK != coi.ExitOK || exitFailed != coi.ExitFailed || exitUsage != coi.ExitUsage {
		t.Error("the exit codes differ from pkg/coi")
	}
}

func TestSplit(t *testing.T) {
	for _, c := range []struct {
		args, verb, rest string
	}{
		{"", "shell", ""},
		{"list --json", "list", "--json"},
		{"-w DIR list", "list", "-w DIR"},
		{"--tool pi", "shell", "--tool pi"},
		{"--tool=pi run x", "run", "--tool=pi x"},
		{"-wDIR list", "list", "-wDIR"},
		{"--resume list", "list", "--resume"},
		{"-q --slot 2 attach a", "attach", "-q --slot 2 a"},
		{"--background", "shell", "--background"},
		{"--workspace", "shell", "--workspace"},
		{"run -- -w", "run", "-- -w"},
	} {
		verb, rest := split(strings.Fields(c.args))
		if verb != c.verb || strings.Join(rest, " ") != c.rest {
			t.Errorf("split(%q) = %q, %q; want %q, %q", c.args, verb, rest, c.verb, c.rest)
		}
	}
}

func TestStartFindsBesideAndLibexec(t *testing.T) {
	w, dir, got, _, _ := stage(t, "coi-list")
	if code := run([]string{"coi", "-w", "x", "list"}, w); code != 1 {
		t.Errorf("code = %d; want 1 from the failed exec", code)
	}
	want := call{filepath.Join(dir, "bin/coi-list"), []string{"coi-list", "-w", "x"}}
	if d := cmp.Diff(want, *got); d != "" {
		t.Error(d)
	}
	write(t, filepath.Join(dir, "libexec/coi/coi-run"), 0o755)
	run([]string{"coi", "run", "--", "true"}, w)
	if got.Path != filepath.Join(dir, "libexec/coi/coi-run") {
		t.Errorf("run found %q", got.Path)
	}
}

func TestPathIsForUnknownVerbsOnly(t *testing.T) {
	w, dir, got, _, errs := stage(t)
	ext := filepath.Join(dir, "ext")
	write(t, filepath.Join(ext, "coi-foo"), 0o755)
	write(t, filepath.Join(ext, "coi-list"), 0o755)
	w.path = searchPath(ext + ":relative::.")
	run([]string{"coi", "foo"}, w)
	if got.Path != filepath.Join(ext, "coi-foo") {
		t.Errorf("external verb started %q", got.Path)
	}
	*got = call{}
	if code := run([]string{"coi", "list"}, w); code != 1 || got.Path != "" || !strings.Contains(errs.String(), "cannot start coi-list") {
		t.Errorf("PATH replaced a verb of ours: %d, %q, %s", code, got.Path, errs)
	}
	if err := os.Chmod(ext, 0o777); err != nil {
		t.Fatal(err)
	}
	if dirs := searchPath(ext); len(dirs) != 0 {
		t.Errorf("searchPath kept a directory that others may write: %v", dirs)
	}
}

func TestNotStartable(t *testing.T) {
	w, dir, _, _, errs := stage(t)
	write(t, filepath.Join(dir, "bin/coi-list"), 0o644)
	if code := run([]string{"coi", "list"}, w); code != 1 || !strings.Contains(errs.String(), filepath.Join(dir, "bin/coi-list")) {
		t.Errorf("code %d, %s", code, errs)
	}
}

func TestUnknownVerb(t *testing.T) {
	w, _, got, _, errs := stage(t, "coi-shell")
	if code := run([]string{"coi", "shel"}, w); code != 2 || got.Path != "" {
		t.Fatalf("code %d, started %q", code, got.Path)
	}
	want := "coi: error: unknown verb \"shel\"\nhint: coi shell\nhint: coi help\nhint: run \"coi help\" for all verbs\n"
	if errs.String() != want {
		t.Errorf("stderr = %q; want %q", errs, want)
	}
	errs.Reset()
	if code := run([]string{"coi", "../x"}, w); code != 2 || !strings.Contains(errs.String(), `coi -w "../x"`) {
		t.Errorf("path as verb: %d, %s", code, errs)
	}
	errs.Reset()
	if code := run([]string{"coi", "a\x1b[31m"}, w); code != 2 || strings.Contains(errs.String(), "\x1b") {
		t.Errorf("raw escape printed: %q", errs)
	}
}

func TestListCommands(t *testing.T) {
	w, dir, _, out, _ := stage(t)
	ext := filepath.Join(dir, "ext")
	write(t, filepath.Join(ext, "coi-foo"), 0o755)
	write(t, filepath.Join(ext, "coi-session"), 0o755)
	w.path = []string{ext}
	run([]string{"coi", "--list-cmds"}, w)
	list := strings.Fields(out.String())
	if !slices.IsSorted(list) || !slices.Contains(list, "close") || len(list) != len(verbs.All) {
		t.Errorf("--list-cmds = %v", list)
	}
	out.Reset()
	run([]string{"coi", "--list-cmds=external"}, w)
	if out.String() != "foo\n" {
		t.Errorf("external = %q; want foo", out)
	}
	if code := run([]string{"coi", "--list-cmds=x"}, w); code != 2 {
		t.Errorf("bad list: %d", code)
	}
}

func TestHelpAndVersion(t *testing.T) {
	w, dir, got, out, _ := stage(t, "coi-list")
	run([]string{"coi", "help"}, w)
	for _, v := range verbs.All {
		if !strings.Contains(out.String(), "\n  "+v.Name+" ") {
			t.Errorf("help does not name %s", v.Name)
		}
	}
	run([]string{"coi", "help", "list"}, w)
	if d := cmp.Diff(call{filepath.Join(dir, "bin/coi-list"), []string{"coi-list", "--help"}}, *got); d != "" {
		t.Error(d)
	}
	if code := run([]string{"coi", "help", "nosuch"}, w); code != 2 {
		t.Errorf("help of an unknown verb: %d; want 2", code)
	}
	out.Reset()
	run([]string{"coi", "version", "--json"}, w)
	var v map[string]string
	if err := json.Unmarshal(out.Bytes(), &v); err != nil || v["version"] == "" || v["go"] == "" {
		t.Errorf("version --json = %q, %v", out, err)
	}
	out.Reset()
	run([]string{"coi", "--version"}, w)
	if !strings.HasPrefix(out.String(), "coi v") {
		t.Errorf("--version = %q", out)
	}
}

// The whole program once: the process is replaced, so pid, argv[0], environment
// and exit code belong to the tool, and nothing is forked.
func TestBecomesTheProgram(t *testing.T) {
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "coi"), ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	script := "#!/bin/sh\necho $$ $0 \"$@\" $MARK\nexit 7\n"
	if err := os.WriteFile(filepath.Join(dir, "coi-list"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(dir, "coi"), "list", "a b")
	cmd.Env = append(os.Environ(), "MARK=m")
	out, err := cmd.Output()
	if cmd.ProcessState.ExitCode() != 7 {
		t.Errorf("exit = %v; want 7", err)
	}
	f := strings.Fields(string(out))
	if len(f) != 5 || f[0] != itoa(cmd.Process.Pid) || f[4] != "m" {
		t.Errorf("output %q; want pid %d and the environment", out, cmd.Process.Pid)
	}
}

func itoa(n int) string {
	b, _ := json.Marshal(n)
	return string(b)
}

func TestCompletionScripts(t *testing.T) {
	w, _, _, out, _ := stage(t)
	for _, sh := range []string{"bash", "zsh", "fish"} {
		out.Reset()
		if code := run([]string{"coi", "completion", sh}, w); code != 0 || !strings.Contains(out.String(), "__complete") {
			t.Errorf("completion %s: %d", sh, code)
		}
	}
	if code := run([]string{"coi", "completion", "tcsh"}, w); code != 2 {
		t.Errorf("unknown shell: %d", code)
	}
}
