package supervise

import "testing"

// FuzzStatus reads any text of a pane: what comes out is an exit status.
func FuzzStatus(f *testing.F) {
	for _, s := range []string{"0 12\n", "137 1\nlast line\n", "", "-1", "999999999999999999999", "\n\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if e := parseStatus(text); e.status < 0 || e.status > 255 {
			t.Errorf("%q is status %d", text, e.status)
		}
	})
}
