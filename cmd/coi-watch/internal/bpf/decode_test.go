package bpf

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestArgv(t *testing.T) {
	for text, want := range map[string][]string{
		"":              nil,
		"a\x00b\x00":    {"a", "b"},
		"a\x00b":        {"a", "b"},
		"a\x00\x00b":    {"a", "", "b"},
		"a b\x00\x1b[m": {"a b", "\x1b[m"},
	} {
		if diff := cmp.Diff(want, Argv([]byte(text))); diff != "" {
			t.Errorf("Argv(%q) (-want +got):\n%s", text, diff)
		}
	}
}

// T-W-20
func FuzzDecode(f *testing.F) {
	for kind := KindExec; kind <= KindSyscall; kind++ {
		b := make([]byte, 1024)
		native.PutUint16(b, uint16(kind))
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Decode(b)
		total := len(r.File) + len(r.Interp) + len(r.Name) + len(r.Path) + len(r.Path2)
		for _, a := range r.Argv {
			total += len(a)
		}
		if err == nil && total > len(b) {
			t.Errorf("%d bytes of text from %d bytes", total, len(b))
		}
	})
}
