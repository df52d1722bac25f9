package scene

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/inside"
)

// folk are the names of these tests: every program is one of its own class.
type folk struct{}

func (folk) ClassOf(name string) string   { return map[string]string{"nc": "relay"}[name] }
func (folk) Canonical(name string) string { return name }
func (folk) Known() []string              { return []string{"nc"} }

func sumOf(text string) string {
	h := sha256.Sum256([]byte(text))
	return hex.EncodeToString(h[:])
}

// R-MON-01: a program that is written over another one, in the same second and
// the same inode, is known by its own content.
func TestProgramWrittenOverAnother(t *testing.T) {
	dir := t.TempDir()
	root, err := inside.At(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	m := NewImages(folk{})
	const plain, relay = "plain program", "a relay here!"
	m.bySHA[sumOf(relay)], m.sizes[int64(len(relay))] = "nc", true
	file := filepath.Join(dir, "x")
	look := func(text string) image {
		if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		var st unix.Stat_t
		if err := unix.Stat(file, &st); err != nil {
			t.Fatal(err)
		}
		return m.lookKernel(1, st.Ino, st.Ctim.Sec, func() string { return "/x" }, root, func() (*os.File, error) { return nil, errUnread })
	}
	if im := look(plain); im.is != "" {
		t.Fatalf("the plain program is %q", im.is)
	}
	if im := look(relay); im.is != "nc" {
		t.Errorf("the program written over it is %q; want nc", im.is)
	}
}

// The content of an image's program is read once for all its containers; what
// changed since a container was made is read for itself, whatever its number and
// times are.
func TestSumsOfImagesOnly(t *testing.T) {
	dir := t.TempDir()
	root, err := inside.At(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := os.WriteFile(filepath.Join(dir, "nc"), []byte("relay"), 0o755); err != nil {
		t.Fatal(err)
	}
	in, err := root.Stat("/nc")
	if err != nil {
		t.Fatal(err)
	}
	var s Sums
	of := func(made time.Time) string {
		sum, err := s.of(root, in, made)
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	if later := in.Changed.Add(time.Hour); of(later) != sumOf("relay") || len(s.known) != 1 {
		t.Fatalf("known = %v", s.known)
	}
	for key := range s.known {
		s.known[key] = "shared"
	}
	if got := of(in.Changed.Add(time.Hour)); got != "shared" {
		t.Errorf("a file of the image was read again: %s", got)
	}
	for name, made := range map[string]time.Time{"before": in.Changed.Add(-time.Hour), "at once": in.Changed, "unknown": {}} {
		if got := of(made); got != sumOf("relay") {
			t.Errorf("container made %s the change: %s; want its own content", name, got)
		}
	}
	in.Size++
	if _, err := s.of(root, in, time.Time{}); err == nil {
		t.Error("a file that is not the one asked about was taken for it")
	}
}

// A program of the image whose change time is fresh, as after a chmod at boot, is
// known by content like the others; only nothing is kept by its number.
func TestProgramTouchedAtBoot(t *testing.T) {
	dir := t.TempDir()
	root, err := inside.At(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := os.MkdirAll(filepath.Join(dir, "usr/bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"usr/bin/nc", "q"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("a relay here!"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	m := NewImages(folk{})
	if n := m.Fill(root, os.Getuid(), new(Sums), time.Time{}); n != 1 || len(m.own) != 0 {
		t.Errorf("Fill = %d, own %v", n, m.own)
	}
	in, err := root.Stat("/q")
	if err != nil {
		t.Fatal(err)
	}
	im := m.lookKernel(1, in.Ino, in.Changed.Unix(), func() string { return "/q" }, root, func() (*os.File, error) { return nil, errUnread })
	if im.is != "nc" || im.class != "relay" || len(m.byFile) != 0 {
		t.Errorf("a copy of it is %+v, kept %v", im, m.byFile)
	}
}
