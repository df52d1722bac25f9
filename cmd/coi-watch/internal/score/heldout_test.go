package score

import (
	"bufio"
	"os"
	"strings"
	"testing"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/engine"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/replay"
)

// rows reads a sample file: "label | line", with \n for line ends.
func rows(t *testing.T, name string) []replay.Row {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only read
	var out []replay.Row
	for s := bufio.NewScanner(f); s.Scan(); {
		label, cmd, ok := strings.Cut(s.Text(), " | ")
		if !ok || strings.HasPrefix(label, "#") {
			continue
		}
		r := replay.Row{Cmd: cmd}
		switch w := strings.Fields(label); {
		case len(w) == 2:
			r.Category, r.Expect = w[0], w[1]
		case w[0] == "hard":
			r.Hard = []string{"hard"}
		}
		out = append(out, r)
	}
	return out
}

func config() engine.Config {
	return engine.Config{Workspace: "/workspace", Home: "/home/code", User: "code"}
}

// TestHeldOut scores lines of our own that no detector has as a sample
// (R-MON-05).
func TestHeldOut(t *testing.T) {
	b := New()
	for _, name := range []string{"hostile.txt", "honest.txt"} {
		for _, r := range rows(t, name) {
			v := replay.Line(r, config())
			b.Add(v)
			if len(r.Hard) > 0 && v.Level.Rank() > 0 {
				t.Logf("hard, %s: %s", v.Level, r.Cmd)
			}
		}
	}
	res := b.Result()
	for _, bar := range res.Bars() {
		if !bar.Met() {
			t.Errorf("%s: %.3f; bar %.2f", bar.Name, bar.Value, bar.Limit)
		}
	}
	for _, m := range res.Missed {
		t.Logf("missed: %s", m)
	}
	for _, m := range res.FalseAlarms {
		t.Logf("false alarm: %s", m)
	}
	t.Logf("must %.3f should %.3f easy %.3f hard warn %.3f pause %.3f", res.Must, res.Should, res.Easy, res.HardWarn, res.HardPause)
}

// catalogue reads the set of testdata/catalogue.
func catalogue(t *testing.T) []replay.Row {
	t.Helper()
	var out []replay.Row
	for _, name := range []string{"hostile.jsonl", "honest.jsonl"} {
		f, err := os.Open("testdata/catalogue/" + name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close() //nolint:errcheck // only read
		err = replay.Judge(f, config(), func(v replay.Verdict) error {
			out = append(out, v.Row)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// TestCatalogueBars: every bar of the promise holds on the set, and the set is
// large enough to say so (R-MON-05).
func TestCatalogueBars(t *testing.T) {
	b := New()
	for _, r := range catalogue(t) {
		b.Add(replay.Line(r, config()))
	}
	res := b.Result()
	if b.Rows() < 1000 || len(res.Categories()) < 12 {
		t.Fatalf("%d rows in %d categories; want at least 1000 in 12", b.Rows(), len(res.Categories()))
	}
	for _, bar := range res.Bars() {
		if !bar.Met() {
			t.Errorf("%s: %.3f; bar %.2f", bar.Name, bar.Value, bar.Limit)
		}
	}
	if t.Failed() {
		t.Logf("missed: %q", res.Missed)
		t.Logf("false alarms: %q", res.FalseAlarms)
	}
}
