package guard_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/run"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/lab"
	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/record"
)

// fill takes every byte that is left on a file system.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for _, size := range []int{64 << 10, 4 << 10, 1} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
		if !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
	}
}

// TestAuditDiskFull (T-NG-53): with a disk that holds neither the trail nor the
// logs nor the status, rules are enforced and changed and names are answered; the
// records are written when there is room.
func TestAuditDiskFull(t *testing.T) {
	w := newWorld(t)
	if err := unix.Mount("none", w.home.Dir, "tmpfs", 0, "size=4m,mode=0700"); err != nil {
		t.Fatalf("mount a tmpfs (this test needs root): %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(w.home.Dir, unix.MNT_DETACH) })
	if _, err := w.home.Ensure(w.home.Run()); err != nil {
		t.Fatal(err)
	}
	rec, err := record.New(w.home)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.stop(); rec.Close() })
	w.opts.Recorder = rec
	z := w.resolver()
	w.net.Inet.ServeTCP(lab.Public + ":80")
	w.net.Inet.ServeTCP(lab.Public2 + ":80")
	w.start()
	z.set("a.example.com A", "a.example.com. 60 IN A "+lab.Public)
	c := w.launch("coi-full-1", allowlist(run.Dest{Dest: "a.example.com"}))
	next := w.spec("coi-full-1", allowlist(run.Dest{Dest: "a.example.com"}, run.Dest{Dest: lab.Public2}))
	next.Generation = 3
	// What a session writes has its room; the guard's answer has none.
	path := w.home.Run("coi-full-1" + run.NetFile)
	filler := filepath.Join(w.home.Dir, "filler")
	fill(t, filler)
	if rcode, addrs := lookup(t, c, "a.example.com", dns.TypeA); rcode != 0 || len(addrs) != 1 {
		t.Errorf("lookup on a full disk = %d %v", rcode, addrs)
	}
	if !c.Reaches(lab.Public + ":80") {
		t.Error("what is allowed is not reached on a full disk")
	}
	if c.Reaches(lab.Public2 + ":80") {
		t.Error("what is not allowed is reached on a full disk")
	}
	// A change of the policy takes effect too. Room for its file alone is made.
	if err := os.Truncate(filler, fileSize(t, filler)-(8<<10)); err != nil {
		t.Fatal(err)
	}
	if err := run.Write(path, &next); err != nil {
		t.Fatal(err)
	}
	w.eventually(func() bool { return c.Reaches(lab.Public2 + ":80") })
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	w.eventually(func() bool {
		trail, err := os.ReadFile(w.home.Audit("coi-full-1.jsonl"))
		return err == nil && bytes.Contains(trail, []byte(`"peer":"`+lab.Public2+`"`)) && rec.Problem() == ""
	})
	next.Generation = 4
	if err := run.Write(path, &next); err != nil {
		t.Fatal(err)
	}
	w.await("coi-full-1", func(st run.NetStatus) bool {
		return st.Generation == 4 && st.State == run.NetEnforcing && st.Denied["allowlist.default"] > 0
	})
}

func fileSize(t *testing.T, path string) int64 {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return st.Size()
}
