package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestPicture(t *testing.T) {
	var out bytes.Buffer
	if err := run([]string{"20"}, strings.NewReader("$ coi \x1b[32mok\x1b[0m <&>\n\n\n"), &out); err != nil {
		t.Fatal(err)
	}
	got := out.String()
	for _, want := range []string{`<svg `, `<tspan fill="#a3be8c">ok</tspan>`, "&lt;&amp;&gt;", "</svg>"} {
		if !strings.Contains(got, want) {
			t.Errorf("picture lacks %q:\n%s", want, got)
		}
	}
	if strings.Count(got, "<text") != 1 || strings.Contains(got, "\x1b") {
		t.Errorf("empty lines at the end or escapes are in the picture:\n%s", got)
	}
	if err := run([]string{"x"}, strings.NewReader(""), &out); err == nil {
		t.Error("x columns: no error")
	}
}
