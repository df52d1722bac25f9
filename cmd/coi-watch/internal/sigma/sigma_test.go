package sigma

import (
	"fmt"
	"strings"
	"testing"

	"github.com/code-on-incus/coi/pkg/coi"
)

// rule builds a rule document with a detection part.
func rule(detection string) string {
	return "title: t\nid: i\nlevel: high\nlogsource:\n  product: linux\n  category: process_creation\ndetection:\n" + detection
}

func proc(line string) *Record {
	return &Record{Kind: Process, Fields: map[string][]string{"CommandLine": {line}, "Image": {"/usr/bin/nc"}, "ProcessId": {"42"}}}
}

// TestSemantics is the table of T-W-13.
func TestSemantics(t *testing.T) {
	for _, c := range []struct {
		name, detection, line string
		want                  bool
	}{
		{"whole value", "  s:\n    CommandLine: nc -l\n  condition: s", "nc -l 1", false},
		{"whole value, case", "  s:\n    CommandLine: NC -L\n  condition: s", "nc -l", true},
		{"cased", "  s:\n    CommandLine|cased: NC\n  condition: s", "nc", false},
		{"star", "  s:\n    CommandLine: 'nc * 1'\n  condition: s", "nc -l 1", true},
		{"question mark", "  s:\n    CommandLine: 'n? -l'\n  condition: s", "nc -l", true},
		{"question mark is one", "  s:\n    CommandLine: 'n?-l'\n  condition: s", "n-l", false},
		{"escaped star", "  s:\n    CommandLine: 'a\\*b'\n  condition: s", "axb", false},
		{"escaped star itself", "  s:\n    CommandLine: 'a\\*b'\n  condition: s", "a*b", true},
		{"contains", "  s:\n    CommandLine|contains: -e\n  condition: s", "nc -e sh", true},
		{"contains list is any", "  s:\n    CommandLine|contains:\n      - xx\n      - -e\n  condition: s", "nc -e sh", true},
		{"contains all", "  s:\n    CommandLine|contains|all:\n      - xx\n      - -e\n  condition: s", "nc -e sh", false},
		{"startswith", "  s:\n    CommandLine|startswith: nc\n  condition: s", "nc -e", true},
		{"endswith", "  s:\n    Image|endswith: /nc\n  condition: s", "x", true},
		{"fields are and", "  s:\n    Image|endswith: /nc\n    CommandLine: y\n  condition: s", "x", false},
		{"list of maps is or", "  s:\n    - Image: x\n    - CommandLine: x\n  condition: s", "x", true},
		{"re", "  s:\n    CommandLine|re: '-[el]\\b'\n  condition: s", "nc -e sh", true},
		{"re with i", "  s:\n    CommandLine|re|i: 'NC'\n  condition: s", "nc", true},
		{"number", "  s:\n    ProcessId|gt: 41\n  condition: s", "x", true},
		{"lte", "  s:\n    ProcessId|lte: 41\n  condition: s", "x", false},
		{"null", "  s:\n    User: null\n  condition: s", "x", true},
		{"exists", "  s:\n    User|exists: true\n  condition: s", "x", false},
		{"fieldref", "  s:\n    CommandLine|fieldref: Image\n  condition: s", "/usr/bin/NC", true},
		{"base64", "  s:\n    CommandLine|base64|contains: '/bin/sh'\n  condition: s", "echo L2Jpbi9zaA==", true},
		{"base64offset", "  s:\n    CommandLine|base64offset|contains: '/bin/sh'\n  condition: s", "echo eC9iaW4vc2gK", true},
		{"windash", "  s:\n    CommandLine|windash|contains: ' -e '\n  condition: s", "nc /e x", true},
		{"not", "  s:\n    Image|endswith: nc\n  f:\n    CommandLine: x\n  condition: s and not f", "x", false},
		{"1 of", "  s_a:\n    CommandLine: x\n  s_b:\n    CommandLine: y\n  condition: 1 of s_*", "y", true},
		{"all of", "  s_a:\n    CommandLine: x\n  s_b:\n    CommandLine: y\n  condition: all of s_*", "y", false},
		{"2 of", "  s_a:\n    CommandLine: y\n  s_b:\n    CommandLine|contains: y\n  s_c:\n    CommandLine: z\n  condition: 2 of s_*", "y", true},
		{"of them", "  a:\n    CommandLine: x\n  b:\n    CommandLine: y\n  condition: 1 of them", "y", true},
		{"parentheses", "  a:\n    CommandLine: x\n  b:\n    CommandLine: y\n  c:\n    Image: q\n  condition: (a or b) and c", "y", false},
		{"and binds tighter", "  a:\n    CommandLine: y\n  b:\n    CommandLine: x\n  c:\n    Image: q\n  condition: a or b and c", "y", true},
		{"list of conditions", "  a:\n    CommandLine: x\n  b:\n    CommandLine: y\n  condition:\n    - a\n    - b", "y", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, not := Parse([]byte(rule(c.detection)), "f")
			if len(got) != 1 {
				t.Fatalf("Parse: %v", not)
			}
			if m := got[0].Match(proc(c.line)); m != c.want {
				t.Errorf("Match(%q) = %v; want %v", c.line, m, c.want)
			}
			if m := len(NewSet(got, nil).Match(proc(c.line))) == 1; m != c.want {
				t.Errorf("Set.Match(%q) = %v; want %v: the prefilter loses or adds", c.line, m, c.want)
			}
		})
	}
}

// TestUnsupported: what cannot be used is named with its reason (R-MON-13).
func TestUnsupported(t *testing.T) {
	for want, doc := range map[string]string{
		"aggregation":     rule("  s:\n    Image: x\n  condition: s | count() by User > 3"),
		"timeframe":       rule("  s:\n    Image: x\n  timeframe: 5m\n  condition: s"),
		"placeholder":     rule("  s:\n    Image: '%admins%'\n  condition: s"),
		"unknown field":   rule("  s:\n    Quux: x\n  condition: s"),
		"RE2":             rule("  s:\n    CommandLine|re: '(?<=a)b'\n  condition: s"),
		"modifier":        rule("  s:\n    CommandLine|near: b\n  condition: s"),
		"unknown search":  rule("  s:\n    Image: x\n  condition: s and t"),
		"no condition":    rule("  s:\n    Image: x\n"),
		"product windows": strings.Replace(rule("  s:\n    Image: x\n  condition: s"), "linux", "windows", 1),
		"correlations":    "title: c\nid: c\ncorrelation:\n  type: event_count\n",
		"service vsftpd":  "title: c\nid: c\nlogsource:\n  product: linux\n  service: vsftpd\ndetection:\n  k:\n    - x\n  condition: k\n",
		"not readable":    "title: [",
	} {
		got, not := Parse([]byte(doc), "f")
		if len(got) != 0 || len(not) != 1 || !strings.Contains(not[0].Reason, want) {
			t.Errorf("%s: Parse = %v, %v; want it named", want, got, not)
		}
	}
}

func TestLevels(t *testing.T) {
	for word, want := range map[string]coi.Level{"low": coi.Info, "medium": coi.Warning, "high": coi.Warning, "critical": coi.High} {
		doc := strings.Replace(rule("  s:\n    Image: x\n  condition: s"), "level: high", "level: "+word, 1)
		if got, _ := Parse([]byte(doc), "f"); len(got) != 1 || got[0].Level != want {
			t.Errorf("level %s: %v; want %s", word, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(rule("  s:\n    CommandLine|contains|all:\n      - a*\n      - b?\n  condition: 1 of s* and not (s)")), "nc -e")
	f.Fuzz(func(t *testing.T, data []byte, line string) {
		got, not := Parse(data, "f")
		for _, u := range not {
			if u.Reason == "" {
				t.Error("unsupported without a reason")
			}
		}
		rec := proc(line)
		set := NewSet(got, nil)
		hits := len(set.Match(rec))
		plain := 0
		for _, r := range got {
			if r.Match(rec) {
				plain++
			}
		}
		if hits != plain {
			t.Errorf("the set gives %d matches, the rules %d", hits, plain)
		}
	})
}

// BenchmarkMatch is the budget of 20 us per exec for 500 rules.
func BenchmarkMatch(b *testing.B) {
	var all []*Rule
	for i := range 500 {
		r, _ := Parse([]byte(rule(fmt.Sprintf("  s:\n    CommandLine|contains|all:\n      - word%d\n      - ' -x '\n  condition: s", i))), "f")
		all = append(all, r...)
	}
	set := NewSet(all, nil)
	rec := proc("npm run build -- --mode production word12")
	for b.Loop() {
		set.Match(rec)
	}
}
