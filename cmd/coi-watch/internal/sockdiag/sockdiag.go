// Package sockdiag asks the kernel for the sockets of a network namespace: who
// they are connected to, which unix sockets are pairs, how much came in.
package sockdiag

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Socket is one socket of a namespace.
type Socket struct {
	Inode         uint32
	Family        uint8 // AF_*
	Proto         uint8 // IPPROTO_*, 0 for unix and vsock
	State         uint8 // TCP_*
	Local, Remote netip.AddrPort
	Peer          uint32 // inode of the other end of a unix pair
	Sent          int64  // bytes that the other side has, TCP only
	Received      int64  // bytes, TCP only
	CID           uint32 // vsock: the other side
}

// TCP states as the kernel numbers them.
const (
	Established = 1
	Listening   = 10
)

// messages of the interface (linux/sock_diag.h, inet_diag.h, unix_diag.h, vm_sockets_diag.h).
const (
	sockDiagByFamily = 20
	inetDiagInfo     = 2
	unixDiagPeer     = 2
	unixShowPeer     = 4
	diagHeader       = 16
	inetMsgSize      = 72
	unixMsgSize      = 16
	vsockMsgSize     = 32
	bytesAcked       = 120 // offsets in struct tcp_info
	bytesReceived    = 128
	maxSockets       = 65536
)

// Conn is a question line to one network namespace. The socket stays in the
// namespace it was made in, so that each question needs no right to enter it.
type Conn struct{ fd int }

// Open opens a line to the network namespace of a process. It enters the
// namespace on a thread of its own, which ends with that.
func Open(pid int) (*Conn, error) {
	type result struct {
		fd  int
		err error
	}
	ch := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread dies with the goroutine
		fd, err := openIn(pid)
		ch <- result{fd, err}
	}()
	r := <-ch
	if r.err != nil {
		return nil, fmt.Errorf("network namespace of %d: %w", pid, r.err)
	}
	return &Conn{r.fd}, nil
}

func openIn(pid int) (int, error) {
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return -1, err
	}
	defer func() { _ = ns.Close() }()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return -1, err
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return -1, err
	}
	tv := unix.Timeval{Sec: 1}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// Close ends the line.
func (c *Conn) Close() { _ = unix.Close(c.fd) }

// All lists the TCP, UDP, unix and vsock sockets by inode. What the kernel has
// no support for is left out.
func (c *Conn) All() (map[uint32]Socket, error) {
	out := map[uint32]Socket{}
	var first error
	for _, q := range []struct{ family, proto uint8 }{
		{unix.AF_INET, unix.IPPROTO_TCP},
		{unix.AF_INET6, unix.IPPROTO_TCP},
		{unix.AF_INET, unix.IPPROTO_UDP},
		{unix.AF_INET6, unix.IPPROTO_UDP},
		{unix.AF_UNIX, 0},
		{unix.AF_VSOCK, 0},
	} {
		err := c.dump(request(q.family, q.proto), func(b []byte) {
			if s, ok := Parse(b); ok && len(out) < maxSockets {
				s.Proto = q.proto
				out[s.Inode] = s
			}
		})
		if err != nil && first == nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EOPNOTSUPP) {
			first = err
		}
	}
	return out, first
}

func request(family, proto uint8) []byte {
	var body []byte
	switch family {
	case unix.AF_UNIX:
		body = make([]byte, 24)
		binary.NativeEndian.PutUint32(body[4:], ^uint32(0))
		binary.NativeEndian.PutUint32(body[12:], unixShowPeer)
	case unix.AF_VSOCK:
		body = make([]byte, 24)
		binary.NativeEndian.PutUint32(body[4:], ^uint32(0))
	default:
		body = make([]byte, 56)
		body[1] = proto
		if proto == unix.IPPROTO_TCP {
			body[2] = 1 << (inetDiagInfo - 1)
		}
		binary.NativeEndian.PutUint32(body[4:], ^uint32(0))
	}
	body[0] = family
	msg := make([]byte, diagHeader, diagHeader+len(body))
	binary.NativeEndian.PutUint32(msg, uint32(diagHeader+len(body)))
	binary.NativeEndian.PutUint16(msg[4:], sockDiagByFamily)
	binary.NativeEndian.PutUint16(msg[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	return append(msg, body...)
}

func (c *Conn) dump(req []byte, each func([]byte)) error {
	if err := unix.Sendto(c.fd, req, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(c.fd, buf, 0)
		if err != nil {
			return err
		}
		done, err := messages(buf[:n], each)
		if done || err != nil {
			return err
		}
	}
}

// messages splits what came into messages.
func messages(b []byte, each func([]byte)) (done bool, err error) {
	for len(b) >= diagHeader {
		size, kind := int(binary.NativeEndian.Uint32(b)), binary.NativeEndian.Uint16(b[4:])
		if size < diagHeader || size > len(b) {
			return true, errors.New("netlink: bad length")
		}
		switch kind {
		case unix.NLMSG_DONE:
			return true, nil
		case unix.NLMSG_ERROR:
			if size < diagHeader+4 {
				return true, errors.New("netlink: short error")
			}
			return true, unix.Errno(-int32(binary.NativeEndian.Uint32(b[diagHeader:])))
		case sockDiagByFamily:
			each(b[diagHeader:size])
		}
		b = b[min(len(b), (size+3)&^3):]
	}
	return false, nil
}

// Parse reads the body of one answer.
func Parse(b []byte) (Socket, bool) {
	if len(b) < unixMsgSize {
		return Socket{}, false
	}
	s := Socket{Family: b[0]}
	switch s.Family {
	case unix.AF_UNIX:
		s.State, s.Inode = b[2], binary.NativeEndian.Uint32(b[4:])
		attributes(b[unixMsgSize:], func(kind uint16, v []byte) {
			if kind == unixDiagPeer && len(v) >= 4 {
				s.Peer = binary.NativeEndian.Uint32(v)
			}
		})
	case unix.AF_VSOCK:
		if len(b) < vsockMsgSize {
			return s, false
		}
		s.State, s.CID = b[2], binary.NativeEndian.Uint32(b[12:])
		s.Inode = binary.NativeEndian.Uint32(b[20:])
	case unix.AF_INET, unix.AF_INET6:
		if len(b) < inetMsgSize {
			return s, false
		}
		s.State, s.Inode = b[1], binary.NativeEndian.Uint32(b[68:])
		s.Local = netip.AddrPortFrom(address(s.Family, b[8:24]), binary.BigEndian.Uint16(b[4:]))
		s.Remote = netip.AddrPortFrom(address(s.Family, b[24:40]), binary.BigEndian.Uint16(b[6:]))
		attributes(b[inetMsgSize:], func(kind uint16, v []byte) {
			if kind == inetDiagInfo && len(v) >= bytesReceived+8 {
				s.Sent = int64(binary.NativeEndian.Uint64(v[bytesAcked:]))
				s.Received = int64(binary.NativeEndian.Uint64(v[bytesReceived:]))
			}
		})
	default:
		return s, false
	}
	return s, true
}

func address(family uint8, b []byte) netip.Addr {
	if family == unix.AF_INET {
		return netip.AddrFrom4([4]byte(b))
	}
	return netip.AddrFrom16([16]byte(b)).Unmap()
}

func attributes(b []byte, each func(kind uint16, v []byte)) {
	for len(b) >= 4 {
		size := int(binary.NativeEndian.Uint16(b))
		if size < 4 || size > len(b) {
			return
		}
		each(binary.NativeEndian.Uint16(b[2:]), b[4:size])
		b = b[min(len(b), (size+3)&^3):]
	}
}
