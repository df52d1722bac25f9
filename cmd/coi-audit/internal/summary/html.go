package summary

import (
	_ "embed"
	"fmt"
	"html"
	"io"
	"strings"

	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/plain"
)

//go:embed page.css
var css string

// HTML writes one page that needs no other file, no script and no network.
// Text from containers is escaped for the page and for the eye.
func (s *Summary) HTML(w io.Writer) error {
	p := &page{}
	p.raw("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n")
	p.raw(`<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">` + "\n")
	p.raw(`<meta name="viewport" content="width=device-width, initial-scale=1">` + "\n")
	p.elem("title", "audit trail of "+s.Container)
	p.raw("<style>" + css + "</style></head><body><main>\n")
	p.elem("h1", s.Container)
	p.raw("<p>")
	p.text(Thousands(s.Total) + " records")
	if s.From != nil {
		p.text(fmt.Sprintf(", %s to %s", s.From.Local().Format(form), s.To.Local().Format(form)))
	}
	p.raw("</p>\n<p class=\"chain " + map[bool]string{true: "ok", false: "broken"}[s.Chain == "ok"] + "\">")
	p.text("chain: " + s.Chain + " " + s.ChainDetail)
	p.raw("</p>\n<p>")
	p.text(fmt.Sprintf("paused %d times, killed %d times", s.Paused, s.Killed))
	p.raw("</p>\n")
	p.timeline(s.Timeline)
	p.raw("<div class=\"grid\">\n")
	var levels []Item
	for _, l := range coi.Levels {
		levels = append(levels, Item{string(l), s.ByLevel[string(l)]})
	}
	p.bars("Level", levels)
	p.bars("Category", sorted(s.ByCategory))
	p.bars("Action", sorted(s.ByAction))
	p.bars("Rule", counter(s.ByRule).top(15))
	p.bars("Programs", s.Top.Programs)
	p.bars("Names", s.Top.Names)
	p.bars("Paths", s.Top.Paths)
	p.raw("</div>\n")
	p.decisions(s.Decisions)
	p.raw("</main></body></html>\n")
	_, err := io.WriteString(w, p.b.String())
	return err
}

// page builds HTML; all that is not our own goes through text.
type page struct{ b strings.Builder }

func (p *page) raw(s string)  { p.b.WriteString(s) }
func (p *page) text(s string) { p.b.WriteString(html.EscapeString(plain.Escape(s))) }

func (p *page) elem(tag, text string) {
	p.raw("<" + tag + ">")
	p.text(text)
	p.raw("</" + tag + ">\n")
}

func (p *page) bars(heading string, items []Item) {
	if len(items) == 0 {
		return
	}
	most := 1
	for _, it := range items {
		most = max(most, it.Count)
	}
	p.raw("<section>")
	p.elem("h2", heading)
	p.raw("<table>")
	for _, it := range items {
		p.raw("<tr><td class=\"name\">")
		p.text(it.Name)
		p.raw("</td><td class=\"count\">" + Thousands(it.Count) + "</td><td class=\"bar\">")
		p.raw(fmt.Sprintf(`<svg viewBox="0 0 100 10" preserveAspectRatio="none"><rect class="l-%s" width="%.2f" height="10"/></svg>`, class(it.Name), 100*float64(it.Count)/float64(most)))
		p.raw("</td></tr>\n")
	}
	p.raw("</table></section>\n")
}

// class is the level when the word is one, so that it gets its colour.
func class(word string) string {
	if coi.Level(word).Rank() >= 0 {
		return word
	}
	return "none"
}

const (
	chartWidth  = 960
	chartHeight = 160
)

// timeline draws stacked columns, one for each step.
func (p *page) timeline(buckets []Bucket) {
	if len(buckets) == 0 {
		return
	}
	most := 1
	for _, b := range buckets {
		sum := 0
		for _, n := range b.Counts {
			sum += n
		}
		most = max(most, sum)
	}
	p.elem("h2", "Timeline")
	p.raw(fmt.Sprintf(`<svg class="chart" role="img" aria-label="records over time" viewBox="0 0 %d %d">`, chartWidth, chartHeight+30))
	step := float64(chartWidth) / float64(len(buckets))
	for i, b := range buckets {
		y := float64(chartHeight)
		p.raw("<g>")
		p.elem("title", label(b))
		for _, l := range coi.Levels {
			if n := b.Counts[string(l)]; n > 0 {
				h := max(float64(n)/float64(most)*chartHeight, 1.5)
				y -= h
				p.raw(fmt.Sprintf(`<rect class="l-%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`, l, float64(i)*step+0.5, max(y, 0), max(step-1, 1), h))
			}
		}
		p.raw("</g>\n")
	}
	p.raw(fmt.Sprintf(`<line x1="0" y1="%d" x2="%d" y2="%d"/>`, chartHeight, chartWidth, chartHeight))
	p.mark(0, "start", buckets[0])
	p.mark(chartWidth, "end", buckets[len(buckets)-1])
	p.raw(fmt.Sprintf(`<text x="%d" y="%d" text-anchor="middle">most: %s</text></svg>`, chartWidth/2, chartHeight+20, Thousands(most)))
	p.raw("\n<p class=\"legend\">")
	for _, l := range coi.Levels {
		p.raw(fmt.Sprintf(`<span class="key b-%s"></span>%s `, l, l))
	}
	p.raw("</p>\n")
}

func (p *page) mark(x int, anchor string, b Bucket) {
	p.raw(fmt.Sprintf(`<text x="%d" y="%d" text-anchor="%s">%s</text>`, x, chartHeight+20, anchor, b.From.Local().Format("2006-01-02 15:04")))
}

func label(b Bucket) string {
	var s strings.Builder
	s.WriteString(b.From.Local().Format("2006-01-02 15:04"))
	for _, l := range coi.Levels {
		if n := b.Counts[string(l)]; n > 0 {
			s.WriteString(fmt.Sprintf(" %s %d", l, n))
		}
	}
	return s.String()
}

func (p *page) decisions(list []Decision) {
	if len(list) == 0 {
		return
	}
	p.elem("h2", "Pauses and kills")
	p.raw("<table class=\"list\"><tr><th>Time</th><th>Action</th><th>Record</th><th>Rule</th><th>What</th><th>Decision</th></tr>\n")
	for _, d := range list {
		p.raw("<tr>")
		for _, cell := range []string{d.TS.Local().Format(form), d.Action, fmt.Sprint(d.Seq), d.Rule, d.Title, d.Decision} {
			p.raw("<td>")
			p.text(cell)
			p.raw("</td>")
		}
		p.raw("</tr>\n")
	}
	p.raw("</table>\n")
}
