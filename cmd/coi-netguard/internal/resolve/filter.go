package resolve

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/policy"
)

const (
	maxChain   = 16
	maxAnswers = 64
	maxTTL     = 300 * time.Second
	margin     = 120 * time.Second
	staleTTL   = 30
)

// pass gives the upstream's answer on as it is, without what is for the
// resolver's own link: its OPT record and the authority of its answers.
func (r *Resolver) pass(ctx context.Context, v *View, reply *dns.Msg, q *Query) {
	up, _, err := r.lookup(ctx, v, q)
	if err != nil {
		reply.Rcode, q.Result, q.Rule = dns.RcodeServerFailure, "upstream", "dns.upstream"
		return
	}
	reply.Rcode, reply.Answer, reply.Ns = up.Rcode, up.Answer, up.Ns
	for _, rr := range reply.Answer {
		if a, ok := address(rr); ok {
			q.Answers = append(q.Answers, a)
		}
	}
	q.Result = result(up)
	if len(q.Answers) > 0 {
		_ = r.guard.Open(v, q.Name, nil, q.Answers, maxTTL+margin)
	}
}

func result(m *dns.Msg) string {
	switch {
	case m.Rcode == dns.RcodeNameError:
		return "nxdomain"
	case m.Rcode != dns.RcodeSuccess:
		return "error"
	case len(m.Answer) == 0:
		return "nodata"
	}
	return "ok"
}

// ask gives on the upstream's answer, filtered, once its addresses are open.
func (r *Resolver) ask(ctx context.Context, v *View, reply *dns.Msg, q *Query, ports policy.Ports) {
	if q.Type == dns.TypeAAAA && (!v.Policy.IPv6 || !v.V6) {
		q.Result = "nodata"
		return
	}
	up, stale, err := r.lookup(ctx, v, q)
	if err != nil {
		reply.Rcode, q.Result, q.Rule = dns.RcodeServerFailure, "upstream", "dns.upstream"
		return
	}
	reply.Rcode = up.Rcode
	if q.Result = result(up); q.Result != "ok" {
		return // no SOA: the client caches no refusal for longer than we do
	}
	answer, addrs, ttl, ok := chain(up, q)
	if !ok {
		reply.Rcode, reply.Answer, q.Result = dns.RcodeServerFailure, nil, "error"
		return
	}
	good, dropped := sift(v, addrs)
	if len(good) == 0 && dropped > 0 {
		q.Result, q.Rule, q.Answers = "rebind", "dns.rebind", addrs
		blocked(reply, "the answer is a closed address")
		return
	}
	if dropped > 0 {
		q.Rule = "dns.rebind"
	}
	life := Life(ttl, v.Policy.Refresh)
	if len(good) > 0 {
		if err := r.guard.Open(v, q.Name, ports, good, life); err != nil {
			reply.Rcode, q.Result, q.Rule = dns.RcodeServerFailure, "map-full", "dns.map-full"
			return
		}
	}
	q.Answers = good
	out := min(ttl, life-margin, maxTTL)
	if stale {
		out = staleTTL * time.Second
	}
	reply.Answer = keep(answer, good, uint32(out/time.Second))
	if len(reply.Answer) == 0 {
		q.Result = "nodata"
	}
}

// Life is how long an address stays open after an answer of this TTL; refresh is
// the setting in minutes, 0 for the TTL alone.
func Life(ttl time.Duration, refresh int) time.Duration {
	if refresh == 0 {
		return max(ttl, 60*time.Second) + margin
	}
	return min(max(ttl, 300*time.Second), time.Duration(refresh)*time.Minute) + margin
}

func address(rr dns.RR) (netip.Addr, bool) {
	switch rr := rr.(type) {
	case *dns.A:
		a, ok := netip.AddrFromSlice(rr.A)
		return a.Unmap(), ok
	case *dns.AAAA:
		return netip.AddrFromSlice(rr.AAAA)
	}
	return netip.Addr{}, false
}

// chain follows CNAMEs from the question and keeps the records whose owner is
// on the way. ok is false for a loop and for a way of more than 16 links.
func chain(up *dns.Msg, q *Query) (answer []dns.RR, addrs []netip.Addr, ttl time.Duration, ok bool) {
	name, seen, least := q.Name, map[string]bool{}, uint32(1<<31-1)
	for links := 0; ; links++ {
		if seen[name] || links > maxChain {
			return nil, nil, 0, false
		}
		seen[name] = true
		next := ""
		for _, rr := range up.Answer {
			h := rr.Header()
			if normal(h.Name) != name || h.Class != dns.ClassINET {
				continue
			}
			if c, is := rr.(*dns.CNAME); is && q.Type != dns.TypeCNAME && next == "" {
				next, least = normal(c.Target), min(least, h.Ttl)
				answer = append(answer, rr)
			} else if h.Rrtype == q.Type {
				answer, least = append(answer, rr), min(least, h.Ttl)
				if a, is := address(rr); is {
					addrs = append(addrs, a)
				}
			}
		}
		if next == "" {
			return answer, addrs, time.Duration(least) * time.Second, true
		}
		name = next
	}
}

// sift drops addresses that no answer may lead to.
func sift(v *View, addrs []netip.Addr) (good []netip.Addr, dropped int) {
	p := v.Policy
	for _, a := range addrs {
		slug, hard := policy.RangeOf(a)
		soft := slug != "" && !hard
		onlink := slices.ContainsFunc(v.Facts.Onlink, func(n netip.Prefix) bool { return n.Contains(a) })
		closed := slug != "" && hard ||
			slices.Contains(v.Facts.Local, a) ||
			slices.ContainsFunc(v.Facts.Pools, func(n netip.Prefix) bool { return n.Contains(a) }) ||
			soft && !p.AllowLocal && !(p.Mode == policy.Restricted && !p.BlockPrivate) ||
			!soft && onlink && !p.AllowLocal
		if closed {
			dropped++
		} else if len(good) < maxAnswers && !slices.Contains(good, a) {
			good = append(good, a)
		}
	}
	return good, dropped
}

// keep makes the records of the answer: links and other data as they are, of
// the addresses only good ones and each once, all with one TTL.
func keep(answer []dns.RR, good []netip.Addr, ttl uint32) (out []dns.RR) {
	told := map[netip.Addr]bool{}
	for _, rr := range answer {
		if a, is := address(rr); is {
			if told[a] || !slices.Contains(good, a) {
				continue
			}
			told[a] = true
		}
		rr = dns.Copy(rr)
		rr.Header().Ttl = ttl
		out = append(out, rr)
	}
	return out
}
