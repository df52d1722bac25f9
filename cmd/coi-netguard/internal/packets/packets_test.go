package packets

import "testing"

// FuzzParse (R-OWN-02): any bytes a container sends are read without a crash.
func FuzzParse(f *testing.F) {
	f.Add([]byte("\x45\x00\x00\x28\x00\x00\x40\x00\x40\x06\x00\x00\x0a\xd5\x00\x02\x0a\x00\x00\x05\x04\xd2\x00\x50aaaaaaaaaaaa"))
	f.Add([]byte("\x60\x00\x00\x00\x00\x08\x00\x40aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbb\x06\x00\x00\x00\x00\x00\x00\x00\x04\xd2\x00\x50"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p Packet
		if p.parse(b) && (!p.Src.IsValid() || !p.Dst.IsValid()) {
			t.Fatalf("%x: no addresses in %+v", b, p)
		}
	})
}
