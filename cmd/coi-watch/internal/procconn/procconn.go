// Package procconn is the second choice of sensor for processes: the kernel's
// process connector tells pids over netlink, and everything else has to be
// read from /proc before the process ends. What ended first is counted.
package procconn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Kind of event, as linux/cn_proc.h numbers them.
type Kind uint32

// Kinds that are asked for.
const (
	Fork Kind = 1
	Exec Kind = 2
	Exit Kind = 0x80000000
)

// Event is one thing a process did. TGID is the process; Parent is set for a fork.
type Event struct {
	Kind         Kind
	PID, TGID    int
	Parent       int
	TimestampNS  uint64
	ThreadOfSelf bool // a thread, not a process
}

const (
	idxProc      = 1 // CN_IDX_PROC
	valProc      = 1
	listen       = 1
	netlinkHead  = 16
	connHead     = 20
	procHead     = 16
	receiveBytes = 16 << 20
)

// Sensor is an open line to the connector.
type Sensor struct {
	f    *os.File
	Lost atomic.Uint64 // times the socket's buffer ran over
}

// Open joins the connector. It needs CAP_NET_ADMIN before Linux 6.6.
func Open() (*Sensor, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_CONNECTOR)
	if err != nil {
		return nil, fmt.Errorf("process connector: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: idxProc}); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("process connector: %w", err)
	}
	// Without the right to force it the default size stays, and more is lost in a storm.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBytes) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBytes)
	}
	if err := unix.Sendto(fd, subscription(), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("process connector: %w", err)
	}
	return &Sensor{f: os.NewFile(uintptr(fd), "process connector")}, nil
}

func subscription() []byte {
	b := make([]byte, netlinkHead+connHead+4)
	ne := binary.NativeEndian
	ne.PutUint32(b, uint32(len(b)))
	ne.PutUint16(b[4:], unix.NLMSG_DONE)
	ne.PutUint32(b[12:], uint32(os.Getpid()))
	ne.PutUint32(b[16:], idxProc)
	ne.PutUint32(b[20:], valProc)
	ne.PutUint16(b[32:], 4)
	ne.PutUint32(b[36:], listen)
	return b
}

// Close ends the line; Read returns.
func (s *Sensor) Close() { _ = s.f.Close() }

// Read calls each with every event until Close.
func (s *Sensor) Read(each func(Event)) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := s.f.Read(buf)
		switch {
		case errors.Is(err, os.ErrClosed):
			return nil
		case errors.Is(err, unix.ENOBUFS):
			s.Lost.Add(1)
			continue
		case err != nil:
			return fmt.Errorf("process connector: %w", err)
		}
		Parse(buf[:n], each)
	}
}

// Parse splits a datagram into events; what is of no interest is left out.
func Parse(b []byte, each func(Event)) {
	ne := binary.NativeEndian
	for len(b) >= netlinkHead {
		size := int(ne.Uint32(b))
		if size < netlinkHead || size > len(b) {
			return
		}
		if body := b[netlinkHead:size]; len(body) >= connHead+procHead+8 {
			if ev, ok := event(body[connHead:]); ok {
				each(ev)
			}
		}
		b = b[min(len(b), (size+3)&^3):]
	}
}

// event reads struct proc_event: what, cpu, timestamp, then the pids.
func event(b []byte) (Event, bool) {
	ne := binary.NativeEndian
	ev := Event{Kind: Kind(ne.Uint32(b)), TimestampNS: ne.Uint64(b[8:])}
	p := b[procHead:]
	switch ev.Kind {
	case Exec, Exit:
		ev.PID, ev.TGID = int(ne.Uint32(p)), int(ne.Uint32(p[4:]))
	case Fork:
		if len(p) < 16 {
			return ev, false
		}
		ev.Parent, ev.PID, ev.TGID = int(ne.Uint32(p[4:])), int(ne.Uint32(p[8:])), int(ne.Uint32(p[12:]))
	default:
		return ev, false
	}
	ev.ThreadOfSelf = ev.PID != ev.TGID
	return ev, true
}
