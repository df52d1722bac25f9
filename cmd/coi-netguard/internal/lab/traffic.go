package lab

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Accept has handle called with each connection to addr inside n, on a goroutine
// of its own, until the test ends. handle's connection is closed after it.
func (n *NS) Accept(addr string, handle func(net.Conn)) {
	n.t.Helper()
	var l net.Listener
	var err error
	n.Do(func() { l, err = net.Listen("tcp", addr) })
	must(n.t, "listen "+addr, err)
	n.t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				handle(c)
			}()
		}
	}()
}

// ServeTCP accepts on addr inside n and says hello, until the test ends.
func (n *NS) ServeTCP(addr string) {
	n.t.Helper()
	n.Accept(addr, func(c net.Conn) {
		_, _ = c.Write([]byte("hello"))
		// The other end decides when it has had enough.
		buf := make([]byte, 512)
		for {
			k, err := c.Read(buf)
			if err != nil {
				return
			}
			if _, err := c.Write(buf[:k]); err != nil {
				return
			}
		}
	})
}

// ServeUDP answers every datagram to addr inside n with answer of it.
func (n *NS) ServeUDP(addr string, answer func([]byte) []byte) {
	n.t.Helper()
	var pc net.PacketConn
	var err error
	n.Do(func() { pc, err = net.ListenPacket("udp", addr) })
	must(n.t, "listen "+addr, err)
	n.t.Cleanup(func() { _ = pc.Close() })
	go func() {
		buf := make([]byte, 65536)
		for {
			k, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			if out := answer(append([]byte(nil), buf[:k]...)); out != nil {
				_, _ = pc.WriteTo(out, from)
			}
		}
	}()
}

// Dial opens a TCP connection from n and reads the hello.
func (n *NS) Dial(addr string) (c net.Conn, err error) {
	n.Do(func() {
		d := net.Dialer{Timeout: 1500 * time.Millisecond}
		c, err = d.Dial("tcp", addr)
	})
	if err != nil {
		return nil, err
	}
	_ = c.SetReadDeadline(time.Now().Add(1500 * time.Millisecond))
	if _, err := c.Read(make([]byte, 5)); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// Reaches reports whether a TCP connection from n to addr works.
func (n *NS) Reaches(addr string) bool {
	c, err := n.Dial(addr)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// Echoed reports whether a connection still carries data both ways.
func Echoed(c net.Conn) bool { return EchoedWithin(c, time.Second) }

// EchoedWithin is Echoed with another patience.
func EchoedWithin(c net.Conn, d time.Duration) bool {
	_ = c.SetDeadline(time.Now().Add(d))
	if _, err := c.Write([]byte("x")); err != nil {
		return false
	}
	_, err := c.Read(make([]byte, 1))
	return err == nil
}

// Ask sends a datagram from n and waits for the answer.
func (n *NS) Ask(addr string, packet []byte, wait time.Duration) (answer []byte, err error) {
	n.Do(func() {
		var c net.Conn
		if c, err = net.Dial("udp", addr); err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		_ = c.SetDeadline(time.Now().Add(wait))
		if _, err = c.Write(packet); err != nil {
			return
		}
		buf := make([]byte, 65536)
		var k int
		if k, err = c.Read(buf); err == nil {
			answer = buf[:k]
		}
	})
	return answer, err
}

// Raw is a socket that sends any bytes from a container's interface.
type Raw struct {
	fd int
	c  *Container
}

// Raw opens such a socket.
func (c *Container) Raw(t testing.TB) *Raw {
	t.Helper()
	r := &Raw{c: c}
	var err error
	c.Do(func() { r.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0) })
	must(t, "packet socket", err)
	t.Cleanup(func() { _ = unix.Close(r.fd) })
	return r
}

// Send sends one IP packet to the host.
func (r *Raw) Send(packet []byte) error {
	typ := uint16(unix.ETH_P_IP)
	if packet[0]>>4 == 6 {
		typ = unix.ETH_P_IPV6
	}
	frame := append(append([]byte{}, r.c.Via...), r.c.MAC...)
	frame = append(binary.BigEndian.AppendUint16(frame, typ), packet...)
	to := &unix.SockaddrLinklayer{Ifindex: r.c.Index, Halen: 6}
	copy(to.Addr[:], r.c.Via)
	for {
		err := unix.Sendto(r.fd, frame, 0, to)
		if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.ENOBUFS) {
			return err
		}
	}
}

// Segment is what follows the IP header: a SYN, a datagram, an ICMP message, or
// eight bytes of any other protocol.
func Segment(proto uint8, src, dst netip.Addr, sport, dport uint16, typ uint8) []byte {
	var b []byte
	switch proto {
	case unix.IPPROTO_TCP:
		b = make([]byte, 20)
		binary.BigEndian.PutUint32(b[4:], uint32(sport)<<16|uint32(dport))
		b[12], b[13] = 5<<4, 2
		binary.BigEndian.PutUint16(b[14:], 64240)
	case unix.IPPROTO_UDP:
		b = make([]byte, 12)
		binary.BigEndian.PutUint16(b[4:], 12)
	case unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6:
		b = make([]byte, 32)
		b[0] = typ
		binary.BigEndian.PutUint16(b[4:], sport)
	default:
		b = []byte{0, 0, 0x08, 0, 1, 2, 3, 4}
	}
	if proto == unix.IPPROTO_TCP || proto == unix.IPPROTO_UDP {
		binary.BigEndian.PutUint16(b, sport)
		binary.BigEndian.PutUint16(b[2:], dport)
	}
	at := map[uint8]int{unix.IPPROTO_TCP: 16, unix.IPPROTO_UDP: 6, unix.IPPROTO_ICMP: 2, unix.IPPROTO_ICMPV6: 2}
	if off, ok := at[proto]; ok {
		sum := checksum(b)
		if proto != unix.IPPROTO_ICMP {
			sum = checksum(append(pseudo(proto, src, dst, len(b)), b...))
		}
		binary.BigEndian.PutUint16(b[off:], sum)
	}
	return b
}

func pseudo(proto uint8, src, dst netip.Addr, n int) []byte {
	b := append(append([]byte{}, src.AsSlice()...), dst.AsSlice()...)
	if src.Is4() {
		return append(b, 0, proto, byte(n>>8), byte(n))
	}
	return append(b, 0, 0, byte(n>>8), byte(n), 0, 0, 0, proto)
}

func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// IP puts an IP header before a payload.
func IP(proto uint8, src, dst netip.Addr, payload []byte) []byte {
	if src.Is6() {
		h := make([]byte, 40)
		h[0] = 6 << 4
		binary.BigEndian.PutUint16(h[4:], uint16(len(payload)))
		h[6], h[7] = proto, 255
		copy(h[8:], src.AsSlice())
		copy(h[24:], dst.AsSlice())
		return append(h, payload...)
	}
	h := make([]byte, 20)
	h[0], h[8], h[9] = 4<<4|5, 64, proto
	binary.BigEndian.PutUint16(h[2:], uint16(20+len(payload)))
	copy(h[12:], src.AsSlice())
	copy(h[16:], dst.AsSlice())
	binary.BigEndian.PutUint16(h[10:], checksum(h))
	return append(h, payload...)
}

// Sniff hands on what arrives at an interface of the calling thread's namespace,
// until the test ends. Packets that find got full are left out.
func Sniff(t testing.TB, name string, got chan<- []byte) {
	t.Helper()
	ifi, err := net.InterfaceByName(name)
	must(t, name, err)
	all := uint16(unix.ETH_P_ALL)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(all>>8|all<<8))
	must(t, "packet socket", err)
	must(t, "bind", unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all>>8 | all<<8, Ifindex: ifi.Index}))
	must(t, "timeout", unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 200000}))
	stop := make(chan struct{})
	ended := make(chan struct{})
	t.Cleanup(func() { close(stop); <-ended; _ = unix.Close(fd) })
	go func() {
		defer close(ended)
		buf := make([]byte, 65536)
		for {
			select {
			case <-stop:
				return
			default:
			}
			n, from, err := unix.Recvfrom(fd, buf, 0)
			if err != nil || n < 20 {
				continue
			}
			if ll, ok := from.(*unix.SockaddrLinklayer); ok && ll.Pkttype == unix.PACKET_OUTGOING {
				continue
			}
			select {
			case got <- append([]byte(nil), buf[:n]...):
			default:
			}
		}
	}()
}

// SourceRoute is a datagram to dst that asks to go on to next (option LSRR).
func SourceRoute(src, dst, next netip.Addr) []byte {
	seg := Segment(unix.IPPROTO_UDP, src, next, 7000, 7001, 0)
	p := IP(unix.IPPROTO_UDP, src, dst, append(make([]byte, 8), seg...))
	p[0] = 4<<4 | 7
	p[20], p[21], p[22] = 131, 7, 4
	copy(p[23:], next.AsSlice())
	p[27] = 0
	p[10], p[11] = 0, 0
	binary.BigEndian.PutUint16(p[10:], checksum(p[:28]))
	return p
}

// Fragments cuts a packet behind the first eight bytes of its payload.
func Fragments(p []byte) [2][]byte {
	a, b := append([]byte(nil), p[:28]...), append(append([]byte(nil), p[:20]...), p[28:]...)
	for i, f := range [][]byte{a, b} {
		binary.BigEndian.PutUint16(f[2:], uint16(len(f)))
		binary.BigEndian.PutUint16(f[4:], 4711)
		binary.BigEndian.PutUint16(f[6:], map[int]uint16{0: 0x2000, 1: 1}[i])
		f[10], f[11] = 0, 0
		binary.BigEndian.PutUint16(f[10:], checksum(f[:20]))
	}
	return [2][]byte{a, b}
}
