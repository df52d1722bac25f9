package bpf

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"
)

func cgroupRoot(t *testing.T) string {
	t.Helper()
	for _, p := range []string{"/sys/fs/cgroup/unified", "/sys/fs/cgroup"} {
		if _, err := os.Stat(filepath.Join(p, "cgroup.procs")); err == nil {
			return p
		}
	}
	t.Fatal("no unified cgroup hierarchy")
	return ""
}

func newCgroup(t *testing.T) (dir string, id uint64) {
	t.Helper()
	dir, err := os.MkdirTemp(cgroupRoot(t), "coi-watch-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) })
	h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	return dir, *(*uint64)(unsafe.Pointer(&h.Bytes()[0]))
}

func TestExecIsSeenWithItsArguments(t *testing.T) {
	s, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for g, err := range s.Lacks() {
		t.Errorf("%s: %v", g, err)
	}
	dir, id := newCgroup(t)
	if err := s.Watch(id, 3); err != nil {
		t.Fatal(err)
	}
	links, err := s.Hook(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		defer l.Close()
	}
	script := "echo $$ > " + dir + "/cgroup.procs; /bin/true one 'two three'; exec 3<>/dev/tcp/127.0.0.1/1; unshare -m true; echo " + strconv.Itoa(os.Getpid()) + " >/dev/null"
	_ = exec.Command("bash", "-c", script).Run()
	var rec ringbuf.Record
	for i := 0; i < 60 && s.Pending() > 0; i++ {
		if err := s.Read(&rec); err != nil {
			t.Fatal(err)
		}
		r, err := Decode(rec.RawSample)
		t.Logf("%+v %v", r, err)
	}
	t.Log(s.Counts(3))
}
