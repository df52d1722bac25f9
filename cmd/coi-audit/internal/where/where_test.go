package where

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"
)

const line = `{"v":1,"port":443,"exe":"/usr/bin/curl","argv":["curl","-s"],"n":{"value":1000.5},"argv_cut":true,"off":false,"nil":null,"ts":"2026-05-22T10:00:00Z","chain":[{"exe":"/usr/bin/node","pid":7}],"name":"a b","zero":0,"text":"x && y"}`

var now = time.Date(2026, 5, 22, 12, 0, 0, 0, time.UTC)

// T-A-07: the grammar, one row for each of its parts.
func TestMatch(t *testing.T) {
	for expr, want := range map[string]bool{
		`port == 443`: true, `port != 443`: false, `port < 443`: false, `port <= 443`: true, `port > 9`: true, `port >= 1000`: false, `port==443`: true,
		`exe ~ "curl|wget"`: true, `exe !~ curl`: false, `exe ~ 'bin/c'`: true, `exe == /usr/bin/curl`: true, `exe < "/usr/bin/z"`: true,
		`n.value > 1000`: true, `n.value == 1000.50`: true, `argv.1 == -s`: true, `argv.# == 2`: true, `argv ~ curl`: true,
		`chain.#(exe=="/usr/bin/node")`: true, `chain.#(exe=="/usr/bin/node").pid == 7`: true, `chain.#(exe=="x")`: false,
		`argv_cut`: true, `off`: false, `!off`: true, `missing`: false, `!missing`: true, `nil`: false, `!nil`: true, `nil == null`: true, `port == null`: false,
		`zero`: true, `argv_cut == true`: true, `off == false`: true, `off != true`: true,
		`missing == 1`: false, `missing != 1`: false, `missing !~ x`: false, `missing < 1`: false,
		`port == 443 && exe ~ wget`: false, `port == 1 || exe ~ curl`: true, `port == 1 && port == 2 || port == 443`: true, `port == 443 || port == 1 && port == 2`: true,
		`ts > 2026-05-22T09:00:00+00:00`: true, `ts < '2026-05-22T12:30:00+02:00'`: true, `ts < '2026-05-22T12:00:00+02:00'`: false, `ts > 3h`: true, `ts > 1h`: false,
		`name == "a b"`: true, `text == "x && y"`: true, `name == 'it\'s'`: false, `port == "443"`: true, `exe != 5`: true,
	} {
		e, err := Parse(expr, now)
		if err != nil {
			t.Errorf("Parse(%s): %v", expr, err)
			continue
		}
		if got := e.Match([]byte(line)); got != want {
			t.Errorf("%s is %v; want %v", expr, got, want)
		}
		if got := e.MatchOwn([]byte(line)); got != want {
			t.Errorf("%s is %v by the short way; want %v", expr, got, want)
		}
	}
}

func TestBadExpressions(t *testing.T) {
	for expr, at := range map[string]int{
		``: 0, `port ==`: 7, `== 3`: 0, `port == 3 &&`: 12, `port == 3 port`: 10, `port = 3`: 5, `exe ~ "(`: 6, `exe ~ "("`: 6, `a.#(b`: 5, `a)`: 1,
		`port == "x`: 8, `!`: 1, `a && || b`: 5, `a & b`: 2,
	} {
		_, err := Parse(expr, now)
		var bad *Error
		if !errors.As(err, &bad) {
			t.Errorf("Parse(%q) = %v; want an error of this package", expr, err)
			continue
		}
		if bad.At != at {
			t.Errorf("Parse(%q) blames byte %d (%v); want %d", expr, bad.At, err, at)
		}
	}
}

// T-A-07: the same answers as jq.
func TestEqualToJQ(t *testing.T) {
	records := []string{
		line, `{"port":"443","exe":"x"}`, `{"port":80,"exe":"/bin/wget","uid":0}`, `{"exe":"/usr/bin/curl"}`, `{"port":443,"exe":"/bin/sh","n":{"value":5},"uid":0}`,
		`{"n":{"value":1e3},"exe":"curl\u0031"}`, `{"exe":null,"port":-1}`, `{"a":{"b":[1,2,{"c":"d"}]}}`, `{}`,
	}
	for ours, theirs := range map[string]string{
		`port == 443`:                          `.port == 443`,
		`port > 100`:                           `(.port|type) == "number" and .port > 100`,
		`n.value >= 1000`:                      `(.n.value|type) == "number" and .n.value >= 1000`,
		`exe ~ "curl|wget" && port != 443`:     `((.exe // "")|test("curl|wget")) and has("port") and .port != 443`,
		`uid == 0`:                             `.uid == 0`,
		`exe == "/bin/sh" || a.b.2.c == d`:     `.exe == "/bin/sh" or .a.b[2].c? == "d"`,
		`!port`:                                `.port|not`,
		`exe`:                                  `.exe`,
		`exe ~ "1$" || uid == 0 && port == 80`: `((.exe // "")|test("1$")) or .uid == 0 and .port == 80`,
	} {
		e, err := Parse(ours, now)
		if err != nil {
			t.Fatal(err)
		}
		// "443" as a text is not 443 for jq; for us a text is compared as text.
		var got []string
		for _, r := range records {
			if strings.Contains(r, `"443"`) && strings.Contains(ours, "port") {
				continue
			}
			if e.Match([]byte(r)) {
				got = append(got, r)
			}
		}
		in := []string{}
		for _, r := range records {
			if !(strings.Contains(r, `"443"`) && strings.Contains(ours, "port")) {
				in = append(in, r)
			}
		}
		cmd := exec.Command("jq", "-rc", "select("+theirs+")|tostring|length")
		cmd.Stdin = strings.NewReader(strings.Join(in, "\n"))
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("jq (this test needs it) select(%s): %v", theirs, err)
		}
		if n := strings.Count(string(out), "\n"); n != len(got) {
			t.Errorf("%s finds %d records, jq %d:\n%s", ours, len(got), n, strings.Join(got, "\n"))
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{`a == 1`, `a ~ "x" || !b`, `chain.#(exe=="x")`, `a && `, `"`, `a\.b`, `a.@this|b`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := Parse(s, now)
		if err != nil {
			var bad *Error
			if !errors.As(err, &bad) || bad.At < 0 || bad.At > len(s) {
				t.Fatalf("Parse(%q) = %#v", s, err)
			}
			return
		}
		_ = e.Match([]byte(line))
	})
}
