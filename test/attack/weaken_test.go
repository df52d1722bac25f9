//go:build attack

package attack

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
	"github.com/code-on-incus/coi/test/internal/house"
)

// weakened is the variable with what this program gives up before it becomes
// another: numbers of capabilities after "cap:", words of refused after "call:".
const weakened = "COI_TEST_WEAKENED"

// refused are system calls that fail with EPERM for good, as on a kernel without
// the feature. An argument narrows it: socket(AF_NETLINK, x, NETLINK_CONNECTOR).
var refused = map[string]struct {
	nr       uint32
	arg, val uint32 // arg 0: whatever the arguments
}{
	"bpf":       {nr: unix.SYS_BPF},
	"fanotify":  {nr: unix.SYS_FANOTIFY_INIT},
	"connector": {nr: unix.SYS_SOCKET, arg: 2, val: unix.NETLINK_CONNECTOR},
}

// weaken gives up what the variable names and becomes the program of the arguments.
func weaken(what string) error {
	runtime.LockOSThread()
	var filter []unix.SockFilter
	for w := range strings.FieldsSeq(what) {
		kind, name, _ := strings.Cut(w, ":")
		if kind == "cap" {
			n, err := strconv.Atoi(name)
			if err != nil {
				return err
			}
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(n), 0, 0, 0); err != nil {
				return fmt.Errorf("drop capability %d: %w", n, err)
			}
			continue
		}
		c := refused[name]
		rest := uint8(1)
		if c.arg > 0 {
			rest = 3
		}
		filter = append(filter, unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}, // seccomp_data.nr
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: rest, K: c.nr})
		if c.arg > 0 {
			filter = append(filter, unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 16 + 8*c.arg},
				unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: c.val})
		}
		filter = append(filter, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)})
	}
	if len(filter) > 0 {
		filter = append(filter, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
		prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
		if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog)), 0, 0); err != nil {
			return fmt.Errorf("filter: %w", err)
		}
	}
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, weakened+"=") })
	return syscall.Exec(os.Args[1], os.Args[1:], env)
}

// endWatch ends the monitor of this house.
func endWatch(t *testing.T) {
	t.Helper()
	err := house.Eventually(t.Context(), 10*time.Second, func() error {
		var d run.Daemon
		if run.Read(the.Home.Run(run.WatchDaemonFile), &d) == nil && run.StartTime(d.PID) == d.StartTime && d.PID > 0 {
			_ = unix.Kill(d.PID, unix.SIGKILL)
		}
		if home.Held(the.Home.Run(run.WatchLock)) {
			return errors.New("the monitor still runs")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// weakWatch replaces the monitor of this house by one that gave up what is named,
// until the test ends, and returns what it says of itself.
func weakWatch(t *testing.T, what string) run.Daemon {
	t.Helper()
	endWatch(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := the.Home.Ensure(the.Home.Run()); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, filepath.Join(the.Bin, "coi-watch"), "run")
	cmd.Env = append(the.Env(), weakened+"="+what)
	cmd.Dir, cmd.Stderr = "/", os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	var d run.Daemon
	err = house.Eventually(t.Context(), 20*time.Second, func() error {
		d = run.Daemon{}
		if err := run.Read(the.Home.Run(run.WatchDaemonFile), &d); err != nil {
			return err
		}
		if d.PID != cmd.Process.Pid {
			return fmt.Errorf("the state file is of %d; want %d", d.PID, cmd.Process.Pid)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// weakCoi runs coi after it gave up what is named, and with it the monitor that it starts.
func weakCoi(t *testing.T, dir, what string, args ...string) house.Result {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), self, append([]string{filepath.Join(the.Bin, "coi")}, args...)...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = append(the.Env(), weakened+"="+what), dir, &out, &errs
	cmd.WaitDelay = 5 * time.Second
	err = cmd.Run()
	r := house.Result{Args: args, Stdout: out.String(), Stderr: errs.String()}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		r.Code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return r
}

// incusSays compares the state that Incus shows.
func incusSays(container, want string) error {
	out, err := exec.Command("incus", "list", "-f", "csv", "-c", "s", "^"+container+"$").Output()
	if got := strings.TrimSpace(string(out)); err != nil || got != want {
		return fmt.Errorf("state %q, %w; want %s", got, err, want)
	}
	return nil
}
