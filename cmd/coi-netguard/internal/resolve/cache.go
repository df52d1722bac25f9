package resolve

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/singleflight"
)

type key struct {
	name string
	typ  uint16
	via  string // which servers were asked: containers may have their own
}

type entry struct {
	packet  []byte
	from    time.Time
	expires time.Time
}

// cache keeps upstream answers as they came, packed, because that is small.
type cache struct {
	mu     sync.Mutex
	size   int
	data   map[key]entry
	flight singleflight.Group
}

const (
	staleFor    = time.Hour
	negativeFor = 30 * time.Second
)

func newCache(size int) *cache { return &cache{size: size, data: map[key]entry{}} }

func (c *cache) get(k key) (entry, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.data[k]
	return e, ok
}

func (c *cache) put(k key, e entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.data[k]; !ok && len(c.data) >= c.size {
		// Map order is random enough: the one that goes may be asked again.
		for old := range c.data {
			delete(c.data, old)
			break
		}
	}
	c.data[k] = e
}

// life is how long an answer may be used again.
func life(m *dns.Msg) time.Duration {
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return 0
	}
	if len(m.Answer) == 0 || m.Rcode == dns.RcodeNameError {
		for _, rr := range m.Ns {
			if soa, ok := rr.(*dns.SOA); ok {
				return min(negativeFor, time.Duration(min(soa.Minttl, soa.Hdr.Ttl))*time.Second)
			}
		}
		return negativeFor
	}
	least := uint32(300)
	for _, rr := range m.Answer {
		least = min(least, rr.Header().Ttl)
	}
	return time.Duration(least) * time.Second
}

// age lowers the TTLs by the time the answer has been kept.
func age(m *dns.Msg, by time.Duration) {
	sec := uint32(by / time.Second)
	for _, rr := range m.Answer {
		h := rr.Header()
		h.Ttl -= min(h.Ttl, sec)
	}
}

// lookup answers from the cache or from upstream; stale tells that upstream was
// silent and the answer is an old one.
func (r *Resolver) lookup(ctx context.Context, v *View, q *Query) (m *dns.Msg, stale bool, err error) {
	if m := ownZone(v, q); m != nil {
		return m, false, nil
	}
	servers, via := r.up.servers(v.Policy.DNSServers)
	k := key{q.Name, q.Type, via}
	now := r.now()
	old, have := r.cache.get(k)
	if have && now.Before(old.expires) {
		m := new(dns.Msg)
		if err := m.Unpack(old.packet); err == nil {
			age(m, now.Sub(old.from))
			q.Cached = true
			return m, false, nil
		}
	}
	q.Asked = true
	got, err, _ := r.cache.flight.Do(k.name+"/"+strconv.Itoa(int(k.typ))+"/"+k.via, func() (any, error) {
		// One container's going away must not fail the question for the others.
		m, packet, err := r.up.exchange(context.WithoutCancel(ctx), servers, q.Name, q.Type)
		if err != nil {
			return nil, err
		}
		if l := life(m); l > 0 {
			r.cache.put(k, entry{packet, now, now.Add(l)})
		}
		return packet, nil
	})
	if err == nil {
		m := new(dns.Msg)
		return m, false, m.Unpack(got.([]byte))
	}
	if have && now.Sub(old.from) < staleFor {
		m := new(dns.Msg)
		if uerr := m.Unpack(old.packet); uerr == nil && m.Rcode == dns.RcodeSuccess {
			return m, true, nil
		}
	}
	return nil, false, errors.Join(errUpstream, err)
}

var errUpstream = errors.New("no upstream server answered")

// bucket is a token bucket: rate a second, four times that at once.
type bucket struct {
	mu     sync.Mutex
	rate   float64
	tokens float64
	last   time.Time
}

func newBucket(rate int) *bucket { return &bucket{rate: float64(rate), tokens: float64(4 * rate)} }

func (b *bucket) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.last.IsZero() {
		b.tokens = min(4*b.rate, b.tokens+now.Sub(b.last).Seconds()*b.rate)
	}
	b.last = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// Limit sets the rate of a view; old, the view before it, keeps its tokens when
// the rate is the same.
func (v *View) Limit(rate int, old *View) {
	if old != nil && old.limit != nil && old.limit.rate == float64(rate) {
		v.limit = old.limit
		return
	}
	v.limit = newBucket(rate)
}
