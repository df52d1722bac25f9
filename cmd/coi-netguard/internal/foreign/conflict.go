package foreign

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/nft"
)

// Conflicts looks through the rules of all other programs for those that stand in
// the way of ours: that read or change the bit mark of the packet mark before a
// packet of a container is forwarded, or translate its addresses before our own
// chain of the priority nat does. all is false where rules could not be read:
// those of the old iptables are not to be seen, and a table may hold things that
// are not known here.
func Conflicts(r *nft.Reader, mark uint32, nat int32) (texts []string, all bool, err error) {
	all = !legacy()
	for _, family := range []byte{unix.NFPROTO_IPV4, unix.NFPROTO_IPV6, unix.NFPROTO_INET} {
		in := r.In(family)
		names, err := in.Tables()
		if err != nil {
			return nil, false, err
		}
		for _, name := range names {
			if family == unix.NFPROTO_INET && strings.HasPrefix(name, "coi_") {
				continue // ours, or another user's guard: its rules name its own interfaces
			}
			t, err := in.Table(name, func(string) bool { return false })
			if errors.Is(err, nft.ErrNoTable) {
				continue
			}
			if err != nil {
				all = false
				continue
			}
			for i := range t.Chains {
				texts = append(texts, conflicts(t.Name, &t.Chains[i], mark, nat)...)
			}
		}
	}
	return texts, all, nil
}

func conflicts(table string, c *nft.Chain, mark uint32, nat int32) (texts []string) {
	at := fmt.Sprintf("table %s, chain %s", table, c.Name)
	if h := c.Hook; h != nil {
		if h.Type == "nat" && h.Num == nft.Prerouting && h.Priority < nat && len(c.Rules) > 0 {
			texts = append(texts, fmt.Sprintf("%s translates addresses before coi does (priority %d)", at, h.Priority))
		}
		if h.Num == nft.Postrouting || h.Num == nft.Output {
			return texts // it is decided by then whether the packet of a container is forwarded
		}
	}
	for i := range c.Rules {
		if marks(c.Rules[i].Exprs)&mark != 0 {
			texts = append(texts, fmt.Sprintf("%s uses the mark bit 0x%08x: %s", at, mark, c.Rules[i].Text(false)))
			break // one is enough to tell where
		}
	}
	return texts
}

// marks are the bits of the packet mark that a rule changes, or asks for by
// themselves. A comparison with a whole mark asks for the bits that are set in it.
func marks(rule []expr.Any) (bits uint32) {
	type held struct{ asked, changed uint32 }
	regs := map[uint32]held{} // registers that hold the mark, and what was done to it
	const every = ^uint32(0)
	for _, e := range rule {
		switch e := e.(type) {
		case *expr.Meta:
			was, is := regs[e.Register]
			switch {
			case e.Key == expr.MetaKeyMARK && !e.SourceRegister:
				regs[e.Register] = held{asked: every}
			case e.Key == expr.MetaKeyMARK && is:
				bits |= was.changed
			case e.Key == expr.MetaKeyMARK:
				bits |= every
			case !e.SourceRegister:
				delete(regs, e.Register)
			}
		case *expr.Bitwise:
			was, is := regs[e.SourceRegister]
			delete(regs, e.DestRegister)
			if mask, xor, ok := word(e.Mask), word(e.Xor), len(e.Mask) == 4 && len(e.Xor) == 4; is && ok {
				regs[e.DestRegister] = held{asked: was.asked & mask, changed: was.changed | ^mask | xor}
			}
		case *expr.Cmp:
			bits |= asked(regs[e.Register].asked, word(e.Data))
		case *expr.Range:
			bits |= asked(regs[e.Register].asked, 0)
		case *expr.Payload:
			delete(regs, e.DestRegister)
		case *expr.Ct:
			if !e.SourceRegister {
				delete(regs, e.Register)
			}
		case *expr.Immediate:
			delete(regs, e.Register)
		case *expr.Target:
			bits |= target(e)
		case *expr.Match:
			if info, ok := e.Info.(*xt.Unknown); ok && e.Name == "mark" && len(*info) >= 8 {
				bits |= asked(word((*info)[4:]), word(*info))
			}
		}
	}
	return bits
}

// asked are the bits that a comparison is about: those of a mask, and of a whole
// mark those that are set in the value.
func asked(mask, value uint32) uint32 {
	if mask == ^uint32(0) {
		return value
	}
	return mask
}

// target are the bits that a target of iptables changes (xt_mark_tginfo2 and
// xt_connmark_tginfo1 of linux/netfilter).
func target(e *expr.Target) uint32 {
	info, ok := e.Info.(*xt.Unknown)
	if !ok {
		return 0
	}
	b := []byte(*info)
	const restore = 2 // XT_CONNMARK_RESTORE
	switch {
	case e.Name == "MARK" && len(b) >= 8:
		return word(b) | word(b[4:])
	case e.Name == "CONNMARK" && e.Rev == 1 && len(b) >= 13 && b[12] == restore,
		e.Name == "CONNMARK" && e.Rev == 2 && len(b) >= 15 && b[14] == restore:
		return word(b[4:]) | word(b[8:])
	}
	return 0
}

// word is a number of the packet mark, which is in the order of the machine.
func word(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(b)
}
