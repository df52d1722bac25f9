package events

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/coi"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/packets"
)

const (
	scanWindow = time.Minute
	scanQuiet  = 10 * time.Minute
	scanAddrs  = 20
	scanPorts  = 20
	scanMemory = 1024
)

// scan sees a container that tries many addresses, or many ports of one.
type scan struct {
	addrs     map[netip.Addr]time.Time
	ports     map[netip.AddrPort]time.Time
	perAddr   map[netip.Addr]int
	wide      time.Time // when each was last told
	deep      time.Time
	lastClean time.Time
}

func (s *scan) add(b *Book, p packets.Packet) {
	if s.addrs == nil {
		s.addrs, s.ports, s.perAddr = map[netip.Addr]time.Time{}, map[netip.AddrPort]time.Time{}, map[netip.Addr]int{}
	}
	if len(s.addrs) < scanMemory {
		s.addrs[p.Dst] = p.At
	}
	if p.Port != 0 && len(s.ports) < scanMemory {
		ap := netip.AddrPortFrom(p.Dst, p.Port)
		if _, ok := s.ports[ap]; !ok {
			s.perAddr[p.Dst]++
		}
		s.ports[ap] = p.At
	}
	if (len(s.addrs) >= scanAddrs || s.perAddr[p.Dst] >= scanPorts) && p.At.Sub(s.lastClean) > time.Second {
		s.forget(p.At)
	}
	if n := len(s.addrs); n >= scanAddrs && p.At.Sub(s.wide) > scanQuiet {
		s.wide = p.At
		b.finding("net.scan", coi.High, fmt.Sprintf("%d addresses tried within a minute", n), p, float64(n), scanAddrs)
	}
	if n := s.perAddr[p.Dst]; n >= scanPorts && p.At.Sub(s.deep) > scanQuiet {
		s.deep = p.At
		b.finding("net.scan", coi.Warning, fmt.Sprintf("%d ports of %s tried within a minute", n, p.Dst), p, float64(n), scanPorts)
	}
}

func (b *Book) finding(rule string, level coi.Level, title string, p packets.Packet, value, threshold float64) {
	b.sink(b.container, audit.Record{
		TS: p.At, Source: audit.SourceGuard, Type: audit.TypeNet, Category: audit.CategoryNetwork, Rule: rule, Level: level, Action: audit.Alerted,
		Title: title, Proto: packets.ProtoName(p.Proto), Local: local(p), Peer: p.Dst.String(), Port: int(p.Port), N: &audit.Numbers{Value: value, Threshold: threshold, WindowS: scanWindow.Seconds()},
	})
}

func (s *scan) forget(now time.Time) {
	s.lastClean = now
	for a, at := range s.addrs {
		if now.Sub(at) > scanWindow {
			delete(s.addrs, a)
		}
	}
	for ap, at := range s.ports {
		if now.Sub(at) > scanWindow {
			delete(s.ports, ap)
			if s.perAddr[ap.Addr()]--; s.perAddr[ap.Addr()] <= 0 {
				delete(s.perAddr, ap.Addr())
			}
		}
	}
}
