package protect

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/beneath"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/mount"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
)

// defaults is the protected list of a fresh configuration.
var defaults = strings.Fields(`.git/hooks .git/config .git/config.worktree .git/info/attributes .husky .vscode .coi .idea .devcontainer .envrc .mcp.json
 .cursor .gemini .opencode opencode.json .claude/settings.json .claude/settings.local.json .claude/hooks .claude/commands .claude/agents .codex .github/hooks`)

// host is a workspace with the places that a session uses.
type host struct {
	t         *testing.T
	ws, state string
	root      *beneath.Root
	cfg       Config
	plan      *Plan
}

func newHost(t *testing.T) *host {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	h := &host{t: t, ws: filepath.Join(dir, "ws"), state: filepath.Join(dir, "state")}
	must(t, os.Mkdir(h.ws, 0o755), os.Mkdir(h.state, 0o700))
	h.root, err = beneath.Open(h.ws)
	must(t, err)
	t.Cleanup(func() { _ = h.root.Close() })
	h.cfg = Config{Workspace: Tree{h.root, "/workspace"}, Protected: defaults, Watched: []string{"CLAUDE.md", ".github/workflows"}}
	return h
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (h *host) write(rel, text string) {
	h.t.Helper()
	p := filepath.Join(h.ws, rel)
	must(h.t, os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o644))
}

func (h *host) read(rel string) string {
	b, err := os.ReadFile(filepath.Join(h.ws, rel))
	if err != nil {
		return "error: " + err.Error()
	}
	return string(b)
}

func (h *host) exists(rel string) bool {
	_, err := os.Lstat(filepath.Join(h.ws, rel))
	return err == nil
}

func (h *host) git(dir string, args ...string) {
	h.t.Helper()
	cmd := exec.Command("git", append([]string{"-c", "user.name=n", "-c", "user.email=e@example.com", "-c", "protocol.file.allow=always"}, args...)...)
	cmd.Dir = filepath.Join(h.ws, dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		h.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
}

func (h *host) file(name string) string { return filepath.Join(h.state, name) }

// start does what a launch does.
func (h *host) start() {
	h.t.Helper()
	h.plan = Compute(h.cfg)
	must(h.t, h.plan.Err(), h.plan.Manifest(h.file("placeholders.json")), h.plan.Place(os.Getuid(), os.Getgid()))
	_, err := h.plan.Record(h.file("baseline.json"), h.file("copies"), "c", "s")
	must(h.t, err)
}

func (h *host) end() *Report {
	h.t.Helper()
	r, err := Check(End{Baseline: h.file("baseline.json"), Copies: h.file("copies"), Quarantine: h.file("quarantine"), UID: os.Getuid(), GID: os.Getgid()})
	must(h.t, err)
	return r
}

func (h *host) remove() []string {
	h.t.Helper()
	left, err := RemovePlaceholders(h.file("placeholders.json"), nil)
	must(h.t, err)
	return left
}

func (h *host) state1(rel string) State {
	for _, e := range h.plan.Entries {
		if e.Path == rel && e.Tree == 0 {
			return e.State
		}
	}
	return ""
}

// listing is every path of the workspace with its content.
func (h *host) listing() map[string]string {
	out := map[string]string{}
	must(h.t, filepath.WalkDir(h.ws, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(h.ws, p)
		out[rel] = d.Type().String()
		if d.Type().IsRegular() {
			out[rel] = h.read(rel)
		}
		return nil
	}))
	return out
}

// critical lists the paths of findings of one level, relative to the workspace.
func (h *host) found(r *Report, level coi.Level) []string {
	var out []string
	for _, f := range r.Findings {
		if f.Level == level {
			out = append(out, strings.TrimPrefix(f.Path, h.ws+"/"))
		}
	}
	slices.Sort(out)
	return out
}

// R-PATH-01: one path that cannot be locked leaves the others locked.
func TestFirstFailureUnprotectsNothing(t *testing.T) {
	h := newHost(t)
	h.git(".", "init", "-q")
	h.write("hooks-here/x", "")
	must(t, os.Symlink("hooks-here", filepath.Join(h.ws, ".husky")), os.Symlink("/nowhere", filepath.Join(h.ws, ".idea")))
	h.write(".vscode/tasks.json", "{}")
	h.start()
	for rel, want := range map[string]State{".husky": Verified, "hooks-here": Locked, ".idea": Verified, ".vscode": Locked, ".git/hooks": Locked, ".github/hooks": Locked} {
		if got := h.state1(rel); got != want {
			t.Errorf("%s is %q; want %q", rel, got, want)
		}
	}
	if s := h.plan.Summary(); !strings.Contains(s, ".husky is a symlink") || !strings.HasPrefix(s, "protected: ") {
		t.Errorf("Summary = %q", s)
	}
	h.cfg.Strict = true
	var e *cli.Error
	if err := Compute(h.cfg).Err(); !errors.As(err, &e) || e.Code != 1 || len(e.Lines) != 1 {
		t.Errorf("strict: %v; want exit 1 naming both links", err)
	}
}

// R-PATH-02, R-REG-03, S101, S102, S105: absent paths are covered by the least
// there can be, and nothing of it is left.
func TestPlaceholders(t *testing.T) {
	h := newHost(t)
	h.git(".", "init", "-q")
	h.write("main.go", "package main")
	before := h.listing()
	h.start()
	for rel, want := range map[string]string{".mcp.json": `{"mcpServers":{}}`, "opencode.json": "{}", ".claude/settings.json": "{}", ".envrc": "", ".git/config.worktree": ""} {
		if got := h.read(rel); got != want {
			t.Errorf("%s = %q; want %q", rel, got, want)
		}
	}
	if st, err := os.Stat(filepath.Join(h.ws, ".coi")); err != nil || !st.IsDir() {
		t.Errorf(".coi: %v, %v", st, err)
	}
	devices, err := h.plan.Devices()
	must(t, err)
	if d := devices["protect-"+hash("/workspace/.coi")]; d["readonly"] != "true" || d["source"] != filepath.Join(h.ws, ".coi") {
		t.Errorf(".coi device = %v", d)
	}
	if x := h.plan.Excludes(); !slices.Contains(x, "/.envrc") || slices.Contains(x, "/.git/config.worktree") {
		t.Errorf("Excludes = %q", x)
	}
	out, err := exec.Command("git", "-C", h.ws, "status", "--porcelain").CombinedOutput()
	must(t, err)
	t.Logf("git status with placeholders:\n%s", out)
	if r := h.end(); !r.Clean() {
		t.Errorf("untouched workspace: %+v", r)
	}
	if left := h.remove(); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
	if diff := cmp.Diff(before, h.listing()); diff != "" {
		t.Errorf("the session left traces:\n%s", diff)
	}
}

// Placeholders belong to every session that found their places empty: the last
// one to end takes them away, and none loses its lock before.
func TestPlaceholdersOfSeveralSlots(t *testing.T) {
	h := newHost(t)
	h.start()
	first, second := h.file("placeholders.json"), h.file("second.json")
	h.cfg.Manifests = []string{first}
	p := Compute(h.cfg)
	must(t, p.Err(), p.Manifest(second), p.Place(os.Getuid(), os.Getgid()))
	if diff := cmp.Diff(mustRead(t, first), mustRead(t, second)); diff != "" {
		t.Errorf("the second session lists other placeholders:\n%s", diff)
	}
	if left, err := RemovePlaceholders(first, []string{second}); err != nil || len(left) != 0 || !h.exists(".coi") || !h.exists(".claude/settings.json") {
		t.Errorf("the first session took what the second one still needs: %q, %v", left, err)
	}
	h.write(".vscode/user.json", "mine")
	left, err := RemovePlaceholders(second, nil)
	if err != nil || !slices.Contains(left, ".vscode") || h.exists(".coi") || h.exists(".claude") || h.read(".vscode/user.json") != "mine" {
		t.Errorf("left %q, %v; a changed placeholder must stay, others go", left, err)
	}
}

func mustRead(t *testing.T, p string) []byte {
	t.Helper()
	b, err := os.ReadFile(p)
	must(t, err)
	return b
}

func TestNotARepository(t *testing.T) {
	h := newHost(t)
	h.start()
	if h.exists(".git") || h.state1(".git/hooks") != Absent {
		t.Errorf(".git exists %v, state %q", h.exists(".git"), h.state1(".git/hooks"))
	}
	for _, d := range must2(h.plan.Devices()) {
		if strings.Contains(d["path"], ".git/") {
			t.Errorf("device in a .git that is not there: %v", d)
		}
	}
}

func must2[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// R-PATH-03, R-PATH-07: every parent of a lock is an anchor; names differ.
func TestAnchorsAndNames(t *testing.T) {
	h := newHost(t)
	h.git(".", "init", "-q")
	must(t, os.Mkdir(filepath.Join(h.ws, "vendor"), 0o755))
	h.git("vendor", "init", "-q", "lib")
	h.start()
	devices := must2(h.plan.Devices())
	for _, rel := range []string{".git", ".git/info", ".claude", ".github", "vendor", "vendor/lib", "vendor/lib/.git"} {
		if d := devices["anchor-"+hash("/workspace/"+rel)]; d == nil || d["readonly"] != "" {
			t.Errorf("anchor of %s = %v", rel, d)
		}
	}
	if d := devices["gitc-"+hash("/workspace/vendor/lib/.git/hooks")]; d["readonly"] != "true" {
		t.Errorf("nested hooks = %v", d)
	}
	watch, err := h.plan.Watch()
	must(t, err, Verify(watch))
	must(t, os.Rename(filepath.Join(h.ws, ".coi"), filepath.Join(h.ws, "moved")), os.Symlink("/etc", filepath.Join(h.ws, ".coi")))
	if err := Verify(watch); err == nil || !strings.Contains(err.Error(), ".coi") {
		t.Errorf("Verify after a swap = %v", err)
	}
	seen := map[string]string{}
	for i := range 10_000 {
		p := strings.Repeat("a", i%50) + "/" + strings.Repeat("b", i/50)
		if old, ok := seen[hash(p)]; ok && old != p {
			t.Fatalf("%q and %q have one name", old, p)
		}
		seen[hash(p)] = p
	}
	for _, pair := range [][2]string{{"a-b/c", "a/b-c"}, {"a/b", "a-b"}, {"a//b", "a/b"}, {"A", "a"}} {
		if hash(pair[0]) == hash(pair[1]) {
			t.Errorf("%q and %q have one name", pair[0], pair[1])
		}
	}
}

func TestWritableAndDisabled(t *testing.T) {
	h := newHost(t)
	h.git(".", "init", "-q")
	h.cfg.Writable = []string{".vscode", ".claude", ".coi/profiles"}
	h.cfg.FreeHooks = true
	p := Compute(h.cfg)
	for _, e := range p.Entries {
		if e.Path == ".vscode" || strings.HasPrefix(e.Path, ".claude/") || e.Path == ".git/hooks" {
			t.Errorf("%s is %s; want writable", e.Path, e.State)
		}
	}
	if len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], ".coi/profiles") {
		t.Errorf("warnings = %q", p.Warnings)
	}
	h.cfg.Disabled = true
	if p := Compute(h.cfg); len(p.Entries) != 0 || len(p.Warnings) != 1 {
		t.Errorf("disabled: %+v", p)
	}
}

// Submodules, hook paths and linked worktrees (R-PATH-04 at the start).
func TestNestedGit(t *testing.T) {
	h := newHost(t)
	other := newHost(t)
	other.git(".", "init", "-q")
	other.git(".", "commit", "-q", "--allow-empty", "-m", "x")
	h.git(".", "init", "-q")
	h.git(".", "submodule", "--quiet", "add", other.ws, "sub")
	h.git(".", "commit", "-q", "-m", "x")
	h.git(".", "worktree", "add", "-q", "wt")
	h.git(".", "config", "core.hooksPath", "tools/hooks")
	h.write("tools/hooks/pre-commit", "#!/bin/sh\n")
	h.git("sub", "config", "core.hooksPath", "my")
	h.write("objects/a", "")
	h.write("refs/b", "")
	h.start()
	for _, rel := range []string{".git/modules/sub/hooks", ".git/modules/sub/config", ".git/modules/sub/info/attributes", "tools/hooks", "sub/my", ".git/worktrees/wt/config.worktree"} {
		if got := h.state1(rel); got != Locked {
			t.Errorf("%s is %q; want locked", rel, got)
		}
	}
	if h.exists("hooks") || h.exists("config") {
		t.Error("placeholders in a folder that only looks like a repository")
	}
}

// Links that lead out, chains and loops: nothing outside is touched or named.
func TestHostileLinks(t *testing.T) {
	h := newHost(t)
	outside := t.TempDir()
	must(t, os.Symlink(outside, filepath.Join(h.ws, ".claude")), os.Symlink(".b", filepath.Join(h.ws, ".vscode")), os.Symlink(".vscode", filepath.Join(h.ws, ".b")),
		os.Symlink("/workspace/real", filepath.Join(h.ws, ".cursor")), os.Symlink("../../etc", filepath.Join(h.ws, ".codex")))
	h.write("real/rules", "x")
	h.start()
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 0 {
		t.Errorf("something was made outside: %v, %v", entries, err)
	}
	for _, d := range must2(h.plan.Devices()) {
		if !strings.HasPrefix(d["source"], h.ws+"/") {
			t.Errorf("device with source %s", d["source"])
		}
	}
	if h.state1("real") != Locked || h.state1(".claude") != Verified || h.state1(".vscode") != Verified {
		t.Errorf("entries: %+v", h.plan.Entries)
	}
}

// R-PATH-04, session §10: of more than 200 nested repositories the first 200 are
// locked, which is said; in the others what was planted is put right at the end.
func TestManyNestedRepositories(t *testing.T) {
	h := newHost(t)
	const repos = 203
	at := func(i int) string { return fmt.Sprintf("n/%03d/.git", i) }
	for i := range repos {
		h.write(at(i)+"/HEAD", "ref: refs/heads/main\n")
		h.write(at(i)+"/config", "[core]\n\tbare = false\n")
		must(t, os.MkdirAll(filepath.Join(h.ws, at(i), "objects"), 0o755), os.MkdirAll(filepath.Join(h.ws, at(i), "refs"), 0o755), os.MkdirAll(filepath.Join(h.ws, at(i), "hooks"), 0o755))
	}
	h.start()
	for i, want := range map[int]State{0: Locked, 199: Locked, 200: Verified, repos - 1: Verified} {
		for _, part := range []string{"/config", "/hooks"} {
			if got := h.state1(at(i) + part); got != want {
				t.Errorf("%s is %q; want %q", at(i)+part, got, want)
			}
		}
	}
	if w := strings.Join(h.plan.Warnings, "\n"); !strings.Contains(w, "203 nested repositories: 200 are locked") {
		t.Errorf("warnings = %q", w)
	}
	last := repos - 1
	h.write(at(last)+"/hooks/pre-commit", "#!/bin/sh\nevil\n")
	h.write(at(last)+"/config", "[core]\n\tfsmonitor = evil\n")
	r := h.end()
	if got := h.found(r, coi.Critical); !slices.Contains(got, at(last)+"/config") || !slices.Contains(got, at(last)+"/hooks/pre-commit") {
		t.Errorf("critical findings %v of %+v", got, r.Findings)
	}
	if h.exists(at(last)+"/hooks/pre-commit") || strings.Contains(h.read(at(last)+"/config"), "evil") {
		t.Error("what was planted is still there")
	}
}

// R-PATH-07: the names of 10,000 random paths differ, whatever the kind of
// device, and so do those of pairs that other encodings make equal.
func TestNamesOfRandomPaths(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // reproducible on purpose
	seen := map[string]string{}
	for len(seen) < 10_000 {
		parts := make([]string, 1+rng.IntN(6))
		for i := range parts {
			b := make([]byte, 1+rng.IntN(12))
			for j := range b {
				b[j] = "abcXYZ019-_. \xc3\xa4~"[rng.IntN(16)]
			}
			parts[i] = string(b)
		}
		p := "/workspace/" + strings.Join(parts, "/")
		name := mount.DeviceName("protect", p)
		if old, taken := seen[name]; taken && old != p {
			t.Fatalf("%q and %q are both %s", old, p, name)
		}
		if len(name) > 63 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			t.Fatalf("%q is no name of a device", name)
		}
		seen[name] = p
	}
	for _, pair := range [][2]string{{"/w/a-b/c", "/w/a/b-c"}, {"/w/a.b", "/w/a_b"}, {"/w/A", "/w/a"}, {"/w/\u00e4", "/w/a\u0308"}, {"/w/a", "/w/a "}, {"/w/ab/c", "/w/a/bc"}} {
		if mount.DeviceName("protect", pair[0]) == mount.DeviceName("protect", pair[1]) {
			t.Errorf("%q and %q have one name", pair[0], pair[1])
		}
	}
}
