// Package foreign deals with the other firewalls of a host. A drop in any table
// is final, so none of them can open what the guard closed; they can close what
// it opened. Where they leave room for it, two rules are put in.
package foreign

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/nft"
)

// Tables are the names of tables whose changes matter.
var Tables = []string{"filter", "firewalld"}

// Found is another firewall and what became of it.
type Found struct {
	Text   string
	Blocks bool // traffic of containers does not pass until somebody acts
}

// Settle looks for other firewalls and puts rules in (present), or takes out those
// of an earlier time. prefix is the start of our interface names, port that of
// the name server. manage false only looks.
func Settle(r *nft.Reader, c *nft.Conn, prefix string, port uint16, present, manage bool) (found []Found, err error) {
	for _, family := range []byte{unix.NFPROTO_IPV4, unix.NFPROTO_IPV6} {
		one, ferr := filter(r.In(family), c, family, prefix, port, present, manage)
		found, err = append(found, one...), errors.Join(err, ferr)
	}
	names, terr := r.Tables()
	if slices.Contains(names, "firewalld") {
		found = append(found, Found{Text: fmt.Sprintf("firewalld: its rejects cannot be overruled; run: firewall-cmd --permanent --zone=trusted --add-interface=%s+ && firewall-cmd --reload", prefix)})
	}
	if legacy() {
		found = append(found, Found{Text: fmt.Sprintf("iptables-legacy rules are loaded and cannot be read; if FORWARD drops, run: iptables-legacy -I FORWARD -i %s+ -j ACCEPT && iptables-legacy -I FORWARD -o %s+ -j ACCEPT", prefix, prefix)})
	}
	return found, errors.Join(err, terr)
}

// legacy reports rules of the old iptables, which netlink does not show. The
// file is empty, or not to be read, without them.
func legacy() bool {
	b, err := os.ReadFile("/proc/net/ip_tables_names")
	return err == nil && slices.Contains(strings.Fields(string(b)), "filter")
}

// filter settles table filter as iptables-nft, Docker and ufw use it.
func filter(r *nft.Reader, c *nft.Conn, family byte, prefix string, port uint16, present, manage bool) ([]Found, error) {
	t, err := r.Table("filter", func(string) bool { return false })
	if errors.Is(err, nft.ErrNoTable) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	who := "iptables"
	forward, input := t.Chain("FORWARD"), t.Chain("INPUT")
	switch {
	case t.Chain("DOCKER-USER") != nil:
		who = "Docker"
	case t.Chain("ufw-user-forward") != nil || t.Chain("ufw6-user-forward") != nil:
		who = "ufw"
	}
	var found []Found
	b := nft.Batch{Family: family}
	if forward != nil && forward.Hook != nil {
		into := forward
		if d := t.Chain("DOCKER-USER"); d != nil {
			into = d
		}
		found = append(found, settle(&b, into, forward.Hook.Drop, who, present, manage, accepts(prefix)))
	}
	if input != nil && input.Hook != nil {
		found = append(found, settle(&b, input, input.Hook.Drop, who, present, manage, questions(prefix, port)))
	}
	found = slices.DeleteFunc(found, func(f Found) bool { return f.Text == "" })
	return found, c.Commit(&b)
}

// settle makes the rules be there, first in the chain, or not be there. Where the
// chain drops nothing by its policy they are not needed.
func settle(b *nft.Batch, chain *nft.Chain, drops bool, who string, present, manage bool, rules []nft.Rule) Found {
	var want []string
	for i := range rules {
		want = append(want, rules[i].Text(false))
	}
	var ours []string
	for i := range chain.Rules {
		// Text without counters: iptables shows them, and they move.
		if text := chain.Rules[i].Text(false); slices.Contains(want, text) {
			ours = append(ours, text)
		}
	}
	need := drops && present
	if manage && (!need && len(ours) > 0 || need && len(ours) != len(want)) {
		for i := range chain.Rules {
			if slices.Contains(want, chain.Rules[i].Text(false)) {
				b.DelRule("filter", chain.Name, chain.Rules[i].Handle)
			}
		}
		for i := len(rules) - 1; need && i >= 0; i-- {
			b.InsertRule("filter", chain.Name, &rules[i])
		}
	}
	switch {
	case !drops:
		return Found{}
	case !manage:
		return Found{Text: fmt.Sprintf("%s: chain %s drops what it does not know, and network.manage_foreign is off", who, chain.Name), Blocks: len(ours) != len(want)}
	case !present:
		return Found{Text: fmt.Sprintf("%s: chain %s drops what it does not know; rules are put in with the first container", who, chain.Name)}
	}
	return Found{Text: fmt.Sprintf("%s: %d rules at the top of chain %s let containers through", who, len(rules), chain.Name)}
}

func iface(key expr.MetaKey, prefix string) []expr.Any {
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte(prefix)}}
}

func accept(match ...expr.Any) nft.Rule {
	return nft.Rule{Exprs: append(match, &expr.Counter{}, &expr.Verdict{Kind: expr.VerdictAccept})}
}

// accepts are the forms that iptables-nft itself writes for -i PREFIX+ and -o PREFIX+.
func accepts(prefix string) []nft.Rule {
	return []nft.Rule{accept(iface(expr.MetaKeyIIFNAME, prefix)...), accept(iface(expr.MetaKeyOIFNAME, prefix)...)}
}

// questions are -i PREFIX+ -p udp and tcp --dport PORT.
func questions(prefix string, port uint16) []nft.Rule {
	var out []nft.Rule
	for _, proto := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_TCP} {
		out = append(out, accept(append(iface(expr.MetaKeyIIFNAME, prefix),
			&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{proto}},
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{byte(port >> 8), byte(port)}})...))
	}
	return out
}
