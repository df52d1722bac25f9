package nft

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Reader reads tables back. Reading needs a socket of its own, so that it never
// waits behind a transaction.
type Reader struct {
	nl     *netlink.Conn
	family byte
}

// In reads tables of another family by the same socket.
func (r *Reader) In(family byte) *Reader { return &Reader{r.nl, family} }

// OpenReader opens the socket.
func OpenReader() (*Reader, error) {
	nl, err := dial(0)
	if err != nil {
		return nil, err
	}
	return &Reader{nl, famInet}, nil
}

// Close closes the socket.
func (r *Reader) Close() error { return r.nl.Close() }

// ErrNoTable says that there is no such table.
var ErrNoTable = errors.New("no such table")

func (r *Reader) dump(typ int, list []byte) ([]netlink.Message, error) {
	for tries := 0; ; tries++ {
		msgs, err := r.nl.Execute(netlink.Message{
			Header: netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | typ), Flags: netlink.Request | netlink.Dump},
			Data:   append(header(r.family, 0), list...),
		})
		// EINTR: the ruleset changed while it was dumped.
		if err != nil && errors.Is(err, unix.EINTR) && tries < 20 {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read rules: %w", err)
		}
		return msgs, nil
	}
}

// Tables lists the tables of the reader's family.
func (r *Reader) Tables() (names []string, err error) {
	msgs, err := r.dump(unix.NFT_MSG_GETTABLE, nil)
	for _, m := range msgs {
		err = errors.Join(err, eachAttr(m.Data[4:], func(typ uint16, data []byte) error {
			if typ == unix.NFTA_TABLE_NAME {
				names = append(names, cstr(data))
			}
			return nil
		}))
	}
	return names, err
}

// Flags reads the flags of a table; ErrNoTable if it is not there.
func (r *Reader) Flags(table string) (owned, persist bool, err error) {
	msgs, err := r.dump(unix.NFT_MSG_GETTABLE, nil)
	if err != nil {
		return false, false, err
	}
	for _, m := range msgs {
		name, flags := "", uint32(0)
		err := eachAttr(m.Data[4:], func(typ uint16, data []byte) error {
			switch typ {
			case unix.NFTA_TABLE_NAME:
				name = cstr(data)
			case unix.NFTA_TABLE_FLAGS:
				flags = u32(data)
			}
			return nil
		})
		if err != nil {
			return false, false, err
		}
		if name == table {
			return flags&tableOwner != 0, flags&tablePersist != 0, nil
		}
	}
	return false, false, ErrNoTable
}

// Table reads the whole table with the elements of every set for which want
// answers true; nil means all. ErrNoTable if it is not there.
func (r *Reader) Table(name string, want func(set string) bool) (*Table, error) {
	t := &Table{Name: name}
	var err error
	if t.Owned, t.Persist, err = r.Flags(name); err != nil {
		return nil, err
	}
	if err := r.chains(t); err != nil {
		return nil, err
	}
	if err := r.rules(t); err != nil {
		return nil, err
	}
	if err := r.sets(t); err != nil {
		return nil, err
	}
	for i := range t.Sets {
		if want == nil || want(t.Sets[i].Name) {
			if err := r.Elems(name, &t.Sets[i]); err != nil {
				return nil, err
			}
		}
	}
	return t, nil
}

func (r *Reader) chains(t *Table) error {
	msgs, err := r.dump(unix.NFT_MSG_GETCHAIN, nil)
	if err != nil {
		return err
	}
	for _, m := range msgs {
		c, table, drop := Chain{}, "", false
		err := eachAttr(m.Data[4:], func(typ uint16, data []byte) error {
			switch typ {
			case unix.NFTA_CHAIN_TABLE:
				table = cstr(data)
			case unix.NFTA_CHAIN_NAME:
				c.Name = cstr(data)
			case unix.NFTA_CHAIN_TYPE:
				if c.Hook == nil {
					c.Hook = &Hook{}
				}
				c.Hook.Type = cstr(data)
			case unix.NFTA_CHAIN_POLICY:
				drop = u32(data) == nfDrop
			case unix.NFTA_CHAIN_HOOK:
				if c.Hook == nil {
					c.Hook = &Hook{}
				}
				return eachAttr(data, func(typ uint16, data []byte) error {
					switch typ {
					case unix.NFTA_HOOK_HOOKNUM:
						c.Hook.Num = u32(data)
					case unix.NFTA_HOOK_PRIORITY:
						c.Hook.Priority = int32(u32(data))
					}
					return nil
				})
			}
			return nil
		})
		if err != nil {
			return err
		}
		if c.Hook != nil {
			c.Hook.Drop = drop
		}
		if table == t.Name {
			t.Chains = append(t.Chains, c)
		}
	}
	return nil
}

func (r *Reader) rules(t *Table) error { return r.rulesOf(t, "") }

// rulesOf reads the rules of one chain, or of all when chain is empty.
func (r *Reader) rulesOf(t *Table, only string) error {
	filter := attrs(at(unix.NFTA_RULE_TABLE, str(t.Name)))
	if only != "" {
		filter = append(filter, attrs(at(unix.NFTA_RULE_CHAIN, str(only)))...)
	}
	msgs, err := r.dump(unix.NFT_MSG_GETRULE, filter)
	if err != nil {
		return err
	}
	for _, m := range msgs {
		rule, table, chain := Rule{}, "", ""
		err := eachAttr(m.Data[4:], func(typ uint16, data []byte) (err error) {
			switch typ {
			case unix.NFTA_RULE_TABLE:
				table = cstr(data)
			case unix.NFTA_RULE_CHAIN:
				chain = cstr(data)
			case unix.NFTA_RULE_HANDLE:
				rule.Handle = u64(data)
			case unix.NFTA_RULE_USERDATA:
				rule.Name = comment(data)
			case unix.NFTA_RULE_EXPRESSIONS:
				rule.Exprs, err = exprs(data)
			}
			return err
		})
		if err != nil {
			return err
		}
		for _, e := range rule.Exprs {
			if c, ok := e.(*expr.Counter); ok {
				rule.Packets = c.Packets
			}
		}
		if c := t.Chain(chain); table == t.Name && c != nil {
			c.Rules = append(c.Rules, rule)
		}
	}
	return nil
}

// comment reads the comment of a rule, bounded: whoever changed our table may
// have written any bytes there.
func comment(udata []byte) string {
	for len(udata) >= 2 && len(udata) >= 2+int(udata[1]) {
		if userdata.Type(udata[0]) == userdata.TypeComment {
			return cstr(udata[2 : 2+int(udata[1])])
		}
		udata = udata[2+int(udata[1]):]
	}
	return ""
}

func (r *Reader) sets(t *Table) error {
	msgs, err := r.dump(unix.NFT_MSG_GETSET, attrs(at(unix.NFTA_SET_TABLE, str(t.Name))))
	if err != nil {
		return err
	}
	for _, m := range msgs {
		s, table := Set{}, ""
		err := eachAttr(m.Data[4:], func(typ uint16, data []byte) error {
			switch typ {
			case unix.NFTA_SET_TABLE:
				table = cstr(data)
			case unix.NFTA_SET_NAME:
				s.Name = cstr(data)
			case unix.NFTA_SET_FLAGS:
				f := u32(data)
				s.Interval, s.Map = f&unix.NFT_SET_INTERVAL != 0, f&unix.NFT_SET_MAP != 0
				s.Timeout, s.Dynamic = f&unix.NFT_SET_TIMEOUT != 0, f&unix.NFT_SET_EVAL != 0
			case unix.NFTA_SET_KEY_TYPE:
				s.Key = typesOf(u32(data))
			case unix.NFTA_SET_DESC:
				return eachAttr(data, func(typ uint16, data []byte) error {
					if typ == unix.NFTA_SET_DESC_SIZE {
						s.Size = u32(data)
					}
					return nil
				})
			}
			return nil
		})
		if err != nil {
			return err
		}
		if table == t.Name && !strings.HasPrefix(s.Name, "__") {
			t.Sets = append(t.Sets, s)
		}
	}
	return nil
}

func typesOf(magic uint32) []Type {
	var out []Type
	for ; magic != 0; magic >>= 6 {
		t := Type{Name: fmt.Sprintf("type%d", magic&63), Magic: magic & 63}
		for _, known := range types {
			if known.Magic == magic&63 {
				t = known
			}
		}
		out = append(out, t)
	}
	slices.Reverse(out)
	return out
}

// Elems reads the elements of a set into s.Elems.
func (r *Reader) Elems(table string, s *Set) error {
	msgs, err := r.dump(unix.NFT_MSG_GETSETELEM, attrs(at(unix.NFTA_SET_ELEM_LIST_TABLE, str(table)), at(unix.NFTA_SET_ELEM_LIST_SET, str(s.Name))))
	if err != nil {
		return fmt.Errorf("set %s: %w", s.Name, err)
	}
	s.Elems = nil
	var ends [][]byte
	for _, m := range msgs {
		err := eachAttr(m.Data[4:], func(typ uint16, data []byte) error {
			if typ != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
				return nil
			}
			return eachAttr(data, func(_ uint16, data []byte) error {
				e, end, err := decodeElem(data)
				if end {
					ends = append(ends, e.Key)
				} else {
					s.Elems = append(s.Elems, e)
				}
				return err
			})
		})
		if err != nil {
			return err
		}
	}
	if s.Interval && !s.concat() {
		closeIntervals(s.Elems, ends)
	}
	return nil
}

// closeIntervals turns the end marks of a plain interval set into End.
func closeIntervals(elems []Elem, ends [][]byte) {
	slices.SortFunc(elems, func(a, b Elem) int { return bytes.Compare(a.Key, b.Key) })
	slices.SortFunc(ends, bytes.Compare)
	for i := range elems {
		j, _ := slices.BinarySearchFunc(ends, elems[i].Key, func(e, k []byte) int {
			if bytes.Compare(e, k) <= 0 {
				return -1
			}
			return 1
		})
		if j < len(ends) && (i+1 == len(elems) || bytes.Compare(ends[j], elems[i+1].Key) <= 0) {
			elems[i].End = pred(ends[j])
		} else if j == len(ends) {
			elems[i].End = bytes.Repeat([]byte{0xff}, len(elems[i].Key))
		}
		if bytes.Equal(elems[i].End, elems[i].Key) {
			elems[i].End = nil
		}
	}
}

func decodeElem(data []byte) (e Elem, intervalEnd bool, err error) {
	value := func(data []byte) (v []byte, err error) {
		err = eachAttr(data, func(typ uint16, data []byte) error {
			if typ == unix.NFTA_DATA_VALUE {
				v = bytes.Clone(data)
			}
			return nil
		})
		return v, err
	}
	err = eachAttr(data, func(typ uint16, data []byte) (err error) {
		switch typ {
		case unix.NFTA_SET_ELEM_KEY:
			e.Key, err = value(data)
		case elemKeyEnd:
			if e.End, err = value(data); bytes.Equal(e.End, e.Key) {
				e.End = nil
			}
		case unix.NFTA_SET_ELEM_DATA:
			err = eachAttr(data, func(_ uint16, data []byte) error {
				return eachAttr(data, func(typ uint16, data []byte) error {
					if typ == unix.NFTA_VERDICT_CHAIN {
						e.Goto = cstr(data)
					}
					return nil
				})
			})
		case unix.NFTA_SET_ELEM_FLAGS:
			intervalEnd = u32(data)&unix.NFT_SET_ELEM_INTERVAL_END != 0
		case unix.NFTA_SET_ELEM_TIMEOUT:
			e.Timeout = u64(data)
		case unix.NFTA_SET_ELEM_EXPIRATION:
			e.Expires = u64(data)
		case unix.NFTA_SET_ELEM_EXPR:
			one := appendAttr(nil, unix.NFTA_LIST_ELEM|unix.NLA_F_NESTED, data)
			list, xerr := exprs(one)
			for _, x := range list {
				if c, ok := x.(*expr.Counter); ok {
					e.Packets, e.Bytes = c.Packets, c.Bytes
				}
			}
			err = xerr
		}
		return err
	})
	return e, intervalEnd, err
}

// exprs decodes a list of expressions. One we never write becomes Unknown.
func exprs(data []byte) (out []expr.Any, err error) {
	err = eachAttr(data, func(_ uint16, data []byte) error {
		name := ""
		return eachAttr(data, func(typ uint16, data []byte) error {
			switch typ {
			case unix.NFTA_EXPR_NAME:
				name = cstr(data)
			case unix.NFTA_EXPR_DATA:
				e := newExpr(name, data)
				if e == nil {
					out = append(out, &expr.Notrack{}) // prints as a difference: no rule of ours has one
					return nil
				}
				if ct, ok := e.(*expr.Ct); ok {
					out = append(out, ct)
					return decodeCt(ct, data)
				}
				if err := expr.Unmarshal(famInet, data, e); err != nil && (name == "target" || name == "match") {
					out = append(out, &expr.Notrack{}) // an extension of iptables in a form that the library does not know
					return nil
				} else if err != nil {
					return fmt.Errorf("expression %s: %w", name, err)
				}
				out = append(out, e)
			}
			return nil
		})
	})
	return out, err
}

// decodeCt reads a ct expression: the kernel writes its direction in one byte,
// for which the library takes four.
func decodeCt(e *expr.Ct, data []byte) error {
	return eachAttr(data, func(typ uint16, data []byte) error {
		switch typ {
		case unix.NFTA_CT_KEY:
			e.Key = expr.CtKey(u32(data))
		case unix.NFTA_CT_DREG:
			e.Register = u32(data)
		case unix.NFTA_CT_DIRECTION:
			if len(data) > 0 {
				e.Direction = uint32(data[0])
			}
		}
		return nil
	})
}

func newExpr(name string, data []byte) expr.Any {
	switch name {
	case "meta":
		return &expr.Meta{}
	case "cmp":
		return &expr.Cmp{}
	case "range":
		return &expr.Range{}
	case "payload":
		return &expr.Payload{}
	case "lookup":
		return &expr.Lookup{}
	case "dynset":
		return &expr.Dynset{}
	case "bitwise":
		return &expr.Bitwise{}
	case "ct":
		return &expr.Ct{}
	case "fib":
		return &expr.Fib{}
	case "limit":
		return &expr.Limit{}
	case "connlimit":
		return &expr.Connlimit{}
	case "counter":
		return &expr.Counter{}
	case "log":
		return &expr.Log{}
	case "reject":
		return &expr.Reject{}
	case "masq":
		return &expr.Masq{}
	case "redir":
		return &expr.Redir{}
	case "target":
		return &expr.Target{}
	case "match":
		return &expr.Match{}
	case "immediate":
		if verdict(data) {
			return &expr.Verdict{}
		}
		return &expr.Immediate{}
	}
	return nil
}

func verdict(data []byte) (is bool) {
	_ = eachAttr(data, func(typ uint16, data []byte) error {
		if typ == unix.NFTA_IMMEDIATE_DREG && u32(data) == unix.NFT_REG_VERDICT {
			is = true
		}
		return nil
	})
	return is
}

var errAttr = errors.New("attribute is cut off")

func eachAttr(b []byte, do func(typ uint16, data []byte) error) error {
	for len(b) >= 4 {
		n := int(binary.NativeEndian.Uint16(b))
		if n < 4 || n > len(b) {
			return errAttr
		}
		if err := do(binary.NativeEndian.Uint16(b[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), b[4:n]); err != nil {
			return err
		}
		b = b[min(len(b), (n+3)&^3):]
	}
	return nil
}

func u32(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

func u64(b []byte) uint64 {
	if len(b) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

func cstr(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}
