package nft

import (
	"fmt"
	"strings"
)

// Put writes chains and sets as they are wanted, whatever was there: rules are
// replaced as a whole, and so are the elements of closed sets; open sets keep theirs.
func (b *Batch) Put(table string, chains []Chain, sets []Set) {
	for i := range sets {
		s := &sets[i]
		b.AddSet(table, s)
		if !s.Open {
			b.FlushSet(table, s.Name)
		}
	}
	for i := range chains {
		b.AddChain(table, &chains[i])
		b.FlushChain(table, chains[i].Name)
	}
	// Elements may go to chains, rules to chains and sets: both come last.
	for i := range sets {
		b.AddElems(table, &sets[i], sets[i].Elems)
	}
	for i := range chains {
		for j := range chains[i].Rules {
			b.AddRule(table, chains[i].Name, &chains[i].Rules[j])
		}
	}
}

// Remove deletes chains and sets that nothing outside of them refers to.
func (b *Batch) Remove(table string, chains []Chain, sets []Set) {
	for i := range chains {
		b.FlushChain(table, chains[i].Name)
	}
	for i := range sets {
		b.FlushSet(table, sets[i].Name)
	}
	for i := range chains {
		b.DelChain(table, chains[i].Name)
	}
	for i := range sets {
		b.DelSet(table, sets[i].Name)
	}
}

// Diff lists the lines by which got differs from want, "-" wanted and missing,
// "+" there and not wanted. It is empty when both say the same.
func Diff(want, got *Table) []string {
	w, g := sections(want), sections(got)
	var out []string
	for _, name := range w.order {
		if w.text[name] != g.text[name] {
			out = append(out, lines("-", w.text[name], g.text[name])...)
			out = append(out, lines("+", g.text[name], w.text[name])...)
		}
	}
	for _, name := range g.order {
		if _, ok := w.text[name]; !ok {
			out = append(out, lines("+", g.text[name], "")...)
		}
	}
	if len(out) == 0 && (want.Persist != got.Persist || want.Persist != got.Owned) {
		out = append(out, fmt.Sprintf("- flags owner,persist: %v", want.Persist))
	}
	return out
}

type parts struct {
	order []string
	text  map[string]string
}

func sections(t *Table) parts {
	p := parts{text: map[string]string{}}
	for i := range t.Sets {
		name := "set " + t.Sets[i].Name
		p.order, p.text[name] = append(p.order, name), t.Sets[i].text(false)
	}
	for i := range t.Chains {
		name := "chain " + t.Chains[i].Name
		p.order, p.text[name] = append(p.order, name), t.Chains[i].Text(false)
	}
	return p
}

// lines are the lines of a that b has fewer of, under the name of the section.
func lines(sign, a, b string) []string {
	have := map[string]int{}
	for l := range strings.Lines(b) {
		have[l]++
	}
	head, _, _ := strings.Cut(strings.TrimSpace(a), " {")
	var out []string
	for l := range strings.Lines(a) {
		if have[l] > 0 {
			have[l]--
			continue
		}
		out = append(out, fmt.Sprintf("%s %s: %s", sign, head, strings.TrimSpace(l)))
	}
	if len(out) == 0 && a != "" {
		out = append(out, fmt.Sprintf("%s %s: other order", sign, head))
	}
	return out
}

// Part reads some chains and sets of a table with the elements of closed ones.
func (r *Reader) Part(table string, chains []Chain, sets []Set) (*Table, error) {
	all := &Table{Name: table}
	if err := r.chains(all); err != nil {
		return nil, err
	}
	out := &Table{Name: table}
	for i := range chains {
		c := all.Chain(chains[i].Name)
		if c == nil {
			continue
		}
		one := &Table{Name: table, Chains: []Chain{*c}}
		if err := r.rulesOf(one, c.Name); err != nil {
			return nil, err
		}
		out.Chains = append(out.Chains, one.Chains[0])
	}
	if err := r.sets(all); err != nil {
		return nil, err
	}
	for i := range sets {
		s := all.Set(sets[i].Name)
		if s == nil {
			continue
		}
		if s.Open = sets[i].Open; !s.Open {
			if err := r.Elems(table, s); err != nil {
				return nil, err
			}
		}
		out.Sets = append(out.Sets, *s)
	}
	return out, nil
}
