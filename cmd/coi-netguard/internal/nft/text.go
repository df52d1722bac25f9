package nft

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Text prints the table as a script that nft accepts. The parts are in order
// of name, elements in order of key, so equal tables give equal text. Without
// volatile, elements of open sets, counters and flags that come and go are
// left out: that text is what wanted and real rules are compared by.
func (t *Table) Text(volatile bool) string {
	return fmt.Sprintf("table inet %s {\n%s}\n", t.Name, t.body(volatile))
}

// Body is Text without the table around it.
func (t *Table) Body() string { return t.body(false) }

func (t *Table) body(volatile bool) string {
	var b strings.Builder
	sets := slices.Clone(t.Sets)
	slices.SortFunc(sets, func(x, y Set) int { return strings.Compare(x.Name, y.Name) })
	for i := range sets {
		b.WriteString(sets[i].text(volatile))
	}
	chains := slices.Clone(t.Chains)
	slices.SortFunc(chains, func(x, y Chain) int { return strings.Compare(x.Name, y.Name) })
	for i := range chains {
		b.WriteString(chains[i].Text(volatile))
	}
	return b.String()
}

// Text prints the set with its wanted elements.
func (s *Set) Text() string { return s.text(false) }

func (s *Set) text(volatile bool) string {
	var b strings.Builder
	kind, typ := "set", s.typeName()
	if s.Map {
		kind, typ = "map", typ+" : verdict"
	}
	fmt.Fprintf(&b, "\t%s %s {\n\t\ttype %s\n", kind, s.Name, typ)
	var flags []string
	for _, f := range []struct {
		on   bool
		name string
	}{{s.Interval, "interval"}, {s.Timeout, "timeout"}, {s.Dynamic, "dynamic"}} {
		if f.on {
			flags = append(flags, f.name)
		}
	}
	if s.Size > 0 {
		fmt.Fprintf(&b, "\t\tsize %d\n", s.Size)
	}
	if len(flags) > 0 {
		fmt.Fprintf(&b, "\t\tflags %s\n", strings.Join(flags, ","))
	}
	if len(s.Elems) > 0 && (volatile && !s.Dynamic || !s.Open) {
		elems := make([]string, len(s.Elems))
		sorted := slices.Clone(s.Elems)
		slices.SortFunc(sorted, func(x, y Elem) int { return bytes.Compare(x.Key, y.Key) })
		for i := range sorted {
			elems[i] = s.elemText(&sorted[i], volatile)
		}
		fmt.Fprintf(&b, "\t\telements = { %s }\n", strings.Join(elems, ",\n\t\t\t"))
	}
	b.WriteString("\t}\n")
	return b.String()
}

func (s *Set) elemText(e *Elem, volatile bool) string {
	var parts []string
	off := 0
	for _, t := range s.Key {
		n := int(t.Len)
		if off+n > len(e.Key) {
			return hex.EncodeToString(e.Key)
		}
		part := t.text(e.Key[off : off+n])
		if len(e.End) >= off+n && !bytes.Equal(e.End[off:off+n], e.Key[off:off+n]) {
			part = span(t, e.Key[off:off+n], e.End[off:off+n])
		}
		parts = append(parts, part)
		off += (n + 3) &^ 3
	}
	out := strings.Join(parts, " . ")
	if volatile && e.Timeout > 0 {
		out += fmt.Sprintf(" timeout %s", seconds(e.Timeout))
		if e.Expires > 0 {
			out += fmt.Sprintf(" expires %s", seconds(e.Expires))
		}
	}
	if s.Map {
		out += " : " + target(e.Goto)
	}
	return out
}

func seconds(ms uint64) string { return strconv.FormatUint((ms+999)/1000, 10) + "s" }

func target(chain string) string {
	if chain == "" {
		return "drop"
	}
	return "goto " + chain
}

// span prints a range, as a prefix where it is one.
func span(t Type, from, to []byte) string {
	if a, ok := netip.AddrFromSlice(from); ok && (t.Magic == IPv4.Magic || t.Magic == IPv6.Magic) {
		for bits := a.BitLen(); bits >= 0; bits-- {
			p := netip.PrefixFrom(a, bits)
			if p.Masked().Addr() != a {
				break
			}
			if last := lastOf(p); bytes.Equal(last.AsSlice(), to) {
				return p.String()
			}
		}
	}
	return t.text(from) + "-" + t.text(to)
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// Last is the last address of a prefix.
func Last(p netip.Prefix) netip.Addr { return lastOf(p) }

var protoNames = map[byte]string{unix.IPPROTO_TCP: "tcp", unix.IPPROTO_UDP: "udp", unix.IPPROTO_ICMP: "icmp", unix.IPPROTO_ICMPV6: "ipv6-icmp"}

func (t Type) text(b []byte) string {
	switch t.Magic {
	case IPv4.Magic, IPv6.Magic:
		if a, ok := netip.AddrFromSlice(b); ok {
			return a.String()
		}
	case Proto.Magic:
		if n, ok := protoNames[b[0]]; ok {
			return n
		}
		return strconv.Itoa(int(b[0]))
	case Service.Magic:
		return strconv.Itoa(int(binary.BigEndian.Uint16(b)))
	case IfName.Magic:
		return strconv.Quote(cstr(b))
	}
	return "0x" + hex.EncodeToString(b)
}

// Text prints one chain.
func (c *Chain) Text(volatile bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\tchain %s {\n", c.Name)
	if h := c.Hook; h != nil {
		fmt.Fprintf(&b, "\t\ttype %s hook %s priority %d; policy %s;\n", h.Type, hookNames[h.Num], h.Priority, map[bool]string{true: "drop", false: "accept"}[h.Drop])
	}
	for i := range c.Rules {
		b.WriteString("\t\t" + c.Rules[i].Text(volatile) + "\n")
	}
	b.WriteString("\t}\n")
	return b.String()
}

// Text prints one rule with its name as comment.
func (r *Rule) Text(volatile bool) string {
	p := printer{volatile: volatile}
	for _, e := range r.Exprs {
		p.print(e)
	}
	out := strings.Join(p.out, " ")
	if r.Name != "" {
		out += " comment " + strconv.Quote(r.Name)
	}
	return out
}

// load is a value in a register that a later expression compares or looks up.
type load struct {
	text string
	show func([]byte) string
	mask []byte
	xor  []byte
}

type printer struct {
	volatile bool
	out      []string
	loads    []load
	port     string // immediate port of a redirect
}

func (p *printer) put(format string, a ...any) { p.out = append(p.out, fmt.Sprintf(format, a...)) }

func (p *printer) take() load {
	if len(p.loads) == 0 {
		return load{text: "?", show: hex.EncodeToString}
	}
	l := p.loads[len(p.loads)-1]
	p.loads = p.loads[:len(p.loads)-1]
	return l
}

// key is the text of all waiting loads: the key of a set.
func (p *printer) key() string {
	var parts []string
	for _, l := range p.loads {
		parts = append(parts, l.text)
	}
	p.loads = nil
	return strings.Join(parts, " . ")
}

func (p *printer) print(e expr.Any) {
	switch e := e.(type) {
	case *expr.Meta:
		p.meta(e)
	case *expr.Payload:
		p.payload(e)
	case *expr.Ct:
		p.ct(e)
	case *expr.Fib:
		p.loads = append(p.loads, load{text: "fib daddr type", show: addrType})
		if !e.FlagDADDR || !e.ResultADDRTYPE || e.FlagSADDR || e.FlagIIF || e.FlagMARK || e.FlagOIF {
			p.put("fib-other")
		}
	case *expr.Bitwise:
		if n := len(p.loads); n > 0 {
			p.loads[n-1].mask, p.loads[n-1].xor = e.Mask, e.Xor
		}
	case *expr.Cmp:
		p.cmp(e)
	case *expr.Range:
		l := p.take()
		p.put("%s%s %s-%s", l.text, op(e.Op), l.show(e.FromData), l.show(e.ToData))
	case *expr.Lookup:
		p.lookup(e)
	case *expr.Dynset:
		p.dynset(e)
	case *expr.Limit:
		p.put("%s", limit(e))
	case *expr.Connlimit:
		p.put("%s", connlimit(e))
	case *expr.Counter:
		if p.volatile {
			p.put("counter packets %d bytes %d", e.Packets, e.Bytes)
		} else {
			p.put("counter")
		}
	case *expr.Log:
		p.put("log prefix %q group %d snaplen %d queue-threshold %d", string(e.Data), e.Group, e.Snaplen, e.QThreshold)
	case *expr.Reject:
		p.put("%s", reject(e))
	case *expr.Masq:
		p.put("masquerade")
	case *expr.Immediate:
		if len(e.Data) == 2 {
			p.port = strconv.Itoa(int(binary.BigEndian.Uint16(e.Data)))
		} else {
			p.put("immediate %x", e.Data)
		}
	case *expr.Redir:
		p.put("redirect to :%s", p.port)
	case *expr.Verdict:
		p.put("%s", verdictText(e))
	default:
		p.put("unknown-%T", e)
	}
}

func verdictText(e *expr.Verdict) string {
	switch e.Kind {
	case expr.VerdictAccept:
		return "accept"
	case expr.VerdictDrop:
		return "drop"
	case expr.VerdictReturn:
		return "return"
	case expr.VerdictGoto:
		return "goto " + e.Chain
	case expr.VerdictJump:
		return "jump " + e.Chain
	}
	return fmt.Sprintf("verdict-%d", e.Kind)
}

func reject(e *expr.Reject) string {
	switch {
	case e.Type == unix.NFT_REJECT_TCP_RST:
		return "reject with tcp reset"
	case e.Type == unix.NFT_REJECT_ICMPX_UNREACH && e.Code == unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED:
		return "reject with icmpx type admin-prohibited"
	}
	return fmt.Sprintf("reject-%d-%d", e.Type, e.Code)
}

func limit(e *expr.Limit) string {
	over := ""
	if e.Over {
		over = "over "
	}
	return fmt.Sprintf("limit rate %s%d/%s burst %d packets", over, e.Rate, map[expr.LimitTime]string{1: "second", 60: "minute", 3600: "hour", 86400: "day", 604800: "week"}[e.Unit], e.Burst)
}

func connlimit(e *expr.Connlimit) string {
	if e.Flags&1 != 0 {
		return fmt.Sprintf("ct count over %d", e.Count)
	}
	return fmt.Sprintf("ct count %d", e.Count)
}

func op(o expr.CmpOp) string {
	if o == expr.CmpOpNeq {
		return " !="
	}
	return ""
}

func (p *printer) lookup(e *expr.Lookup) {
	switch {
	case e.IsDestRegSet:
		p.put("%s vmap @%s", p.key(), e.SetName)
	case e.Invert:
		p.put("%s != @%s", p.key(), e.SetName)
	default:
		p.put("%s @%s", p.key(), e.SetName)
	}
}

func (p *printer) dynset(e *expr.Dynset) {
	verb := "add"
	if e.Operation == unix.NFT_DYNSET_OP_UPDATE {
		verb = "update"
	}
	parts := []string{p.key()}
	if e.Timeout > 0 {
		parts[0] += " timeout " + strconv.Itoa(int(e.Timeout/time.Second)) + "s"
	}
	for _, x := range e.Exprs {
		switch x := x.(type) {
		case *expr.Limit:
			parts = append(parts, limit(x))
		case *expr.Connlimit:
			parts = append(parts, connlimit(x))
		case *expr.Counter:
			parts = append(parts, "counter")
		default:
			parts = append(parts, fmt.Sprintf("unknown-%T", x))
		}
	}
	p.put("%s @%s { %s }", verb, e.SetName, strings.Join(parts, " "))
}

func (p *printer) cmp(e *expr.Cmp) {
	l := p.take()
	if l.mask != nil {
		mask, value := binary.NativeEndian.Uint32(l.mask), binary.NativeEndian.Uint32(e.Data)
		switch {
		case l.text == "ct state" && value == 0 && e.Op == expr.CmpOpNeq:
			p.put("ct state %s", stateNames(mask))
		case l.text == "ct status" && value == 0 && e.Op == expr.CmpOpNeq && mask == statusDNAT:
			p.put("ct status dnat")
		default:
			eq := "=="
			if e.Op == expr.CmpOpNeq {
				eq = "!="
			}
			p.put("%s & 0x%08x %s 0x%08x", l.text, mask, eq, value)
		}
		return
	}
	p.put("%s%s %s", l.text, op(e.Op), l.show(e.Data))
}

const statusDNAT = 0x20 // IPS_DST_NAT

func stateNames(mask uint32) string {
	var out []string
	for _, s := range []struct {
		bit  uint32
		name string
	}{{expr.CtStateBitINVALID, "invalid"}, {expr.CtStateBitESTABLISHED, "established"}, {expr.CtStateBitRELATED, "related"}, {expr.CtStateBitNEW, "new"}, {expr.CtStateBitUNTRACKED, "untracked"}} {
		if mask&s.bit != 0 {
			out = append(out, s.name)
		}
	}
	return strings.Join(out, ",")
}

func (p *printer) ct(e *expr.Ct) {
	switch e.Key {
	case expr.CtKeySTATE:
		p.loads = append(p.loads, load{text: "ct state", show: hexNative})
	case expr.CtKeySTATUS:
		p.loads = append(p.loads, load{text: "ct status", show: hexNative})
	case expr.CtKeyPROTODST:
		p.loads = append(p.loads, load{text: "ct original proto-dst", show: Service.text})
	default:
		p.put("ct-%d", e.Key)
	}
}

func hexNative(b []byte) string {
	if len(b) == 4 {
		return fmt.Sprintf("0x%08x", binary.NativeEndian.Uint32(b))
	}
	return "0x" + hex.EncodeToString(b)
}

func addrType(b []byte) string {
	if len(b) == 4 {
		switch binary.NativeEndian.Uint32(b) {
		case unix.RTN_LOCAL:
			return "local"
		case unix.RTN_BROADCAST:
			return "broadcast"
		case unix.RTN_ANYCAST:
			return "anycast"
		case unix.RTN_MULTICAST:
			return "multicast"
		}
	}
	return hexNative(b)
}

func (p *printer) meta(e *expr.Meta) {
	if e.SourceRegister {
		l := p.take()
		if e.Key == expr.MetaKeyMARK && l.mask != nil {
			mask, xor := binary.NativeEndian.Uint32(l.mask), binary.NativeEndian.Uint32(l.xor)
			if xor == 0 {
				p.put("meta mark set meta mark & 0x%08x", mask)
			} else if xor == ^mask {
				p.put("meta mark set meta mark | 0x%08x", xor)
			} else {
				p.put("meta mark set meta mark & 0x%08x ^ 0x%08x", mask, xor)
			}
			return
		}
		p.put("meta-%d set %s", e.Key, l.text)
		return
	}
	switch e.Key {
	case expr.MetaKeyIIFNAME:
		p.loads = append(p.loads, load{text: "iifname", show: ifname})
	case expr.MetaKeyOIFNAME:
		p.loads = append(p.loads, load{text: "oifname", show: ifname})
	case expr.MetaKeyNFPROTO:
		p.loads = append(p.loads, load{text: "meta nfproto", show: func(b []byte) string {
			return map[byte]string{unix.NFPROTO_IPV4: "ipv4", unix.NFPROTO_IPV6: "ipv6"}[b[0]]
		}})
	case expr.MetaKeyL4PROTO:
		p.loads = append(p.loads, load{text: "meta l4proto", show: Proto.text})
	case expr.MetaKeyMARK:
		p.loads = append(p.loads, load{text: "meta mark", show: hexNative})
	default:
		p.put("meta-%d", e.Key)
	}
}

// ifname prints a name; data without its final NUL is a prefix.
func ifname(b []byte) string {
	if bytes.IndexByte(b, 0) < 0 {
		return strconv.Quote(string(b) + "*")
	}
	return strconv.Quote(cstr(b))
}

// fields are the parts of packets that our rules load.
var fields = []struct {
	base        expr.PayloadBase
	offset, len uint32
	name        string
	show        func([]byte) string
}{
	{expr.PayloadBaseNetworkHeader, 12, 4, "ip saddr", IPv4.text},
	{expr.PayloadBaseNetworkHeader, 16, 4, "ip daddr", IPv4.text},
	{expr.PayloadBaseNetworkHeader, 8, 16, "ip6 saddr", IPv6.text},
	{expr.PayloadBaseNetworkHeader, 24, 16, "ip6 daddr", IPv6.text},
	{expr.PayloadBaseTransportHeader, 2, 2, "th dport", Service.text},
	{expr.PayloadBaseTransportHeader, 0, 1, "@th,0,8", func(b []byte) string { return strconv.Itoa(int(b[0])) }},
	{expr.PayloadBaseTransportHeader, 8, 16, "@th,64,128", func(b []byte) string { return "0x" + hex.EncodeToString(b) }},
}

func (p *printer) payload(e *expr.Payload) {
	for _, f := range fields {
		if f.base == e.Base && f.offset == e.Offset && f.len == e.Len {
			// A prefix is compared by its leading bytes alone.
			p.loads = append(p.loads, load{text: f.name, show: f.show})
			return
		}
	}
	bits := e.Len * 8
	p.loads = append(p.loads, load{
		text: fmt.Sprintf("@%s,%d,%d", map[expr.PayloadBase]string{expr.PayloadBaseNetworkHeader: "nh", expr.PayloadBaseTransportHeader: "th"}[e.Base], e.Offset*8, bits),
		show: func(b []byte) string { return "0x" + hex.EncodeToString(b) },
	})
}
