package resolve

import (
	"encoding/binary"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// originalDst is SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST: the destination that a
// connection had before it was redirected (linux/netfilter_ipv4.h, linux/netfilter_ipv6/ip6_tables.h).
const originalDst = 80

// elsewhere reports whether a connection was meant for another port than that of
// name servers, and where to. One that nobody redirected is a question.
func elsewhere(conn net.Conn) (tcp *net.TCPConn, to netip.AddrPort, other bool) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil, to, false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return tcp, to, false
	}
	local, ok := tcp.LocalAddr().(*net.TCPAddr)
	if !ok {
		return tcp, to, false
	}
	var gerr error
	err = raw.Control(func(fd uintptr) {
		if local.IP.To4() != nil {
			var m *unix.IPv6Mreq // 20 bytes, of which a sockaddr_in fills 16
			if m, gerr = unix.GetsockoptIPv6Mreq(int(fd), unix.IPPROTO_IP, originalDst); gerr == nil {
				to = netip.AddrPortFrom(netip.AddrFrom4([4]byte(m.Multiaddr[4:8])), binary.BigEndian.Uint16(m.Multiaddr[2:4]))
			}
			return
		}
		var m *unix.IPv6MTUInfo // begins with a sockaddr_in6
		if m, gerr = unix.GetsockoptIPv6MTUInfo(int(fd), unix.IPPROTO_IPV6, originalDst); gerr == nil {
			port := binary.NativeEndian.AppendUint16(nil, m.Addr.Port)
			to = netip.AddrPortFrom(netip.AddrFrom16(m.Addr.Addr), binary.BigEndian.Uint16(port))
		}
	})
	if err != nil || gerr != nil {
		return tcp, to, false
	}
	return tcp, to, to.Port() != 53 && int(to.Port()) != local.Port
}
