package launch

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
)

// block is the unit, in bytes, of what the shell of the set-up is sent after its
// first line: dd takes whole blocks off its input and leaves what follows, where
// tar and head of some images read ahead.
const block = 4096

// takeBlocks is the shell's side: so many blocks of its input, on its output.
const takeBlocks = "dd bs=4096 iflag=fullblock 2>/dev/null count="

// becomeCommand is the end of the set-up: when the host goes on, its text takes
// the place of the shell; when it closes the input, all is done.
const becomeCommand = "echo " + sayReady + "\nIFS= read -r n || exit 0\nexec 2>&3 3>&-\neval \"$(" + takeBlocks + "\"$n\")\"\n"

// blocks fills data up to whole blocks and counts them.
func blocks(data []byte, fill string) ([]byte, int) {
	if odd := len(data) % block; odd != 0 {
		data = append(slices.Clip(data), strings.Repeat(fill, block-odd)...)
	}
	return data, len(data) / block
}

// held is the shell that did the set-up and stays to become the first command:
// another exec would cost the start of another program of Incus.
type held struct {
	in      *io.PipeWriter
	out     *relay
	errs    *relay
	control chan *incus.Control
	stop    context.CancelFunc
	ended   chan struct{}
	code    int // once ended
	err     error
}

// hold starts the shell. The context ends with the launch: the shell does not.
func (s *start) hold(ctx context.Context, script string, archive []byte) *held {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	r, w := io.Pipe()
	h := &held{in: w, out: newRelay(), errs: newRelay(), control: make(chan *incus.Control, 1), stop: stop, ended: make(chan struct{})}
	go func() {
		defer close(h.ended)
		h.code, h.err = s.Door.Exec(ctx, s.spec.Record.Container, incus.Exec{
			Argv: []string{"/bin/sh", "-c", script}, Env: setupEnv,
			Stdin: io.MultiReader(bytes.NewReader(archive), r), Stdout: h.out, Stderr: h.errs,
			Control: func(c *incus.Control) {
				select {
				case h.control <- c:
				default: // of an exec that Incus lost
				}
			},
		})
		_ = r.Close()
	}()
	return h
}

// close ends a shell that is not needed: its input is over.
func (h *held) close() {
	if h != nil {
		_ = h.in.Close()
		h.stop()
	}
}

// become makes the shell the command e, whose exit code it returns as
// incus.Client.Exec does. The terminal stays with the other way.
func (h *held) become(ctx context.Context, e incus.Exec) (int, error) {
	text, n := blocks([]byte(commandText(e)), "\n")
	h.out.pass(e.Stdout)
	h.errs.pass(e.Stderr)
	if e.Control != nil {
		go func() {
			select {
			case c := <-h.control:
				e.Control(c)
			case <-h.ended:
			}
		}()
	}
	go func() {
		defer func() { _ = h.in.Close() }()
		if _, err := h.in.Write(append([]byte(strconv.Itoa(n)+"\n"), text...)); err == nil && e.Stdin != nil {
			_, _ = io.Copy(h.in, e.Stdin)
		}
	}()
	select {
	case <-h.ended:
		return h.code, h.err
	case <-ctx.Done():
		return -1, ctx.Err()
	}
}

// commandText is e as text for the shell of container root.
func commandText(e incus.Exec) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(e.Env)) {
		_, _ = fmt.Fprintf(&b, "export %s=%s\n", k, quoted(e.Env[k]))
	}
	if e.Cwd != "" {
		_, _ = fmt.Fprintf(&b, "cd %s || exit\nunset OLDPWD\n", quoted(e.Cwd))
	}
	b.WriteString(e.First + "exec")
	for _, a := range e.Argv {
		b.WriteString(" " + quoted(a))
	}
	return b.String()
}

// quoted is s as one word of POSIX sh, which knows no $'…'.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// maxSaid is how much of what the set-up says is kept, in bytes.
const maxSaid = 1 << 20

// relay keeps what is written up to the line that says ready, and passes on what
// comes after it once it knows where to.
type relay struct {
	mu    sync.Mutex
	said  []byte
	after []byte
	to    io.Writer
	ready chan struct{}
	over  bool // ready is closed
}

func newRelay() *relay { return &relay{ready: make(chan struct{})} }

// Write never fails for what the set-up says.
func (r *relay) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.to != nil:
		return r.to.Write(p)
	case r.over:
		r.after = append(r.after, p[:min(len(p), maxSaid-len(r.after))]...)
		return len(p), nil
	}
	r.said = append(r.said, p[:min(len(p), maxSaid-len(r.said))]...)
	const line = sayReady + "\n"
	if at := bytes.Index(append([]byte("\n"), r.said...), []byte("\n"+line)); at >= 0 {
		r.said, r.after, r.over = r.said[:at+len(line)], bytes.Clone(r.said[at+len(line):]), true
		close(r.ready)
	}
	return len(p), nil
}

// text is what the set-up said.
func (r *relay) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(r.said)
}

// pass sends on what came after the ready line and what will come.
func (r *relay) pass(to io.Writer) {
	if to == nil {
		to = io.Discard
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.to = to
	_, _ = to.Write(r.after)
	r.after = nil
}

// Exec runs a command in the container of the session, as incus.Client.Exec
// does. The first one takes the place of the shell that set the container up.
func (l *Live) Exec(ctx context.Context, e incus.Exec) (int, error) {
	h := l.held
	l.held = nil
	if h != nil && !e.TTY {
		return h.become(ctx, e)
	}
	h.close()
	return l.env.Door.Exec(ctx, l.Spec.Record.Container, e)
}
