package summary

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/mattn/go-runewidth"

	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/plain"
)

// shownDecisions is how many pauses and kills the text lists, the last ones.
const shownDecisions = 20

const form = "2006-01-02 15:04:05"

// Text writes the summary for people, in width cells; 0 is taken for 80.
func (s *Summary) Text(w io.Writer, width int) error {
	if width <= 0 {
		width = 80
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s records", plain.Escape(s.Container), Thousands(s.Total))
	if s.From != nil {
		fmt.Fprintf(&b, "  %s … %s", s.From.Local().Format(form), s.To.Local().Format(form))
	}
	fmt.Fprintf(&b, "\nchain: %s %s\npaused %d, killed %d\n", s.Chain, plain.Escape(s.ChainDetail), s.Paused, s.Killed)
	var levels []Item
	for _, l := range coi.Levels {
		if n := s.ByLevel[string(l)]; n > 0 {
			levels = append(levels, Item{string(l), n})
		}
	}
	bars(&b, "level", levels, width)
	bars(&b, "category", sorted(s.ByCategory), width)
	bars(&b, "action", sorted(s.ByAction), width)
	bars(&b, "rule", counter(s.ByRule).top(15), width)
	bars(&b, "time", s.times.items(), width)
	bars(&b, "programs", s.Top.Programs, width)
	bars(&b, "names", s.Top.Names, width)
	bars(&b, "paths", s.Top.Paths, width)
	s.decisions(&b, width)
	_, err := io.WriteString(w, b.String())
	return err
}

// bars is one block of words with their counts and a bar for each.
func bars(b *strings.Builder, heading string, items []Item, width int) {
	if len(items) == 0 {
		return
	}
	most, name := 1, len(heading)
	for _, it := range items {
		most = max(most, it.Count)
		name = max(name, runewidth.StringWidth(plain.Escape(it.Name)))
	}
	name = min(name, max(width/2, 12))
	num := max(len(Thousands(most)), 1)
	room := max(width-name-num-4, 4)
	fmt.Fprintf(b, "\n%s\n", heading)
	for _, it := range items {
		n := it.Count * room / most
		if it.Count > 0 {
			n = max(n, 1)
		}
		text := runewidth.FillRight(runewidth.Truncate(plain.Escape(it.Name), name, "…"), name)
		fmt.Fprintf(b, "%s\n", strings.TrimRight(fmt.Sprintf("  %s %*s %s", text, num, Thousands(it.Count), strings.Repeat("▇", n)), " "))
	}
}

// items is the timeline as words; the high and critical ones are said apart.
func (t *timeline) items() []Item {
	var out []Item
	for _, bucket := range t.buckets() {
		sum, urgent := 0, 0
		for level, n := range bucket.Counts {
			sum += n
			if level == "high" || level == "critical" {
				urgent += n
			}
		}
		name := bucket.From.Local().Format("2006-01-02 15:04")
		if urgent > 0 {
			name += fmt.Sprintf(" (%d high)", urgent)
		}
		out = append(out, Item{name, sum})
	}
	return out
}

func (s *Summary) decisions(b *strings.Builder, width int) {
	if len(s.Decisions) == 0 {
		return
	}
	b.WriteString("\npauses and kills\n")
	list := s.Decisions
	if more := len(list) - shownDecisions; more > 0 {
		fmt.Fprintf(b, "  … %d earlier ones: --json has them\n", more)
		list = list[more:]
	}
	for _, d := range list {
		line := fmt.Sprintf("  %s %s %d %s: %s", d.TS.Local().Format(form), d.Action, d.Seq, plain.Escape(d.Rule), plain.Escape(d.Title))
		if d.Decision != "" {
			line += " → " + plain.Escape(d.Decision)
		}
		b.WriteString(runewidth.Truncate(line, width, "…") + "\n")
	}
}

// Thousands writes a number with commas.
func Thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
