package incus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	client "github.com/lxc/incus/v6/client"
	"github.com/lxc/incus/v6/shared/api"
)

// Exec is a command to run in an instance.
type Exec struct {
	Argv          []string
	First         string // of /bin/sh, run ahead of Argv by the same user; "" or whole lines
	Env           map[string]string
	Cwd           string
	UID, GID      int
	Stdin         io.Reader // nil: empty
	Stdout        io.Writer // nil: dropped
	Stderr        io.Writer
	TTY           bool // one terminal instead of three streams
	Twice         bool // with TTY: no harm if it runs twice
	Width, Height int
	// Control, when set, gets the handle of the running command as soon as
	// there is one.
	Control func(*Control)
}

// Control sends signals and window sizes to a running command.
type Control struct {
	mu   sync.Mutex
	conn *websocket.Conn
}

// Signal sends a signal by its number to the command's process.
func (c *Control) Signal(n int) error {
	return c.send(api.InstanceExecControl{Command: "signal", Signal: n})
}

// Resize sets the size of the command's terminal in cells.
func (c *Control) Resize(width, height int) error {
	return c.send(api.InstanceExecControl{
		Command: "window-resize",
		Args:    map[string]string{"width": strconv.Itoa(width), "height": strconv.Itoa(height)},
	})
}

func (c *Control) send(m api.InstanceExecControl) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn.WriteJSON(m)
}

// Exec runs a command and returns its exit code, 128+N when signal N killed it,
// after all its output was delivered. An error means that the code is not
// known: the command could not start, or the connection broke. When the context
// ends first the command goes on inside.
//
// Where system calls of the instance are intercepted, liblxc can lose a process
// that it has started (attach.c). Incus then says notStarted while the command
// runs on without its streams, or waits for its end and says nothing: for one
// process when two messages come over one socket in the other order, for every
// process when the instance made such a call while Incus was away (seccomp.c
// gives its connection up for good). So a process first says a NUL byte, which
// comes only if Incus has it, and a command without a terminal then waits for a
// line of input; a lost one ends without having run. An instance that is not
// frozen and starts nothing within answerTime is asked to make such a call by a
// file (KnockPath), and the command is tried again; then the error wraps
// ErrSilent.
func (c *Client) Exec(ctx context.Context, name string, e Exec) (int, error) {
	begin := `printf '\000'` + "\n"
	if !e.TTY {
		begin += "IFS= read -r _ || exit\n"
	}
	e.Argv = append([]string{"/bin/sh", "-c", begin + e.First + `exec "$@"`, "sh"}, e.Argv...)
	input := newRewind(e.Stdin)
	defer input.end()
	patience := answerTime
	if !e.TTY || e.Twice {
		patience = doubtTime
	}
	for try := 1; ; try++ {
		code, err := c.execAnswered(ctx, name, e, input.turn(), patience)
		if errors.Is(err, ErrSilent) && patience == doubtTime {
			_ = c.knock(ctx, name) // what comes of it, the next try shows
			patience = answerTime
			continue
		}
		if err == nil || try == tries || !strings.Contains(err.Error(), notStarted) || e.TTY && !e.Twice || !input.whole() {
			return code, err
		}
		select {
		case <-ctx.Done():
			return -1, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// KnockPath is watched by systemd in images of coi (coi-knock.path): when the
// file changes, it makes a system call that is intercepted, and then copies the
// file to knockedPath.
const (
	KnockPath   = "/run/coi/knock"
	knockedPath = "/run/coi/knocked"
	knockTime   = 5 * time.Second
)

// knock has such a call made.
func (c *Client) knock(ctx context.Context, name string) error {
	ctx, stop := context.WithTimeout(ctx, knockTime)
	defer stop()
	f, err := c.Files(ctx, name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	word := strconv.FormatInt(time.Now().UnixNano(), 36)
	if err := f.Write(KnockPath, 0o600, 0, strings.NewReader(word)); err != nil {
		return err
	}
	for {
		if got, err := f.Head(knockedPath, int64(len(word))); err == nil && string(got) == word {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// execAnswered is one try. It gives up when no process answers.
func (c *Client) execAnswered(ctx context.Context, name string, e Exec, input io.Reader, patience time.Duration) (int, error) {
	within, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	shake := &handshake{done: make(chan struct{})}
	defer context.AfterFunc(within, func() { shake.settle(false) })()
	e.Stdout, e.Stdin = &answer{to: e.Stdout, shake: shake}, input
	if !e.TTY {
		e.Stdin = &gate{shake: shake, r: io.MultiReader(strings.NewReader("go\n"), input)}
	}
	go func() {
		for {
			select {
			case <-shake.done:
				return
			case <-time.After(patience):
			}
			if st, err := c.State(within, name); err == nil && st.Status == "Frozen" {
				continue
			}
			if shake.settle(false) {
				stop(fmt.Errorf("%w within %s", ErrSilent, patience))
			}
			return
		}
	}()
	code, err := c.execOnce(within, name, e)
	if errors.Is(err, context.Canceled) && ctx.Err() == nil {
		err = context.Cause(within)
	}
	return code, err
}

// ErrSilent is wrapped when an instance runs and Incus starts nothing in it.
var ErrSilent = errors.New("Incus started no program in it")

// How long Incus may take to start a program, a hundred times as long as it
// does, and when it is asked a second time.
const (
	answerTime = 10 * time.Second
	doubtTime  = 3 * time.Second
)

// handshake is settled once: the process has answered, or nobody waits for it
// any more. Never both, or a command would run that is reported as not begun.
type handshake struct {
	once     sync.Once
	answered bool // to be read when done is closed
	done     chan struct{}
}

// settle reports whether that is how it was settled.
func (h *handshake) settle(answered bool) bool {
	h.once.Do(func() {
		h.answered = answered
		close(h.done)
	})
	return h.answered == answered
}

// answer takes the first byte off the output of a process; of one that answers
// too late it drops everything.
type answer struct {
	to    io.Writer // nil: dropped
	shake *handshake
	begun bool
}

func (a *answer) Write(p []byte) (int, error) {
	n := len(p)
	if !a.begun && n > 0 {
		a.begun = true
		if p[0] == 0 {
			p = p[1:]
		}
	}
	if n == 0 || !a.shake.settle(true) || a.to == nil || len(p) == 0 {
		return n, nil
	}
	if _, err := a.to.Write(p); err != nil {
		return 0, err
	}
	return n, nil
}

// gate is an input that begins with the answer, and is empty without one.
type gate struct {
	shake *handshake
	r     io.Reader
}

func (g *gate) Read(p []byte) (int, error) {
	<-g.shake.done
	if !g.shake.answered {
		return 0, io.EOF
	}
	return g.r.Read(p)
}

// What Incus says of a process that it lost, and how often a command is tried.
const (
	notStarted = "Failed to retrieve PID of executing child process"
	tries      = 6
)

func (c *Client) execOnce(ctx context.Context, name string, e Exec) (int, error) {
	if e.Stderr == nil {
		e.Stderr = io.Discard
	}
	req := api.InstanceExecPost{
		Command: e.Argv, WaitForWS: true, Interactive: e.TTY, Environment: e.Env,
		Width: e.Width, Height: e.Height, User: uint32(e.UID), Group: uint32(e.GID), Cwd: e.Cwd,
	}
	args := &client.InstanceExecArgs{Stdin: e.Stdin, Stdout: e.Stdout, Stderr: e.Stderr, DataDone: make(chan bool)}
	if e.Control != nil {
		args.Control = func(conn *websocket.Conn) { e.Control(&Control{conn: conn}) }
	}
	return call(ctx, func() (int, error) {
		op, err := c.c.ExecInstance(name, req, args)
		if err != nil {
			return -1, err
		}
		if err := op.Wait(); err != nil {
			// Incus makes an error of these two codes, which any program may
			// end with; the code counts.
			for code, words := range map[int]string{126: "Command not executable", 127: "Command not found"} {
				if err.Error() == words {
					<-args.DataDone
					return code, nil
				}
			}
			return -1, err
		}
		<-args.DataDone
		code, _ := op.Get().Metadata["return"].(float64)
		return int(code), nil
	})
}

// Output is Exec with the output kept, at most limit bytes of each stream.
func (c *Client) Output(ctx context.Context, name string, e Exec, limit int) (stdout, stderr []byte, code int, err error) {
	out, errs := &capped{left: limit}, &capped{left: limit}
	e.Stdout, e.Stderr = out, errs
	code, err = c.Exec(ctx, name, e)
	return out.Bytes(), errs.Bytes(), code, err
}

// capped keeps the first bytes written to it and swallows the rest.
type capped struct {
	bytes.Buffer
	left int
}

func (c *capped) Write(p []byte) (int, error) {
	n := min(len(p), c.left)
	c.left -= n
	_, _ = c.Buffer.Write(p[:n])
	return len(p), nil
}
