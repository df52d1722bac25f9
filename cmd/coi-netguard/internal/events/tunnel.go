package events

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/coi"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/resolve"
)

// dnsBook looks for data in DNS names and for floods, in windows of a minute.
type dnsBook struct {
	domains map[string]*domain
	first   map[string]time.Time // when a domain was first asked for
	asked   int
	total   int
	missing int
	since   time.Time
	told    map[string]time.Time
}

type domain struct {
	names   map[string]struct{}
	labels  int // number of labels below the domain
	bytes   int // in them
	text    strings.Builder
	records int // TXT, NULL, MX answers
	answers int // bytes of those
}

const (
	dnsWindow   = time.Minute
	quietFor    = 10 * time.Minute
	maxDomains  = 512
	maxFirst    = 4096
	tunnelNames = 60
	tunnelBytes = 4 << 10
	maxSample   = 16 << 10
)

// Query notes a DNS question; threshold is events.dns_threshold.
func (b *Book) Query(q resolve.Query, now time.Time, threshold int) {
	d := &b.dns
	if d.domains == nil {
		d.domains, d.first, d.told, d.since = map[string]*domain{}, map[string]time.Time{}, map[string]time.Time{}, now
	}
	if now.Sub(d.since) >= dnsWindow {
		d.reset(now)
	}
	if q.Rule != "" {
		b.rule(q, now)
	}
	if q.Name == "" {
		return
	}
	d.total++
	if q.Result == "nxdomain" {
		d.missing++
	}
	if !q.Cached {
		if d.asked++; threshold > 0 && d.asked == threshold+1 {
			b.dnsFinding("dns.volume", coi.Warning, fmt.Sprintf("more than %d DNS questions in a minute", threshold), q, now, "volume")
		}
	}
	if d.total >= 100 && d.missing*5 > d.total*4 {
		b.dnsFinding("dns.nx-storm", coi.Warning, "most names asked for do not exist", q, now, "nx")
	}
	b.shape(q, now)
}

func (d *dnsBook) reset(now time.Time) {
	clear(d.domains)
	d.asked, d.total, d.missing, d.since = 0, 0, 0, now
}

func (d *dnsBook) tick(now time.Time) {
	if d.domains != nil && now.Sub(d.since) >= dnsWindow {
		d.reset(now)
	}
	for k, at := range d.told {
		if now.Sub(at) > quietFor {
			delete(d.told, k)
		}
	}
	for k, at := range d.first {
		if now.Sub(at) > 2*time.Hour {
			delete(d.first, k)
		}
	}
}

// shape judges the names below one registered domain.
func (b *Book) shape(q resolve.Query, now time.Time) {
	d := &b.dns
	base := resolve.Domain(q.Name)
	if _, ok := d.first[base]; !ok && len(d.first) < maxFirst {
		d.first[base] = now
	}
	sub := strings.TrimSuffix(strings.TrimSuffix(q.Name, base), ".")
	x := d.domains[base]
	if x == nil {
		if len(d.domains) >= maxDomains {
			return
		}
		x = &domain{names: map[string]struct{}{}}
		d.domains[base] = x
	}
	if _, ok := x.names[sub]; !ok && sub != "" && len(x.names) < maxSample {
		x.names[sub] = struct{}{}
		for label := range strings.SplitSeq(sub, ".") {
			x.labels++
			x.bytes += len(label)
			if len(label) >= 16 && x.text.Len() < maxSample {
				x.text.WriteString(label)
			}
		}
	}
	if (q.Type == dns.TypeTXT || q.Type == dns.TypeNULL || q.Type == dns.TypeMX) && q.Result == "ok" {
		x.records++
		x.answers += q.Bytes
	}
	b.judge(q, base, sub, x, now)
}

func (b *Book) judge(q resolve.Query, base, sub string, x *domain, now time.Time) {
	if len(x.names) >= tunnelNames && x.bytes >= tunnelBytes {
		mean := float64(x.bytes) / float64(x.labels)
		if mean >= 20 || entropy(x.text.String()) >= 3.7 {
			b.domainFinding("dns.tunnel", coi.High, "data in DNS names under "+base, base, q, len(x.names), now)
		}
	}
	if x.records >= 30 && x.answers >= 8<<10 {
		b.domainFinding("dns.tunnel-txt", coi.High, "data in DNS answers under "+base, base, q, len(x.names), now)
	}
	text := strings.ReplaceAll(sub, ".", "")
	if len(text) >= 120 && entropy(text) >= 4.0 && now.Sub(b.dns.first[base]) < time.Hour {
		b.domainFinding("dns.odd-name", coi.Warning, "very long name under "+base, base, q, len(x.names), now)
	}
}

// entropy is Shannon's, in bits a character.
func entropy(s string) float64 {
	if s == "" {
		return 0
	}
	var n [256]int
	for i := range len(s) {
		n[s[i]]++
	}
	h := 0.0
	for _, c := range n {
		if c > 0 {
			p := float64(c) / float64(len(s))
			h -= p * math.Log2(p)
		}
	}
	return h
}

var dnsWords = map[string]struct {
	level coi.Level
	title string
}{
	"dns.rate": {coi.Warning, "DNS questions over the rate of network.dns_queries_per_second"}, "dns.rebind": {coi.Warning, "a name answers with a closed address"},
	"dns.upstream": {coi.Warning, "no upstream name server answered"}, "dns.map-full": {coi.Warning, "an address could not be opened"},
	"allowlist.default": {coi.Info, "blocked: name not in network.allowed_domains"}, "user.deny": {coi.Info, "blocked: name denied by the user"},
}

// rule tells of a single question, once a minute for each rule and name.
func (b *Book) rule(q resolve.Query, now time.Time) {
	w, ok := dnsWords[q.Rule]
	if !ok {
		return
	}
	key := q.Rule
	if q.Rule != "dns.rate" && q.Rule != "dns.upstream" {
		key += " " + q.Name
	}
	if at, told := b.dns.told[key]; told && now.Sub(at) < dnsWindow || len(b.dns.told) > maxFirst {
		return
	}
	b.dns.told[key] = now
	action := audit.Blocked
	if q.Rule == "dns.upstream" {
		action = audit.Failed
	}
	r := b.dnsRecord(q.Rule, w.level, w.title, q, now)
	r.Action = action
	if q.Name != "" && q.Rule != "dns.rate" {
		r.Title += ": " + q.Name
	}
	b.sink(b.container, r)
}

func (b *Book) dnsRecord(rule string, level coi.Level, title string, q resolve.Query, now time.Time) audit.Record {
	return audit.Record{
		TS: now, Source: audit.SourceGuard, Type: audit.TypeNet, Category: audit.CategoryDNS, Rule: rule, Level: level, Title: title, Action: audit.Alerted,
		DNS: &audit.DNS{Name: q.Name, QType: dns.TypeToString[q.Type], Result: q.Result},
	}
}

func (b *Book) dnsFinding(rule string, level coi.Level, title string, q resolve.Query, now time.Time, key string) {
	if at, told := b.dns.told[key]; told && now.Sub(at) < quietFor {
		return
	}
	b.dns.told[key] = now
	b.sink(b.container, b.dnsRecord(rule, level, title, q, now))
}

func (b *Book) domainFinding(rule string, level coi.Level, title, base string, q resolve.Query, names int, now time.Time) {
	key := rule + " " + base
	if at, told := b.dns.told[key]; told && now.Sub(at) < quietFor {
		return
	}
	b.dns.told[key] = now
	r := b.dnsRecord(rule, level, title, q, now)
	r.DNS.Name, r.DNS.Names, r.DNS.Result = base, names, ""
	b.sink(b.container, r)
}
