package supervise

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/run"
)

// Process is a process that can be waited for without being its parent.
type Process struct {
	pid, fd int
	gone    chan struct{}
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
	p := &Process{pid: pid, fd: fd, gone: make(chan struct{})}
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
	_ = unix.Close(p.fd)
}

// The two signals of a graceful stop: systemd blocks its own and reads it from a
// descriptor, other inits catch SIGPWR (lxc, do_lxcapi_shutdown).
const (
	sigHalt  = 34 + 3 // SIGRTMIN+3
	sigPower = unix.SIGPWR
)

// Listens reports whether an init can be asked to stop: a signal that comes
// before it cares for it is lost.
func (p *Process) Listens() bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
	if err != nil {
		return true // as good as gone
	}
	var cares uint64
	for line := range strings.Lines(string(text)) {
		var set uint64
		if n, _ := fmt.Sscanf(line, "SigBlk: %x", &set); n == 1 {
			cares |= set
		}
		if n, _ := fmt.Sscanf(line, "SigCgt: %x", &set); n == 1 {
			cares |= set & (1 << (sigPower - 1))
		}
	}
	return cares&(1<<(sigHalt-1)|1<<(sigPower-1)) != 0
}
