package supervise

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/run"
)

// Process is a process that can be waited for without being its parent.
type Process struct{ fd int }

// OpenProcess takes hold of a process by pid (pidfd_open(2), Linux 5.3; it
// needs no right over the process). startTime, when not 0, must match.
func OpenProcess(pid int, startTime uint64) (*Process, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("pidfd of %d: %w", pid, err)
	}
	if startTime != 0 && run.StartTime(pid) != startTime {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("pidfd of %d: %w", pid, unix.ESRCH)
	}
	return &Process{fd}, nil
}

// Gone returns a channel that is closed when the process has ended. For the
// init of a container that means that all its processes have: the kernel kills
// and reaps them before init itself is gone.
func (p *Process) Gone() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		fds := []unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}
		for {
			if _, err := unix.Poll(fds, -1); !errors.Is(err, unix.EINTR) {
				break
			}
		}
		_ = unix.Close(p.fd)
	}()
	return done
}

// waitGone waits for a channel of Gone or the end of the context.
func waitGone(ctx context.Context, gone <-chan struct{}) error {
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
