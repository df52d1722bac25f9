package supervise

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/run"
)

// Process is a process that can be waited for without being its parent.
type Process struct {
	mu   sync.Mutex
	fd   int // -1 when it has ended and Gone has seen it
	gone chan struct{}
}

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
	p := &Process{fd: fd, gone: make(chan struct{})}
	go p.wait()
	return p, nil
}

// Gone returns a channel that is closed when the process has ended. For the
// init of a container that means that all its processes have: the kernel kills
// and reaps them before init itself is gone.
func (p *Process) Gone() <-chan struct{} { return p.gone }

func (p *Process) wait() {
	defer close(p.gone)
	fds := []unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(fds, -1); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = unix.Close(p.fd)
	p.fd = -1
}

// Kill ends the process at once; the error is the kernel's, EPERM where it
// belongs to somebody else.
func (p *Process) Kill() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fd < 0 {
		return unix.ESRCH
	}
	return unix.PidfdSendSignal(p.fd, unix.SIGKILL, nil, 0)
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
