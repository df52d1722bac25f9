package inside

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func tree(t *testing.T) (dir string, r *Root) {
	t.Helper()
	dir = t.TempDir()
	r, err := At(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return dir, r
}

func link(t *testing.T, target, name string) {
	t.Helper()
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// R-MON-09, T-W-09: links stay inside, however they are chained.
func TestLinksStayInside(t *testing.T) {
	dir, r := tree(t)
	put(t, filepath.Join(dir, "etc/passwd"), "inside")
	link(t, "/etc/passwd", filepath.Join(dir, "absolute"))
	link(t, "../../../../../../etc/passwd", filepath.Join(dir, "climbing"))
	link(t, "etc", filepath.Join(dir, "dir"))
	link(t, "dir", filepath.Join(dir, "dir2"))
	for _, name := range []string{"/absolute", "/climbing", "/dir/passwd", "/dir2/passwd", "/dir2/../absolute", "etc/passwd"} {
		if got, _, err := r.Read(name, 0, 100); err != nil || string(got) != "inside" {
			t.Errorf("Read(%s) = %q, %v; want inside", name, got, err)
		}
	}
}

// T-W-09: what is no regular file, or does not end, is refused at once.
func TestHostileFilesAreRefused(t *testing.T) {
	dir, r := tree(t)
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mknod(filepath.Join(dir, "zero"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5))); err != nil {
		t.Fatal(err)
	}
	link(t, "loop-b", filepath.Join(dir, "loop-a"))
	link(t, "loop-a", filepath.Join(dir, "loop-b"))
	deep := dir
	for range 50 {
		deep = filepath.Join(deep, "d")
	}
	put(t, filepath.Join(deep, "end"), "deep")
	for _, name := range []string{"/fifo", "/zero", "/loop-a", "/", "/" + strings.Repeat("x/", 3000), "/nul\x00byte"} {
		began := time.Now()
		if got, _, err := r.Read(name, 0, 100); err == nil {
			t.Errorf("Read(%.20q) = %q; want an error", name, got)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("Read(%.20q) took %v", name, took)
		}
	}
	if got, _, err := r.Read("/"+strings.Repeat("d/", 50)+"end", 0, 100); err != nil || string(got) != "deep" {
		t.Errorf("a deep path = %q, %v; want deep", got, err)
	}
}

// T-W-09: a file of a terabyte costs what the cap allows.
func TestSparseFileIsCapped(t *testing.T) {
	dir, r := tree(t)
	put(t, filepath.Join(dir, "huge"), "")
	if err := os.Truncate(filepath.Join(dir, "huge"), 1<<40); err != nil {
		t.Fatal(err)
	}
	if got, _, err := r.Read("/huge", 0, 4096); err != nil || len(got) != 4096 {
		t.Errorf("Read = %d bytes, %v; want 4096", len(got), err)
	}
	if _, _, err := r.Sum("/huge", 1<<20); !errors.Is(err, ErrRefused) {
		t.Errorf("Sum = %v; want refused", err)
	}
}

// A file system whose server may never answer is not touched.
func TestFileSystemsByType(t *testing.T) {
	table := []byte("1 0 0:1 / / rw - btrfs x rw\n2 1 0:2 / /mnt/f\\040x rw - fuse.sshfs x rw\n3 1 0:3 / /mnt/ok rw - tmpfs x rw\n")
	for name, want := range map[string]string{"/etc/passwd": "btrfs", "/mnt/f x/a": "fuse.sshfs", "/mnt/f x": "fuse.sshfs", "/mnt/fish": "btrfs", "/mnt/ok/a": "tmpfs"} {
		if got := mountOf(parseMounts(table), name).kind; got != want {
			t.Errorf("mountOf(%s) = %s; want %s", name, got, want)
		}
	}
	if readable["fuse.sshfs"] || readable["nfs4"] || readable["autofs"] || !readable["btrfs"] {
		t.Error("the list of readable file systems changed its mind")
	}
}

// Readers that hang are left behind, and after a few nothing is read any more.
func TestStuckReaders(t *testing.T) {
	_, r := tree(t)
	release := make(chan struct{})
	defer close(release)
	for range MaxStuck {
		r.stuck.Add(1)
	}
	if err := r.within(func() error { <-release; return nil }); !errors.Is(err, ErrStopped) {
		t.Errorf("within = %v; want ErrStopped", err)
	}
}

// The host's own root is no container's.
func TestHostRootIsKnown(t *testing.T) {
	r, err := At("/")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if !r.IsHost() {
		t.Error("IsHost of / = false")
	}
	if _, other := tree(t); other.IsHost() {
		t.Error("IsHost of a directory = true")
	}
}

// T-W-20
func FuzzMountOf(f *testing.F) {
	f.Add([]byte("1 0 0:1 / / rw - ext4 x rw"), "/a/b")
	f.Fuzz(func(t *testing.T, table []byte, name string) {
		if m := mountOf(parseMounts(table), name); m.kind == "" && m.point != "" {
			t.Errorf("no type but mount point %q", m.point)
		}
	})
}
