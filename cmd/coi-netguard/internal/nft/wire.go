package nft

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	famInet = unix.NFPROTO_INET

	tableOwner   = 2 // NFT_TABLE_F_OWNER, Linux 5.12
	tablePersist = 4 // NFT_TABLE_F_PERSIST, Linux 6.9

	setConcat      = 0x80 // NFT_SET_CONCAT
	descConcat     = 2    // NFTA_SET_DESC_CONCAT
	setExpressions = 18   // NFTA_SET_EXPRESSIONS
	elemKeyEnd     = 10   // NFTA_SET_ELEM_KEY_END

	verdictType = 0xffffff00 // NFT_DATA_VERDICT

	nfDrop, nfAccept = 0, 1 // NF_DROP, NF_ACCEPT
)

// Batch collects messages of one transaction. The first error of encoding is
// kept and returned by Conn.Commit.
type Batch struct {
	// Family of the tables, unix.NFPROTO_INET when 0.
	Family byte
	msgs   []netlink.Message
	ids    uint32
	err    error
}

func be32(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }
func be64(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }
func str(s string) []byte  { return append([]byte(s), 0) }

func attrs(list ...netlink.Attribute) []byte {
	var out []byte
	for _, a := range list {
		out = appendAttr(out, a.Type, a.Data)
	}
	return out
}

func appendAttr(out []byte, typ uint16, data []byte) []byte {
	n := 4 + len(data)
	out = binary.NativeEndian.AppendUint16(out, uint16(n))
	out = binary.NativeEndian.AppendUint16(out, typ)
	out = append(out, data...)
	for n%4 != 0 {
		out, n = append(out, 0), n+1
	}
	return out
}

func at(typ uint16, data []byte) netlink.Attribute { return netlink.Attribute{Type: typ, Data: data} }
func nest(typ uint16, list ...netlink.Attribute) netlink.Attribute {
	return at(typ|unix.NLA_F_NESTED, attrs(list...))
}

func header(family byte, resID uint16) []byte {
	return []byte{family, unix.NFNETLINK_V0, byte(resID >> 8), byte(resID)}
}

func (b *Batch) add(typ int, flags netlink.HeaderFlags, data []byte) {
	family := b.Family
	if family == 0 {
		family = famInet
	}
	b.msgs = append(b.msgs, netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | typ), Flags: netlink.Request | flags},
		Data:   append(header(family, 0), data...),
	})
}

// Len is the number of messages collected.
func (b *Batch) Len() int { return len(b.msgs) }

// AddTable makes the table, or takes it over when it exists without an owner.
func (b *Batch) AddTable(name string, persist bool) {
	var flags uint32
	if persist {
		flags = tableOwner | tablePersist
	}
	b.add(unix.NFT_MSG_NEWTABLE, netlink.Create, attrs(at(unix.NFTA_TABLE_NAME, str(name)), at(unix.NFTA_TABLE_FLAGS, be32(flags))))
}

// DelTable deletes the table and all in it.
func (b *Batch) DelTable(name string) {
	b.add(unix.NFT_MSG_DELTABLE, 0, attrs(at(unix.NFTA_TABLE_NAME, str(name))))
}

// AddChain makes the chain if it is not there; its rules are not looked at.
func (b *Batch) AddChain(table string, c *Chain) {
	list := []netlink.Attribute{at(unix.NFTA_CHAIN_TABLE, str(table)), at(unix.NFTA_CHAIN_NAME, str(c.Name))}
	if h := c.Hook; h != nil {
		list = append(list,
			nest(unix.NFTA_CHAIN_HOOK, at(unix.NFTA_HOOK_HOOKNUM, be32(h.Num)), at(unix.NFTA_HOOK_PRIORITY, be32(uint32(h.Priority)))),
			at(unix.NFTA_CHAIN_POLICY, be32(nfAccept)),
			at(unix.NFTA_CHAIN_TYPE, str(h.Type)))
	}
	b.add(unix.NFT_MSG_NEWCHAIN, netlink.Create, attrs(list...))
}

// FlushChain takes all rules out of a chain.
func (b *Batch) FlushChain(table, chain string) {
	b.add(unix.NFT_MSG_DELRULE, 0, attrs(at(unix.NFTA_RULE_TABLE, str(table)), at(unix.NFTA_RULE_CHAIN, str(chain))))
}

// DelChain deletes an empty chain that nothing refers to.
func (b *Batch) DelChain(table, chain string) {
	b.add(unix.NFT_MSG_DELCHAIN, 0, attrs(at(unix.NFTA_CHAIN_TABLE, str(table)), at(unix.NFTA_CHAIN_NAME, str(chain))))
}

// InsertRule puts a rule at the top of a chain.
func (b *Batch) InsertRule(table, chain string, r *Rule) { b.rule(table, chain, r, netlink.Create) }

// DelRule deletes a rule that was read back.
func (b *Batch) DelRule(table, chain string, handle uint64) {
	b.add(unix.NFT_MSG_DELRULE, 0, attrs(at(unix.NFTA_RULE_TABLE, str(table)), at(unix.NFTA_RULE_CHAIN, str(chain)), at(unix.NFTA_RULE_HANDLE, be64(handle))))
}

// AddRule appends a rule.
func (b *Batch) AddRule(table, chain string, r *Rule) {
	b.rule(table, chain, r, netlink.Create|netlink.Append)
}

func (b *Batch) rule(table, chain string, r *Rule, flags netlink.HeaderFlags) {
	var list []byte
	for _, e := range r.Exprs {
		data, err := expr.Marshal(famInet, e)
		if err != nil && b.err == nil {
			b.err = fmt.Errorf("chain %s, rule %s: %w", chain, r.Name, err)
		}
		list = appendAttr(list, unix.NFTA_LIST_ELEM|unix.NLA_F_NESTED, data)
	}
	parts := []netlink.Attribute{at(unix.NFTA_RULE_TABLE, str(table)), at(unix.NFTA_RULE_CHAIN, str(chain)), at(unix.NFTA_RULE_EXPRESSIONS|unix.NLA_F_NESTED, list)}
	if r.Name != "" {
		parts = append(parts, at(unix.NFTA_RULE_USERDATA, userdata.AppendString(nil, userdata.TypeComment, r.Name)))
	}
	b.add(unix.NFT_MSG_NEWRULE, flags, attrs(parts...))
}

// AddSet makes the set if it is not there. A set of that name with other
// properties is an error of the transaction (EEXIST).
func (b *Batch) AddSet(table string, s *Set) {
	b.ids++
	var flags uint32
	for _, f := range []struct {
		on  bool
		bit uint32
	}{{s.Interval, unix.NFT_SET_INTERVAL}, {s.Map, unix.NFT_SET_MAP}, {s.Timeout, unix.NFT_SET_TIMEOUT}, {s.Dynamic, unix.NFT_SET_EVAL}, {s.concat() && s.Interval, setConcat}} {
		if f.on {
			flags |= f.bit
		}
	}
	order := uint32(2)
	if s.Key[0].Host {
		order = 1
	}
	list := []netlink.Attribute{
		at(unix.NFTA_SET_TABLE, str(table)), at(unix.NFTA_SET_NAME, str(s.Name)), at(unix.NFTA_SET_FLAGS, be32(flags)),
		at(unix.NFTA_SET_KEY_TYPE, be32(s.magic())), at(unix.NFTA_SET_KEY_LEN, be32(s.keyLen())), at(unix.NFTA_SET_ID, be32(b.ids)),
		at(unix.NFTA_SET_USERDATA, userdata.AppendUint32(nil, userdata.NFTNL_UDATA_SET_KEYBYTEORDER, order)),
	}
	if s.Map {
		list = append(list, at(unix.NFTA_SET_DATA_TYPE, be32(verdictType)), at(unix.NFTA_SET_DATA_LEN, be32(0)))
	}
	var desc []byte
	if s.Size > 0 {
		desc = append(desc, attrs(at(unix.NFTA_SET_DESC_SIZE, be32(s.Size)))...)
	}
	if s.concat() && s.Interval {
		var fields []byte
		for _, t := range s.Key {
			fields = append(fields, attrs(nest(unix.NFTA_LIST_ELEM, at(1, be32(t.Len))))...)
		}
		desc = appendAttr(desc, descConcat|unix.NLA_F_NESTED, fields)
	}
	if len(desc) > 0 {
		list = append(list, at(unix.NFTA_SET_DESC|unix.NLA_F_NESTED, desc))
	}
	b.add(unix.NFT_MSG_NEWSET, netlink.Create, attrs(list...))
}

// DelSet deletes a set that no rule refers to.
func (b *Batch) DelSet(table, set string) {
	b.add(unix.NFT_MSG_DELSET, 0, attrs(at(unix.NFTA_SET_TABLE, str(table)), at(unix.NFTA_SET_NAME, str(set))))
}

// FlushSet takes all elements out of a set.
func (b *Batch) FlushSet(table, set string) {
	b.add(unix.NFT_MSG_DELSETELEM, 0, attrs(at(unix.NFTA_SET_ELEM_LIST_TABLE, str(table)), at(unix.NFTA_SET_ELEM_LIST_SET, str(set))))
}

// elemsPerMessage keeps the nested list under its 64 KiB: attribute lengths
// are 16 bits wide.
const elemsPerMessage = 256

// AddElems adds elements. One that is there already is left as it is.
func (b *Batch) AddElems(table string, s *Set, elems []Elem) {
	for part := range slices.Chunk(elems, elemsPerMessage) {
		b.add(unix.NFT_MSG_NEWSETELEM, netlink.Create, elemList(table, s, part))
	}
}

// DelElems deletes elements; one that is not there fails the transaction.
func (b *Batch) DelElems(table string, s *Set, elems []Elem) {
	for part := range slices.Chunk(elems, elemsPerMessage) {
		b.add(unix.NFT_MSG_DELSETELEM, 0, elemList(table, s, part))
	}
}

func elemList(table string, s *Set, elems []Elem) []byte {
	var list []byte
	for i := range elems {
		for _, item := range s.encode(&elems[i]) {
			list = appendAttr(list, unix.NFTA_LIST_ELEM|unix.NLA_F_NESTED, item)
		}
	}
	return attrs(at(unix.NFTA_SET_ELEM_LIST_TABLE, str(table)), at(unix.NFTA_SET_ELEM_LIST_SET, str(s.Name)),
		at(unix.NFTA_SET_ELEM_LIST_ELEMENTS|unix.NLA_F_NESTED, list))
}

// encode writes an element; a plain interval takes two, the second of which
// marks the first address behind it (nftables, rbtree sets).
func (s *Set) encode(e *Elem) [][]byte {
	list := []netlink.Attribute{nest(unix.NFTA_SET_ELEM_KEY, at(unix.NFTA_DATA_VALUE, e.Key))}
	if s.concat() && s.Interval {
		end := e.End
		if end == nil {
			end = e.Key
		}
		list = append(list, nest(elemKeyEnd, at(unix.NFTA_DATA_VALUE, end)))
	}
	if s.Map {
		verdict := []netlink.Attribute{at(unix.NFTA_VERDICT_CODE, be32(nfDrop))}
		if e.Goto != "" {
			code := int32(expr.VerdictGoto)
			verdict = []netlink.Attribute{at(unix.NFTA_VERDICT_CODE, be32(uint32(code))), at(unix.NFTA_VERDICT_CHAIN, str(e.Goto))}
		}
		list = append(list, nest(unix.NFTA_SET_ELEM_DATA, nest(unix.NFTA_DATA_VERDICT, verdict...)))
	}
	if e.Timeout > 0 {
		list = append(list, at(unix.NFTA_SET_ELEM_TIMEOUT, be64(e.Timeout)))
		if e.Expires > 0 {
			list = append(list, at(unix.NFTA_SET_ELEM_EXPIRATION, be64(e.Expires)))
		}
	}
	out := [][]byte{attrs(list...)}
	if s.concat() || !s.Interval {
		return out
	}
	end := e.End
	if end == nil {
		end = e.Key
	}
	if next, ok := succ(end); ok {
		out = append(out, attrs(nest(unix.NFTA_SET_ELEM_KEY, at(unix.NFTA_DATA_VALUE, next)), at(unix.NFTA_SET_ELEM_FLAGS, be32(unix.NFT_SET_ELEM_INTERVAL_END))))
	}
	return out
}

// succ is the next key in byte order; ok is false behind the last one.
func succ(key []byte) ([]byte, bool) {
	out := bytes.Clone(key)
	for i := len(out) - 1; i >= 0; i-- {
		out[i]++
		if out[i] != 0 {
			return out, true
		}
	}
	return nil, false
}

func pred(key []byte) []byte {
	out := bytes.Clone(key)
	for i := len(out) - 1; i >= 0; i-- {
		out[i]--
		if out[i] != 0xff {
			break
		}
	}
	return out
}

// Append adds the messages of o.
func (b *Batch) Append(o *Batch) {
	b.msgs = append(b.msgs, o.msgs...)
	if b.err == nil {
		b.err = o.err
	}
}
