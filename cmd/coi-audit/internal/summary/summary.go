// Package summary counts the records of a trail and shows the result as text,
// JSON or one self-contained page.
package summary

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/tidwall/gjson"

	"github.com/code-on-incus/coi/cmd/coi-audit/internal/scan"
)

// Summary is the JSON form, schema_version 1.
type Summary struct {
	SchemaVersion int            `json:"schema_version"`
	Container     string         `json:"container"`
	From          *time.Time     `json:"from"`
	To            *time.Time     `json:"to"`
	Total         int            `json:"total"`
	ByLevel       map[string]int `json:"by_level"`
	ByCategory    map[string]int `json:"by_category"`
	ByRule        map[string]int `json:"by_rule"`
	ByAction      map[string]int `json:"by_action"`
	Timeline      []Bucket       `json:"timeline"`
	Paused        int            `json:"paused"`
	Killed        int            `json:"killed"`
	Decisions     []Decision     `json:"decisions"`
	Top           Top            `json:"top"`
	Chain         string         `json:"chain"` // ok or broken
	ChainDetail   string         `json:"chain_detail"`

	times   *timeline
	tops    [3]counter
	pending map[string]int // index in Decisions by seq
}

// Bucket is one step of the timeline.
type Bucket struct {
	From   time.Time      `json:"from"`
	Counts map[string]int `json:"counts"` // by level
}

// Decision is a pause or a kill and what became of it.
type Decision struct {
	Seq      int       `json:"seq"`
	TS       time.Time `json:"ts"`
	Action   string    `json:"action"`
	Title    string    `json:"title"`
	Rule     string    `json:"rule"`
	Decision string    `json:"decision"`
}

// Top is what came most often.
type Top struct {
	Programs []Item `json:"programs"`
	Names    []Item `json:"names"`
	Paths    []Item `json:"paths"`
}

// Item is a word and how often it came.
type Item struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
}

const (
	maxKeys      = 4096 // different words that are counted one by one
	maxDecisions = 1000
	topItems     = 5
	others       = "(others)"
)

// New starts a summary of a container's trail.
func New(container string) *Summary {
	return &Summary{
		SchemaVersion: 1, Container: container, Chain: "ok",
		ByLevel: map[string]int{}, ByCategory: map[string]int{}, ByRule: map[string]int{}, ByAction: map[string]int{},
		Timeline: []Bucket{}, Decisions: []Decision{}, times: &timeline{step: time.Minute, counts: map[int64]map[string]int{}},
		tops: [3]counter{{}, {}, {}}, pending: map[string]int{},
	}
}

// Add counts one record.
func (s *Summary) Add(line []byte) {
	var ts, level, category, rule, action, title, exe, name, peer, path, seq string
	var refs []gjson.Result
	scan.Members(line, func(k, v []byte) {
		switch string(k) {
		case "seq":
			seq = string(v)
		case "ts":
			ts = scan.Text(v)
		case "level":
			level = scan.Text(v)
		case "category":
			category = scan.Text(v)
		case "rule":
			rule = scan.Text(v)
		case "action":
			action = scan.Text(v)
		case "title":
			title = scan.Text(v)
		case "exe":
			exe = scan.Text(v)
		case "name":
			name = scan.Text(v)
		case "peer":
			peer = scan.Text(v)
		case "path":
			path = scan.Text(v)
		case "ref":
			refs = gjson.ParseBytes(v).Array()
		}
	})
	s.Total++
	counter(s.ByLevel).add(level)
	counter(s.ByCategory).add(category)
	counter(s.ByRule).add(rule)
	counter(s.ByAction).add(action)
	for i, word := range []string{exe, cmp.Or(name, peer), path} {
		s.tops[i].add(word)
	}
	at, err := time.Parse(time.RFC3339Nano, ts)
	if err == nil {
		s.period(at)
		s.times.add(at, level)
	}
	s.decide(seq, at, action, title, rule, category, refs)
}

func (s *Summary) period(at time.Time) {
	if s.From == nil || at.Before(*s.From) {
		s.From = &at
	}
	if s.To == nil || at.After(*s.To) {
		s.To = &at
	}
}

// decide notes pauses and kills, and later records that refer to them.
func (s *Summary) decide(seq string, at time.Time, action, title, rule, category string, refs []gjson.Result) {
	switch action {
	case "paused", "killed":
		if action == "paused" {
			s.Paused++
		} else {
			s.Killed++
		}
		if len(s.Decisions) < maxDecisions {
			n, _ := strconv.Atoi(seq)
			s.pending[seq] = len(s.Decisions)
			s.Decisions = append(s.Decisions, Decision{Seq: n, TS: at, Action: action, Title: title, Rule: rule})
		}
	}
	if category != "lifecycle" && category != "policy" {
		return
	}
	for _, r := range refs {
		if i, ok := s.pending[r.Raw]; ok {
			s.Decisions[i].Decision = title
		}
	}
}

// Finish fills what only the whole tells.
func (s *Summary) Finish() {
	s.Timeline = s.times.buckets()
	s.Top = Top{s.tops[0].top(topItems), s.tops[1].top(topItems), s.tops[2].top(topItems)}
}

// counter counts words, of which there may be more than memory should hold.
type counter map[string]int

func (c counter) add(word string) {
	if word == "" {
		return
	}
	if _, known := c[word]; !known && len(c) >= maxKeys {
		word = others
	}
	c[word]++
}

// top is the n most frequent words; equal ones by name.
func (c counter) top(n int) []Item {
	items := sorted(c)
	return items[:min(n, len(items))]
}

func sorted(m map[string]int) []Item {
	items := make([]Item, 0, len(m))
	for k, n := range m {
		items = append(items, Item{k, n})
	}
	slices.SortFunc(items, func(a, b Item) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Name, b.Name))
	})
	return items
}

// timeline counts by time in steps that double when there are too many.
type timeline struct {
	step   time.Duration
	counts map[int64]map[string]int
	lo, hi int64
}

const maxBuckets = 60

func (t *timeline) add(at time.Time, level string) {
	k := at.UnixNano() / int64(t.step)
	if t.counts[k] == nil {
		t.counts[k] = map[string]int{}
	}
	t.counts[k][level]++
	if len(t.counts) == 1 {
		t.lo, t.hi = k, k
	}
	t.lo, t.hi = min(t.lo, k), max(t.hi, k)
	for t.hi-t.lo >= maxBuckets {
		t.double()
	}
}

func (t *timeline) double() {
	next := map[int64]map[string]int{}
	for k, levels := range t.counts {
		if next[k/2] == nil {
			next[k/2] = map[string]int{}
		}
		for level, n := range levels {
			next[k/2][level] += n
		}
	}
	t.step *= 2
	t.lo, t.hi = t.lo/2, t.hi/2
	t.counts = next
}

// buckets lists all steps from the first to the last, empty ones too.
func (t *timeline) buckets() []Bucket {
	out := []Bucket{}
	if len(t.counts) == 0 {
		return out
	}
	for k := t.lo; k <= t.hi; k++ {
		counts := t.counts[k]
		if counts == nil {
			counts = map[string]int{}
		}
		out = append(out, Bucket{time.Unix(0, k*int64(t.step)).UTC(), counts})
	}
	return out
}
