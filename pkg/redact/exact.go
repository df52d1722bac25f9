package redact

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"

	"github.com/code-on-incus/coi/pkg/run"
)

// MinExact is the length in bytes of the shortest value that Hashes takes;
// shorter ones would redact half of every text.
const MinExact = 6

const (
	window    = MinExact
	rollBits  = 20 // of the window's hash; few enough to tell nothing about it
	digestLen = 16
)

// Hashes returns what another program needs to find values in its texts: their
// salted hashes and lengths. Values shorter than MinExact are left out. It is
// for the one who knows the values, which are stored nowhere.
func (r *Redactor) Hashes(values []string) []run.SecretHash {
	out := []run.SecretHash{}
	roll := newRoller(r.key)
	for _, v := range values {
		if len(v) < MinExact {
			continue
		}
		var head [4]byte
		binary.BigEndian.PutUint32(head[:], roll.start(v))
		h := run.SecretHash{Hash: hex.EncodeToString(append(head[:], r.digest(v)...)), Len: len(v)}
		if !slices.Contains(out, h) {
			out = append(out, h)
		}
	}
	return out
}

// Values is Hashes and With in one: a redactor that knows these values.
func (r *Redactor) Values(values []string) *Redactor { return r.With(r.Hashes(values)) }

// With returns a redactor that also finds the values behind these hashes. They
// must come from a Redactor of the same home; malformed ones are ignored.
func (r *Redactor) With(hashes []run.SecretHash) *Redactor {
	x := &exact{roll: newRoller(r.key), digest: r.digest, byRoll: map[uint32][]secret{}}
	for _, h := range hashes {
		b, err := hex.DecodeString(h.Hash)
		if err != nil || len(b) != 4+digestLen || h.Len < MinExact {
			continue
		}
		roll := binary.BigEndian.Uint32(b)
		x.byRoll[roll] = append(x.byRoll[roll], secret{h.Len, string(b[4:])})
		x.bits[roll>>6&1023] |= 1 << (roll & 63)
	}
	if len(x.byRoll) == 0 {
		return &Redactor{key: r.key}
	}
	return &Redactor{key: r.key, exact: x}
}

func (r *Redactor) digest(v string) []byte {
	m := hmac.New(sha256.New, r.key)
	m.Write([]byte("exact\x00"))
	m.Write([]byte(v))
	return m.Sum(nil)[:digestLen]
}

type secret struct {
	len    int
	digest string
}

// exact finds values by a rolling hash over their first bytes, and makes sure
// by the digest of the whole.
type exact struct {
	roll   roller
	digest func(string) []byte
	byRoll map[uint32][]secret
	bits   [1024]uint64 // which rolls exist, by their low 16 bits
}

func (x *exact) find(s string) []span {
	var out []span
	if len(s) < window {
		return nil
	}
	h := x.roll.sum(s[:window])
	for i := 0; ; i++ {
		if v := x.roll.short(h); x.bits[v>>6&1023]&(1<<(v&63)) != 0 {
			if n := x.match(s[i:], v); n > 0 {
				out = append(out, span{i, i + n, "value"})
			}
		}
		if i+window >= len(s) {
			return out
		}
		h = x.roll.next(h, s[i], s[i+window])
	}
}

// match is the length of the longest known value at the start of s.
func (x *exact) match(s string, roll uint32) int {
	best := 0
	for _, c := range x.byRoll[roll] {
		if c.len > best && c.len <= len(s) && hmac.Equal(x.digest(s[:c.len]), []byte(c.digest)) {
			best = c.len
		}
	}
	return best
}

// roller is a polynomial hash modulo 2^64 over a window, with a secret base.
type roller struct {
	base, out uint64 // out = base^window
	mix       uint64
}

func newRoller(key []byte) roller {
	sum := sha256.Sum256(append([]byte("roll\x00"), key...))
	r := roller{base: binary.BigEndian.Uint64(sum[:]) | 1, mix: binary.BigEndian.Uint64(sum[8:]) | 1, out: 1}
	for range window {
		r.out *= r.base
	}
	return r
}

func (r roller) sum(s string) (h uint64) {
	for i := range len(s) {
		h = h*r.base + uint64(s[i]) + 1
	}
	return h
}

func (r roller) next(h uint64, gone, come byte) uint64 {
	return h*r.base + uint64(come) + 1 - (uint64(gone)+1)*r.out
}

// short is the part of a hash that is stored.
func (r roller) short(h uint64) uint32 { return uint32((h * r.mix) >> (64 - rollBits)) }

func (r roller) start(v string) uint32 { return r.short(r.sum(v[:window])) }
