package scene

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/bpf"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/proc"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/wiring"
	"github.com/code-on-incus/coi/pkg/run"
)

// plain knows no class of program.
type plain struct{}

func (plain) ClassOf(string) string        { return "" }
func (plain) Canonical(name string) string { return name }
func (plain) Known() []string              { return nil }

// reuse is a container in which init started process 700, which is gone, and a
// host on which another process has that pid now.
func reuse(t *testing.T) *Scene {
	t.Helper()
	s := New("coi-x-1", nil, plain{})
	s.Proc = proc.Root(t.TempDir())
	s.Init = 500
	runs(t, s, 500, 1, 10)
	runs(t, s, 700, 9, 90)
	s.Record(&bpf.Record{Kind: bpf.KindExec, PID: 500, PPID: 9, Start: 10, File: "/sbin/init", Argv: []string{"/sbin/init"}})
	s.Record(&bpf.Record{Kind: bpf.KindFork, PID: 500, Start: 10, Child: 700, ChildStart: 20})
	s.Record(&bpf.Record{Kind: bpf.KindExit, PID: 700, PPID: 500, Start: 20})
	return s
}

// runs puts a living process into the /proc of the test.
func runs(t *testing.T, s *Scene, pid, ppid int, start uint64) {
	t.Helper()
	dir := filepath.Join(string(s.Proc), fmt.Sprint(pid))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	stat := fmt.Sprintf("%d (x) S %d 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 %d 0 0\n", pid, ppid, start)
	if err := os.WriteFile(filepath.Join(dir, "stat"), []byte(stat), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A command that the host enters is no child of a process that had the pid of
// the one that entered it; one that the container's own process starts is.
func TestPidOfAnotherProcessIsNoParent(t *testing.T) {
	s := reuse(t)
	s.Record(&bpf.Record{Kind: bpf.KindExec, PID: 800, PPID: 700, Start: 95, File: "/bin/sh", Argv: []string{"sh"}})
	if p := s.Table.Get(800); !p.Outside || p.Role != wiring.Relay || len(s.Table.Chain(p)) != 0 {
		t.Errorf("entered command = %+v, chain %v; want one from outside", p, s.Table.Chain(p))
	}
	s.Record(&bpf.Record{Kind: bpf.KindFork, PID: 500, Start: 10, Child: 801, ChildStart: 96})
	s.Record(&bpf.Record{Kind: bpf.KindExec, PID: 801, PPID: 500, Start: 96, File: "/bin/sh", Argv: []string{"sh"}})
	if p := s.Table.Get(801); p.Outside || len(s.Table.Chain(p)) != 1 {
		t.Errorf("command of init = %+v, chain %v; want init above it", p, s.Table.Chain(p))
	}
}

// R-REG-27: who is still on the way in joins the container's namespaces one by
// one, and half-way stands in one of the host; that is no escape.
func TestOnTheWayInIsNoEscape(t *testing.T) {
	s := reuse(t)
	s.host["mnt"], s.NS = 4026531841, map[string]uint64{"mnt": 4026532000}
	runs(t, s, 802, 700, 97)
	enter := bpf.Record{Kind: bpf.KindSyscall, Call: bpf.Setns, PID: 802, PPID: 700, Start: 97, NS: [5]uint32{4026531841}}
	if ev, ok := s.Record(&enter); !ok || ev.N["foreign"] != 0 {
		t.Errorf("setns on the way in = %+v, %v; want nothing foreign", ev.N, ok)
	}
	s.Record(&bpf.Record{Kind: bpf.KindFork, PID: 500, Start: 10, Child: 803, ChildStart: 98})
	escape := bpf.Record{Kind: bpf.KindSyscall, Call: bpf.Setns, PID: 803, PPID: 500, Start: 98, NS: [5]uint32{4026531841}}
	if ev, ok := s.Record(&escape); !ok || ev.Type != event.Setns || ev.N["foreign"] != 1 {
		t.Errorf("setns of a process of the container = %+v, %v; want foreign", ev.N, ok)
	}
}

// R-MON-05: what coi enters as root is its own work up to the command of the
// session; that command, what it becomes and what it starts are judged, also
// where the tool is root. No process inside can say that it is one of coi's.
func TestSetupEndsWithTheCommand(t *testing.T) {
	s := reuse(t)
	s.uids = proc.ParseIDMap([]byte("0 0 65536\n"))
	runs(t, s, 800, 9, 95)
	setup := func(pid, ppid int, start uint64, argv ...string) bool {
		s.Record(&bpf.Record{Kind: bpf.KindExec, PID: pid, PPID: ppid, Start: start, File: argv[0], Argv: argv})
		return s.Table.Get(pid).Setup
	}
	fork := func(parent int, start uint64, child int) {
		s.Record(&bpf.Record{Kind: bpf.KindFork, PID: parent, Start: start, Child: child, ChildStart: uint64(child)})
	}
	if !setup(800, 9, 95, "/bin/sh", "-c", "set up; echo "+run.EnterPath) {
		t.Error("coi's own work is judged")
	}
	fork(800, 95, 810)
	if !setup(810, 800, 810, "/usr/bin/tar", "-x") {
		t.Error("what coi's own work starts is judged")
	}
	fork(810, 810, 811)
	if !setup(811, 810, 811, "/bin/sh", run.EnterPath, "id") {
		t.Error("only a command from outside begins the session")
	}
	for _, argv := range [][]string{{"/bin/sh", run.EnterPath, "bash", "-c", "x"}, {"/bin/bash", "-c", "x"}, {"/bin/sh", "-c", "set up"}} {
		if setup(800, 9, 95, argv...) {
			t.Errorf("%q of the session counts as coi's own work", argv)
		}
	}
	fork(800, 95, 812)
	if setup(812, 800, 812, "/usr/bin/cat", "/etc/shadow") {
		t.Error("what the command starts counts as coi's own work")
	}
}

// A process that is found while it goes, because its last touch of a file is
// told of after its exit, is not one that runs: nothing would take it away again.
func TestGoingProcessIsNotAlive(t *testing.T) {
	s := reuse(t)
	alive := func() (pids []int) {
		s.Table.Each(func(p *Proc) { pids = append(pids, p.PID) })
		return pids
	}
	found := func(pid int, flags, threads int) bool {
		t.Helper()
		runs(t, s, pid, 500, 98)
		stat := fmt.Sprintf("%d (x) Z 500 1 1 0 -1 %d 0 0 0 0 0 0 0 0 20 0 %d 0 98 0 0\n", pid, flags, threads)
		if err := os.WriteFile(filepath.Join(string(s.Proc), fmt.Sprint(pid), "stat"), []byte(stat), 0o600); err != nil {
			t.Fatal(err)
		}
		s.About(&event.Event{Type: event.Write}, pid)
		return slices.Contains(alive(), pid)
	}
	if found(820, 0x40404c, 1) {
		t.Error("a process whose exit was told of counts as running")
	}
	if !found(821, 0x40404c, 2) {
		t.Error("a process of which only the first thread ended counts as gone")
	}
	if !found(822, 0x404040, 1) {
		t.Error("a running process counts as gone")
	}
}
