// Package packets receives the packets that rules log, from the kernel's
// netlink log. It is the guard's only view of single packets.
package packets

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/florianl/go-nflog/v2"
	"golang.org/x/sys/unix"
)

// Packet is one logged packet.
type Packet struct {
	Rule     string // the prefix of the log rule
	In, Out  uint32 // interface indexes; 0: none
	At       time.Time
	Src, Dst netip.Addr
	Proto    uint8
	SrcPort  uint16
	Port     uint16 // destination
	Type     uint8  // of ICMP
}

// Feed is an open log group.
type Feed struct {
	log  *nflog.Nflog
	lost atomic.Uint64
	next atomic.Uint32
}

const (
	headers = 128     // bytes of each packet that are wanted
	buffer  = 4 << 20 // bytes of messages that may wait
)

// Open opens a log group in the network namespace of the calling thread.
func Open(group uint16) (*Feed, error) {
	l, err := nflog.Open(&nflog.Config{Group: group, Copymode: nflog.CopyPacket, Bufsize: headers, Flags: nflog.FlagSeq})
	if err != nil {
		return nil, fmt.Errorf("open the packet log: %w", err)
	}
	// Fails without the right to go over the system's limit; the default does too.
	_ = l.Con.SetReadBuffer(buffer)
	return &Feed{log: l}, nil
}

// Lost is how many packets were logged but did not arrive.
func (f *Feed) Lost() uint64 { return f.lost.Load() }

// Run calls do for each packet until the context ends. do runs on one goroutine
// and should be quick.
func (f *Feed) Run(ctx context.Context, do func(Packet)) error {
	return f.log.RegisterWithErrorFunc(ctx, func(a nflog.Attribute) int {
		f.sequence(a.Seq)
		if p, ok := decode(a); ok {
			do(p)
		}
		return 0
	}, func(err error) int {
		// Lost messages show as a gap in the sequence.
		if ctx.Err() != nil || !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return 1
		}
		return 0
	})
}

// Close closes the group.
func (f *Feed) Close() { _ = f.log.Close() }

func (f *Feed) sequence(seq *uint32) {
	if seq == nil {
		return
	}
	if want := f.next.Load(); *seq > want && (want > 0 || f.lost.Load() > 0) {
		f.lost.Add(uint64(*seq - want))
	}
	f.next.Store(*seq + 1)
}

func decode(a nflog.Attribute) (Packet, bool) {
	if a.Prefix == nil || a.Payload == nil {
		return Packet{}, false
	}
	p := Packet{Rule: strings.TrimRight(*a.Prefix, "\x00"), At: time.Now()}
	if a.InDev != nil {
		p.In = *a.InDev
	}
	if a.OutDev != nil {
		p.Out = *a.OutDev
	}
	return p, p.parse(*a.Payload)
}

// parse reads the headers of an IP packet that a container sent: any bytes.
func (p *Packet) parse(b []byte) bool {
	if len(b) < 20 {
		return false
	}
	var rest []byte
	switch b[0] >> 4 {
	case 4:
		n := int(b[0]&15) * 4
		if n < 20 || n > len(b) {
			return false
		}
		p.Src, p.Dst = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
		p.Proto = b[9]
		if binary.BigEndian.Uint16(b[6:])&0x1fff == 0 {
			rest = b[n:]
		}
	case 6:
		if len(b) < 40 {
			return false
		}
		p.Src, p.Dst = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:]))
		p.Proto, rest = extensions(b[6], b[40:])
	default:
		return false
	}
	switch p.Proto {
	case unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_SCTP, unix.IPPROTO_DCCP, unix.IPPROTO_UDPLITE:
		if len(rest) >= 4 {
			p.SrcPort, p.Port = binary.BigEndian.Uint16(rest), binary.BigEndian.Uint16(rest[2:])
		}
	case unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6:
		if len(rest) >= 1 {
			p.Type = rest[0]
		}
	}
	return true
}

// extensions skips IPv6 extension headers, at most eight.
func extensions(next uint8, b []byte) (uint8, []byte) {
	for range 8 {
		switch next {
		case unix.IPPROTO_HOPOPTS, unix.IPPROTO_ROUTING, unix.IPPROTO_DSTOPTS:
			if len(b) < 8 || len(b) < 8+int(b[1])*8 {
				return next, nil
			}
			next, b = b[0], b[8+int(b[1])*8:]
		case unix.IPPROTO_FRAGMENT:
			if len(b) < 8 {
				return next, nil
			}
			if binary.BigEndian.Uint16(b[2:])&0xfff8 != 0 {
				return b[0], nil
			}
			next, b = b[0], b[8:]
		default:
			return next, b
		}
	}
	return next, b
}

// ProtoName is tcp, udp, icmp … or the number.
func ProtoName(proto uint8) string {
	switch proto {
	case unix.IPPROTO_TCP:
		return "tcp"
	case unix.IPPROTO_UDP:
		return "udp"
	case unix.IPPROTO_ICMP:
		return "icmp"
	case unix.IPPROTO_ICMPV6:
		return "icmp6"
	case unix.IPPROTO_SCTP:
		return "sctp"
	case unix.IPPROTO_GRE:
		return "gre"
	}
	return fmt.Sprintf("ip%d", proto)
}
