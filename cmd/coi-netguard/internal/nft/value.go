// Package nft is one nftables table as a value: it can be written to the kernel
// in one transaction, read back, compared, and printed in nft syntax. It
// speaks netlink itself because the table flags owner and persist, the read
// back of verdict maps and a dump of all rules in one request are needed;
// expressions are those of google/nftables.
package nft

import (
	"strings"

	"github.com/google/nftables/expr"
)

// Type is a data type of set keys. Its number and length are nft's own
// (nftables, include/datatype.h), so that the nft program prints our sets.
type Type struct {
	Name  string
	Magic uint32
	Len   uint32
	Host  bool // byte order of the host
}

// The types our sets use.
var (
	IPv4    = Type{"ipv4_addr", 7, 4, false}
	IPv6    = Type{"ipv6_addr", 8, 16, false}
	Proto   = Type{"inet_proto", 12, 1, false}
	Service = Type{"inet_service", 13, 2, false}
	IfName  = Type{"ifname", 41, 16, true}
)

var types = []Type{IPv4, IPv6, Proto, Service, IfName}

// Hook places a base chain.
type Hook struct {
	Type     string // filter, nat
	Num      uint32 // NF_INET_*
	Priority int32
	Drop     bool // read back: its policy is drop
}

// Hook numbers of the inet family (linux/netfilter.h).
const (
	Prerouting  = 0
	Input       = 1
	Forward     = 2
	Output      = 3
	Postrouting = 4
)

var hookNames = map[uint32]string{0: "prerouting", 1: "input", 2: "forward", 3: "output", 4: "postrouting"}

// Chain is a list of rules. The policy of our base chains is accept: what they
// must stop they drop by a rule.
type Chain struct {
	Name  string
	Hook  *Hook
	Rules []Rule
}

// Rule is one rule; Name goes with it into the kernel as its comment.
type Rule struct {
	Name    string
	Exprs   []expr.Any
	Packets uint64 // of its counter, when read back
	Handle  uint64 // the kernel's number of it, when read back
}

// Elem is an element of a set. In an interval set it reaches from Key to End
// inclusive; End empty means Key alone.
type Elem struct {
	Key, End []byte
	Goto     string // in maps: the chain to go to; empty: drop
	Timeout  uint64 // milliseconds; 0: none
	Expires  uint64 // milliseconds left, when read back
	Packets  uint64
	Bytes    uint64
}

// Set is a set, or a map to verdicts.
type Set struct {
	Name     string
	Key      []Type
	Map      bool
	Interval bool
	Dynamic  bool // filled by the packet path
	Timeout  bool // elements may have one
	Size     uint32
	Counter  bool   // each element counts; printed as a set statement
	Open     bool   // its elements are not part of the wanted value
	Elems    []Elem // wanted or read
}

// Table is a whole table of family inet.
type Table struct {
	Name    string
	Persist bool // flags owner and persist, always together
	Owned   bool // read back: the owner flag is set
	Chains  []Chain
	Sets    []Set
}

func (s *Set) concat() bool { return len(s.Key) > 1 }

func (s *Set) keyLen() uint32 {
	if len(s.Key) == 1 {
		return s.Key[0].Len
	}
	var n uint32
	for _, t := range s.Key {
		n += (t.Len + 3) &^ 3
	}
	return n
}

func (s *Set) magic() uint32 {
	var m uint32
	for _, t := range s.Key {
		m = m<<6 | t.Magic
	}
	return m
}

func (s *Set) typeName() string {
	names := make([]string, len(s.Key))
	for i, t := range s.Key {
		names[i] = t.Name
	}
	return strings.Join(names, " . ")
}

// Chain finds a chain by name.
func (t *Table) Chain(name string) *Chain {
	for i := range t.Chains {
		if t.Chains[i].Name == name {
			return &t.Chains[i]
		}
	}
	return nil
}

// Set finds a set by name.
func (t *Table) Set(name string) *Set {
	for i := range t.Sets {
		if t.Sets[i].Name == name {
			return &t.Sets[i]
		}
	}
	return nil
}

// Pad gives an interface name the 16 bytes the kernel compares.
func Pad(name string) []byte {
	b := make([]byte, 16)
	copy(b, name)
	return b
}

// Unpad is the inverse of Pad.
func Unpad(key []byte) string { return cstr(key) }

// Only is the part of t that has the given chains and sets.
func (t *Table) Only(chains []Chain, sets []Set) *Table {
	out := &Table{Name: t.Name}
	for i := range chains {
		if c := t.Chain(chains[i].Name); c != nil {
			out.Chains = append(out.Chains, *c)
		}
	}
	for i := range sets {
		if s := t.Set(sets[i].Name); s != nil {
			out.Sets = append(out.Sets, *s)
		}
	}
	return out
}
