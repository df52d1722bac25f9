// Package house is what stories, attacks and benchmarks need of a machine: the
// programs, built once, a home and a prefix of their own, the image, and a clean
// end. Nothing in it is a double: Incus, containers, guards and packets are real.
package house

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// Image is the image that sessions of the tests start from.
const Image = "coi-default"

// House is one test run's own corner of the machine.
type House struct {
	Root   string // of the sources
	Bin    string // directory of the programs
	Dir    string // everything of this run is below it
	Home   home.Home
	Prefix string
}

// Open builds the programs, makes a home of its own and sees to it that the
// image exists. name becomes part of the container prefix. A right or a program
// that is missing is an error, never a reason to leave something out.
func Open(name string) (*House, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("these tests need root: they start guards and look at what they did to the kernel")
	}
	root, err := rootOfSources()
	if err != nil {
		return nil, err
	}
	h := &House{Root: root, Bin: filepath.Join(root, "bin")}
	if err := h.build(); err != nil {
		return nil, err
	}
	// Not in a mode-0700 home: paths of workspaces must be reachable for the
	// mapped user of a container.
	if h.Dir, err = os.MkdirTemp("/var/tmp", "coi-"+name+"-"); err != nil {
		return nil, err
	}
	// Two runs at once must not take each other's containers for their own.
	h.Prefix = fmt.Sprintf("%s-%08x-", name, fnv32(h.Dir))
	if err := os.Chmod(h.Dir, 0o755); err != nil {
		return nil, err
	}
	for _, d := range []string{h.user(), h.coi()} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return nil, err
		}
	}
	if h.Home, err = home.Find(h.getenv); err != nil {
		return nil, err
	}
	return h, h.image()
}

func (h *House) user() string { return filepath.Join(h.Dir, "user") }
func (h *House) coi() string  { return filepath.Join(h.Dir, "coi") }

func fnv32(s string) uint32 {
	h := fnv.New32a()
	_, _ = io.WriteString(h, s)
	return h.Sum32()
}

func rootOfSources() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir, nil
		}
		if dir == "/" {
			return "", errors.New("not below a go.work")
		}
		dir = filepath.Dir(dir)
	}
	return "", err
}

func (h *House) build() error {
	cmd := exec.Command("make", "-s", "build")
	cmd.Dir = h.Root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make build: %w\n%s", err, out)
	}
	return nil
}

// image makes the image unless it is there.
func (h *House) image() error {
	ctx, stop := context.WithTimeout(context.Background(), 15*time.Minute)
	defer stop()
	if r := h.Do(ctx, Call{Args: []string{"image", "exists", Image}}); r.Code == 0 {
		return nil
	}
	if r := h.Do(ctx, Call{Args: []string{"build"}}); r.Code != 0 {
		return fmt.Errorf("coi build: %s", r)
	}
	return nil
}

// Env is the environment of the programs: nothing of the caller's but what
// names the machine.
func (h *House) Env(extra ...string) []string {
	env := []string{
		"HOME=" + h.user(), "COI_HOME=" + h.coi(), "COI_CONTAINER_PREFIX=" + h.Prefix,
		"PATH=" + h.Bin + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "TERM=xterm-256color", "USER=root",
	}
	for _, name := range []string{"INCUS_SOCKET", "INCUS_DIR", "COI_APT_MIRROR", "COI_NPM_REGISTRY", "GOCOVERDIR"} {
		if v := os.Getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	return append(env, extra...)
}

func (h *House) getenv(name string) string {
	for _, kv := range h.Env() {
		if k, v, _ := strings.Cut(kv, "="); k == name {
			return v
		}
	}
	return ""
}

// Config replaces the user's configuration of this run.
func (h *House) Config(toml string) error { return home.WriteFile(h.Home.Config(), []byte(toml)) }

// Owner is the user workspaces belong to, as on a machine with one user who is
// not root; agents refuse to work unattended as root.
const Owner = 1000

// Workspace makes an empty directory for sessions to work in.
func (h *House) Workspace(name string) (string, error) {
	dir := filepath.Join(h.Dir, "ws-"+name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	return dir, os.Chown(dir, Owner, Owner)
}

// Call is one run of coi.
type Call struct {
	Args  []string
	Dir   string // workspace; empty: the house's own directory
	Stdin io.Reader
	Env   []string
}

// Result is what came of a Call.
type Result struct {
	Args           []string
	Stdout, Stderr string
	Code           int // -1: did not end in time
	Took           time.Duration
}

func (r Result) String() string {
	return fmt.Sprintf("coi %s = %d after %s\nstdout: %s\nstderr: %s", strings.Join(r.Args, " "), r.Code, r.Took.Round(time.Millisecond), r.Stdout, r.Stderr)
}

// Command is coi as a command that has not started yet.
func (h *House) Command(ctx context.Context, c Call) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(h.Bin, "coi"), c.Args...)
	cmd.Dir, cmd.Stdin, cmd.Env = c.Dir, c.Stdin, h.Env(c.Env...)
	if cmd.Dir == "" {
		cmd.Dir = h.Dir
	}
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// Do runs coi to its end.
func (h *House) Do(ctx context.Context, c Call) Result {
	var out, errs bytes.Buffer
	cmd := h.Command(ctx, c)
	cmd.Stdout, cmd.Stderr = &out, &errs
	start := time.Now()
	err := cmd.Run()
	r := Result{Args: c.Args, Stdout: out.String(), Stderr: errs.String(), Took: time.Since(start)}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		r.Code = exit.ExitCode()
	case err != nil:
		r.Code, r.Stderr = -1, r.Stderr+err.Error()
	}
	return r
}

// Containers lists what this run has in Incus.
func (h *House) Containers() ([]string, error) {
	out, err := exec.Command("incus", "list", "-f", "json", "^"+h.Prefix).Output()
	if err != nil {
		return nil, fmt.Errorf("incus list: %w", err)
	}
	var all []struct {
		Name string `json:"name"`
	}
	if err := json.Unmarshal(out, &all); err != nil {
		return nil, err
	}
	names := []string{}
	for _, c := range all {
		names = append(names, c.Name)
	}
	return names, nil
}

// Close ends everything of this run: containers first, then the guards and
// their rules, then the files.
func (h *House) Close() error {
	var all error
	// A supervisor may be deleting the same container: what counts is that none is left.
	all = errors.Join(all, Eventually(context.Background(), 30*time.Second, func() error {
		names, err := h.Containers()
		for _, n := range names {
			thaw(n)
			out, failed := exec.Command("incus", "delete", "-f", n).CombinedOutput()
			err = errors.Join(err, failed, fmt.Errorf("%s: %s", n, out))
		}
		return err
	}))
	for _, lock := range []string{run.WatchLock, run.NetguardLock} {
		all = errors.Join(all, stop(h.Home.Run(lock)))
	}
	if out, err := exec.Command("nft", "delete", "table", "inet", h.Home.Table()).CombinedOutput(); err != nil && !strings.Contains(string(out), "No such file") {
		all = errors.Join(all, fmt.Errorf("delete the rules: %w: %s", err, out))
	}
	// Immutable files of a session that was killed would keep the directory.
	_ = exec.Command("chattr", "-R", "-i", h.Dir).Run()
	return errors.Join(all, os.RemoveAll(h.Dir))
}

// thaw lets go of a container that the monitor froze at its control group: Incus
// knows nothing of such a freeze, and its stop would never end.
func thaw(container string) {
	for file, word := range map[string]string{"cgroup.freeze": "0", "freezer.state": "THAWED"} {
		for _, dir := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/freezer"} {
			if f, err := os.OpenFile(filepath.Join(dir, "lxc.payload."+container, file), os.O_WRONLY, 0); err == nil {
				_, _ = f.WriteString(word)
				_ = f.Close()
			}
		}
	}
}

// stop ends the daemon that holds a lock and waits until the lock is free.
func stop(lock string) error {
	pid := home.Holder(lock)
	if pid <= 0 || !home.Held(lock) {
		return nil
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	l, err := home.WaitLock(ctx, lock)
	if err != nil {
		return fmt.Errorf("%s did not end: %w", filepath.Base(lock), errors.Join(err, syscall.Kill(pid, syscall.SIGKILL)))
	}
	l.Unlock()
	return nil
}

// Eventually asks until the answer is nil or the time is up; the last answer is
// returned. It is for what the kernel or Incus do in their own time.
func Eventually(ctx context.Context, limit time.Duration, ask func() error) error {
	ctx, stop := context.WithTimeout(ctx, limit)
	defer stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %s: %w", limit, err)
		case <-tick.C:
		}
	}
}
