package bpf

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
	"unsafe"

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
		defer func() { _ = l.Close() }()
	}
	script := "echo $$ > " + dir + "/cgroup.procs; /bin/true one 'two three'; exec 3<>/dev/tcp/127.0.0.1/1; unshare -m true"
	_ = exec.Command("bash", "-c", script).Run() // the connection is refused
	var got []Record
	if _, err := s.Drain(func(b []byte) {
		r, err := Decode(b)
		if err != nil || r.Slot != 3 {
			t.Errorf("record of slot %d: %v", r.Slot, err)
		}
		got = append(got, r)
	}); err != nil {
		t.Fatal(err)
	}
	for what, ok := range map[string]func(Record) bool{
		"exec with its arguments": func(r Record) bool {
			return r.Kind == KindExec && slices.Equal(r.Argv, []string{"/bin/true", "one", "two three"}) && r.Ino != 0 && r.Start != 0 && r.FD[0].Mode != 0
		},
		"fork":    func(r Record) bool { return r.Kind == KindFork && r.Child != 0 },
		"exit":    func(r Record) bool { return r.Kind == KindExit && r.Read > 0 },
		"connect": func(r Record) bool { return r.Kind == KindConnect && r.Sock.Remote.String() == "127.0.0.1:1" },
		"unshare": func(r Record) bool { return r.Kind == KindSyscall && r.Call == Unshare && r.Ret == 0 && r.NS[0] != 0 },
		"mount":   func(r Record) bool { return r.Kind == KindSyscall && r.Call == Mount && r.Path2 == "/" },
	} {
		if !slices.ContainsFunc(got, ok) {
			t.Errorf("not told: %s", what)
		}
	}
	if c, err := s.Counts(3); err != nil || c.Lost() != 0 || c.Seq != uint64(len(got)) {
		t.Errorf("Counts = %+v, %v; want %d told and none lost", c, err, len(got))
	}
}

// The reader is woken for a program, however many of its container wait; what
// it is not woken for is there for who looks.
func TestReaderIsWoken(t *testing.T) {
	s, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	dir, id := newCgroup(t)
	if err := s.Watch(id, 3); err != nil {
		t.Fatal(err)
	}
	kinds := map[Kind]int{}
	drain := func() int {
		n, err := s.Drain(func(b []byte) {
			if r, err := Decode(b); err == nil {
				kinds[r.Kind]++
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if woken, err := s.Wait(s.Drained(), time.Millisecond); woken || err != nil {
		t.Errorf("Wait = %v, %v; want nobody woken while nothing happens", woken, err)
	}
	// The shell itself is outside when it starts; its child is a fork, a program and an end.
	inside := func(script string) {
		if out, err := exec.Command("bash", "-c", "echo $$ > "+dir+"/cgroup.procs; "+script).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", script, err, out)
		}
	}
	before := s.Drained()
	inside("/bin/true; :")
	if woken, err := s.Wait(before, 10*time.Second); !woken || err != nil {
		t.Fatalf("Wait = %v, %v; want the reader woken", woken, err)
	}
	drain()
	if kinds[KindExec] != 1 {
		t.Errorf("kinds = %v; want one program", kinds)
	}
	inside("(:); (:)") // no program: nobody has to be woken
	drain()
	if kinds[KindFork] < 3 {
		t.Errorf("kinds = %v; want the forks, for which nobody is woken", kinds)
	}
	before = s.Drained()
	inside("for i in $(seq 80); do (:); done")
	if woken, err := s.Wait(before, 10*time.Second); !woken || err != nil {
		t.Errorf("Wait = %v, %v; want the reader woken for many forks", woken, err)
	}
	drain()
	s.Close()
	if _, err := s.Drain(func([]byte) {}); err == nil {
		t.Error("Drain after Close says nothing")
	}
	if _, err := s.Wait(0, 0); err == nil {
		t.Error("Wait after Close says nothing")
	}
}
