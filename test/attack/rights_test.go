//go:build attack

package attack

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/run"
	"github.com/code-on-incus/coi/test/internal/house"
)

const insist = "[monitoring]\nenabled = true\n"

// lacking is one row of what may be missing: what is given up for good before the
// monitor starts, the sensors in force then, what a session says at its start, and
// whether a session that insists on monitoring may begin.
type lacking struct {
	name, gives string
	sources     []string
	gone        []string
	says        string
	weak        bool
}

var lackings = []lacking{
	{name: "nothing", sources: []string{"exec:ebpf", "file:fanotify", "fds:proc"}},
	{
		name: "eBPF", gives: "call:bpf", sources: []string{"exec:connector", "file:fanotify", "fds:proc"}, gone: []string{"connect:ebpf"},
		says: "exec arguments of very short processes may be missed",
	},
	{name: "eBPF and the connector", gives: "call:bpf call:connector", sources: []string{"exec:scan", "file:fanotify"}, says: "weakly monitored: weak: only processes", weak: true},
	{name: "fanotify", gives: "call:fanotify", sources: []string{"exec:ebpf", "file:inotify"}, gone: []string{"file:fanotify"}, says: "file events without the process"},
	{name: "CAP_SYS_PTRACE", gives: fmt.Sprintf("cap:%d", unix.CAP_SYS_PTRACE), sources: []string{"exec:ebpf"}, gone: []string{"fds:proc"}, says: "wiring rules off", weak: true},
}

// R-MON-01, T-W-12: each right and feature really taken from the monitor: the
// session says so at its start, the status has the sensors in force, what is left
// still stops an attack, and monitoring asked for in writing does not begin
// without what it needs.
func TestMonitorWithoutARight(t *testing.T) {
	for _, tt := range lackings {
		t.Run(tt.name, func(t *testing.T) {
			d := weakWatch(t, tt.gives)
			all := strings.Join(d.Sources, " ")
			for _, s := range tt.sources {
				if !strings.Contains(all, s) {
					t.Errorf("sensors %s; want %s", all, s)
				}
			}
			for _, s := range tt.gone {
				if strings.Contains(all, s) {
					t.Errorf("sensors %s; want no %s", all, s)
				}
			}
			if status := do(t, the.Dir, "watch", "status").Stdout; tt.says != "" && !strings.Contains(status, "problem: ") || !strings.Contains(status, tt.sources[0]) {
				t.Errorf("coi watch status names neither sensors nor problems:\n%s", status)
			}
			dir := workspace(t)
			s := begin(t, dir, awaitGo+"sleep 60")
			s.underway()
			if out := s.out.String(); !strings.Contains(out, tt.says) || tt.says == "" && strings.Contains(out, "monitor") {
				t.Errorf("the session said %q; want %q in it", out, tt.says)
			}
			// The last of the three goes on until somebody ends it: the weakest tier
			// promises no more than to see what lives longer than its look.
			goOn(t, dir, `sleep 0.5; sudo cat /etc/shadow >/dev/null; (exec -a worker nc -l -p 12345 -e /bin/sh)
perl -e 'use Socket;socket(L,PF_INET,SOCK_STREAM,6);bind(L,sockaddr_in(4245,INADDR_ANY));listen(L,1);accept(S,L);open(STDIN,"<&S");open(STDOUT,">&S");exec("/bin/sh","-i")'`)
			s.answered("")
			_ = do(t, dir, "kill", "--force", s.container)
			configure(t, insist)
			dir = workspace(t)
			r := do(t, dir, "run", "--", "true")
			if !tt.weak {
				if r.Code != 0 {
					t.Errorf("with enabled = true: %s", r)
				}
				return
			}
			if r.Code != 1 || !strings.Contains(r.Stderr, "monitoring.enabled is true") || !strings.Contains(r.Stderr, "hint: coi health --fix") {
				t.Errorf("with enabled = true: %s; want exit 1, why, and the hint", r)
			}
			noContainer(t, dir)
		})
	}
}

// noContainer: nothing is left of a start that was refused.
func noContainer(t *testing.T, dir string) {
	t.Helper()
	r := must(t, dir, "list", "--all", "--json")
	if strings.Contains(r.Stdout, dir+`"`) && strings.Contains(r.Stdout, `"containers":[{`) {
		for line := range strings.SplitSeq(r.Stdout, "{") {
			if strings.Contains(line, dir+`"`) && strings.Contains(line, `"status"`) {
				t.Errorf("a container is left: %s", line)
			}
		}
	}
}

// R-MON-01, T-W-12: without any right nothing is watched. The session says so and
// begins; one that insists does not.
func TestMonitorWithoutAnyRight(t *testing.T) {
	must(t, workspace(t), "run", "--", "true") // the firewall runs now
	endWatch(t)
	none := []string{}
	for _, c := range []int{unix.CAP_BPF, unix.CAP_PERFMON, unix.CAP_SYS_ADMIN, unix.CAP_SYS_PTRACE} {
		none = append(none, fmt.Sprintf("cap:%d", c))
	}
	dir := workspace(t)
	r := weakCoi(t, dir, strings.Join(none, " "), "run", "--", "true")
	if r.Code != 0 || !strings.Contains(r.Stderr, "warning: this session is not monitored: ") || !strings.Contains(r.Stderr, "hint: coi health --fix") {
		t.Errorf("%s; want it to begin, and say that it is not monitored", r)
	}
	configure(t, insist)
	dir = workspace(t)
	r = weakCoi(t, dir, strings.Join(none, " "), "run", "--", "true")
	if r.Code != 1 || !strings.Contains(r.Stderr, "monitoring.enabled is true") {
		t.Errorf("%s; want exit 1 and why", r)
	}
	noContainer(t, dir)
}

// R-MON-01, T-W-12: a monitor that is killed in a session is started again by the
// supervisor, and the next attack is answered.
func TestMonitorKilledInASession(t *testing.T) {
	dir := workspace(t)
	s := begin(t, dir, awaitGo+"sleep 60")
	s.underway()
	var old, now run.Daemon
	if err := run.Read(the.Home.Run(run.WatchDaemonFile), &old); err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(old.PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	err := house.Eventually(t.Context(), 30*time.Second, func() error {
		if err := run.Read(the.Home.Run(run.WatchDaemonFile), &now); err != nil {
			return err
		}
		if now.PID == old.PID || !now.Alive(time.Now()) {
			return errors.New("no new monitor")
		}
		if n := strings.Count(strings.Join(rulesOf(t, s.container, "info"), "\n"), "life.watched"); n < 2 {
			return fmt.Errorf("watched %d times; want a second time", n)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	goOn(t, dir, "sudo cat /etc/shadow > /dev/null")
	st := s.status("frozen", func(st run.WatchStatus) bool { return st.Frozen != nil })
	err = house.Eventually(t.Context(), 10*time.Second, func() error {
		b, err := os.ReadFile(the.Home.Path("logs", s.container+".stderr.log"))
		if err != nil || !strings.Contains(string(b), "coi-watch died and is started again") || !strings.Contains(string(b), "audit "+st.Frozen.Event) {
			return fmt.Errorf("session log %q, %w; want the new monitor and the freeze in it", b, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	err = house.Eventually(t.Context(), 30*time.Second, func() error { return incusSays(s.container, "FROZEN") })
	if err != nil {
		t.Errorf("Incus: %v", err)
	}
	must(t, dir, "unfreeze", s.container)
	if err := house.Eventually(t.Context(), 30*time.Second, func() error { return incusSays(s.container, "RUNNING") }); err != nil {
		t.Errorf("Incus after coi unfreeze: %v", err)
	}
}
