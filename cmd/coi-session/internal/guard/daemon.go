// Package guard asks the two guards of a container, the firewall and the
// monitor, to do something, and waits until they say it is done. It speaks with
// them through the files of ~/.coi/run only, and starts a guard that does not
// run where it has the right to.
package guard

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// AnswerTimeout is how long a guard may take to answer.
const AnswerTimeout = 5 * time.Second

// Kind is one of the two guards.
type Kind struct {
	Program string // name of its binary
	Lock    string // its lock in ~/.coi/run
	State   string // its state file there
	Log     string // where its own words go, in ~/.coi/logs
	Caps    []uintptr
}

// The guards.
var (
	Netguard = Kind{"coi-netguard", run.NetguardLock, run.NetguardFile, "network.log", []uintptr{unix.CAP_NET_ADMIN}}
	Watcher  = Kind{"coi-watch", run.WatchLock, run.WatchDaemonFile, "watch.log", []uintptr{unix.CAP_BPF, unix.CAP_PERFMON, unix.CAP_SYS_ADMIN}}
)

// Daemon is a guard that was found running or was started.
type Daemon struct {
	Kind
	log  string
	mu   sync.Mutex
	gone error         // why it ended, when we started it and it did
	done chan struct{} // closed when it ended; nil when it ran already
}

// Alive reports whether a guard of this home holds its lock.
func Alive(h home.Home, k Kind) bool { return home.Held(h.Run(k.Lock)) }

// Unavailable says why a guard does not run and what to do about it.
type Unavailable struct{ Program, Why, Hint string }

func (u *Unavailable) Error() string { return u.Program + ": " + u.Why }

// Ensure finds the guard running or starts it in a session of its own. It does
// not wait for it to be ready: the answer to the first request shows that. The
// error is an Unavailable.
func Ensure(h home.Home, k Kind, getenv func(string) string) (*Daemon, error) {
	d := &Daemon{Kind: k, log: h.Path("logs", k.Log)}
	if Alive(h, k) {
		return d, nil
	}
	if underSystemd() && h.Custom == "" && os.Geteuid() != 0 {
		return nil, &Unavailable{k.Program, "it does not run", fmt.Sprintf("sudo systemctl start %s@%s", k.Program, getenv("USER"))}
	}
	path, err := findProgram(k.Program)
	if err != nil {
		return nil, &Unavailable{k.Program, err.Error(), "make install, or coi health"}
	}
	if !mayStart(path) {
		return nil, &Unavailable{k.Program, "it does not run and you may not start it", "coi health --fix"}
	}
	if err := d.start(h, path, getenv); err != nil {
		return nil, &Unavailable{k.Program, "cannot be started: " + err.Error(), "coi health"}
	}
	return d, nil
}

func underSystemd() bool {
	_, err := os.Lstat("/run/systemd/system")
	return err == nil
}

// findProgram looks beside our own executable, then in ../libexec/coi. PATH is
// never asked: a guard must be the one that was installed with us.
func findProgram(name string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	if self, err = filepath.EvalSymlinks(self); err != nil {
		return "", err
	}
	dir := filepath.Dir(self)
	for _, p := range []string{filepath.Join(dir, name), filepath.Join(dir, "..", "libexec", "coi", name)} {
		if st, err := os.Stat(p); err == nil && st.Mode().IsRegular() && st.Mode().Perm()&0o111 != 0 {
			return filepath.Clean(p), nil
		}
	}
	return "", fmt.Errorf("not found beside %s", self)
}

// mayStart: root may, and so may anybody whose binary carries file capabilities.
func mayStart(path string) bool {
	if os.Geteuid() == 0 {
		return true
	}
	n, err := unix.Getxattr(path, "security.capability", nil)
	return err == nil && n > 0
}

// passed are the variables a guard gets; everything else of the caller's shell
// stays out of a process that outlives it.
var passed = []string{"HOME", "USER", "PATH", "COI_HOME", "COI_CONTAINER_PREFIX", "INCUS_SOCKET", "INCUS_DIR", "TZ", "LANG"}

func (d *Daemon) start(h home.Home, path string, getenv func(string) string) error {
	for _, dir := range []string{h.Run(), h.Path("logs")} {
		if _, err := h.Ensure(dir); err != nil {
			return err
		}
	}
	log, err := home.OpenAppend(d.log)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(path, "run")
	cmd.Args[0] = d.Program
	for _, name := range passed {
		if v := getenv(name); v != "" {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	d.done = make(chan struct{})
	go func() {
		err := cmd.Wait()
		if Alive(h, d.Kind) {
			return // another start was quicker: its daemon answers for both
		}
		d.mu.Lock()
		d.gone = fmt.Errorf("ended at once (%w): %s", err, lastWords(d.log))
		d.mu.Unlock()
		close(d.done)
	}()
	return nil
}

// ended is closed when a daemon that we started is gone; nil never is.
func (d *Daemon) ended() <-chan struct{} {
	if d == nil {
		return nil
	}
	return d.done
}

func (d *Daemon) why() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.gone
}

// lastWords is the last error in a guard's log and what follows of it: the
// advice, too.
func lastWords(path string) string {
	b, err := home.ReadFile(path)
	if err != nil {
		return "see " + path
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	for i := len(lines) - 1; i >= 0 && i >= len(lines)-5; i-- {
		if _, words, found := strings.Cut(lines[i], ": error: "); found {
			return strings.Join(append([]string{words}, lines[i+1:]...), "; ")
		}
	}
	return lines[len(lines)-1]
}
