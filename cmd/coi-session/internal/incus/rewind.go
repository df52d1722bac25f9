package incus

import (
	"bytes"
	"io"
	"sync"
)

// keep is how much of an input can be read again from its start, in bytes.
const keep = 64 << 10

// rewind lets a second try read an input that the first has begun to read.
type rewind struct {
	mu     sync.Mutex
	moved  sync.Cond
	data   []byte // of the input, from base on
	base   int
	err    error
	wanted bool // the current turn waits for more
	turns  int
	ended  bool
}

// newRewind reads src on demand; nil is an empty input.
func newRewind(src io.Reader) *rewind {
	if src == nil {
		src = bytes.NewReader(nil)
	}
	w := &rewind{}
	w.moved.L = &w.mu
	go w.pump(src)
	return w
}

func (w *rewind) pump(src io.Reader) {
	buf := make([]byte, 32<<10)
	for w.await() {
		n, err := src.Read(buf)
		w.mu.Lock()
		w.data, w.err, w.wanted = append(w.data, buf[:n]...), err, false
		w.moved.Broadcast()
		w.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// await is false when nobody will ask any more.
func (w *rewind) await() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for !w.wanted && !w.ended {
		w.moved.Wait()
	}
	return !w.ended
}

// turn is the input from its start; the turn before it ends.
func (w *rewind) turn() io.Reader {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turns++
	w.moved.Broadcast()
	return &turn{w: w, number: w.turns}
}

// whole reports whether another turn would see the input from its start.
func (w *rewind) whole() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.base == 0
}

func (w *rewind) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	w.moved.Broadcast()
}

type turn struct {
	w      *rewind
	number int
	at     int
}

func (t *turn) Read(p []byte) (int, error) {
	w := t.w
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		switch {
		case w.ended || w.turns != t.number:
			return 0, io.EOF
		case t.at-w.base < len(w.data):
			n := copy(p, w.data[t.at-w.base:])
			t.at += n
			if t.at > keep {
				w.data, w.base = w.data[t.at-w.base:], t.at
			}
			return n, nil
		case w.err != nil:
			return 0, w.err
		}
		w.wanted = true
		w.moved.Broadcast()
		w.moved.Wait()
	}
}
