package protect

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/coi"
)

// repo is a host with a repository and content in locked places.
func repo(t *testing.T) *host {
	h := newHost(t)
	h.git(".", "init", "-q")
	h.write(".git/hooks/pre-push", "#!/bin/sh\necho mine\n")
	must(t, os.Chmod(filepath.Join(h.ws, ".git/hooks/pre-push"), 0o755))
	h.write(".vscode/tasks.json", "{}")
	h.write(".vscode/deep/er/file", "1")
	h.write("CLAUDE.md", "be nice")
	return h
}

// R-LIM-04, session §10 accept: as container root, unmount and write a hook; it
// is gone from the workspace, in quarantine, critical.
func TestHookPlanted(t *testing.T) {
	h := repo(t)
	h.start()
	before := h.listing()
	h.write(".git/hooks/pre-commit", "#!/bin/sh\nevil\n")
	must(t, os.Chmod(filepath.Join(h.ws, ".git/hooks/pre-commit"), 0o755|os.ModeSetuid))
	r := h.end()
	if diff := cmp.Diff([]string{".git/hooks/pre-commit"}, h.found(r, coi.Critical)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(before, h.listing()); diff != "" {
		t.Error(diff)
	}
	it := r.Findings[0].Item
	if it == nil {
		t.Fatal("nothing in quarantine")
	}
	p := filepath.Join(r.Quarantine, it.Path)
	st, err := os.Stat(p)
	must(t, err)
	if b, _ := os.ReadFile(p); !strings.Contains(string(b), "evil") || st.Mode().Perm() != 0o600 || st.Mode()&os.ModeSetuid != 0 {
		t.Errorf("quarantined file: %q, %v (R-OWN-07)", b, st.Mode())
	}
	var m manifestFile
	must(t, json.Unmarshal(mustRead(t, filepath.Join(r.Quarantine, manifestName)), &m))
	if len(m.Items) != 1 || m.Items[0].From != filepath.Join(h.ws, ".git/hooks/pre-commit") || m.Items[0].SHA256 == "" || m.Items[0].Reason == "" {
		t.Errorf("MANIFEST.json = %+v", m)
	}
	if out, err := exec.Command("sh", "-c", it.PutBack).CombinedOutput(); err != nil {
		t.Errorf("put back: %v, %s", err, out)
	}
	if got := h.read(".git/hooks/pre-commit"); !strings.Contains(got, "evil") {
		t.Errorf("after the put-back command: %q", got)
	}
}

// Every way to change a locked path is undone.
func TestLockedIsPutBack(t *testing.T) {
	attacks := map[string]func(h *host, p func(string) string){
		"edit": func(h *host, p func(string) string) { h.write(".vscode/tasks.json", `{"evil":1}`) },
		"edit same mtime": func(h *host, p func(string) string) {
			st := must2(os.Stat(p(".vscode/tasks.json")))
			h.write(".vscode/tasks.json", "[]")
			must(h.t, os.Chtimes(p(".vscode/tasks.json"), st.ModTime(), st.ModTime()))
		},
		"remove": func(h *host, p func(string) string) { must(h.t, os.RemoveAll(p(".vscode"))) },
		"chmod":  func(h *host, p func(string) string) { must(h.t, os.Chmod(p(".vscode/tasks.json"), 0o777)) },
		"file to link": func(h *host, p func(string) string) {
			must(h.t, os.Remove(p(".vscode/tasks.json")), os.Symlink("/etc/passwd", p(".vscode/tasks.json")))
		},
		"dir to file": func(h *host, p func(string) string) {
			must(h.t, os.RemoveAll(p(".vscode/deep")))
			h.write(".vscode/deep", "x")
		},
		"dir to link": func(h *host, p func(string) string) {
			must(h.t, os.Rename(p(".vscode"), p("v")), os.Symlink("v", p(".vscode")))
			h.write("v/tasks.json", "evil")
		},
		"fifo": func(h *host, p func(string) string) {
			must(h.t, os.Remove(p(".vscode/tasks.json")), unix.Mkfifo(p(".vscode/tasks.json"), 0o644))
		},
		"hard link": func(h *host, p func(string) string) {
			must(h.t, os.Link(p(".vscode/tasks.json"), p("second")))
			h.write("second", "evil")
		},
		"git config": func(h *host, p func(string) string) { h.git(".", "config", "core.fsmonitor", "./evil") },
		"swap git": func(h *host, p func(string) string) {
			must(h.t, os.Rename(p(".git"), p("g")))
			h.git(".", "init", "-q")
			h.write(".git/hooks/pre-commit", "evil")
			h.git(".", "config", "core.hooksPath", "evil")
		},
		"git link": func(h *host, p func(string) string) {
			must(h.t, os.Rename(p(".git"), p("g")), os.Symlink("g", p(".git")))
			h.write("g/hooks/post-checkout", "evil")
		},
		"absent file": func(h *host, p func(string) string) { must(h.t, os.Remove(p(".envrc"))); h.write(".envrc", "evil") },
		"absent dir":  func(h *host, p func(string) string) { h.write(".coi/config.toml", "x = 1") },
		"absent link": func(h *host, p func(string) string) {
			must(h.t, os.Remove(p(".mcp.json")), os.Symlink("evil.json", p(".mcp.json")))
		},
		"absent parent": func(h *host, p func(string) string) {
			must(h.t, os.RemoveAll(p(".claude")), os.Mkdir(p("x"), 0o755), os.Symlink("x", p(".claude")))
			h.write("x/settings.json", "evil")
		},
	}
	for name, attack := range attacks {
		t.Run(name, func(t *testing.T) {
			h := repo(t)
			before := h.listing()
			h.start()
			attack(h, func(rel string) string { return filepath.Join(h.ws, rel) })
			r := h.end()
			if len(h.found(r, coi.Critical)) == 0 || len(r.NotVerified) != 0 {
				t.Errorf("findings %v, not verified %q", r.Findings, r.NotVerified)
			}
			for _, f := range h.end().Findings {
				if !strings.Contains(f.Title, "by another directory") && !strings.HasSuffix(f.Title, "was removed") {
					t.Errorf("a second check still finds %v", f)
				}
			}
			h.remove()
			after := h.listing()
			for rel, text := range before {
				if slices.ContainsFunc([]string{".git/hooks", ".git/config", ".vscode"}, func(d string) bool { return rel == d || strings.HasPrefix(rel, d+"/") }) &&
					!strings.HasSuffix(rel, ".sample") && after[rel] != text {
					t.Errorf("%s = %q; want %q", rel, after[rel], text)
				}
			}
			for rel := range after {
				if _, ok := before[rel]; !ok && (rel == ".envrc" || strings.HasPrefix(rel, ".coi") || rel == ".mcp.json" || rel == ".claude" || strings.HasPrefix(rel, ".vscode/") || strings.HasPrefix(rel, ".git/hooks/")) {
					t.Errorf("%s is still there", rel)
				}
			}
		})
	}
}

// What a program of the host did is only told.
func TestHostChangeIsReported(t *testing.T) {
	h := repo(t)
	h.start()
	h.write(".vscode/tasks.json", "edited on the host")
	h.write(".envrc", "export X=1")
	r, err := Check(End{
		Baseline: h.file("baseline.json"), Copies: h.file("copies"), Quarantine: h.file("quarantine"), UID: os.Getuid(), GID: os.Getgid(),
		ByHost: func(string) bool { return true },
	})
	must(t, err)
	if len(h.found(r, coi.Warning)) != 2 || len(h.found(r, coi.Critical)) != 0 || r.Quarantine != "" {
		t.Errorf("report = %+v", r)
	}
	if h.read(".vscode/tasks.json") != "edited on the host" || h.read(".envrc") != "export X=1" {
		t.Error("the user's own change is gone")
	}
}

// R-PATH-04, R-REG-09: repositories that appear.
func TestNewRepositories(t *testing.T) {
	h := newHost(t)
	h.start()
	h.git(".", "init", "-q")
	h.write(".git/hooks/pre-commit", "evil")
	h.git(".", "config", "core.fsmonitor", "./evil")
	h.git(".", "config", "alias.st", "!evil")
	h.git(".", "config", "alias.ok", "status")
	h.git(".", "config", "filter.x.clean", "evil")
	h.git(".", "remote", "add", "origin", "https://example.com/x.git")
	h.git(".", "init", "-q", "--bare", "deep/bare")
	h.git("deep/bare", "config", "core.sshCommand", "evil")
	must(t, os.MkdirAll(filepath.Join(h.ws, "links"), 0o755))
	h.git("links", "init", "-q")
	must(t, os.RemoveAll(filepath.Join(h.ws, "links/.git/hooks")), os.Symlink("/tmp", filepath.Join(h.ws, "links/.git/hooks")),
		os.Rename(filepath.Join(h.ws, "links/.git/config"), filepath.Join(h.ws, "c")), os.Symlink("../../c", filepath.Join(h.ws, "links/.git/config")))
	h.write("out/.git", "gitdir: /tmp/elsewhere\n")
	h.write("in/.git", "gitdir: ../deep/bare\n")
	h.write("broken/HEAD", "ref: refs/heads/main\n")
	h.write("broken/objects/x", "")
	h.write("broken/refs/x", "")
	h.write("broken/config", "[core\nfsmonitor = evil\n")
	r := h.end()
	want := []string{".git/config", ".git/hooks/pre-commit", "broken/config", "deep/bare/config", "links/.git/config", "links/.git/hooks", "out/.git"}
	if diff := cmp.Diff(want, h.found(r, coi.High)); diff != "" {
		t.Error(diff)
	}
	out, err := exec.Command("git", "-C", h.ws, "config", "--local", "--list").CombinedOutput()
	must(t, err)
	if s := string(out); strings.Contains(s, "evil") || !strings.Contains(s, "alias.ok=status") || !strings.Contains(s, "remote.origin.url=https://example.com/x.git") {
		t.Errorf("configuration after the check:\n%s", s)
	}
	if !h.exists("in/.git") || h.exists("out/.git") {
		t.Error(".git files: the inner one must stay, the outer one go")
	}
	if again := h.end(); len(again.Findings) != 0 {
		t.Errorf("second check: %+v", again.Findings)
	}
}

// S: new setuid bits, capabilities and files of container root.
func TestBitsAndOwners(t *testing.T) {
	h := newHost(t)
	h.write("old", "x")
	must(t, os.Chmod(filepath.Join(h.ws, "old"), 0o755|os.ModeSetuid))
	h.start()
	// The start is moved past the change of old, as a session's is.
	var b baseline
	p := h.file("baseline.json")
	must(t, json.Unmarshal(mustRead(t, p), &b))
	old, err := h.root.Stat("old")
	must(t, err)
	for later := old; !later.ChgTime.After(old.ChgTime); { // the clock of files ticks slowly
		h.write("tick", "x")
		later, err = h.root.Stat("tick")
		must(t, err)
	}
	for _, n := range []string{"suid", "caps", "foreign", "two"} {
		h.write(n, "x")
	}
	must(t, os.Chmod(filepath.Join(h.ws, "suid"), 0o755|os.ModeSetuid|os.ModeSetgid), os.Chmod(filepath.Join(h.ws, "caps"), 0o755),
		// cap_net_raw+ep in the version 2 form of struct vfs_cap_data
		unix.Setxattr(filepath.Join(h.ws, "caps"), "security.capability", []byte{1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 0),
		os.Chown(filepath.Join(h.ws, "foreign"), 4321, 4321),
		os.Link(filepath.Join(h.ws, "two"), filepath.Join(h.ws, "two2")), os.Chown(filepath.Join(h.ws, "two"), 4321, 4321))
	b.StartedAt = old.ChgTime.Add(slack + 1)
	must(t, os.WriteFile(p, must2(json.Marshal(b)), 0o600))
	for _, n := range []string{"suid", "caps", "foreign", "two"} {
		if now, _ := h.root.Stat(n); now.ChgTime.Before(b.StartedAt.Add(-slack)) {
			t.Fatalf("the instrument does not work: %s is older than the session", n)
		}
	}
	r := h.end()
	if diff := cmp.Diff([]string{"caps", "suid"}, h.found(r, coi.High)); diff != "" {
		t.Error(diff)
	}
	suid, _ := h.root.Stat("suid")
	caps, _ := h.root.Stat("caps")
	foreign, _ := h.root.Stat("foreign")
	two, _ := h.root.Stat("two")
	old, _ = h.root.Stat("old")
	if suid.Mode != 0o755 || h.root.Capability("caps", caps) || foreign.UID != os.Getuid() || two.UID != 4321 || r.Owned != 1 || old.Mode&os.ModeSetuid == 0 {
		t.Errorf("suid %v, caps %v, foreign uid %d, two uid %d, owned %d, old %v", suid.Mode, h.root.Capability("caps", caps), foreign.UID, two.UID, r.Owned, old.Mode)
	}
}

// S: watched paths are told with the command to look, nothing moves.
func TestWatched(t *testing.T) {
	h := repo(t)
	h.start()
	h.write("CLAUDE.md", "be evil")
	h.write(".github/workflows/ci.yml", "x")
	r := h.end()
	if diff := cmp.Diff([]string{".github/workflows", "CLAUDE.md"}, h.found(r, coi.Warning)); diff != "" || h.read("CLAUDE.md") != "be evil" || r.Quarantine != "" {
		t.Errorf("%s\n%+v", diff, r)
	}
	if !strings.Contains(r.Findings[0].Hint, "diff -- ") {
		t.Errorf("hint = %q", r.Findings[0].Hint)
	}
}

// A quarantine on another file system gets copies.
func TestQuarantineElsewhere(t *testing.T) {
	h := repo(t)
	h.start()
	q := h.file("quarantine")
	must(t, os.Mkdir(q, 0o700), unix.Mount("tmpfs", q, "tmpfs", 0, "size=4m"))
	t.Cleanup(func() { _ = unix.Unmount(q, unix.MNT_DETACH) })
	h.write(".git/hooks/pre-commit", "evil")
	h.write(".vscode/new/file", "evil too")
	must(t, os.Symlink("/etc/shadow", filepath.Join(h.ws, ".vscode/new/link")))
	r := h.end()
	if len(r.NotVerified) != 0 || h.exists(".git/hooks/pre-commit") || h.exists(".vscode/new") {
		t.Errorf("report = %+v", r)
	}
	for _, f := range r.Findings {
		if _, err := os.Lstat(filepath.Join(q, f.Item.Path)); err != nil {
			t.Error(err)
		}
	}
}

// What cannot be moved is told as not verified, and the rest is still done.
func TestNotVerified(t *testing.T) {
	h := repo(t)
	h.start()
	h.write(".vscode/stuck", "x")
	h.write(".idea/x", "x")
	f, err := os.Open(filepath.Join(h.ws, ".vscode/stuck"))
	must(t, err)
	defer func() { _ = f.Close() }()
	const immutable = 0x10 // FS_IMMUTABLE_FL
	must(t, unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, immutable))
	t.Cleanup(func() { _ = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, 0) })
	r := h.end()
	if len(r.NotVerified) != 1 || !strings.Contains(r.NotVerified[0], "sudo ls") || h.exists(".idea/x") {
		t.Errorf("report = %+v", r)
	}
	must(t, unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, 0))
}

// Names from the container are printed escaped and quoted (R-MON-14, R-OWN-08).
func TestHostileNames(t *testing.T) {
	h := repo(t)
	h.start()
	h.write(".git/hooks/$(touch pwned)\x1b[2J;'\n", "evil")
	r := h.end()
	if len(r.Findings) != 1 || strings.ContainsAny(r.Findings[0].Title, "\x1b\n") {
		t.Fatalf("findings = %+v", r.Findings)
	}
	cmd := exec.Command("bash", "-c", r.Findings[0].Hint)
	cmd.Dir = h.ws
	if out, err := cmd.CombinedOutput(); err != nil || h.exists("pwned") {
		t.Errorf("the printed command: %v, %s", err, out)
	}
}

func TestNoBaseline(t *testing.T) {
	h := newHost(t)
	if r := h.end(); !r.Clean() {
		t.Errorf("report = %+v", r)
	}
	must(t, DropBaseline(h.file("baseline.json"), h.file("copies")))
}

// R-REG-09, R-PATH-04: a folder that only looked alike becomes a repository, and
// an old repository is told to take its configuration from there.
func TestLookalikeBecomesConfiguration(t *testing.T) {
	h := repo(t)
	h.write("x/objects/k", "")
	h.write("x/refs/k", "")
	h.write("x/config", "[core]\n\tfsmonitor = evil\n")
	h.write("quiet/objects/k", "")
	h.write("quiet/refs/k", "")
	h.write("quiet/hooks/mine", "data")
	h.start()
	h.write("x/HEAD", "ref: refs/heads/main\n")
	h.write("x/hooks/post-checkout", "evil")
	h.write(".git/commondir", "../x\n")
	r := h.end()
	if diff := cmp.Diff([]string{".git/commondir"}, h.found(r, coi.Critical)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"x/config", "x/hooks/post-checkout"}, h.found(r, coi.High)); diff != "" {
		t.Error(diff)
	}
	if h.exists(".git/commondir") || strings.Contains(h.read("x/config"), "evil") || !h.exists("quiet/hooks/mine") {
		t.Error("the planted files must go, a folder that only looks alike must stay")
	}
}

// R-PATH-04: what a new commondir names is looked at, also without HEAD, and it
// leads neither out of the workspace nor over a link; a worktree stays.
func TestCommonDirectoryIsJudged(t *testing.T) {
	h := repo(t)
	h.git(".", "commit", "-q", "--allow-empty", "-m", "x")
	for _, name := range []string{"x/objects/k", "x/refs/k", "x/hooks/pre-commit"} {
		h.write(name, "evil")
	}
	h.start()
	h.git(".", "worktree", "add", "-q", "tree")
	must(t, os.Symlink("x", filepath.Join(h.ws, "link")))
	for dir, common := range map[string]string{"in": "../x", "out": "/tmp", "over": "../link"} {
		h.write(dir+"/HEAD", "ref: refs/heads/main\n")
		h.write(dir+"/commondir", common+"\n")
	}
	r := h.end()
	if diff := cmp.Diff([]string{"out/commondir", "over/commondir", "x/hooks/pre-commit"}, h.found(r, coi.High)); diff != "" {
		t.Error(diff)
	}
	if !h.exists("in/commondir") || !h.exists(".git/worktrees/tree/commondir") {
		t.Error("a commondir inside must stay")
	}
}

// R-REG-09: a new repository's aliases and collector hook run nothing.
func TestConfigurationThatRunsWithoutBang(t *testing.T) {
	h := newHost(t)
	h.start()
	h.git(".", "init", "-q", "n")
	for key, value := range map[string]string{"gc.recentObjectsHook": "evil", "alias.a": "grep -Oevil x", "alias.b": "--exec-path=evil pull", "remote.o.proxy": "evil", "alias.ok": "cherry-pick"} {
		h.git("n", "config", key, value)
	}
	h.end()
	if s := h.read("n/.git/config"); strings.Contains(s, "evil") || !strings.Contains(s, "cherry-pick") {
		t.Errorf("configuration after the check:\n%s", s)
	}
}

// R-OWN-03: a file with holes neither fills the quarantine nor holds up the end.
func TestQuarantineOfHugeFile(t *testing.T) {
	for name, links := range map[string]bool{"one name": false, "two names": true} {
		t.Run(name, func(t *testing.T) {
			h := repo(t)
			h.start()
			p := filepath.Join(h.ws, ".git/hooks/pre-commit")
			h.write(".git/hooks/pre-commit", "evil")
			must(t, os.Truncate(p, 1<<40))
			if links {
				must(t, os.Link(p, filepath.Join(h.ws, "second")))
			}
			r := h.end()
			if len(h.found(r, coi.Critical)) == 0 || len(r.NotVerified) != 0 || h.exists(".git/hooks/pre-commit") {
				t.Fatalf("report = %+v", r)
			}
			it := r.Findings[0].Item
			if it == nil || it.SHA256 != "" || (it.Path == "") != links || (it.PutBack == "") != links {
				t.Errorf("item = %+v", it)
			}
		})
	}
}

// R-PATH-01: a file with holes in one locked place does not use up the reading
// that the others need; a change of equal size and time is still found.
func TestHugeFileHidesNothing(t *testing.T) {
	h := repo(t)
	h.write("aa/huge", "")
	must(t, os.Truncate(filepath.Join(h.ws, "aa/huge"), 1<<40))
	h.cfg.Protected = append([]string{"aa"}, h.cfg.Protected...)
	h.start()
	h.write(".git/hooks/huge", "")
	must(t, os.Truncate(filepath.Join(h.ws, ".git/hooks/huge"), 1<<40))
	p := filepath.Join(h.ws, ".vscode/tasks.json")
	st := must2(os.Stat(p))
	h.write(".vscode/tasks.json", "[]")
	must(t, os.Chtimes(p, st.ModTime(), st.ModTime()))
	if diff := cmp.Diff([]string{".git/hooks/huge", ".vscode/tasks.json"}, h.found(h.end(), coi.Critical)); diff != "" {
		t.Error(diff)
	}
	if got := h.read(".vscode/tasks.json"); got != "{}" {
		t.Errorf("tasks.json = %q", got)
	}
}
