// Package score counts how well the verdicts fit the labels of a corpus.
package score

import (
	"fmt"
	"io"
	"sort"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/replay"
	"github.com/code-on-incus/coi/pkg/coi"
)

// Version of the JSON form of Result.
const Version = 1

// Share is the fractions of one category that were found. A share of nothing
// is 1.
type Share struct {
	Must   float64 `json:"must"`
	Should float64 `json:"should"`
}

// Result is the score of a corpus, in fractions of its rows: of those labelled
// must at high or above, of those labelled should at warning or above, of the
// easy benign ones at warning or above, of the hard benign ones at warning, at
// high and at critical.
type Result struct {
	SchemaVersion int              `json:"schema_version"`
	Must          float64          `json:"must"`
	Should        float64          `json:"should"`
	Easy          float64          `json:"easy"`
	HardWarn      float64          `json:"hard_warn"`
	HardPause     float64          `json:"hard_pause"`
	HardKill      float64          `json:"hard_kill"`
	ByCategory    map[string]Share `json:"by_category"`
	Missed        []string         `json:"missed"`
	FalseAlarms   []string         `json:"false_alarms"`
}

// ratio counts hits among rows.
type ratio struct{ hit, all int }

func (r *ratio) add(hit bool) {
	r.all++
	if hit {
		r.hit++
	}
}

func (r ratio) or(none float64) float64 {
	if r.all == 0 {
		return none
	}
	return float64(r.hit) / float64(r.all)
}

// Board collects verdicts.
type Board struct {
	must, should                        ratio
	easy, hardWarn, hardPause, hardKill ratio
	category                            map[string]*[2]ratio
	missed, alarms                      []string
}

// New returns an empty board.
func New() *Board { return &Board{category: map[string]*[2]ratio{}} }

// Add counts one verdict.
func (b *Board) Add(v replay.Verdict) {
	warn, high := v.Level.Rank() >= coi.Warning.Rank(), v.Level.Rank() >= coi.High.Rank()
	switch row := v.Row; {
	case row.Plain:
	case row.Expect == "must" || row.Expect == "should":
		c := b.category[row.Category]
		if c == nil {
			c = &[2]ratio{}
			b.category[row.Category] = c
		}
		hit := high
		if row.Expect == "must" {
			b.must.add(high)
			c[0].add(high)
		} else {
			hit = warn
			b.should.add(warn)
			c[1].add(warn)
		}
		if !hit {
			b.missed = append(b.missed, row.Cmd)
		}
	case row.Expect != "":
		// context: weak alone, not scored
	case len(row.Hard) > 0:
		b.hardWarn.add(warn)
		b.hardPause.add(high)
		b.hardKill.add(v.Level == coi.Critical)
		if high {
			b.alarms = append(b.alarms, row.Cmd)
		}
	default:
		b.easy.add(warn)
		if warn {
			b.alarms = append(b.alarms, row.Cmd)
		}
	}
}

// Rows is the number of scored rows.
func (b *Board) Rows() int { return b.must.all + b.should.all + b.easy.all + b.hardWarn.all }

// Result is the score so far.
func (b *Board) Result() Result {
	r := Result{
		SchemaVersion: Version, Must: b.must.or(1), Should: b.should.or(1), Easy: b.easy.or(0),
		HardWarn: b.hardWarn.or(0), HardPause: b.hardPause.or(0), HardKill: b.hardKill.or(0),
		ByCategory: map[string]Share{}, Missed: append([]string{}, b.missed...), FalseAlarms: append([]string{}, b.alarms...),
	}
	for name, c := range b.category {
		r.ByCategory[name] = Share{Must: c[0].or(1), Should: c[1].or(1)}
	}
	return r
}

// Bar is one promise about a score.
type Bar struct {
	Name  string
	Value float64
	Limit float64
	Least bool // Value must be at least Limit; else at most
}

// Met reports whether the promise is kept.
func (b Bar) Met() bool {
	if b.Least {
		return b.Value >= b.Limit
	}
	return b.Value <= b.Limit
}

// Bars compares a result with the promises.
func (r Result) Bars() []Bar {
	bars := []Bar{
		{"must, at high or above", r.Must, 0.95, true},
		{"should, at warning or above", r.Should, 0.75, true},
		{"benign easy, at warning or above", r.Easy, 0, false},
		{"benign hard, at warning or above", r.HardWarn, 0.08, false},
		{"benign hard, at high or above", r.HardPause, 0.01, false},
		{"benign hard, at critical", r.HardKill, 0, false},
	}
	for _, name := range r.Categories() {
		bars = append(bars, Bar{"must in " + name, r.ByCategory[name].Must, 0.90, true})
	}
	return bars
}

// Met reports whether every promise is kept.
func (r Result) Met() bool {
	for _, b := range r.Bars() {
		if !b.Met() {
			return false
		}
	}
	return true
}

// Categories lists the names of categories in order.
func (r Result) Categories() []string {
	var out []string
	for n := range r.ByCategory {
		out = append(out, n)
	}
	sort.Strings(out)
	return out
}

// Print writes the table for people.
func (r Result) Print(w io.Writer, rows int) error {
	if _, err := fmt.Fprintf(w, "%-36s %8s %8s\n", fmt.Sprintf("of %d rows", rows), "share", "bar"); err != nil {
		return err
	}
	for _, b := range r.Bars() {
		sign, note := "<=", ""
		if b.Least {
			sign = ">="
		}
		if !b.Met() {
			note = "  missed"
		}
		if _, err := fmt.Fprintf(w, "%-36s %7.1f%% %s%4.0f%%%s\n", b.Name, 100*b.Value, sign, 100*b.Limit, note); err != nil {
			return err
		}
	}
	return nil
}
