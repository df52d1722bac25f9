package journal

import "testing"

// FuzzEntry reads any line as one of the journal: an anchor that is taken has a
// whole hash, and is root's or the user's own.
func FuzzEntry(f *testing.F) {
	f.Add([]byte(`{"_UID":"0","COI_CONTAINER":"coi-1","COI_SEQ":"7","COI_HASH":"00"}`), 1000)
	f.Add([]byte(`{"_UID":["0"],"MESSAGE":[1,2]}`), 0)
	f.Add([]byte(`{}`), 0)
	f.Fuzz(func(t *testing.T, line []byte, uid int) {
		if a, ok := parse(line, uid); ok && len(a.Hash) != 64 {
			t.Errorf("%q gave the anchor %+v", line, a)
		}
	})
}
