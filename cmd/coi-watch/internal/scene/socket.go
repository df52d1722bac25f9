package scene

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/bpf"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/wiring"
)

// pipeFS is the device number, in the kernel's form, of the file system that
// pipes without a name live on.
var pipeFS = func() uint32 {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return 0
	}
	defer func() { _, _ = unix.Close(p[0]), unix.Close(p[1]) }()
	var st unix.Stat_t
	if err := unix.Fstat(p[0], &st); err != nil {
		return 0
	}
	return unix.Major(st.Dev)<<20 | unix.Minor(st.Dev)
}()

// Descriptor puts a descriptor in the words of the wiring graph.
func Descriptor(n int, d *bpf.Desc) wiring.FD {
	s := stdio(d)
	fd := wiring.FD{N: n, Kind: s.Kind, ID: s.ID, Read: true, Write: true}
	if s.Kind == wiring.Inet {
		fd.Proto, fd.LocalPort = proto(&d.Sock), int(d.Sock.Local.Port())
		fd.Connected = d.Sock.Remote.IsValid() && d.Sock.Remote.Port() != 0
		if fd.Connected {
			fd.Peer, fd.Port = d.Sock.Remote.Addr().String(), int(d.Sock.Remote.Port())
		}
	}
	return fd
}

// stdio puts a descriptor in the words of the event.
func stdio(d *bpf.Desc) event.Stdio {
	id := strconv.FormatUint(d.Ino, 10)
	switch d.Mode & unix.S_IFMT {
	case unix.S_IFIFO:
		if d.Dev == pipeFS {
			return event.Stdio{Kind: wiring.Pipe, ID: id}
		}
		return event.Stdio{Kind: wiring.FIFO, ID: strconv.FormatUint(unix.Mkdev(d.Dev>>20, d.Dev&0xfffff), 10) + ":" + id}
	case unix.S_IFCHR:
		switch major := d.Rdev >> 20; {
		case d.Rdev == 1<<20|3:
			return event.Stdio{Kind: wiring.Null}
		case major >= 136 && major <= 143:
			return event.Stdio{Kind: wiring.PTY, ID: strconv.Itoa(int(d.Rdev & 0xfffff))}
		}
	case unix.S_IFSOCK:
		return socketStdio(d, id)
	case 0:
		return event.Stdio{}
	}
	return event.Stdio{Kind: wiring.File, ID: id}
}

func socketStdio(d *bpf.Desc, id string) event.Stdio {
	switch d.Sock.Family {
	case unix.AF_UNIX:
		return event.Stdio{Kind: wiring.Unix, ID: id}
	case unix.AF_VSOCK:
		return event.Stdio{Kind: wiring.Vsock, ID: id}
	}
	out := event.Stdio{Kind: wiring.Inet, ID: id}
	if d.Sock.Remote.IsValid() && d.Sock.Remote.Port() != 0 {
		out.Peer = d.Sock.Remote.String()
	}
	return out
}

func (s *Scene) socket(r *bpf.Record) event.Event {
	ev := event.Event{PID: r.PID, PPID: r.PPID, Start: r.Start, NSPID: r.NSPID, Proto: proto(&r.Sock), Dir: "out"}
	sensor := "connect"
	switch r.Kind {
	case bpf.KindListen:
		ev.Type, ev.Dir, ev.Local, ev.Port = event.Listen, "in", r.Sock.Local.String(), int(r.Sock.Local.Port())
	case bpf.KindAccept:
		ev.Type, ev.Dir, ev.Local = event.Accept, "in", r.Sock.Local.String()
		ev.Peer, ev.Port = r.Sock.Remote.Addr().String(), int(r.Sock.Remote.Port())
	default:
		ev.Type, ev.Peer, ev.Port = event.Connect, r.Sock.Remote.Addr().String(), int(r.Sock.Remote.Port())
	}
	if r.PID != 0 {
		s.adoptQuietly(r)
		s.about(&ev, r.PID)
	}
	s.Stamp(&ev, sensor, r.Mono)
	return ev
}

// adoptQuietly learns of a process whose exec was before our time.
func (s *Scene) adoptQuietly(r *bpf.Record) {
	if p := s.Table.Get(r.PID); p == nil || p.Start != r.Start {
		s.discover(r.PID)
	}
}

func proto(e *bpf.Endpoint) string {
	switch e.Proto {
	case unix.IPPROTO_TCP:
		return "tcp"
	case unix.IPPROTO_UDP, unix.IPPROTO_UDPLITE:
		return "udp"
	case unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6:
		return "icmp"
	case unix.IPPROTO_SCTP:
		return "sctp"
	}
	switch e.Type {
	case unix.SOCK_STREAM:
		return "tcp"
	case unix.SOCK_DGRAM:
		return "udp"
	}
	return fmt.Sprintf("ip-%d", e.Proto)
}
