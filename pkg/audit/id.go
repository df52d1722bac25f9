package audit

import (
	"crypto/rand"
	"encoding/binary"
	"time"
)

const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// NewID makes a 26-character id that sorts by time: 48 bits of milliseconds
// since 1970 and 80 random bits in Crockford's base 32.
func NewID(t time.Time) string {
	var b [16]byte
	// crypto/rand.Read never fails: it ends the program where it would.
	_, _ = rand.Read(b[:])
	ms := uint64(max(t.UnixMilli(), 0))
	hi := ms<<16 | uint64(b[6])<<8 | uint64(b[7])
	lo := binary.BigEndian.Uint64(b[8:])
	var out [26]byte
	for i := 25; i >= 0; i-- {
		out[i] = crockford[lo&31]
		lo = lo>>5 | hi<<59
		hi >>= 5
	}
	return string(out[:])
}

// ValidID reports whether s has the form of NewID.
func ValidID(s string) bool {
	if len(s) != 26 || s[0] > '7' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !(c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' && c != 'I' && c != 'L' && c != 'O' && c != 'U') {
			return false
		}
	}
	return true
}
