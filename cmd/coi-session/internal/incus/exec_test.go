package incus

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// A command gets its input when its process has answered, and what it says is
// passed on without the answer.
func TestHandshake(t *testing.T) {
	for _, said := range [][]string{{"\x00", "out", "put"}, {"\x00output"}, {"", "\x00out", "put"}} {
		var got bytes.Buffer
		shake := &handshake{done: make(chan struct{})}
		out, in := &answer{to: &got, shake: shake}, &gate{shake: shake, r: strings.NewReader("go\ninput")}
		for _, s := range said {
			if n, err := out.Write([]byte(s)); n != len(s) || err != nil {
				t.Errorf("write %q = %d, %v", s, n, err)
			}
		}
		if b, err := io.ReadAll(in); string(b) != "go\ninput" || err != nil {
			t.Errorf("input after %q: %q, %v", said, b, err)
		}
		if got.String() != "output" {
			t.Errorf("output of %q: %q", said, got.String())
		}
		if shake.settle(false) {
			t.Error("given up after the answer")
		}
	}
}

// A process that answers when nobody waits any more gets no line to go on, and
// nothing of it is shown.
func TestHandshakeTooLate(t *testing.T) {
	var got bytes.Buffer
	shake := &handshake{done: make(chan struct{})}
	out, in := &answer{to: &got, shake: shake}, &gate{shake: shake, r: strings.NewReader("go\n")}
	if !shake.settle(false) {
		t.Error("an answer before the answer")
	}
	if n, err := out.Write([]byte("\x00late")); n != 5 || err != nil {
		t.Errorf("write = %d, %v", n, err)
	}
	if b, err := io.ReadAll(in); len(b) > 0 || err != nil || got.Len() > 0 {
		t.Errorf("input %q, %v, output %q; want nothing", b, err, got.String())
	}
}

// A program that says no NUL byte first loses nothing.
func TestHandshakeOfAnotherShell(t *testing.T) {
	var got bytes.Buffer
	out := &answer{to: &got, shake: &handshake{done: make(chan struct{})}}
	_, _ = io.WriteString(out, "as is")
	if got.String() != "as is" {
		t.Errorf("output: %q", got.String())
	}
}
