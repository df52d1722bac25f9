package policy

import (
	"encoding/binary"
	"time"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/dest"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/nft"
)

// Registers as the kernel writes them when a rule is read back: the first of
// each 16 bytes has the old number 1-4, the others are 8 + their place.
const (
	reg1     = 1  // bytes 0-15
	reg2     = 2  // bytes 16-31
	regByte4 = 9  // bytes 4-7
	regByte8 = 10 // bytes 8-11
	regB20   = 13 // bytes 20-23
)

type stmts []expr.Any

func join(parts ...stmts) stmts {
	var out stmts
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func rule(name string, parts ...stmts) nft.Rule {
	return nft.Rule{Name: name, Exprs: join(parts...)}
}

func native(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }
func port(p uint16) []byte   { return binary.BigEndian.AppendUint16(nil, p) }

func meta(key expr.MetaKey, reg uint32) expr.Any { return &expr.Meta{Key: key, Register: reg} }

func eq(data []byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: data} }
func ne(data []byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpNeq, Register: reg1, Data: data} }

func v4() stmts { return stmts{meta(expr.MetaKeyNFPROTO, reg1), eq([]byte{unix.NFPROTO_IPV4})} }
func v6() stmts { return stmts{meta(expr.MetaKeyNFPROTO, reg1), eq([]byte{unix.NFPROTO_IPV6})} }

func l4(proto uint8) stmts { return stmts{meta(expr.MetaKeyL4PROTO, reg1), eq([]byte{proto})} }

func load(base expr.PayloadBase, off, n, reg uint32) expr.Any {
	return &expr.Payload{DestRegister: reg, Base: base, Offset: off, Len: n}
}

func saddr(is6 bool) expr.Any {
	if is6 {
		return load(expr.PayloadBaseNetworkHeader, 8, 16, reg1)
	}
	return load(expr.PayloadBaseNetworkHeader, 12, 4, reg1)
}

func daddr(is6 bool) expr.Any {
	if is6 {
		return load(expr.PayloadBaseNetworkHeader, 24, 16, reg1)
	}
	return load(expr.PayloadBaseNetworkHeader, 16, 4, reg1)
}

func family(is6 bool) stmts {
	if is6 {
		return v6()
	}
	return v4()
}

// dst loads the destination of one family.
func dst(is6 bool) stmts { return append(family(is6), daddr(is6)) }

func in(set string) expr.Any { return &expr.Lookup{SourceRegister: reg1, SetName: set} }
func notIn(set string) expr.Any {
	return &expr.Lookup{SourceRegister: reg1, SetName: set, Invert: true}
}

func vmap(set string) expr.Any {
	return &expr.Lookup{SourceRegister: reg1, SetName: set, IsDestRegSet: true}
}

// dstIn matches a destination in a set of addresses.
func dstIn(is6 bool, set string) stmts { return append(dst(is6), in(set)) }

// tuple loads address . protocol . port, the key of the literal sets.
func tuple(is6 bool) stmts {
	proto, dport := uint32(regByte4), uint32(regByte8)
	if is6 {
		proto, dport = reg2, regB20
	}
	return join(family(is6), stmts{daddr(is6), meta(expr.MetaKeyL4PROTO, proto), load(expr.PayloadBaseTransportHeader, 2, 2, dport)})
}

// tcpudp matches the two protocols with ports.
func tcpudp() stmts { return stmts{meta(expr.MetaKeyL4PROTO, reg1), in("l4")} }

func dport() expr.Any { return load(expr.PayloadBaseTransportHeader, 2, 2, reg1) }

func dportIs(r dest.Ports) stmts {
	if r.Low == r.High {
		return stmts{dport(), eq(port(r.Low))}
	}
	return stmts{dport(), &expr.Range{Op: expr.CmpOpEq, Register: reg1, FromData: port(r.Low), ToData: port(r.High)}}
}

func icmpType(is6 bool, typ uint8) stmts {
	proto := uint8(unix.IPPROTO_ICMP)
	if is6 {
		proto = unix.IPPROTO_ICMPV6
	}
	return join(family(is6), l4(proto), stmts{load(expr.PayloadBaseTransportHeader, 0, 1, reg1), eq([]byte{typ})})
}

func state(bits uint32) stmts {
	return stmts{&expr.Ct{Key: expr.CtKeySTATE, Register: reg1}, &expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: 4, Mask: native(bits), Xor: native(0)}, ne(native(0))}
}

func dnat() stmts {
	return stmts{&expr.Ct{Key: expr.CtKeySTATUS, Register: reg1}, &expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: 4, Mask: native(0x20), Xor: native(0)}, ne(native(0))}
}

func fib(typ uint32) stmts {
	return stmts{&expr.Fib{Register: reg1, ResultADDRTYPE: true, FlagDADDR: true}, eq(native(typ))}
}

// ours matches interfaces that carry our tag, by the start of their name.
func ours(key expr.MetaKey, prefix string) stmts {
	return stmts{meta(key, reg1), eq([]byte(prefix))}
}

func notOurs(key expr.MetaKey, prefix string) stmts {
	return stmts{meta(key, reg1), ne([]byte(prefix))}
}

func unmarked(bit uint32) stmts { return append(markBit(bit), eq(native(0))) }
func marked(bit uint32) stmts   { return append(markBit(bit), ne(native(0))) }

func markBit(bit uint32) stmts {
	return stmts{meta(expr.MetaKeyMARK, reg1), &expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: 4, Mask: native(bit), Xor: native(0)}}
}

func setMark(bit uint32) stmts {
	return stmts{
		meta(expr.MetaKeyMARK, reg1), &expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: 4, Mask: native(^bit), Xor: native(bit)},
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: reg1},
	}
}

func clearMark(bit uint32) stmts {
	return stmts{
		meta(expr.MetaKeyMARK, reg1), &expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: 4, Mask: native(^bit), Xor: native(0)},
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: reg1},
	}
}

func perSecond(rate uint64, burst uint32) *expr.Limit {
	return &expr.Limit{Type: expr.LimitTypePkts, Rate: rate, Unit: expr.LimitTimeSecond, Burst: burst}
}

func dynset(op uint32, set string, timeout time.Duration, with ...expr.Any) expr.Any {
	return &expr.Dynset{SrcRegKey: reg1, SetName: set, Operation: op, Timeout: timeout, Exprs: with}
}

const (
	opAdd    = unix.NFT_DYNSET_OP_ADD
	opUpdate = unix.NFT_DYNSET_OP_UPDATE
)

func goTo(chain string) stmts { return stmts{&expr.Verdict{Kind: expr.VerdictGoto, Chain: chain}} }
func accept() stmts           { return stmts{&expr.Verdict{Kind: expr.VerdictAccept}} }
func drop() stmts             { return stmts{&expr.Verdict{Kind: expr.VerdictDrop}} }
func counter() stmts          { return stmts{&expr.Counter{}} }

func logTo(group uint16, prefix string) expr.Any {
	return &expr.Log{
		Key:   1<<unix.NFTA_LOG_GROUP | 1<<unix.NFTA_LOG_PREFIX | 1<<unix.NFTA_LOG_SNAPLEN | 1<<unix.NFTA_LOG_QTHRESHOLD,
		Group: group, Snaplen: 128, QThreshold: 1, Data: []byte(prefix),
	}
}
