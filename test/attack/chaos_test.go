//go:build attack

package attack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
	"github.com/code-on-incus/coi/test/internal/house"
)

// chaosKills is how many processes die in one run, and chaosTime how long the
// run may take.
const (
	chaosKills = 50
	chaosTime  = 28 * time.Minute
)

// TestChaos kills the command, the supervisor, both guards and Incus itself at
// random moments of sessions that start, work and end, with SIGKILL. Whatever a
// session had written down is in its save or in its container; nothing is left
// after coi clean; and no packet passes the firewall at any time, though one
// container tries all the while, from its first process on.
// COI_CHAOS_SEED repeats a run.
//
// R-REG-21, R-REG-26, session §6, §7.
func TestChaos(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("COI_CHAOS_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("COI_CHAOS_SEED=%d", seed)
	c := &chaos{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), dir: workspace(t), talked: map[string]bool{}, died: map[string]int{}}
	ctx, stop := context.WithTimeout(t.Context(), chaosTime)
	defer stop()
	c.ctx = ctx
	t.Cleanup(c.incusBack)
	c.listen()
	c.watchman()
	for i := 1; i <= chaosKills && !t.Failed(); i++ {
		c.round(i)
	}
	c.noneUnguarded()
	c.nothingLost()
	c.nothingLeft()
	t.Logf("killed %v; %d sessions had written, %d tries to reach the open port, %d the shut one", c.died, len(c.talked), c.open.Load(), c.shut.Load())
}

type chaos struct {
	t   *testing.T
	ctx context.Context
	rnd *rand.Rand
	dir string // workspace of the sessions that come and go

	openPort, shutPort int
	open, shut         atomic.Int64 // connections that arrived

	guardDir string // workspace of the container that tries all the while
	guard    string // its name
	talked   map[string]bool
	died     map[string]int
}

// listen opens a port that every session may reach and one that none may.
func (c *chaos) listen() {
	c.openPort, c.shutPort = c.count(&c.open), c.count(&c.shut)
	configure(c.t, fmt.Sprintf("[[network.hosts]]\nip = \"host\"\nhostnames = [\"host.test\"]\nports = [%d]\n", c.openPort))
}

func (c *chaos) count(n *atomic.Int64) (port int) {
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			n.Add(1)
			_, _ = io.WriteString(conn, "reached\n")
			_ = conn.Close()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// tries is a program that knocks at both ports until it is killed.
func (c *chaos) tries() string {
	return fmt.Sprintf(`#!/bin/sh
while :; do
  for host in 169.254.0.1 %s; do timeout 1 nc -w 1 $host %d </dev/null; done >/dev/null 2>&1
  timeout 1 nc -w 1 host.test %d </dev/null >/dev/null 2>&1
  sleep 0.05
done
`, uplink(c.t), c.shutPort, c.openPort)
}

const knock = `[Unit]
DefaultDependencies=no
[Service]
ExecStart=/usr/local/bin/knock
[Install]
WantedBy=sysinit.target
`

// watchman is a persistent container whose first service tries the ports. It
// has something to lose, and is stopped and started in between.
func (c *chaos) watchman() {
	c.t.Helper()
	dir, err := the.Workspace("watchman")
	if err != nil {
		c.t.Fatal(err)
	}
	c.guardDir = dir
	c.guard = strings.TrimSpace(must(c.t, dir, "shell", "--background", "--debug", "--persistent").Stdout)
	set := fmt.Sprintf("cat >/usr/local/bin/knock <<'X'\n%sX\nchmod 755 /usr/local/bin/knock\ncat >/etc/systemd/system/knock.service <<'X'\n%sX\nsystemctl -q enable --now knock && echo precious >/etc/precious", c.tries(), knock)
	must(c.t, dir, "container", "exec", c.guard, "--", "sh", "-c", set)
	if err := house.Eventually(c.ctx, 30*time.Second, func() error {
		if c.open.Load() == 0 {
			return errors.New("the container does not reach the port that is open to it")
		}
		return nil
	}); err != nil {
		the.Tell(c.t, c.guard)
		c.t.Fatal(err, c.do(dir, "container", "exec", c.guard, "--capture", "--format", "raw", "--", "sh", "-c", "systemctl status --no-pager knock; cat /usr/local/bin/knock; sh -x /usr/local/bin/knock & sleep 4; kill $!"))
	}
}

// victims are the processes that may die.
var victims = []string{"command", "supervisor", run.NetguardLock, run.WatchLock, "incusd"}

// round is one session and one kill.
func (c *chaos) round(i int) {
	c.t.Helper()
	victim := victims[(i-1)%len(victims)]
	after := time.Duration(c.rnd.IntN(3000)) * time.Millisecond
	dir, args := c.dir, []string{"shell", "--background", "--debug"}
	if i%7 == 0 {
		// The container that tries all the while ends and starts again instead.
		dir, args = c.guardDir, append(args, "--persistent", "--slot", "1")
		_ = c.do(dir, "shutdown", "--timeout", "5", c.guard)
	}
	cmd := the.Command(c.ctx, house.Call{Dir: dir, Args: args})
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	fired := make(chan string, 1)
	go func() {
		<-time.After(after) // a moment at random, not a wait for something
		who := c.kill(victim, cmd.Process.Pid)
		c.incusBack() // as its unit does, whatever runs meanwhile
		fired <- who
	}()
	_ = cmd.Wait()
	name := strings.TrimSpace(out.String())
	who := <-fired
	if name != "" && dir == c.dir {
		c.talk(i, name)
	}
	c.died[who]++
	c.t.Logf("%s kill %d: %s after %s; session %q", time.Now().Format(time.TimeOnly), i, who, after, name)
	if dir == c.dir {
		c.over(name)
	} else {
		c.again()
	}
}

func (c *chaos) do(dir string, args ...string) house.Result {
	ctx, stop := context.WithTimeout(c.ctx, 3*time.Minute)
	defer stop()
	return the.Do(ctx, house.Call{Dir: dir, Args: args})
}

// talk has the session write what must not be lost, say so, and end. Commands
// that fail because something was just killed are typed again.
func (c *chaos) talk(i int, name string) {
	line := fmt.Sprintf("mkdir -p ~/.claude; echo talk > ~/.claude/talk-%d.jsonl && sync ~/.claude/talk-%d.jsonl && touch talked-%d; exit", i, i, i)
	_ = house.Eventually(c.ctx, time.Minute, func() error {
		r := c.do(c.dir, "tmux", "send", name, line)
		if r.Code == 0 || r.Code == 4 || strings.Contains(r.Stderr, "not running") || strings.Contains(r.Stderr, "no tmux session") || strings.Contains(r.Stderr, "coi shutdown") {
			return nil
		}
		c.incusBack()
		return fmt.Errorf("%s", r)
	})
}

// over waits until no session of the workspace is left.
func (c *chaos) over(name string) {
	c.t.Helper()
	err := house.Eventually(c.ctx, 2*time.Minute, func() error {
		if r := c.do(c.dir, "list"); r.Code != 0 {
			return fmt.Errorf("%s", r)
		}
		names, err := the.Containers()
		for _, n := range names {
			if n == c.guard {
				continue
			}
			// A tool that was not told to end goes on: the kill took the command
			// that would have told it.
			r := c.do(c.dir, "tmux", "send", n, "exit")
			if strings.Contains(r.Stderr, "coi shutdown") {
				r = c.do(c.dir, "shutdown", n) // as the hint says
			}
			if r.Code != 0 {
				return fmt.Errorf("%s", r)
			}
			return fmt.Errorf("container %s is left", n)
		}
		return err
	})
	if err != nil {
		the.Tell(c.t, name)
		c.t.Error(err)
	}
}

// again sees to it that the container that tries all the while runs.
func (c *chaos) again() {
	c.t.Helper()
	err := house.Eventually(c.ctx, 2*time.Minute, func() error {
		if r := c.do(c.guardDir, "container", "running", c.guard); r.Code == 0 {
			return nil
		}
		r := c.do(c.guardDir, "shell", "--background", "--debug", "--persistent", "--slot", "1")
		return fmt.Errorf("%s", r)
	})
	if err != nil {
		the.Tell(c.t, c.guard)
		c.t.Error(err)
	}
}

// Where the container made an intercepted system call while Incus was away,
// Incus can start nothing in it any more, until the next such call. coi has it
// made: the session goes on as if nothing had been. Where nobody in the
// container makes it, every command says in time what to do, the end of the
// tool is noticed, and the conversation is saved.
//
// session §6.
func TestIncusAwayWhileACallWaits(t *testing.T) {
	c := &chaos{t: t, ctx: t.Context(), dir: workspace(t), talked: map[string]bool{}}
	t.Cleanup(c.incusBack)
	name := strings.TrimSpace(must(t, c.dir, "shell", "--background", "--debug").Stdout)
	do := func(args ...string) house.Result { return c.do(c.dir, args...) }
	// Such a call is made now and then, and not after one has failed until the
	// file "again" is there; with "leave" the tool ends.
	call := "sudo python3 -c 'import os; os.setxattr(\"/root/mark\", \"trusted.overlay.opaque\", b\"y\")' 2>/dev/null"
	line := "mkdir -p ~/.claude; echo talk > ~/.claude/talk.jsonl; sudo touch /root/mark; " +
		"while [ ! -e leave ]; do if " + call + "; then touch made; else " + call + "; touch failed; until [ -e again -o -e leave ]; do sleep 0.05; done; fi; sleep 0.05; done; exit 7"
	must(t, c.dir, "tmux", "send", name, line)
	at := func(file string) string { return filepath.Join(c.dir, file) }
	there := func(file string) {
		t.Helper()
		if err := house.Eventually(c.ctx, time.Minute, func() error { _, err := os.Stat(at(file)); return err }); err != nil {
			the.Tell(t, name)
			t.Fatal(err)
		}
	}
	away := func() {
		t.Helper()
		_, _ = os.Remove(at("made")), os.Remove(at("failed"))
		there("made")
		pid, _ := incusd()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		there("failed")
		c.incusBack()
		if out, err := exec.Command("incus", "exec", name, "--", "true").CombinedOutput(); err == nil || !strings.Contains(string(out), "Failed to retrieve PID") {
			t.Fatalf("incus exec: %v %s; the instrument does not work", err, out)
		}
	}
	away()
	for _, args := range [][]string{{"container", "exec", name, "--", "true"}, {"tmux", "capture", name}} {
		if r := do(args...); r.Code != 0 {
			t.Errorf("%s\nwant it to work", r)
		}
	}
	must(t, c.dir, "container", "exec", name, "--", "systemctl", "stop", "coi-knock.path")
	_ = os.Remove(at("made"))
	if err := os.WriteFile(at("again"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	there("made")
	if err := os.Remove(at("again")); err != nil {
		t.Fatal(err)
	}
	away()
	for _, args := range [][]string{{"container", "exec", name, "--", "true"}, {"tmux", "send", name, "hello"}} {
		if r := do(args...); r.Code != 1 || !strings.Contains(r.Stderr, "hint: coi shutdown "+name) {
			t.Errorf("%s\nwant exit 1 and what to do", r)
		}
	}
	if err := os.WriteFile(at("leave"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c.over(name)
	found := false
	_ = filepath.WalkDir(the.Home.Dir, func(p string, _ fs.DirEntry, _ error) error {
		found = found || filepath.Base(p) == "talk.jsonl" && strings.Contains(p, "/sessions-")
		return nil
	})
	if !found {
		t.Error("the conversation was not saved")
	}
}

// kill kills a victim and says who it was; where there is none at that moment,
// the command dies.
func (c *chaos) kill(victim string, command int) string {
	pid := command
	switch victim {
	case "supervisor":
		pid = supervisor(c.guard)
	case run.NetguardLock, run.WatchLock:
		pid = home.Holder(the.Home.Run(victim))
	case "incusd":
		pid, _ = incusd()
	}
	if pid <= 1 {
		victim, pid = "command", command
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return "nobody (" + victim + " was gone)"
	}
	return victim
}

// supervisor is one of a session that lives: not the watchman's, if there is
// another.
func supervisor(watchman string) int {
	names, _ := run.Names(the.Home.Run(), run.SessionFile)
	found := 0
	for _, n := range names {
		var s run.Session
		if run.Read(the.Home.Run(n+run.SessionFile), &s) != nil || s.Ended != nil || s.Supervisor == nil {
			continue
		}
		if found == 0 || n != watchman {
			found = s.Supervisor.PID
		}
	}
	return found
}

// incusd is the daemon itself, not one of its helpers.
func incusd() (pid int, argv []string) {
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range all {
		b, err := os.ReadFile(p)
		argv := strings.Split(strings.TrimRight(string(b), "\x00"), "\x00")
		if err != nil || filepath.Base(argv[0]) != "incusd" || len(argv) > 1 && !strings.HasPrefix(argv[1], "-") {
			continue
		}
		pid, _ = strconv.Atoi(filepath.Base(filepath.Dir(p)))
		return pid, argv
	}
	return 0, nil
}

// incusBack starts Incus again, as the machine's setup does.
func (c *chaos) incusBack() {
	c.t.Helper()
	if exec.CommandContext(c.ctx, "incus", "query", "/1.0").Run() == nil {
		return
	}
	out, err := exec.Command(filepath.Join(the.Root, "tools", "setup")).CombinedOutput()
	if err != nil {
		c.t.Errorf("tools/setup: %v\n%s", err, out)
	}
}

// noneUnguarded looks at the count of the port that nobody may reach; it counts.
func (c *chaos) noneUnguarded() {
	c.t.Helper()
	if n := c.shut.Load(); n != 0 {
		c.t.Errorf("%d connections reached the port that is shut", n)
	}
	before := c.open.Load()
	if err := house.Eventually(c.ctx, time.Minute, func() error {
		if c.open.Load() == before {
			return errors.New("the container tries no more")
		}
		return nil
	}); err != nil {
		the.Tell(c.t, c.guard)
		c.t.Error(err)
	}
	// Positive control: where the policy lets it, the same knock is counted.
	configure(c.t, fmt.Sprintf("[[network.hosts]]\nip = \"host\"\nhostnames = [\"host.test\"]\nports = [%d]\n", c.shutPort))
	r := c.do(c.dir, "run", "--", "sh", "-c", probe("host.test", c.shutPort))
	if r.Stdout != "reached\n" || c.shut.Load() != 1 {
		c.t.Errorf("%s\npositive control: want one knock reached, counted %d", r, c.shut.Load())
	}
}

// nothingLost: who said that he wrote is in a save.
func (c *chaos) nothingLost() {
	c.t.Helper()
	saved := map[string]bool{}
	err := filepath.WalkDir(the.Home.Dir, func(p string, d fs.DirEntry, err error) error {
		if n, ok := strings.CutPrefix(filepath.Base(p), "talk-"); ok && err == nil && strings.Contains(p, "/sessions-") {
			if b, err := os.ReadFile(p); err == nil && string(b) == "talk\n" {
				saved[strings.TrimSuffix(n, ".jsonl")] = true
			}
		}
		return nil
	})
	if err != nil {
		c.t.Error(err)
	}
	said, _ := filepath.Glob(filepath.Join(c.dir, "talked-*"))
	for _, p := range said {
		n := strings.TrimPrefix(filepath.Base(p), "talked-")
		c.talked[n] = true
		if !saved[n] {
			c.t.Errorf("session %s wrote its talk, and no save has it", n)
		}
	}
	if len(said) < chaosKills/5 {
		c.t.Errorf("only %d sessions wrote anything", len(said))
	}
	look := []string{"container", "exec", c.guard, "--capture", "--format", "raw", "--", "cat", "/etc/precious"}
	r := c.do(c.guardDir, look...)
	if strings.Contains(r.Stderr, "coi shutdown") {
		c.t.Log(c.do(c.guardDir, "shutdown", c.guard))
		c.again()
		r = c.do(c.guardDir, look...)
	}
	if r.Stdout != "precious\n" {
		c.t.Errorf("%s\nwant what the persistent container had", r)
	}
}

// nothingLeft: coi clean leaves no container, no file that asks a guard for
// something, no rule and no supervisor.
func (c *chaos) nothingLeft() {
	c.t.Helper()
	if r := c.do(c.guardDir, "kill", "--force", c.guard); r.Code != 0 {
		c.t.Errorf("%s", r)
	}
	err := house.Eventually(c.ctx, time.Minute, func() error {
		if r := c.do(c.dir, "clean", "--all", "--force"); r.Code != 0 {
			return fmt.Errorf("%s", r)
		}
		names, err := the.Containers()
		if len(names) > 0 {
			return fmt.Errorf("containers %v are left", names)
		}
		for _, suffix := range []string{run.NetFile, run.WatchFile, run.NetHoldFile, ".placeholders.json", ".ask.json"} {
			left, _ := run.Names(the.Home.Run(), suffix)
			if len(left) > 0 {
				return fmt.Errorf("%s of %v is left", suffix, left)
			}
		}
		if pids := supervisors(); len(pids) > 0 {
			return fmt.Errorf("supervisors %v are left", pids)
		}
		return errors.Join(err, noVeth())
	})
	if err != nil {
		c.t.Error(err)
	}
}

func supervisors() (pids []string) {
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range all {
		b, err := os.ReadFile(p)
		if err == nil && bytes.HasPrefix(b, []byte("coi-session\x00supervise\x00"+the.Prefix)) {
			pids = append(pids, filepath.Base(filepath.Dir(p)))
		}
	}
	return pids
}

// noVeth: the firewall's table of this home names no interface any more.
func noVeth() error {
	out, err := rules()
	if err != nil {
		return fmt.Errorf("nft list table: %w: %s", err, out)
	}
	names, _ := run.Names(the.Home.Run(), run.SessionFile)
	for _, n := range names {
		var s run.Session
		if run.Read(the.Home.Run(n+run.SessionFile), &s) == nil && s.Veth != "" && bytes.Contains(out, []byte(s.Veth)) {
			return fmt.Errorf("rules of %s (%s) are left", n, s.Veth)
		}
	}
	return nil
}
