package agent

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// lookup asks one server and no other.
func lookup(r Request, wait time.Duration) ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	res := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, r.Net, r.Addr)
	}}
	// The final dot keeps search domains out.
	addrs, err := res.LookupNetIP(ctx, "ip4", r.Name+".")
	if err != nil {
		return nil, err
	}
	var text []string
	for _, a := range addrs {
		text = append(text, a.Unmap().String())
	}
	return text, nil
}

// handshake makes a TLS connection; the certificate must be one for the name.
func handshake(addr string, wait time.Duration) error {
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: wait}, "tcp", addr, &tls.Config{MinVersion: tls.VersionTLS12})
	if err != nil {
		return err
	}
	return c.Close()
}

// raw sends one UDP packet with a source address of choice.
func raw(source, target, payload string) error {
	from, err := netip.ParseAddr(source)
	if err != nil {
		return err
	}
	to, err := netip.ParseAddrPort(target)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	return unix.Sendto(fd, Datagram(from, to, payload), 0, &unix.SockaddrInet4{Addr: to.Addr().As4()})
}

// Datagram is an IPv4 packet with a UDP datagram in it. The kernel fills in the
// checksum of the IP header (raw(7)); that of UDP may be absent.
func Datagram(from netip.Addr, to netip.AddrPort, payload string) []byte {
	const header, udp = 20, 8
	p := make([]byte, header+udp, header+udp+len(payload))
	p = append(p, payload...)
	p[0], p[8], p[9] = 0x45, 64, unix.IPPROTO_UDP
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	copy(p[12:16], from.AsSlice())
	copy(p[16:20], to.Addr().AsSlice())
	binary.BigEndian.PutUint16(p[20:], 40000)
	binary.BigEndian.PutUint16(p[22:], to.Port())
	binary.BigEndian.PutUint16(p[24:], uint16(udp+len(payload)))
	return p
}

// shout sends an IPv6 packet in a frame of its own making, which goes out also
// where the container's IPv6 is switched off: root inside could do the same.
func shout(device string) error {
	dev, err := net.InterfaceByName(device)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	frame := make([]byte, 14+40+8)
	copy(frame, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	copy(frame[6:], dev.HardwareAddr)
	binary.BigEndian.PutUint16(frame[12:], unix.ETH_P_IPV6)
	ip := frame[14:]
	ip[0], ip[6], ip[7] = 0x60, unix.IPPROTO_UDP, 64
	binary.BigEndian.PutUint16(ip[4:], 8)
	src, dst := netip.MustParseAddr("2001:db8::213"), netip.MustParseAddr("2001:db8::1")
	copy(ip[8:], src.AsSlice())
	copy(ip[24:], dst.AsSlice())
	binary.BigEndian.PutUint16(ip[40:], 40000)
	binary.BigEndian.PutUint16(ip[42:], 9)
	binary.BigEndian.PutUint16(ip[44:], 8)
	if err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: dev.Index, Halen: 6, Addr: [8]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}); err != nil {
		return fmt.Errorf("send a frame: %w", err)
	}
	return nil
}
