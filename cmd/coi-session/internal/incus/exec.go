package incus

import (
	"bytes"
	"context"
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
// that it has started: the message with the process id and the one with the
// seccomp descriptor come over the same socket in either order (attach.c). Incus
// then says notStarted while the command runs on, without its streams. So a
// command waits for its first line of input, which Incus passes on only when it
// has the process, and a lost one ends without having run.
func (c *Client) Exec(ctx context.Context, name string, e Exec) (int, error) {
	if !e.TTY {
		e.First = "IFS= read -r _ || exit\n" + e.First
	}
	if e.First != "" {
		e.Argv = append([]string{"/bin/sh", "-c", e.First + `exec "$@"`, "sh"}, e.Argv...)
	}
	input := newRewind(e.Stdin)
	defer input.end()
	for try := 1; ; try++ {
		e.Stdin = input.turn()
		if !e.TTY {
			e.Stdin = io.MultiReader(strings.NewReader("go\n"), e.Stdin)
		}
		code, err := c.execOnce(ctx, name, e)
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

// What Incus says of a process that it lost, and how often a command is tried.
const (
	notStarted = "Failed to retrieve PID of executing child process"
	tries      = 6
)

func (c *Client) execOnce(ctx context.Context, name string, e Exec) (int, error) {
	if e.Stdout == nil {
		e.Stdout = io.Discard
	}
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
