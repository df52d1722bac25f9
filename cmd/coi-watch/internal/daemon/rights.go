package daemon

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrNoRights is a daemon that would see nothing of what it is asked to watch.
var ErrNoRights = errors.New("no right to watch anything")

// rights are the capabilities that this process has in force.
type rights uint64

// effective reads them (capget(2), version 3).
func effective() rights {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3, Pid: int32(os.Getpid())}
	var data [2]unix.CapUserData
	if unix.Capget(&head, &data[0]) != nil {
		return 0
	}
	return rights(data[0].Effective) | rights(data[1].Effective)<<32
}

func (r rights) has(capability int) bool { return r&(1<<capability) != 0 }

// weigh says what of the sensors is missing for good. What makes the rest no
// real watch is named in weak: with monitoring asked for in writing a session
// does not start then.
func (d *Daemon) weigh(r rights, files error) error {
	scan, onlyLooks := d.source.(*scanSource)
	_, kernel := d.source.(*bpfSource)
	wiring := r.has(unix.CAP_SYS_PTRACE)
	problems := d.source.problems()
	if !kernel && files != nil && !wiring {
		// What is left anybody may read: that is no watch.
		return fmt.Errorf("%w: %s; %w; descriptors need CAP_SYS_PTRACE", ErrNoRights, strings.Join(problems, "; "), files)
	}
	d.problems = append(d.problems, problems...)
	var weak []string
	if onlyLooks {
		weak = append(weak, scan.problems()...)
	}
	if !wiring {
		text := "wiring rules off: descriptors of other users' processes need CAP_SYS_PTRACE"
		d.problems, weak = append(d.problems, text), append(weak, text)
	}
	d.wiring, d.weak = wiring, strings.Join(weak, "; ")
	if files != nil {
		d.problems = append(d.problems, fmt.Sprintf("file events without the process that caused them, by inotify (%v)", files))
	}
	if os.Geteuid() != 0 && !r.has(unix.CAP_DAC_OVERRIDE) {
		d.problems = append(d.problems, "containers are frozen through Incus, later than promised: the freezer needs CAP_DAC_OVERRIDE")
	}
	return nil
}
