package gitin

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/bundle"
	"github.com/code-on-incus/coi/pkg/cli"
)

var patterns = []string{`^[[:space:]]*Co-[Aa]uthored-[Bb]y:.*(noreply@example\.com|Tool)`, `Generated with .*Tool`}

// inside is a directory that plays the container: hooks and lists at the real
// places, by a mount namespace, since the scripts name /etc/coi.
type inside struct {
	t   *testing.T
	dir string
	g   *Git
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func newInside(t *testing.T, c Config) *inside {
	t.Helper()
	c.Workspace, c.Home = "/workspace", "/home/code"
	g, err := New(c)
	must(t, err)
	in := &inside{t, t.TempDir(), g}
	for _, f := range g.Files {
		p := filepath.Join(in.dir, "root", f.Path)
		if f.Dir {
			must(t, os.MkdirAll(p, 0o755))
			continue
		}
		must(t, os.WriteFile(p, f.Content, f.Mode))
	}
	must(t, os.MkdirAll(filepath.Join(in.dir, "home"), 0o755))
	return in
}

// sh runs a script as it would run inside.
func (in *inside) sh(script string) (string, error) {
	in.t.Helper()
	cmd := exec.Command("unshare", "-m", "sh", "-c", `mount -t tmpfs none /mnt && mkdir /mnt/up /mnt/work && mount -t overlay overlay -o lowerdir=/etc,upperdir=/mnt/up,workdir=/mnt/work /etc &&
cp -r "$ROOT/etc/coi" /etc/coi && cd "$REPO" || exit 99
`+in.g.Script+script)
	repo := filepath.Join(in.dir, "repo")
	must(in.t, os.MkdirAll(repo, 0o755))
	cmd.Env = append(os.Environ(), "ROOT="+filepath.Join(in.dir, "root"), "REPO="+repo, "HOME="+filepath.Join(in.dir, "home"), "GIT_CONFIG_GLOBAL="+filepath.Join(in.dir, "home/.gitconfig"))
	for k, v := range in.g.Env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// S: a tool's co-author line goes, everything else stays.
func TestAttribution(t *testing.T) {
	in := newInside(t, Config{Name: "N", Email: "n@example.com", Strip: true, Patterns: patterns})
	out, err := in.sh(`git init -q; echo x >f; git add f
git commit -q -m "subject

body

Generated with [Tool](x)
Co-Authored-By: Tool <noreply@example.com>
Signed-off-by: N"
git log -1 --format=%B; echo ==
git commit -q --allow-empty -m "Co-Authored-By: Tool <noreply@example.com>"; git log -1 --format=%s%an`)
	want := "subject\n\nbody\n\nSigned-off-by: N\n\n==\nCo-Authored-By: Tool <noreply@example.com>N\n"
	if err != nil || out != want {
		t.Errorf("%v\ngot  %q\nwant %q", err, out, want)
	}
	bad := newInside(t, Config{Name: "N", Email: "n@example.com", Strip: true, Patterns: []string{"(["}})
	if out, err := bad.sh(`git init -q; git commit -q --allow-empty -m "Co-Authored-By: Tool"; git log -1 --format=%s`); err != nil || out != "Co-Authored-By: Tool\n" {
		t.Errorf("a bad pattern: %q, %v", out, err)
	}
}

// S: protected_branches; R-LIM-05: the ways past it are the documented ones.
func TestBranchGuard(t *testing.T) {
	in := newInside(t, Config{Name: "N", Email: "n@example.com", Branches: []string{"main", "release/*"}})
	out, err := in.sh(`git init -q -b main; git init -q --bare ../remote.git; git remote add o ../remote.git
git commit -q --allow-empty -m x && echo ON-MAIN
git checkout -q -b x; git commit -q --allow-empty -m y && echo ON-X
git push -q o x && echo PUSH-X
git push -q o x:main && echo PUSH-MAIN
git checkout -q -b release/1; git commit -q --allow-empty -m z && echo ON-RELEASE
git commit -q --no-verify --allow-empty -m z && echo PAST
true`)
	if err != nil || !strings.Contains(out, "ON-X") || !strings.Contains(out, "PUSH-X") || !strings.Contains(out, "PAST") {
		t.Errorf("what should pass does not: %v\n%s", err, out)
	}
	for _, bad := range []string{"ON-MAIN", "PUSH-MAIN", "ON-RELEASE"} {
		if strings.Contains(out, bad) {
			t.Errorf("%s passed:\n%s", bad, out)
		}
	}
	if !strings.Contains(out, `"main" is refused here (git.protected_branches = "main")`) || !strings.Contains(out, `"release/1" is refused`) {
		t.Errorf("the message names neither branch nor key:\n%s", out)
	}
}

// The repository's own hooks still run, with arguments, input and exit code, and
// a setting of its own does not switch ours off.
func TestOwnHooks(t *testing.T) {
	in := newInside(t, Config{Name: "N", Email: "n@example.com", Strip: true, Patterns: patterns, Branches: []string{"main"}})
	out, err := in.sh(`git init -q -b work; git init -q --bare ../remote.git; git remote add o ../remote.git
mk() { printf '#!/bin/sh\n%s\n' "$2" >"$1"; chmod +x "$1"; }
mk .git/hooks/commit-msg 'echo own:$(cat "$1" | wc -l)'
mk .git/hooks/pre-push 'echo push:$1:$(wc -l)'
mk .git/hooks/post-checkout 'exit 7'
git commit -q --allow-empty -m "a
Generated with Tool"
git push -q o work
/etc/coi/git-hooks/post-checkout; echo rc:$?; git checkout -q -b other
mkdir my; mk my/pre-commit 'echo mine; exit 3'
git config core.hooksPath my
git commit -q --allow-empty -m b; echo rc:$?
git -c core.hooksPath=/dev/null commit -q --allow-empty -m "c
Generated with Tool"; git log -1 --format=%b`)
	for _, want := range []string{"own:1", "push:o:1", "rc:7", "mine\n", "rc:1"} {
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("%q is missing (%v) in\n%s", want, err, out)
		}
	}
}

func TestIdentity(t *testing.T) {
	host := Host{Identity: Identity{"Host", "h@example.com"}}
	if g, err := New(Config{Host: host, Seed: true}); err != nil || g.Identity.Name != "Host" {
		t.Errorf("seeded identity = %+v, %v", g, err)
	}
	in := newInside(t, Config{Host: host})
	if out, err := in.sh(`git init -q; git commit -q --allow-empty -m x; echo rc:$?`); err != nil || !strings.Contains(out, "rc:128") {
		t.Errorf("a commit without identity: %v\n%s", err, out)
	}
	in = newInside(t, Config{Name: `A "B" \ $(touch pwned) 'c' d`, Email: "a@example.com"})
	if out, err := in.sh(`git init -q; git commit -q --allow-empty -m x; git log -1 --format=%an; ls`); err != nil || !strings.Contains(out, `A "B" \ $(touch pwned) 'c' d`) || strings.Contains(out, "pwned\n") {
		t.Errorf("a name with quotes: %v\n%s", err, out)
	}
	dir := filepath.Join(t.TempDir(), "git-identity")
	g, err := New(Config{Name: "N", Email: "n@example.com", ReadOnly: true, Home: "/home/code", IdentityDir: dir})
	must(t, err)
	dev := g.Devices["git-identity"]
	b, err := os.ReadFile(dev["source"])
	if err != nil || !strings.Contains(string(b), `name = "N"`) || dev["readonly"] != "true" || dev["path"] != "/home/code/.gitconfig" || g.Env["GIT_COMMITTER_EMAIL"] != "n@example.com" {
		t.Errorf("readonly: %v, %q, %v, %v", dev, b, err, g.Env)
	}
	if _, err := New(Config{Name: "N", Email: "n@example.com", ReadOnly: true, IdentityDir: dir}); err != nil {
		t.Errorf("a second session: %v", err)
	}
	must(t, os.WriteFile(dev["source"], []byte("[core]\nfsmonitor=evil"), 0o600))
	var e *cli.Error
	if _, err := New(Config{Name: "N", Email: "n@example.com", ReadOnly: true, IdentityDir: dir}); !errors.As(err, &e) || e.Code != 1 {
		t.Errorf("a changed identity file: %v", err)
	}
	if _, err := New(Config{ReadOnly: true, IdentityDir: dir}); !errors.As(err, &e) || e.Code != 1 {
		t.Errorf("readonly without identity: %v", err)
	}
}

func TestHostIdentity(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", "")
	must(t, os.WriteFile(filepath.Join(dir, ".gitconfig"), []byte("[include]\npath = more\n[core]\nhooksPath = .githooks\n"), 0o600),
		os.WriteFile(filepath.Join(dir, "more"), []byte("[user]\nname = N\nemail = n@example.com\n"), 0o600))
	h := HostIdentity(context.Background(), dir)
	if h.Name != "N" || h.Email != "n@example.com" || h.HooksPath != ".githooks" {
		t.Errorf("HostIdentity = %+v", h)
	}
	if h := HostIdentity(context.Background(), t.TempDir()); h.Whole() {
		t.Errorf("identity from nowhere: %+v", h)
	}
}

func TestOldGitIsTold(t *testing.T) {
	g, err := New(Config{Name: "N", Email: "n@example.com"})
	must(t, err)
	run := func(version string) string {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, "git"), []byte("#!/bin/sh\n[ \"$1\" != version ] || echo git version "+version+"\n"), 0o755))
		cmd := exec.Command("/bin/sh", "-c", g.Script)
		cmd.Env = []string{"PATH=" + dir}
		out, err := cmd.CombinedOutput()
		must(t, err)
		return string(out)
	}
	for version, old := range map[string]bool{"1.8.3": true, "2.7.1": true, "2.30.2": true, "2.31.0": false, "2.39.5": false, "2.100.0": false, "3.0.1": false} {
		if got := strings.Contains(run(version), "coi-warning"); got != old {
			t.Errorf("git %s: warning %v; want %v", version, got, old)
		}
	}
	cmd := exec.Command("/bin/sh", "-c", g.Script)
	cmd.Env = []string{"PATH=/nonexistent"}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "coi-warning git is not in this image") {
		t.Errorf("no git: %s, %v", out, err)
	}
}

func TestFilesAreRoots(t *testing.T) {
	g, err := New(Config{Excludes: []string{"/.envrc"}, Branches: []string{"", "a\nb"}, Patterns: []string{""}, Strip: true})
	must(t, err)
	i := slices.IndexFunc(g.Files, func(f bundle.File) bool { return f.Path == "/etc/coi/git-exclude" })
	if i < 0 || string(g.Files[i].Content) != "/.envrc\n" {
		t.Errorf("exclude file: %+v", g.Files)
	}
	for _, f := range g.Files {
		if f.UID != 0 || f.GID != 0 || f.Mode&0o022 != 0 {
			t.Errorf("%s can be written by others: %+v", f.Path, f)
		}
		if strings.HasSuffix(f.Path, "/attribution") && len(f.Content) != 0 {
			t.Error("an empty pattern would drop every line")
		}
	}
}
