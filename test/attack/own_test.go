//go:build attack

package attack

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
	"github.com/code-on-incus/coi/test/internal/house"
)

// capabilities are the numbers of those that the monitor's unit may name.
var capabilities = map[string]int{
	"CAP_BPF": unix.CAP_BPF, "CAP_PERFMON": unix.CAP_PERFMON, "CAP_SYS_ADMIN": unix.CAP_SYS_ADMIN, "CAP_SYS_PTRACE": unix.CAP_SYS_PTRACE,
	"CAP_DAC_READ_SEARCH": unix.CAP_DAC_READ_SEARCH, "CAP_DAC_OVERRIDE": unix.CAP_DAC_OVERRIDE, "CAP_LINUX_IMMUTABLE": unix.CAP_LINUX_IMMUTABLE,
	"CAP_FOWNER": unix.CAP_FOWNER, "CAP_CHOWN": unix.CAP_CHOWN, "CAP_KILL": unix.CAP_KILL,
}

// R-OWN-01: with the rights of its unit and nothing else, as a user, the monitor
// has all of its first sensors; it holds no more than those rights, can start no
// program, and has no socket of the network.
func TestMonitorHoldsItsRights(t *testing.T) {
	unit, err := os.ReadFile("../../packaging/systemd/coi-watch@.service")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^AmbientCapabilities=(.+)$`).FindSubmatch(unit)
	if m == nil {
		t.Fatal("the unit names no rights")
	}
	mask, words := uint64(0), []string{"-all"}
	for name := range strings.FieldsSeq(string(m[1])) {
		n, ok := capabilities[name]
		if !ok {
			t.Fatalf("the unit gives %s; the manual does not", name)
		}
		mask |= 1 << n
		words = append(words, "+"+strings.ToLower(strings.TrimPrefix(name, "CAP_")))
	}
	const user = 1000
	dir, err := os.MkdirTemp("/var/tmp", "coi-own-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	program := filepath.Join(dir, "coi-watch")
	code, err := os.ReadFile(filepath.Join(the.Bin, "coi-watch"))
	if err != nil {
		t.Fatal(err)
	}
	put(t, program, string(code), 0o755)
	for _, err := range []error{os.Chmod(dir, 0o711), os.Mkdir(dir+"/home", 0o700), os.Chown(dir+"/home", user, user)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	caps := strings.Join(words, ",")
	cmd := exec.Command("setpriv", fmt.Sprintf("--reuid=%d", user), fmt.Sprintf("--regid=%d", user), "--clear-groups", "--inh-caps="+caps, "--ambient-caps="+caps,
		"--bounding-set="+caps, "--no-new-privs", program, "run")
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + dir + "/home", "COI_HOME=" + dir + "/home"}
	cmd.Dir, cmd.Stderr = "/", os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	h := home.Home{Dir: dir + "/home", UID: user}
	var d run.Daemon
	err = house.Eventually(t.Context(), 20*time.Second, func() error {
		b, err := os.ReadFile(h.Run(run.WatchDaemonFile)) // of another user: the product would refuse it
		if err != nil {
			return err
		}
		return json.Unmarshal(b, &d)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"exec:ebpf", "connect:ebpf", "syscalls:ebpf", "file:fanotify", "fds:proc"} {
		if !strings.Contains(strings.Join(d.Sources, " "), want) {
			t.Errorf("sensors %v, problems %v; want %s", d.Sources, d.Problems, want)
		}
	}
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", d.PID))
	if err != nil || len(tasks) == 0 {
		t.Fatalf("threads of %d: %v, %v", d.PID, tasks, err)
	}
	for _, f := range tasks {
		status, err := os.ReadFile(f)
		if os.IsNotExist(err) {
			continue // the thread ended
		}
		for _, want := range []string{
			fmt.Sprintf("CapPrm:\t%016x", mask), fmt.Sprintf("CapEff:\t%016x", mask), fmt.Sprintf("CapBnd:\t%016x", mask), "NoNewPrivs:\t1", "Seccomp:\t2", fmt.Sprintf("Uid:\t%d\t%[1]d\t%[1]d\t%[1]d", user),
		} {
			if !bytes.Contains(status, []byte(want)) {
				t.Errorf("%s (%v) has no %q:\n%s", f, err, want, status)
			}
		}
	}
	sockets := map[string]bool{}
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", d.PID))
	for _, l := range links {
		if to, err := os.Readlink(l); err == nil && strings.HasPrefix(to, "socket:[") {
			sockets[strings.TrimSuffix(strings.TrimPrefix(to, "socket:["), "]")] = true
		}
	}
	for _, table := range []string{"tcp", "tcp6", "udp", "udp6", "raw", "raw6", "packet"} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", d.PID, table))
		if err != nil {
			continue // no such protocol here
		}
		for word := range strings.FieldsSeq(string(b)) {
			if sockets[word] {
				t.Errorf("the monitor has a socket of %s, inode %s", table, word)
			}
		}
	}
	if children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", d.PID)); err == nil && len(bytes.TrimSpace(children)) > 0 {
		t.Errorf("the monitor has children: %s", children)
	}
}
