package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/record"
	"github.com/code-on-incus/coi/pkg/home"
)

// Verb is the internal verb that becomes a supervisor.
const Verb = "supervise"

// Descriptors that a supervisor inherits.
const (
	fdLock    = 3 // the locked run/<c>.lock
	fdOrders  = 4
	fdReports = 5
)

// Inherited gives a supervisor the pipes of the command that started it. The
// lock stays open until the process ends.
func Inherited() (orders io.Reader, reports io.Writer) {
	for fd := fdLock; fd <= fdReports; fd++ {
		unix.CloseOnExec(fd)
	}
	return os.NewFile(fdOrders, "orders"), os.NewFile(fdReports, "reports")
}

// Link is a command's end of the pipes to the supervisor it started.
type Link struct {
	orders  *os.File
	Reports <-chan Report // closed when the supervisor is gone
}

// Spawn starts the supervisor of a container in a session of its own and hands
// it the lock, which the caller gives up by that.
func Spawn(container string, lock *home.Lock) (*Link, error) {
	ordersR, ordersW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	reportsR, reportsW, err := os.Pipe()
	if err != nil {
		_, _ = ordersR.Close(), ordersW.Close()
		return nil, err
	}
	err = start(container, lock.Fd(), ordersR, reportsW)
	_, _, _ = ordersR.Close(), reportsW.Close(), lock.Fd().Close()
	if err != nil {
		_, _ = ordersW.Close(), reportsR.Close()
		return nil, fmt.Errorf("start the supervisor: %w", err)
	}
	return &Link{orders: ordersW, Reports: lines[Report](reportsR)}, nil
}

func start(container string, extra ...*os.File) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := []string{Verb, container}
	if len(extra) > 0 {
		args = append(args, "--inherit")
	}
	cmd := exec.Command(self, args...)
	// The name decides the verb; a link named coi-run would run "run".
	cmd.Args[0] = "coi-session"
	cmd.Dir = "/"
	cmd.ExtraFiles = extra
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }()
	return nil
}

// Send gives an order. The error says that the supervisor is gone.
func (l *Link) Send(o Order) error { return send(l.orders, o) }

// Close ends the conversation: the supervisor takes it for the death of the command.
func (l *Link) Close() { _ = l.orders.Close() }

// Await reads reports, hands each to see, and returns when one with this op has
// come. The error says that the supervisor or the context ended first.
func (l *Link) Await(ctx context.Context, op string, see func(Report)) (Report, error) {
	for {
		select {
		case <-ctx.Done():
			return Report{}, ctx.Err()
		case r, ok := <-l.Reports:
			if !ok {
				return Report{}, ErrGone
			}
			if see != nil {
				see(r)
			}
			if r.Op == op {
				return r, nil
			}
		}
	}
}

// ErrGone says that the supervisor died.
var ErrGone = errors.New("the supervisor of the session is gone")

// Revive starts a supervisor for each session that has lost its own and names
// their containers.
func Revive(h home.Home) []string {
	all, err := record.All(h)
	if err != nil {
		return nil
	}
	var names []string
	for _, r := range all {
		if r.Ended != nil || r.Kind == record.Build || home.Held(record.LockPath(h, r.Container)) {
			continue
		}
		if start(r.Container) == nil {
			names = append(names, r.Container)
		}
	}
	return names
}

// Start starts a supervisor for one container that has none; a second one ends
// by itself.
func Start(container string) error { return start(container) }
