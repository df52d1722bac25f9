package cli

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

type grammar struct {
	Globals
	Format
	Name string `arg:"" optional:"" help:"A name."`
	Fail bool   `help:"Fail."`
}

func (g *grammar) Run(c *Context) error {
	if g.Fail {
		return Fail(4, "find %s: not there", g.Name).Hint("coi list --all")
	}
	return c.Table([]Column{{Name: "NAME"}, {Name: "NOTE", Flex: true}}, [][]string{{g.Name, "x\x1b[31my"}})
}

func call(args ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	s := Streams{Stdin: strings.NewReader(""), Stdout: &o, Stderr: &e, Getenv: func(string) string { return "" }}
	code = Run(context.Background(), args, s, Command{Verb: "thing", Summary: "does it", Examples: []string{"coi thing a"}, Grammar: &grammar{}})
	return code, o.String(), e.String()
}

func TestRun(t *testing.T) {
	code, out, _ := call("coi-thing", "a")
	if code != 0 || !strings.Contains(out, `x\x1b[31my`) {
		t.Errorf("run = %d, %q; want an escaped table", code, out)
	}
	code, out, errs := call("coi-thing", "--fail", "a")
	if code != 4 || out != "" || errs != "coi-thing: error: find a: not there\nhint: coi list --all\n" {
		t.Errorf("failure = %d, %q, %q", code, out, errs)
	}
	code, _, errs = call("coi-thing", "--nope")
	if code != 2 || !strings.Contains(errs, "usage: coi thing [FLAGS] [NAME]") {
		t.Errorf("wrong use = %d, %q", code, errs)
	}
	code, _, errs = call("coi-thing", "--resume")
	if code != 2 || !strings.Contains(errs, "hint: --resume is an option of coi shell\n") {
		t.Errorf("an option of another verb = %d, %q", code, errs)
	}
	code, out, _ = call("coi-thing", "--help")
	if code != 0 || !strings.Contains(out, "examples:") || !strings.Contains(out, "--format") {
		t.Errorf("help = %d, %q", code, out)
	}
	code, out, _ = call("coi-thing", "__complete", "--fo")
	if code != 0 || !strings.HasPrefix(out, "--format\t") {
		t.Errorf("completion = %d, %q", code, out)
	}
}

func TestAskOffTerminal(t *testing.T) {
	c := &Context{Context: context.Background(), Streams: Streams{Stdin: strings.NewReader("y\n"), Stderr: &bytes.Buffer{}}}
	if err := c.Ask(Consent{}, "delete it?"); err == nil {
		t.Error("a pipe answered a question")
	}
	if err := c.Ask(Consent{Yes: true}, "delete it?"); err != nil {
		t.Error(err)
	}
}

func TestEscape(t *testing.T) {
	for in, want := range map[string]string{
		"plain ä 漢": "plain ä 漢", "a\x1b]0;x\a": `a\x1b]0;x\x07`, "\u202edcba": `\u202edcba`,
		"\u009b31m": `\x9b31m`, "a\xffb": `a\xffb`, "z\u200bw": `z\u200bw`, "l\nm": `l\x0am`,
	} {
		if got := Escape(in); got != want {
			t.Errorf("Escape(%q) = %q; want %q", in, got, want)
		}
	}
}

func TestShellQuote(t *testing.T) {
	for in, want := range map[string]string{"a-b": "a-b", "": "''", "a b": "'a b'", "it's": `'it'\''s'`, "x\ny": `$'x\x0ay'`, "$(x)": "'$(x)'"} {
		if got := ShellQuote(in); got != want {
			t.Errorf("ShellQuote(%q) = %s; want %s", in, got, want)
		}
	}
}

func TestFormatTableWidths(t *testing.T) {
	cols := []Column{{Name: "NAME"}, {Name: "A"}, {Name: "WORKSPACE", Flex: true}}
	rows := [][]string{{"coi-12345678-1", "running", strings.Repeat("漢", 60)}}
	for _, w := range []int{0, 40, 59, 60, 70, 100} {
		for line := range strings.SplitSeq(FormatTable(cols, rows, w), "\n") {
			if n := len([]rune(line)); w > 0 && n > w {
				t.Errorf("width %d: line of %d: %q", w, n, line)
			}
		}
	}
}

func TestNear(t *testing.T) {
	if got := Near("shel", []string{"run", "shell", "list"}); len(got) != 1 || got[0] != "shell" {
		t.Errorf("Near = %v", got)
	}
}

func FuzzEscape(f *testing.F) {
	f.Add("a\x1b[0m\u202e")
	f.Fuzz(func(t *testing.T, s string) {
		for _, r := range Escape(s) {
			if Unprintable(r) {
				t.Fatalf("Escape(%q) leaves %U", s, r)
			}
		}
	})
}

type common struct{ Globals }

type quietGrammar struct{ common }

func (*quietGrammar) Run(c *Context) error {
	c.Note("something")
	c.Warn("careful")
	return nil
}

// The common flags hold as well where a verb embeds them through a type of its own.
func TestQuietThroughAnEmbeddedType(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"coi-thing"}, "coi-thing: note: something\ncoi-thing: warning: careful\n"},
		{[]string{"coi-thing", "-q"}, "coi-thing: warning: careful\n"},
	} {
		var out, errs bytes.Buffer
		s := Streams{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }}
		if code := Run(context.Background(), tt.args, s, Command{Verb: "thing", Grammar: &quietGrammar{}}); code != 0 || errs.String() != tt.want {
			t.Errorf("%v = %d, %q; want %q", tt.args, code, errs.String(), tt.want)
		}
	}
}
