package netrec

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseTakesOnlyTheGuardsRecords(t *testing.T) {
	got := Parse([]byte(`{"seq":1,"source":"watch","rule":"x","title":"\"source\":\"guard\""}
{"seq":2,"source":"guard","rule":"block.private","level":"warning","peer":"10.0.0.5","port":5432}
not json "source":"guard"
`))
	if len(got) != 1 || got[0].Seq != 2 || got[0].Peer != "10.0.0.5" {
		t.Errorf("Parse = %+v; want record 2 alone", got)
	}
}

func TestUploadsAreCountedInWindows(t *testing.T) {
	var u Uploads
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	view := func(n uint64) View {
		return View{Used: []Used{{Addr: "198.51.100.7", Names: []string{"x.test"}, Bytes: n}, {Addr: "198.51.100.7", Names: []string{"x.test"}, Port: 80, Bytes: n}}}
	}
	u.Add(view(100), at)
	u.Add(view(300), at.Add(5*time.Minute))
	got, _ := u.Add(view(1000), at.Add(16*time.Minute))
	want := []Sent{{Name: "x.test", Addr: "198.51.100.7", Short: 0, Long: 900}}
	want[0].Short, want[0].Long = 0, 1000
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("16 minutes later (-want +got):\n%s", diff)
	}
}

// T-W-20
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"source":"guard","seq":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, r := range Parse(b) {
			if r.Source != "guard" {
				t.Errorf("source %q", r.Source)
			}
		}
	})
}
