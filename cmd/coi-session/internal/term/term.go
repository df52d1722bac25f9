// Package term lends the terminal of this process to a program in a container:
// raw while the program runs, its size followed, and put back afterwards.
package term

import (
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// Terminal is the terminal of this process.
type Terminal struct {
	in, out *os.File
	state   *term.State
	mu      sync.Mutex
}

// Open gives the terminal when both streams are one; ok is false otherwise.
func Open(stdin, stdout any) (t *Terminal, ok bool) {
	in, okIn := stdin.(*os.File)
	out, okOut := stdout.(*os.File)
	if !okIn || !okOut || !term.IsTerminal(int(in.Fd())) || !term.IsTerminal(int(out.Fd())) {
		return nil, false
	}
	return &Terminal{in: in, out: out}, true
}

// Size is the terminal's size in cells; 80 by 24 when it does not say.
func (t *Terminal) Size() (width, height int) {
	w, h, err := term.GetSize(int(t.out.Fd()))
	if err != nil || w <= 0 || h <= 0 {
		return 80, 24
	}
	return w, h
}

// Raw switches to raw mode; restore, which may be called twice, switches back.
func (t *Terminal) Raw() (restore func(), err error) {
	state, err := term.MakeRaw(int(t.in.Fd()))
	if err != nil {
		return func() {}, err
	}
	t.state = state
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.state != nil {
			_ = term.Restore(int(t.in.Fd()), t.state)
			t.state = nil
		}
	}, nil
}

// Follow calls resize with the new size each time the window changes, and once
// at the start, until done is closed.
func (t *Terminal) Follow(done <-chan struct{}, resize func(width, height int) error) {
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, unix.SIGWINCH)
	defer signal.Stop(changed)
	for {
		if w, h := t.Size(); resize(w, h) != nil {
			return
		}
		select {
		case <-done:
			return
		case <-changed:
		}
	}
}

// Resized tells when the window changes, until done is called.
func Resized() (changed <-chan os.Signal, done func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, unix.SIGWINCH)
	return c, func() { signal.Stop(c) }
}
