// Package incus is the one door to Incus: the few calls that sessions need, on
// the local Unix socket, each with a deadline, each answering with our own
// small types. Nothing else in the house imports the Incus client.
package incus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	client "github.com/lxc/incus/v6/client"
	"github.com/lxc/incus/v6/shared/api"
)

// Deadlines of calls: a query answers at once or something is wrong; an
// operation may have to copy an image.
const (
	ConnectTimeout = 5 * time.Second
	QueryTimeout   = 30 * time.Second
)

// MinMajor is the oldest major version of Incus that is supported.
const MinMajor = 6

var (
	// ErrUnreachable is wrapped by errors of a missing or dead Incus.
	ErrUnreachable = errors.New("Incus is not reachable")
	// ErrDenied is wrapped when the caller may not use the Incus socket.
	ErrDenied = errors.New("no right to use Incus")
	// ErrNotFound is wrapped when the thing asked for does not exist.
	ErrNotFound = errors.New("not found")
	// ErrChanged is wrapped when somebody changed the instance since it was read.
	ErrChanged = errors.New("changed meanwhile")
	// ErrBusy is wrapped when another operation on the instance still runs.
	ErrBusy = errors.New("busy")
	// ErrExists is wrapped when the name is taken.
	ErrExists = errors.New("already exists")
)

// Client speaks with one project of one Incus.
type Client struct {
	c       client.InstanceServer
	Socket  string // path of the Unix socket
	Project string

	mu   sync.Mutex
	here *api.Server // what Incus said of itself; nil: not asked yet
}

// SocketPath is where the Incus client looks: INCUS_SOCKET, INCUS_DIR, then the
// two usual places.
func SocketPath(getenv func(string) string) string {
	if p := getenv("INCUS_SOCKET"); p != "" {
		return p
	}
	dir := getenv("INCUS_DIR")
	if dir == "" {
		dir = "/var/lib/incus"
		if _, err := os.Lstat("/run/incus/unix.socket"); err == nil {
			dir = "/run/incus"
		}
	}
	path, user := filepath.Join(dir, "unix.socket"), filepath.Join(dir, "unix.socket.user")
	if !writable(path) && writable(user) {
		return user // the restricted socket of members of the group "incus"
	}
	return path
}

func writable(path string) bool { return syscall.Access(path, 2) == nil }

// Connect opens the socket within ConnectTimeout. Nothing is asked of Incus
// yet; Server does that. Errors wrap ErrUnreachable or ErrDenied.
func Connect(ctx context.Context, socket, project string) (*Client, error) {
	d := net.Dialer{Timeout: ConnectTimeout}
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		if errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EPERM) {
			return nil, fmt.Errorf("%s: %w", socket, ErrDenied)
		}
		return nil, fmt.Errorf("%s: %w: %w", socket, ErrUnreachable, cause(err))
	}
	_ = conn.Close()
	// The server's self-description is long and its event socket is not needed:
	// operations are waited for by their own call.
	// Its context outlives this call: a caller may connect under a deadline.
	c, err := client.ConnectIncusUnixWithContext(context.WithoutCancel(ctx), socket, &client.ConnectionArgs{SkipGetServer: true, SkipGetEvents: true, UserAgent: "coi"})
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", socket, ErrUnreachable, err)
	}
	if project == "" {
		project = "default"
		if strings.HasSuffix(socket, ".user") {
			project = "user-" + strconv.Itoa(os.Geteuid())
		}
	}
	return &Client{c: c.UseProject(project), Socket: socket, Project: project}, nil
}

func cause(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

// Version asks Incus for its version. A daemon that accepts the connection
// and never answers counts as unreachable after ConnectTimeout.
func (c *Client) Version(ctx context.Context) (string, error) {
	ctx, stop := context.WithTimeout(ctx, ConnectTimeout)
	defer stop()
	s, err := c.server(ctx)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return "", fmt.Errorf("%s: %w: no answer within %s", c.Socket, ErrUnreachable, ConnectTimeout)
		}
		return "", err
	}
	if s.Auth != "trusted" {
		return "", fmt.Errorf("%s: %w", c.Socket, ErrDenied)
	}
	return s.Environment.ServerVersion, nil
}

func (c *Client) server(ctx context.Context) (*api.Server, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.here != nil {
		return c.here, nil
	}
	s, err := call(ctx, func() (*api.Server, error) { s, _, err := c.c.GetServer(); return s, err })
	if err == nil {
		c.here = s
	}
	return s, err
}

// Member is the name of this machine in its Incus cluster, empty when there is
// no cluster.
func (c *Client) Member(ctx context.Context) (string, error) {
	s, err := c.server(ctx)
	if err != nil || !s.Environment.ServerClustered {
		return "", err
	}
	return s.Environment.ServerName, nil
}

// away is the location of an instance when that is another machine than this
// one. Who cannot say where it is gets an error: guards of another machine know
// nothing of what is wanted here.
func (c *Client) away(ctx context.Context, location string) (string, error) {
	if location == "" || location == "none" {
		return "", nil
	}
	here, err := c.Member(ctx)
	if err == nil && here == "" {
		c.forget() // this machine joined a cluster since it was asked
		here, err = c.Member(ctx)
	}
	if err != nil {
		return "", fmt.Errorf("which member of the cluster is this: %w", err)
	}
	if location == here {
		return "", nil
	}
	return location, nil
}

func (c *Client) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.here = nil
}

// Supported reports whether a version is at least MinMajor.
func Supported(version string) bool {
	major, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(major)
	return err == nil && n >= MinMajor
}

// call runs a blocking call of the client, which knows no context, and gives up
// waiting when the context ends.
func call[T any](ctx context.Context, f func() (T, error)) (T, error) {
	return callOr(ctx, f, func(T) {})
}

// callOr is call that gives a result which comes too late to drop.
func callOr[T any](ctx context.Context, f func() (T, error), drop func(T)) (T, error) {
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)
	go func() { v, err := f(); done <- result{v, err} }()
	select {
	case <-ctx.Done():
		go func() {
			if r := <-done; r.err == nil {
				drop(r.v)
			}
		}()
		var zero T
		return zero, ctx.Err()
	case r := <-done:
		return r.v, classify(r.err)
	}
}

// query is call with QueryTimeout.
func query[T any](ctx context.Context, f func() (T, error)) (T, error) {
	ctx, stop := context.WithTimeout(ctx, QueryTimeout)
	defer stop()
	return call(ctx, f)
}

// operate starts an operation and waits for its end. When the context ends
// first, Incus goes on with it; the caller has to look what became of it.
func operate(ctx context.Context, start func() (client.Operation, error)) error {
	_, err := call(ctx, func() (struct{}, error) {
		op, err := start()
		if err != nil {
			return struct{}{}, err
		}
		err = op.Wait()
		if api.StatusErrorCheck(err, http.StatusNotFound) {
			// It is the operation that is not found, not what it works on.
			err = fmt.Errorf("%w: it was started again while it worked: %s", ErrUnreachable, err.Error())
		}
		return struct{}{}, err
	})
	return err
}

func classify(err error) error {
	var opErr *net.OpError
	switch {
	case err == nil:
		return nil
	case api.StatusErrorCheck(err, http.StatusNotFound):
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case api.StatusErrorCheck(err, http.StatusPreconditionFailed):
		return fmt.Errorf("%w: %w", ErrChanged, err)
	case strings.Contains(err.Error(), "is busy running"):
		return fmt.Errorf("%w: %w", ErrBusy, err)
	case api.StatusErrorCheck(err, http.StatusConflict), strings.Contains(err.Error(), "already exists"), strings.Contains(err.Error(), "UNIQUE constraint failed"):
		return fmt.Errorf("%w: %w", ErrExists, err)
	case api.StatusErrorCheck(err, http.StatusForbidden):
		return fmt.Errorf("%w: %w", ErrDenied, err)
	case errors.As(err, &opErr), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return err
}
