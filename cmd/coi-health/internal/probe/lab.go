package probe

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-health/internal/agent"
	"github.com/code-on-incus/coi/cmd/coi-health/internal/check"
	"github.com/code-on-incus/coi/cmd/coi-health/internal/facts"
	"github.com/code-on-incus/coi/pkg/run"
)

// lab is the pair of containers with what is known about them.
type lab struct {
	Options
	ctx      context.Context
	a, b     *box
	dir      string        // of this run, in the host's file system
	cookie   string        // random: what is seen with it is ours
	launched string        // what the launch of a said
	current  string        // probe that runs
	patience time.Duration // in tests, in place of every limit of eventually

	before map[string]int            // a's counters of refused packets
	want   map[string]int            // attempts by rule
	owed   map[string]map[string]int // probe → rule → attempts
}

// box is one container.
type box struct {
	name  string
	ws    string // workspace on the host
	ip    string
	veth  string
	agent *agent.Client
	exec  *exec.Cmd
	in    io.Closer
}

// open removes what an earlier run left and starts the containers. The result
// says why there is no lab.
func open(ctx context.Context, o Options) (*lab, *check.Result) {
	if why := blocker(o.Facts); why != nil {
		return nil, why
	}
	l := &lab{Options: o, ctx: ctx, cookie: strings.ToLower(rand.Text()), want: map[string]int{}, owed: map[string]map[string]int{}}
	l.sweep()
	stem := o.Facts.Home.Prefix + "health-" + strconv.Itoa(os.Getpid())
	l.a, l.b = &box{name: stem + "-a"}, &box{name: stem + "-b"}
	err := l.workspaces()
	if err == nil {
		o.Tell("starting two containers")
		err = l.both(l.start)
	}
	if err == nil {
		err = l.both(l.enter)
	}
	if err == nil {
		l.before = l.denied()
		return l, nil
	}
	l.close()
	r := failed("the probe containers could not be started: %v", err)
	if ctx.Err() != nil {
		r = notDone(ctx)
	}
	return nil, &r
}

func (l *lab) both(do func(*box) error) error {
	var errs [2]error
	var wg sync.WaitGroup
	for i, x := range []*box{l.a, l.b} {
		wg.Go(func() { errs[i] = do(x) })
	}
	wg.Wait()
	return errors.Join(errs[:]...)
}

// start launches a container with the guards of a session.
func (l *lab) start(x *box) error {
	args := []string{"container", "launch", "-w", x.ws, "--ephemeral"}
	if l.Facts.Config != nil {
		args = append(args, "--network", l.Facts.Config.Network.Mode)
	}
	_, errs, err := l.coi(l.ctx, nil, "coi-session", append(args, l.Facts.Config.Container.Image, x.name)...)
	if err != nil {
		return err
	}
	if x == l.a {
		l.launched = errs
	}
	var net run.NetStatus
	if err := run.Read(l.Facts.Home.Run(x.name+run.NetStatusFile), &net); err != nil {
		return err
	}
	x.ip, x.veth = net.IPv4, net.Veth
	return nil
}

// inside is where this program is put in a container: its name is the verb.
const inside = "/root/probe-agent"

// enter copies this program into the container and starts it there as an agent.
func (l *lab) enter(x *box) error {
	self, err := os.Open(l.Self)
	if err != nil {
		return err
	}
	defer func() { _ = self.Close() }()
	if _, _, err := l.coi(l.ctx, self, "coi-session", "container", "exec", x.name, "--", "/bin/sh", "-c", "cat > "+inside+" && chmod 0700 "+inside); err != nil {
		return err
	}
	// Not of l.ctx: it is ended by closing its input, so that a Ctrl-C leaves the order to close.
	x.exec = exec.Command(l.program("coi-session"), "container", "exec", x.name, "--", inside)
	in, err := x.exec.StdinPipe()
	if err != nil {
		return err
	}
	out, err := x.exec.StdoutPipe()
	if err != nil {
		return err
	}
	if err := x.exec.Start(); err != nil {
		return err
	}
	x.agent, x.in = agent.NewClient(in, out), in
	r, err := x.do(agent.Request{Op: "heard"})
	if err == nil && !r.OK {
		err = errors.New(r.Error)
	}
	return err
}

// do gives the agent an order. One that is not answered in its time, because the
// container is frozen or gone, ends the agent.
func (x *box) do(r agent.Request) (agent.Reply, error) {
	late := time.AfterFunc(time.Duration(r.MS)*time.Millisecond+answer, func() { _ = x.exec.Process.Kill() })
	defer late.Stop()
	return x.agent.Do(r)
}

// answer is how long an order may take beyond its own time.
const answer = 4 * time.Second

func (x *box) leave() {
	if x.exec == nil || x.exec.Process == nil {
		return
	}
	_ = x.in.Close()
	done := make(chan struct{})
	go func() { _ = x.exec.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(time.Second):
		_ = x.exec.Process.Kill()
		<-done
	}
}

// removal of one run may take this long.
const removal = 60 * time.Second

// close removes containers, rules, leases and files. It does so when the user
// pressed Ctrl-C as well.
func (l *lab) close() {
	ctx, stop := context.WithTimeout(context.WithoutCancel(l.ctx), removal)
	defer stop()
	_ = l.both(func(x *box) error { x.leave(); return nil })
	if err := l.both(func(x *box) error { return l.remove(ctx, x.name) }); err != nil {
		l.Warnings("a probe container is still there, the next run removes it: " + err.Error())
	}
	// The monitor takes back its flags on locked files in its own time.
	for tick := time.NewTicker(100 * time.Millisecond); !l.removeFiles(l.dir); {
		select {
		case <-tick.C:
			continue
		case <-ctx.Done():
			l.Warnings("left behind, the next run removes it: " + l.dir)
		}
		break
	}
}

// remove deletes a container and everything coi kept about it.
func (l *lab) remove(ctx context.Context, name string) error {
	_, errs, err := l.coi(ctx, nil, "coi-session", "container", "delete", name, "--force")
	if err != nil && !strings.Contains(errs, "does not exist") && !strings.Contains(errs, "no container") {
		return err
	}
	l.forget(ctx, name)
	return nil
}

// forget removes the records of a container that is gone. The guards write their
// last words after it went, so it looks again until there are no more. A firewall
// that is dead has said its last.
func (l *lab) forget(ctx context.Context, name string) {
	ctx, stop := context.WithTimeout(ctx, 3*time.Second)
	defer stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for quiet := 0; quiet < 6; {
		released := !exists(l.Facts.Home.Run(name+run.NetStatusFile)) || !l.guardAlive()
		if found := l.removeRecords(name, released); found || !released {
			quiet = 0
		} else {
			quiet++
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (l *lab) guardAlive() bool {
	guard := facts.Optional[run.Daemon](l.Facts.Home.Run(run.NetguardFile))
	return guard != nil && guard.Alive(time.Now())
}

// removeRecords reports whether there were any. The files by which the guards
// work are theirs to remove while they do.
func (l *lab) removeRecords(name string, released bool) (found bool) {
	h := l.Facts.Home
	places := []string{h.Audit(), h.Logs(), h.Path("storage", "evidence"), h.Path("storage", "baseline")}
	if released {
		places = append(places, h.Run())
	}
	for _, dir := range places {
		for _, pattern := range []string{name, name + ".*", "." + name + "*"} {
			list, _ := filepath.Glob(filepath.Join(dir, pattern))
			for _, f := range list {
				found = true
				_ = os.RemoveAll(f)
			}
		}
	}
	return found
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// sweep removes what runs that were killed have left.
func (l *lab) sweep() {
	for _, c := range l.Facts.Incus.Containers {
		if pid, mine := l.maker(c.Name); mine && !alive(pid) {
			if err := l.remove(l.ctx, c.Name); err != nil {
				l.Warnings(c.Name + " of an earlier run could not be removed: " + err.Error())
			}
		}
	}
	dirs, _ := filepath.Glob(folder(l.Facts.Home.UID, "*"))
	for _, dir := range dirs {
		pid, err := strconv.Atoi(dir[strings.LastIndexByte(dir, '-')+1:])
		if err == nil && !alive(pid) {
			l.removeFiles(dir)
		}
	}
}

// maker reads the pid in the name of a probe container of this user.
func (l *lab) maker(name string) (pid int, mine bool) {
	rest, mine := strings.CutPrefix(name, l.Facts.Home.Prefix+"health-")
	if !mine || !run.IsProbe(name) {
		return 0, false
	}
	pid, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSuffix(rest, "-a"), "-b"))
	return pid, err == nil
}

// coi runs one of coi's programs and gives its two streams.
func (l *lab) coi(ctx context.Context, in io.Reader, name string, args ...string) (out, errs string, err error) {
	var o, e bytes.Buffer
	cmd := exec.CommandContext(ctx, l.program(name), args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, &o, &e
	// Whoever is told to stop takes back what it made, which may take a while.
	cmd.WaitDelay = removal
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	if err := cmd.Run(); err != nil {
		return o.String(), e.String(), errors.New(problem(e.String(), err))
	}
	return o.String(), e.String(), nil
}

// problem is the error line of a program of ours.
func problem(errs string, err error) string {
	for line := range strings.Lines(errs) {
		if _, text, found := strings.Cut(line, ": error: "); found {
			return strings.TrimSpace(text)
		}
	}
	return err.Error()
}

func (l *lab) program(name string) string {
	path := filepath.Join(l.Facts.Exec, name)
	if _, err := os.Stat(path); err != nil {
		path = filepath.Join(l.Facts.Exec, "..", "libexec", "coi", name)
	}
	return path
}

// sh runs a line in a, as the user with this id, and gives its output.
func (l *lab) sh(uid int, line string) (out string, code int, err error) {
	return l.shIn(l.a, uid, line)
}

func (l *lab) shIn(x *box, uid int, line string) (out string, code int, err error) {
	text, _, err := l.coi(l.ctx, nil, "coi-session", "container", "exec", x.name, "--capture", "--user", strconv.Itoa(uid), "--", "/bin/bash", "-c", line)
	if err != nil {
		return "", 0, err
	}
	var doc struct {
		Stdout string `json:"stdout"`
		Stderr string `json:"stderr"`
		Code   int    `json:"exit_code"`
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		return "", 0, err
	}
	return doc.Stdout + doc.Stderr, doc.Code, nil
}

// eventually asks until the answer is yes or the time is up.
func (l *lab) eventually(limit time.Duration, ask func() bool) bool {
	if l.patience > 0 {
		limit = l.patience
	}
	ctx, stop := context.WithTimeout(l.ctx, limit)
	defer stop()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for !ask() {
		select {
		case <-ctx.Done():
			return ask()
		case <-tick.C:
		}
	}
	return true
}

func folder(uid int, pid string) string {
	return fmt.Sprintf("/var/tmp/coi-health-%d-%s", uid, pid)
}
