package score

import (
	"encoding/base64"
	"fmt"
	"path"
	"strings"
	"testing"

	"mvdan.cc/sh/v3/syntax"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/replay"
)

// mutation changes how a line is written and not what it does. It returns ""
// when it does not apply.
type mutation struct {
	name string
	do   func(line string) string
}

// first cuts the first simple command's program from the rest of the line;
// ok is false when the line does not begin with a plain program.
func first(line string) (prog, rest string, ok bool) {
	prog, rest, _ = strings.Cut(line, " ")
	if strings.ContainsAny(prog, "=$'\"`(){};|&<>\\!:.") || prog == "" || program.ClassOf(prog) == program.None {
		return "", "", false
	}
	switch prog {
	case "export", "unset", "set", "history", "for", "while", "if", "exec", "cd", "eval", "trap", "source", "coproc", "declare", "read", "shopt", "trap,":
		return "", "", false
	}
	return prog, rest, true
}

func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// mutations are those of the hit-rate promise.
var mutations = []mutation{
	{"copy", func(l string) string {
		p, rest, ok := first(l)
		if !ok {
			return ""
		}
		return fmt.Sprintf("cp $(command -v %s) /tmp/qz1 && /tmp/qz1 %s", p, rest)
	}},
	{"symlink", func(l string) string {
		p, rest, ok := first(l)
		if !ok {
			return ""
		}
		return fmt.Sprintf("ln -s /usr/bin/%s /tmp/lnk7; /tmp/lnk7 %s", p, rest)
	}},
	{"proc root", func(l string) string {
		p, rest, ok := first(l)
		if !ok {
			return ""
		}
		return "/proc/self/root/usr/bin/" + p + " " + rest
	}},
	{"loader", func(l string) string {
		p, rest, ok := first(l)
		if !ok {
			return ""
		}
		return "/lib64/ld-linux-x86-64.so.2 /usr/bin/" + p + " " + rest
	}},
	{"IFS", func(l string) string {
		p, rest, ok := first(l)
		if !ok || rest == "" {
			return ""
		}
		return p + "${IFS}" + rest
	}},
	{"split quotes", func(l string) string {
		p, rest, ok := first(l)
		if !ok || len(p) < 2 {
			return ""
		}
		return p[:1] + "''" + `"` + p[1:] + `" ` + rest
	}},
	{"base64", func(l string) string {
		return "echo " + base64.StdEncoding.EncodeToString([]byte(l)) + " | base64 -d | bash"
	}},
	{"base64 in eval", func(l string) string {
		return `eval "$(printf %s ` + base64.StdEncoding.EncodeToString([]byte(l)) + ` | base64 --decode)"`
	}},
	{"script", func(l string) string { return "printf '%s\\n' " + quoted(l) + " > /tmp/s9.sh; bash /tmp/s9.sh" }},
	{"script by here-document", func(l string) string {
		return "cat > ./run.sh <<'EOS'\n#!/bin/bash\n" + l + "\nEOS\nchmod +x ./run.sh && ./run.sh"
	}},
	{"sh -c", func(l string) string { return "timeout 60 bash -c " + quoted(l) }},
	{"variables", func(l string) string {
		p, rest, ok := first(l)
		if !ok || len(p) < 2 {
			return ""
		}
		return fmt.Sprintf("a=%s;b=%s;$a$b %s", p[:1], p[1:], rest)
	}},
	{"python", func(l string) string {
		if strings.ContainsAny(l, "\\") {
			return ""
		}
		return "python3 -c " + quoted("import os; os.system("+`"""`+strings.ReplaceAll(l, `"`, `\"`)+`"""`+")")
	}},
}

// parses reports lines that are still shell.
func parses(line string) bool {
	_, err := syntax.NewParser().Parse(strings.NewReader(line), "")
	return err == nil
}

// TestMutations: at least 90 % of the hostile lines stay found under each
// change (R-MON-05).
func TestMutations(t *testing.T) {
	var must []replay.Row
	for _, r := range rows(t, "hostile.txt") {
		if r.Expect == "must" {
			must = append(must, r)
		}
	}
	for _, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			hit, all := 0, 0
			for _, r := range must {
				line := m.do(r.Cmd)
				if line == "" || !parses(line) {
					continue
				}
				all++
				if replay.Line(replay.Row{Cmd: line}, config()).Level.Rank() >= 2 {
					hit++
				} else {
					t.Logf("missed: %s", line)
				}
			}
			if all < 50 || float64(hit) < 0.9*float64(all) {
				t.Errorf("%d of %d found; bar 90 %%", hit, all)
			}
			t.Logf("%d of %d", hit, all)
		})
	}
}

// TestMutatedHonest: the same changes on honest lines, short of hiding what
// they are, pause nobody.
func TestMutatedHonest(t *testing.T) {
	harmless := map[string]bool{"script": true, "script by here-document": true, "sh -c": true, "variables": true, "split quotes": true, "IFS": true}
	for _, m := range mutations {
		if !harmless[m.name] {
			continue
		}
		for _, r := range rows(t, "honest.txt") {
			line := m.do(r.Cmd)
			if line == "" || !parses(line) {
				continue
			}
			if v := replay.Line(replay.Row{Cmd: line}, config()); v.Level.Rank() >= 2 {
				t.Errorf("%s: %s: %s (%s)", m.name, v.Level, path.Base(line), v.Findings[0].Rule)
			}
		}
	}
}
