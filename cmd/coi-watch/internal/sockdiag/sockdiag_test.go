package sockdiag

import (
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func inodeOf(t *testing.T, c any) uint32 {
	t.Helper()
	f, err := c.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	return uint32(st.Ino)
}

func TestSocketsOfThisNamespace(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	out, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	if _, err := out.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	var st [2]unix.Stat_t
	for i, fd := range pair {
		defer func() { _ = unix.Close(fd) }()
		if err := unix.Fstat(fd, &st[i]); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Open(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	all, err := c.All()
	if err != nil {
		t.Fatal(err)
	}
	if got := all[inodeOf(t, in)]; got.State != Established || got.Remote.String() != out.LocalAddr().String() || got.Received != 5 {
		t.Errorf("accepted socket = %+v; want established with %v, 5 bytes received", got, out.LocalAddr())
	}
	if got := all[inodeOf(t, l)]; got.State != Listening {
		t.Errorf("listener = %+v; want state %d", got, Listening)
	}
	if got := all[uint32(st[0].Ino)]; got.Peer != uint32(st[1].Ino) {
		t.Errorf("unix peer = %d; want %d", got.Peer, st[1].Ino)
	}
}

// T-W-20
func FuzzParse(f *testing.F) {
	f.Add(make([]byte, 72))
	f.Add([]byte{unix.AF_UNIX, 1, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 2, 0, 1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, ok := Parse(b)
		if ok && s.Family != unix.AF_UNIX && s.Family != unix.AF_INET && s.Family != unix.AF_INET6 && s.Family != unix.AF_VSOCK {
			t.Errorf("accepted family %d", s.Family)
		}
		_, _ = messages(b, func([]byte) {})
	})
}
