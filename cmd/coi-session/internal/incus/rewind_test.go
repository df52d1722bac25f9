package incus

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestRewindReadsAgainFromTheStart(t *testing.T) {
	w := newRewind(strings.NewReader("one two"))
	defer w.end()
	first := w.turn()
	if _, err := io.ReadFull(first, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	second := w.turn()
	if n, err := first.Read(make([]byte, 4)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("the turn that is over read %d bytes, %v; want EOF", n, err)
	}
	if got, err := io.ReadAll(second); string(got) != "one two" || err != nil {
		t.Errorf("second turn = %q, %v; want the whole input", got, err)
	}
}

// What a lost command has begun to wait for goes to the next one.
func TestRewindGivesWaitingInputToTheNextTurn(t *testing.T) {
	in, out := io.Pipe()
	w := newRewind(in)
	defer w.end()
	ended := make(chan error)
	first := w.turn()
	go func() { _, err := first.Read(make([]byte, 1)); ended <- err }()
	second := w.turn()
	if err := <-ended; !errors.Is(err, io.EOF) {
		t.Errorf("the waiting turn ended with %v; want EOF", err)
	}
	go func() { _, _ = io.WriteString(out, "x"); _ = out.Close() }()
	if got, err := io.ReadAll(second); string(got) != "x" || err != nil {
		t.Errorf("second turn = %q, %v; want x", got, err)
	}
}

func TestRewindKeepsABoundedStart(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789abcdef"), 8*keep/16)
	w := newRewind(bytes.NewReader(want))
	defer w.end()
	got, err := io.ReadAll(w.turn())
	if !bytes.Equal(got, want) || err != nil {
		t.Errorf("read %d bytes, %v; want %d", len(got), err, len(want))
	}
	if w.whole() || len(w.data) > keep+64<<10 {
		t.Errorf("whole %v with %d bytes kept; want the start given up", w.whole(), len(w.data))
	}
}
