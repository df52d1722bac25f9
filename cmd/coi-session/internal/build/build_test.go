package build

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseBase(t *testing.T) {
	tests := []struct {
		ref  string
		want Base
	}{
		{"debian:13", Base{Kind: Mirror, Distro: "debian", Suite: "trixie"}},
		{"ubuntu:24.04", Base{Kind: Mirror, Distro: "ubuntu", Suite: "noble"}},
		{"debian:sid", Base{Kind: Mirror, Distro: "debian", Suite: "sid"}},
		{"images:debian/13/cloud", Base{Kind: Remote, Remote: "images", Alias: "debian/13/cloud"}},
		{"coi-default", Base{Kind: Local, Alias: "coi-default"}},
	}
	for _, tt := range tests {
		tt.want.Ref = tt.ref
		got, err := ParseBase(tt.ref)
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("ParseBase(%q) = %v (-want +got):\n%s", tt.ref, err, diff)
		}
	}
	for _, bad := range []string{"", "debian:99", "debian:", "debian:--mode=root", "ubuntu:$(id)", ":x", "images:", "a b", "../x", "-x"} {
		if got, err := ParseBase(bad); err == nil {
			t.Errorf("ParseBase(%q) = %+v; want an error", bad, got)
		}
	}
}

// What apt prints, with an archive of somebody else and one it has not read yet.
const aptText = `Debian Backports|Debian Backports|bookworm-backports|http://mirror.test/debian|bookworm-backports|main
Debian|Debian|bookworm|http://mirror.test/debian|bookworm|main
Debian|Debian|bookworm|http://mirror.test/debian|bookworm|non-free
Debian|Debian|bookworm-updates|http://mirror.test/debian|bookworm-updates|main
Debian|Debian-Security|bookworm-security|http://sec.test/debian-security|bookworm-security|main
Vendor|Vendor|bookworm|http://vendor.test/apt|bookworm|main
garbage
`

func TestSources(t *testing.T) {
	const deb = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] "
	const ubu = "deb [signed-by=/usr/share/keyrings/ubuntu-archive-keyring.gpg] "
	unread := "$(ORIGIN)|$(LABEL)|$(CODENAME)|http://mirror.test/debian|bookworm|main\n"
	tests := []struct {
		name, base, mirror, apt string
		want                    []string
	}{
		{"own release", "debian:12", "", aptText, []string{
			deb + "http://mirror.test/debian bookworm main", deb + "http://mirror.test/debian bookworm-updates main",
			deb + "http://sec.test/debian-security bookworm-security main",
		}},
		{"another release", "debian:13", "", aptText, []string{
			deb + "http://mirror.test/debian trixie main", deb + "http://mirror.test/debian trixie-updates main",
			deb + "http://sec.test/debian-security trixie-security main",
		}},
		{"another distribution", "ubuntu:24.04", "", aptText, nil},
		{"lists not read yet", "debian:12", "", unread, []string{deb + "http://mirror.test/debian bookworm main"}},
		{"named mirror", "debian:13", "http://m.test/d", aptText, []string{deb + "http://m.test/d trixie main", deb + "http://m.test/d trixie-updates main"}},
		{"named mirror of another distribution", "ubuntu:24.04", "http://m.test/u", aptText, []string{
			ubu + "http://m.test/u noble main universe", ubu + "http://m.test/u noble-updates main universe", ubu + "http://m.test/u noble-security main universe",
		}},
	}
	for _, tt := range tests {
		b, err := ParseBase(tt.base)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, sources(b, tt.mirror, parseTargets(tt.apt), "debian", "bookworm")); diff != "" {
			t.Errorf("%s: sources() (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestHostRelease(t *testing.T) {
	distro, suite := hostRelease("PRETTY_NAME=\"X\"\nID=debian\nVERSION_CODENAME=\"trixie\"\n")
	if distro != "debian" || suite != "trixie" {
		t.Errorf("hostRelease() = %q, %q; want debian, trixie", distro, suite)
	}
}

// Nothing that a user or a registry writes can become a command of the script.
func TestEnvFileQuotes(t *testing.T) {
	got := string(envFile(map[string]string{"B": "x'; touch /tmp/oops; '", "A": "$(id)"}))
	if want := "A='$(id)'\nB='x'\\''; touch /tmp/oops; '\\'''\n"; got != want {
		t.Errorf("envFile() = %q; want %q", got, want)
	}
}

func TestOverlay(t *testing.T) {
	var b bytes.Buffer
	if err := writeOverlay(&b, map[string]string{"COI_NPM": "claude=x"}); err != nil {
		t.Fatal(err)
	}
	modes, bodies := map[string]int64{}, map[string]string{}
	for r := tar.NewReader(&b); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := modes[h.Name]; twice || h.Uid != 0 || h.Gid != 0 || filepath.IsAbs(h.Name) || strings.Contains(h.Name, "..") {
			t.Errorf("entry %+v is twice in the archive, not root's, or not below /", h)
		}
		modes[h.Name], bodies[h.Name] = h.Mode, string(text)
	}
	for name, want := range map[string]int64{
		"etc/tmux.conf": 0o644, "usr/local/libexec/coi-power": 0o755, "usr/local/bin/dummy": 0o755,
		"root/coi-install.sh": 0o700, "root/coi-install.env": 0o600, "root/": 0o700, "etc/": 0o755,
	} {
		if got, ok := modes[name]; !ok || got != want {
			t.Errorf("mode of %s = %#o, %v; want %#o", name, got, ok, want)
		}
	}
	if got := bodies["root/coi-install.env"]; got != "COI_NPM=claude=x\n" {
		t.Errorf("variables = %q", got)
	}
}

func TestBootstrapArgs(t *testing.T) {
	b, err := ParseBase("ubuntu:24.04")
	if err != nil {
		t.Fatal(err)
	}
	args := bootstrapArgs(b, nil, "/var/tmp/d", "unshare")
	if got := args[len(args)-2:]; !slices.Equal(got, []string{"noble", "-"}) {
		t.Errorf("last arguments = %q; want the release and standard output", got)
	}
	if !slices.Contains(args, "--components=main,universe") || !slices.Contains(args, "--mode=unshare") {
		t.Errorf("arguments %q lack the components or the mode", args)
	}
}

func TestLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "build.log")
	if err := os.WriteFile(path, []byte("of the last build\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var steps []string
	l, err := openLog(path, func(s string) { steps = append(steps, s) })
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("line\n", 40) + "coi-step: one\n10%\r50%\r100%\ncoi-fail: why\nlast"
	for _, c := range []byte(text) {
		if n, err := l.Write([]byte{c}); n != 1 || err != nil {
			t.Fatalf("Write() = %d, %v", n, err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"one"}, steps); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if got := l.Failure(); got != "why" {
		t.Errorf("Failure() = %q; want why", got)
	}
	tail := l.Tail()
	if len(tail) != TailLines || tail[len(tail)-2] != "100%" {
		t.Errorf("Tail() = %q; want %d lines with the last state of a progress line", tail, TailLines)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != text {
		t.Errorf("log = %d bytes, %v; want all of this build and nothing of the last", len(got), err)
	}
}

// A work directory that somebody else made under our name is not touched.
func TestPrepareDirRefusesLink(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim")
	if err := os.Mkdir(victim, 0o700); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "work")
	if err := os.Symlink(victim, link); err != nil {
		t.Fatal(err)
	}
	if err := prepareDir(t.Context(), link); err == nil {
		t.Error("prepareDir(link) = nil; want an error")
	}
	if _, err := os.Stat(victim); err != nil {
		t.Errorf("the target of the link is gone: %v", err)
	}
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if err := prepareDir(t.Context(), link); err != nil {
		t.Errorf("prepareDir(free name) = %v; want nil", err)
	}
}

func TestFindAgents(t *testing.T) {
	got, err := findAgents([]string{"claude", "pi", "claude"})
	if err != nil || len(got) != 2 || got[0].Name != "claude" || got[1].Name != "pi" {
		t.Errorf("findAgents() = %v, %v; want claude and pi", got, err)
	}
	for _, bad := range []string{"claud", "custom"} {
		if _, err := findAgents([]string{bad}); err == nil || !strings.Contains(err.Error(), "container.build.agents") {
			t.Errorf("findAgents(%s) = %v; want an error that names the key", bad, err)
		}
	}
}
