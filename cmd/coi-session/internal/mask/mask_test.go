package mask

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/beneath"
	"github.com/code-on-incus/coi/pkg/cli"
)

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// R-PATH-06: globs match at any depth, and only what they say.
func TestMatch(t *testing.T) {
	for glob, want := range map[string][2]string{
		"*.pem":        {"k.pem a/b/k.pem .pem", "k.pem.txt a.pemx"},
		".env":         {".env a/.env", ".envrc x.env"},
		".env.*":       {".env.local a/.env.prod", ".env"},
		"secrets/**":   {"secrets secrets/a secrets/a/b", "a/secrets mysecrets"},
		"a/**/k":       {"a/k a/b/k a/b/c/k", "b/a/k k"},
		"config/*.yml": {"config/db.yml", "config/x/db.yml config/db.yaml"},
		"id_[re]*":     {"id_rsa x/id_ed25519", "id_dsa"},
		"[!a]x":        {"bx d/cx", "ax"},
		"a?c":          {"abc", "ac a/c"},
		`\*x`:          {"*x", "ax"},
		"dir/":         {"dir dir/f x/dir", "dirs"},
		"a+(b)|c":      {"a+(b)|c", "ab c"},
	} {
		s, err := New([]string{glob})
		must(t, err)
		for i, list := range want {
			for p := range strings.FieldsSeq(list) {
				if _, got := s.Match(p); got != (i == 0) {
					t.Errorf("%q matches %q: %v", glob, p, got)
				}
			}
		}
	}
	var e *cli.Error
	if _, err := New([]string{"", "**", "/etc", "../x", "[a", "ok"}); !errors.As(err, &e) || e.Code != 5 || len(e.Lines) != 4 {
		t.Errorf("bad globs: %v", err)
	}
}

// R-OWN-03: a pattern made to be slow is not.
func TestMatchIsLinear(t *testing.T) {
	s, err := New([]string{strings.Repeat("a*", 120) + "b", strings.Repeat("**/", 80) + "b"})
	must(t, err)
	name := strings.Repeat(strings.Repeat("a", 200)+"/", 20) + "c"
	begin := time.Now()
	if _, ok := s.Match(name); ok {
		t.Error("matched")
	}
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("one match took %s", took)
	}
	if _, err := New([]string{strings.Repeat("a", maxGlob+1)}); err == nil {
		t.Error("a pattern without bounds was accepted")
	}
}

func workspace(t *testing.T) *beneath.Root {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	r, err := beneath.Open(dir)
	must(t, err)
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func write(t *testing.T, r *beneath.Root, rels ...string) {
	t.Helper()
	for _, rel := range rels {
		p := r.Abs(rel)
		must(t, os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte("secret"), 0o600))
	}
}

// Session §11: files, directories, targets of links, and what appears later.
func TestScan(t *testing.T) {
	r := workspace(t)
	write(t, r, "a/b/k.pem", "control.txt", "secrets/x/y", "real/token", "deep/one")
	must(t, os.Symlink("real/token", r.Abs("t.pem")), os.Symlink("/workspace/deep", r.Abs("d.pem")), os.Symlink("/etc/passwd", r.Abs("p.pem")),
		os.Symlink("l2.pem", r.Abs("l1.pem")), os.Symlink("l1.pem", r.Abs("l2.pem")), os.Symlink("../../..", r.Abs("up.pem")))
	s, err := New([]string{"*.pem", "secrets/**"})
	must(t, err)
	got, err := s.Scan(r, "/workspace", 1000)
	must(t, err)
	if diff := cmp.Diff([]Cover{{"a/b/k.pem", false}, {"deep", true}, {"real/token", false}, {"secrets", true}}, got); diff != "" {
		t.Error(diff)
	}
	devices := s.Devices("/workspace", "/m")
	name, dev := Cover{"secrets", true}.Device("/workspace", "/m")
	if diff := cmp.Diff(map[string]string{"type": "disk", "source": "/m/empty-dir", "path": "/workspace/secrets", "readonly": "true"}, devices[name]); diff != "" || dev == nil {
		t.Error(diff)
	}
	if locks := s.Locks("/m"); len(locks) != 4 || !locks[0].Mask || locks[0].Source != "/m/empty-file" {
		t.Errorf("Locks = %+v", locks)
	}
	write(t, r, "c/new.pem", "secrets/later")
	got, err = s.Scan(r, "/workspace", 1000)
	must(t, err)
	if diff := cmp.Diff([]Cover{{"c/new.pem", false}}, got); diff != "" {
		t.Error(diff)
	}
}

// R-PATH-06: tracked secrets are warned about, from the index of the real git.
func TestTracked(t *testing.T) {
	for _, args := range [][]string{{"-c", "index.version=2"}, {"-c", "index.version=3"}, {"-c", "index.version=4"}} {
		r := workspace(t)
		write(t, r, "a/b/k.pem", "a/b/k2.pem", "a/bb", "control.txt", "untracked.pem", "z/"+strings.Repeat("long/", 20)+"k.pem")
		git := func(more ...string) {
			cmd := exec.Command("git", append(append([]string{"-C", r.Path()}, args...), more...)...)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
		git("init", "-q")
		git("add", "a", "z")
		git("add", "--intent-to-add", "control.txt")
		s, err := New([]string{"*.pem"})
		must(t, err)
		if got := s.Tracked(r); len(got) != 3 || !strings.HasPrefix(got[0], "a/b/k.pem is hidden") {
			t.Errorf("%v: Tracked = %q", args, got)
		}
	}
	r := workspace(t)
	s, err := New([]string{"*.pem"})
	must(t, err)
	if got := s.Tracked(r); got != nil {
		t.Errorf("no repository: %q", got)
	}
	write(t, r, ".git/index")
	if got := s.Tracked(r); len(got) != 1 || !strings.Contains(got[0], "cannot be read") {
		t.Errorf("broken index: %q", got)
	}
}

// R-OWN-02.
func FuzzIndex(f *testing.F) {
	f.Add([]byte("DIRC\x00\x00\x00\x04\x00\x00\x00\x02" + strings.Repeat("\x00", 70)))
	f.Fuzz(func(_ *testing.T, b []byte) {
		for _, id := range []int{20, 32} {
			_ = readIndex(b, id, func(string) error { return nil })
		}
	})
}

// R-OWN-03: an index that an agent wrote cannot fill the host's memory or hold
// up the start: names of 4 KiB cost 64 bytes each in version 4.
func TestIndexBomb(t *testing.T) {
	const names = 400_000
	b := binary.BigEndian.AppendUint32([]byte("DIRC"), 4)
	b = binary.BigEndian.AppendUint32(b, names)
	for i := range names {
		b = append(b, make([]byte, statBytes+20+2)...)
		if i == 0 {
			b = append(append(b, 0), strings.Repeat("a/", 2000)...)
		} else {
			b = append(b, 1, byte('a'+i%26)) // all but the last byte of the last name, and another one
		}
		b = append(b, 0)
	}
	r := workspace(t)
	must(t, r.Mkdir(".git", 0o700), r.WriteNew(".git/index", b, 0o600))
	s, err := New([]string{"*.pem", "secrets/**"})
	must(t, err)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got := s.Tracked(r)
	runtime.ReadMemStats(&after)
	if len(got) != 1 || !strings.Contains(got[0], "too large") {
		t.Errorf("Tracked = %q; want one line that it is too large", got)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 512<<20 {
		t.Errorf("%d MiB were allocated", grown>>20)
	}
}

// R-PATH-06: many tracked secrets give a bounded list.
func TestTrackedIsBounded(t *testing.T) {
	s, err := New([]string{"*.pem"})
	must(t, err)
	f := finder{set: s, dirs: map[string]bool{}}
	for i := range 150 {
		must(t, f.see(fmt.Sprintf("d/%d.pem", i)))
	}
	if len(f.out) != maxTold || f.more != 50 {
		t.Errorf("%d told, %d more", len(f.out), f.more)
	}
}

// R-OWN-02: every glob is either refused or matches as a glob of its own text would.
func FuzzGlob(f *testing.F) {
	f.Add("a/[!b]*/**", "a/c/d")
	f.Fuzz(func(t *testing.T, glob, name string) {
		s, err := New([]string{glob})
		if err != nil {
			return
		}
		p, ok := s.Match(name)
		if ok && p != name && !strings.HasPrefix(name, p+"/") {
			t.Fatalf("%q matches %q in %q", glob, p, name)
		}
	})
}
