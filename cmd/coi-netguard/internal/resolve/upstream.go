package resolve

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Upstream asks the servers of the host, or those of a policy.
type Upstream struct {
	path string // resolv.conf
	port string

	mu   sync.Mutex
	mod  time.Time
	list []netip.Addr
	last Asked
}

// Asked is how the last questions went: when a server last answered, and when
// none did and why. Zero times: never since the start.
type Asked struct {
	AnsweredAt time.Time `json:"answered_at,omitzero"`
	FailedAt   time.Time `json:"failed_at,omitzero"`
	Error      string    `json:"error,omitempty"`
}

// Last reports how the last questions went.
func (u *Upstream) Last() Asked {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.last
}

// note keeps how a question went. A question that its asker gave up says nothing.
func (u *Upstream) note(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if now := time.Now().UTC(); err == nil {
		u.last.AnsweredAt = now
	} else {
		u.last.FailedAt, u.last.Error = now, err.Error()
	}
}

// NewUpstream reads servers from a resolv.conf and reads it again when it changes.
func NewUpstream(resolvConf string) *Upstream { return &Upstream{path: resolvConf, port: "53"} }

const (
	perTry  = 2 * time.Second
	inAll   = 3500 * time.Millisecond
	maxConf = 64 << 10
)

// servers are the policy's own, else the host's. via names the choice.
func (u *Upstream) servers(own []netip.Addr) (list []netip.Addr, via string) {
	if len(own) > 0 {
		return own, fmt.Sprint(own)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	st, err := os.Stat(u.path)
	if err == nil && !st.ModTime().Equal(u.mod) {
		if list := readConf(u.path); len(list) > 0 {
			u.list, u.mod = list, st.ModTime()
		}
	}
	return u.list, ""
}

func readConf(path string) (list []netip.Addr) {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	for s := bufio.NewScanner(io.LimitReader(f, maxConf)); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) >= 2 && fields[0] == "nameserver" {
			if a, err := netip.ParseAddr(fields[1]); err == nil {
				list = append(list, a)
			}
		}
	}
	return list
}

// exchange asks the servers in turn, two tries in all. The packet returned is
// the answer as it came, its OPT record and additional section cut off.
func (u *Upstream) exchange(ctx context.Context, servers []netip.Addr, name string, typ uint16) (*dns.Msg, []byte, error) {
	m, packet, err := u.ask(ctx, servers, name, typ)
	u.note(ctx, err)
	return m, packet, err
}

func (u *Upstream) ask(ctx context.Context, servers []netip.Addr, name string, typ uint16) (*dns.Msg, []byte, error) {
	if len(servers) == 0 {
		return nil, nil, errors.New("no name server in " + u.path)
	}
	ctx, cancel := context.WithTimeout(ctx, inAll)
	defer cancel()
	var errs []error
	for try := range 2 {
		server := net.JoinHostPort(servers[try%len(servers)].String(), u.port)
		m, err := u.once(ctx, server, name, typ)
		if err == nil {
			m.Extra = nil
			packet, perr := m.Pack()
			return m, packet, perr
		}
		errs = append(errs, fmt.Errorf("%s: %w", server, err))
	}
	return nil, nil, errors.Join(errs...)
}

// question makes the packet: random id, random case (0x20) as further bits that a
// blind forger has to guess.
func question(name string, typ uint16) (*dns.Msg, []byte, error) {
	m := new(dns.Msg)
	m.SetQuestion(mixCase(dns.Fqdn(name)), typ)
	var id [2]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, nil, err
	}
	m.Id = binary.BigEndian.Uint16(id[:])
	m.SetEdns0(maxPayload, false)
	packet, err := m.Pack()
	return m, packet, err
}

func mixCase(name string) string {
	coin := make([]byte, len(name))
	if _, err := rand.Read(coin); err != nil {
		return name
	}
	b := []byte(name)
	for i, c := range b {
		if c >= 'a' && c <= 'z' && coin[i]&1 == 1 {
			b[i] = c - 32
		}
	}
	return string(b)
}

var errCase = errors.New("the server changed the letters of the question")

func (u *Upstream) once(ctx context.Context, server, name string, typ uint16) (*dns.Msg, error) {
	ask, packet, err := question(name, typ)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, perTry)
	defer cancel()
	m, err := u.udp(ctx, server, ask, packet)
	if errors.Is(err, errCase) || err == nil && m.Truncated {
		// By TCP nobody off the path can forge an answer, so case does not matter there.
		return u.tcp(ctx, server, ask, packet)
	}
	return m, err
}

func (u *Upstream) udp(ctx context.Context, server string, ask *dns.Msg, packet []byte) (*dns.Msg, error) {
	// A socket of its own for each question: the kernel gives it a random port.
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", server)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	if _, err := conn.Write(packet); err != nil {
		return nil, err
	}
	buf := make([]byte, 4096)
	changed := false
	for {
		n, err := conn.Read(buf)
		if err != nil {
			if changed {
				return nil, errCase
			}
			return nil, err
		}
		m := new(dns.Msg)
		if m.Unpack(buf[:n]) != nil || !answers(m, ask) {
			continue // forged or broken: the real answer may still come
		}
		if m.Question[0].Name != ask.Question[0].Name {
			if changed {
				return nil, errCase
			}
			changed = true
			// Whatever it is, a server that keeps the case has answered by now or soon.
			_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			continue
		}
		return m, nil
	}
}

func answers(m, ask *dns.Msg) bool {
	return m.Response && m.Id == ask.Id && len(m.Question) == 1 && m.Question[0].Qtype == ask.Question[0].Qtype &&
		m.Question[0].Qclass == ask.Question[0].Qclass && strings.EqualFold(m.Question[0].Name, ask.Question[0].Name)
}

func (u *Upstream) tcp(ctx context.Context, server string, ask *dns.Msg, packet []byte) (*dns.Msg, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", server)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	if err := writeTCP(conn, packet); err != nil {
		return nil, err
	}
	data, err := readTCP(conn)
	if err != nil {
		return nil, err
	}
	m := new(dns.Msg)
	if err := m.Unpack(data); err != nil {
		return nil, err
	}
	if !answers(m, ask) {
		return nil, errors.New("the answer is to another question")
	}
	return m, nil
}

func writeTCP(w io.Writer, packet []byte) error {
	_, err := w.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...))
	return err
}

func readTCP(r io.Reader) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	data := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(r, data)
	return data, err
}
