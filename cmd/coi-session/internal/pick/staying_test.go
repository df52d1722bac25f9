package pick

import (
	"os"
	"testing"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/record"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// A container whose session is being ended is not meant by who names none while
// another one runs; where it is the only one, it is.
func TestStaying(t *testing.T) {
	h := home.Home{Dir: t.TempDir(), Prefix: "coi-"}
	if err := os.MkdirAll(h.Run(), 0o700); err != nil {
		t.Fatal(err)
	}
	const ending, working, unheld = "coi-12345678-1", "coi-12345678-2", "coi-12345678-3"
	for name, phase := range map[string]run.Phase{ending: run.Saving, working: run.Running, unheld: run.Saving} {
		if err := (record.Record{Session: run.Session{Container: name, Phase: phase}}).Write(h); err != nil {
			t.Fatal(err)
		}
		if name == unheld {
			continue // its supervisor is gone: it stays until somebody ends it
		}
		lock, err := home.TryLock(record.LockPath(h, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(lock.Unlock)
	}
	names := func(list ...string) (out []incus.Instance) {
		for _, n := range list {
			out = append(out, incus.Instance{Name: n})
		}
		return out
	}
	for _, c := range []struct{ given, want []string }{
		{[]string{ending, working}, []string{working}},
		{[]string{ending, working, unheld}, []string{working, unheld}},
		{[]string{ending}, []string{ending}},
	} {
		got := staying(h, names(c.given...))
		if len(got) != len(c.want) {
			t.Errorf("staying(%q) = %+v; want %q", c.given, got, c.want)
			continue
		}
		for i := range got {
			if got[i].Name != c.want[i] {
				t.Errorf("staying(%q) = %+v; want %q", c.given, got, c.want)
			}
		}
	}
}
