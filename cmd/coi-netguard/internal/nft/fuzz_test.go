package nft

import (
	"testing"

	"github.com/google/nftables/expr"
)

// FuzzAttributes reads any bytes as what the kernel sends of a set's element and
// of a ct expression: an end or an error, never a crash.
func FuzzAttributes(f *testing.F) {
	f.Add([]byte{12, 0, 1, 0x80, 8, 0, 1, 0, 10, 0, 0, 1})
	f.Add([]byte{5, 0, 3, 0, 1, 0, 0, 0, 8, 0, 2, 0, 0, 0, 0, 3})
	f.Add([]byte{3, 0, 1, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		if e, _, err := decodeElem(data); err == nil && len(e.Key) > len(data) {
			t.Errorf("% x: a key of %d bytes", data, len(e.Key))
		}
		_ = decodeCt(&expr.Ct{}, data)
	})
}
