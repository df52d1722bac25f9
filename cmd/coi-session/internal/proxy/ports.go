// Package proxy makes the Incus proxy devices of a session: published ports,
// forwarded sockets and the ssh agent.
package proxy

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
)

// Want is one port to publish.
type Want struct {
	Name      string // empty for a port of the pool
	Container int    // 0: the same as the host's
	Host      int    // 0: automatic
	Listen    netip.Addr
}

// Published is a port that the session gets.
type Published struct {
	Name      string
	Host      int
	Container int
	Listen    string
	Pool      bool
	Variable  string // that tells the tool about it
}

// String is how list prints it.
func (p Published) String() string {
	if p.Pool {
		return strconv.Itoa(p.Host)
	}
	return fmt.Sprintf("%s:%d->%d", p.Name, p.Host, p.Container)
}

// blockSize is how many automatic ports a slot has.
const blockSize = 10

// Block is the first automatic port of a slot: 20000 + (first four hex digits
// of the identity's SHA-256 mod 400)·100 + (slot−1)·10.
func Block(identity string, slot int) int {
	sum := sha256.Sum256([]byte(identity))
	return 20000 + int(binary.BigEndian.Uint16(sum[:2]))%400*100 + (slot-1)*blockSize
}

// Ports gives every wanted port a number on the host: pool first, then the
// named ones in order. free says whether nothing listens at an address.
func Ports(identity string, slot, pool int, named []Want, free func(netip.AddrPort) bool) ([]Published, error) {
	var out []Published
	var problems []string
	next, end := Block(identity, slot), Block(identity, slot)+blockSize
	auto := func(listen netip.Addr) (int, bool) {
		for ; next < end; next++ {
			if free(netip.AddrPortFrom(listen, uint16(next))) {
				next++
				return next - 1, true
			}
		}
		return 0, false
	}
	local := netip.MustParseAddr("127.0.0.1")
	for range pool {
		n, ok := auto(local)
		if !ok {
			problems = append(problems, fmt.Sprintf("ports.pool: no free port in %d-%d", end-blockSize, end-1))
			break
		}
		out = append(out, Published{Host: n, Container: n, Listen: local.String(), Pool: true, Variable: "COI_PORTS"})
	}
	for _, w := range named {
		if !w.Listen.IsValid() {
			w.Listen = local
		}
		n, ok := w.Host, true
		if n == 0 {
			n, ok = auto(w.Listen)
		} else if !free(netip.AddrPortFrom(w.Listen, uint16(n))) {
			problems = append(problems, fmt.Sprintf("ports.map %s: port %d of %s is in use", w.Name, n, w.Listen))
			continue
		}
		if !ok {
			problems = append(problems, fmt.Sprintf("ports.map %s: no free port in %d-%d", w.Name, end-blockSize, end-1))
			continue
		}
		variable := "COI_PORT_" + strings.ToUpper(strings.ReplaceAll(w.Name, "-", "_"))
		out = append(out, Published{Name: w.Name, Host: n, Container: w.Container, Listen: w.Listen.String(), Variable: variable})
	}
	if len(problems) == 0 {
		return out, nil
	}
	e := cli.Fail(coi.ExitFailed, "%s", problems[0]).Hint("ss -ltnp says who listens")
	e.Lines = problems[1:]
	return nil, e
}

// Free reports whether a TCP port can be listened on now.
func Free(at netip.AddrPort) bool {
	l, err := net.Listen("tcp", at.String())
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// Variables tell the tool about its ports.
func Variables(ports []Published) map[string]string {
	env := map[string]string{}
	for _, p := range ports {
		switch {
		case !p.Pool:
			env[p.Variable] = strconv.Itoa(p.Host)
		case env[p.Variable] == "":
			env[p.Variable] = strconv.Itoa(p.Host)
		default:
			env[p.Variable] += " " + strconv.Itoa(p.Host)
		}
	}
	return env
}

// PortDevices are the proxy devices of published ports; uid and gid are the
// user's on the host, since a proxy must never connect as root.
func PortDevices(ports []Published, uid, gid int) map[string]incus.Device {
	out := map[string]incus.Device{}
	pool := 0
	for _, p := range ports {
		name := "port-" + p.Name
		if p.Pool {
			pool++
			name = "port-pool-" + strconv.Itoa(pool)
		}
		out[name] = incus.Device{
			"type": "proxy", "bind": "host",
			"listen":       "tcp:" + netip.AddrPortFrom(netip.MustParseAddr(p.Listen), uint16(p.Host)).String(),
			"connect":      "tcp:127.0.0.1:" + strconv.Itoa(p.Container),
			"security.uid": strconv.Itoa(uid), "security.gid": strconv.Itoa(gid),
		}
	}
	return out
}
