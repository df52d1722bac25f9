package resolve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Sockets are the open sockets of the server. Both are on the gateway address,
// which no interface needs to have yet.
type Sockets struct {
	Port uint16
	udp  []*net.UDPConn
	tcp  []net.Listener
}

// FirstPort is where Listen starts to look for a free port.
const FirstPort = 20053

func freebind(_, _ string, c syscall.RawConn) error {
	var err error
	if cerr := c.Control(func(fd uintptr) {
		// Works for IPv6 sockets as well.
		err = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_FREEBIND, 1)
	}); cerr != nil {
		return cerr
	}
	return err
}

// Listen opens UDP and TCP on addr with the first free port from FirstPort on.
// IPv6 is served on all addresses, because a redirected question arrives at
// whatever address the veth has.
func Listen(ctx context.Context, addr netip.Addr, prefer uint16) (*Sockets, error) {
	if prefer == 0 {
		prefer = FirstPort
	}
	var last error
	for port := int(prefer); port < int(prefer)+100; port++ {
		s, err := listen(ctx, addr, uint16(port))
		if err == nil {
			return s, nil
		}
		last = err
		if !errors.Is(err, unix.EADDRINUSE) {
			break
		}
	}
	return nil, fmt.Errorf("open the name server's port: %w", last)
}

func listen(ctx context.Context, addr netip.Addr, port uint16) (*Sockets, error) {
	s := &Sockets{Port: port}
	lc := net.ListenConfig{Control: freebind}
	for _, at := range []struct{ network, host string }{{"4", addr.String()}, {"6", "::"}} {
		hostport := net.JoinHostPort(at.host, fmt.Sprint(port))
		pc, err := lc.ListenPacket(ctx, "udp"+at.network, hostport)
		if err == nil {
			var l net.Listener
			if l, err = lc.Listen(ctx, "tcp"+at.network, hostport); err == nil {
				enablePacketInfo(pc.(*net.UDPConn))
				s.udp, s.tcp = append(s.udp, pc.(*net.UDPConn)), append(s.tcp, l)
				continue
			}
			_ = pc.Close()
		}
		if at.network == "6" && (errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL)) {
			continue // a kernel without IPv6
		}
		s.Close()
		return nil, err
	}
	return s, nil
}

// Close closes all sockets.
func (s *Sockets) Close() {
	for _, c := range s.udp {
		_ = c.Close()
	}
	for _, l := range s.tcp {
		_ = l.Close()
	}
}

const (
	atOnce        = 512 // questions being worked on
	tcpPerClient  = 4
	tcpIdle       = 5 * time.Second
	tcpPerConn    = 64
	perClientPart = 8 // of atOnce: what one container may hold
)

// Serve answers until the context ends and then closes the sockets.
func (r *Resolver) Serve(ctx context.Context, s *Sockets) {
	var wg sync.WaitGroup
	room := newRoom()
	stop := context.AfterFunc(ctx, s.Close)
	defer stop()
	for _, c := range s.udp {
		wg.Go(func() { r.serveUDP(ctx, c, room) })
	}
	for _, l := range s.tcp {
		wg.Go(func() { r.serveTCP(ctx, l) })
	}
	wg.Wait()
}

// room bounds the questions at work, and each client's share of them.
type room struct {
	mu    sync.Mutex
	all   int
	share map[netip.Addr]int
}

func newRoom() *room { return &room{share: map[netip.Addr]int{}} }

func (r *room) enter(a netip.Addr) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all >= atOnce || r.share[a] >= atOnce/perClientPart {
		return false
	}
	r.all++
	r.share[a]++
	return true
}

func (r *room) leave(a netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all--
	if r.share[a]--; r.share[a] == 0 {
		delete(r.share, a)
	}
}

func (r *Resolver) serveUDP(ctx context.Context, c *net.UDPConn, room *room) {
	oob := make([]byte, 128)
	for {
		buf := make([]byte, 4096)
		n, oobn, _, from, err := c.ReadMsgUDPAddrPort(buf, oob)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			continue // an ICMP error of an earlier answer
		}
		info := replyInfo(oob[:oobn])
		client := from.Addr().Unmap()
		if !room.enter(client) {
			continue
		}
		go func() {
			defer room.leave(client)
			if out := r.Handle(ctx, client, buf[:n], false); out != nil {
				_, _, _ = c.WriteMsgUDPAddrPort(out, info, from)
			}
		}()
	}
}

func (r *Resolver) serveTCP(ctx context.Context, l net.Listener) {
	var mu sync.Mutex
	open := map[netip.Addr]int{}
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		ap, _ := netip.ParseAddrPort(conn.RemoteAddr().String())
		client := ap.Addr().WithZone("").Unmap()
		if tcp, to, other := elsewhere(conn); other {
			if r.other == nil {
				_ = tcp.Close()
				continue
			}
			go r.other(ctx, tcp, client, to)
			continue
		}
		mu.Lock()
		full := open[client] >= tcpPerClient
		if !full {
			open[client]++
		}
		mu.Unlock()
		if full {
			_ = conn.Close()
			continue
		}
		go func() {
			r.talk(ctx, conn, client)
			_ = conn.Close()
			mu.Lock()
			defer mu.Unlock()
			if open[client]--; open[client] == 0 {
				delete(open, client)
			}
		}()
	}
}

func (r *Resolver) talk(ctx context.Context, conn net.Conn, client netip.Addr) {
	for range tcpPerConn {
		if conn.SetDeadline(time.Now().Add(tcpIdle)) != nil {
			return
		}
		packet, err := readTCP(conn)
		if err != nil {
			return
		}
		out := r.Handle(ctx, client, packet, true)
		if out == nil || conn.SetDeadline(time.Now().Add(tcpIdle)) != nil || writeTCP(conn, out) != nil {
			return
		}
	}
}
