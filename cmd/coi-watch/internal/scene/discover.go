package scene

import (
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/bpf"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
)

// discover reads a process whose start nobody saw from /proc; nil when it is gone.
func (s *Scene) discover(pid int) *Proc {
	st, err := s.Proc.ReadStat(pid)
	if err != nil {
		return nil
	}
	p := s.adopt(pid, st.PPID, st.Start)
	p.Argv, _, _ = s.Proc.Argv(pid)
	if len(p.Argv) > 0 {
		p.Argv0 = p.Argv[0]
	}
	if status, err := s.Proc.ReadStatus(pid); err == nil {
		p.UID = s.UID(status.UID)
		if n := len(status.NSPIDs); n > 0 {
			p.NSPID = status.NSPIDs[n-1]
		}
	}
	if exe, _, err := s.Proc.Exe(pid); err == nil {
		if io, err := s.Proc.ReadIO(pid); err == nil {
			p.Read, p.Written = io.Read, io.Written // what was before our time is not counted
		}
		im := s.imageAt(pid, exe)
		p.Exe, p.Class, p.Is = exe, im.class, im.is
	}
	if st.Exiting || !s.Proc.Is(pid, st.Start) {
		s.Table.Leave(p) // nobody will tell of its exit any more, or another process has the pid by now
	}
	p.Role = s.roles.of(s.Table, p, s.Init)
	return p
}

// imageAt recognises the program of a living process by the file itself.
func (s *Scene) imageAt(pid int, exe string) image {
	var st syscall.Stat_t
	if err := syscall.Stat(path.Join(string(s.Proc), itoa(pid), "exe"), &st); err != nil {
		return image{path: exe, class: s.Images.names.ClassOf(path.Base(exe))}
	}
	im, _, _ := s.Images.look(st.Ino, st.Ctim.Sec, exe, s.Root)
	return im
}

// Rebuild fills the table with everything that runs: after a restart, and
// after events were lost. It returns the processes that were not known, as
// exec events.
func (s *Scene) Rebuild(pids []int) []event.Event {
	known := map[int]bool{}
	var fresh []event.Event
	for _, pid := range pids {
		known[pid] = true
		st, err := s.Proc.ReadStat(pid)
		if err != nil {
			continue
		}
		if p := s.Table.Get(pid); p != nil && p.Start == st.Start && p.Exe != "" {
			if p.Gone {
				p.Gone = false
				s.Table.Put(p)
			}
			continue
		}
		if p := s.discover(pid); p != nil && !p.Gone {
			fresh = append(fresh, s.asExec(p))
		}
	}
	s.Table.Each(func(p *Proc) {
		if !known[p.PID] {
			s.Table.Leave(p)
		}
	})
	for i := range fresh {
		fresh[i].Chain = s.Table.Chain(s.Table.Get(fresh[i].PID))
	}
	return fresh
}

// asExec says of a process found alive what its exec would have said.
func (s *Scene) asExec(p *Proc) event.Event {
	ev := event.Event{Type: event.Exec, PID: p.PID, Argv: p.Argv}
	s.about(&ev, p.PID)
	s.script(&ev, &bpf.Record{PID: p.PID, File: p.Exe, Interp: p.Exe})
	s.Stamp(&ev, "scan", 0)
	return ev
}

// FindInit is the container's first process: pid 1 of its own namespace, in
// the payload cgroup. 0 when none runs yet.
func (s *Scene) FindInit(pids []int) int {
	own := os.Getpid()
	for _, pid := range pids {
		st, err := s.Proc.ReadStatus(pid)
		if err == nil && pid != own && len(st.NSPIDs) == 2 && st.NSPIDs[1] == 1 {
			return pid
		}
	}
	return 0
}

// script reads the file that an interpreter runs, if it is small and can be
// read safely.
func (s *Scene) script(ev *event.Event, r *bpf.Record) {
	name := ""
	switch {
	case r.File != r.Interp && r.File != "":
		name = r.File
	case ev.ExeClass == "shell" || ev.ExeClass == "interpreter":
		name = firstOperand(ev.Argv)
	}
	if name == "" || s.Root == nil {
		return
	}
	if !strings.HasPrefix(name, "/") {
		cwd, err := s.Proc.CWD(r.PID)
		if err != nil {
			return
		}
		name = path.Join(cwd, name)
	}
	data, in, err := s.Root.Read(name, 0, event.MaxScript)
	if err != nil || strings.ContainsRune(string(data[:min(len(data), 512)]), 0) {
		return // gone, refused, or a program file
	}
	ev.Script, ev.ScriptPath = string(data), in.Path
}

// firstOperand is the first word that is no option, unless an option before it
// already gave the program text.
func firstOperand(argv []string) string {
	for i, a := range argv {
		switch {
		case i == 0:
		case a == "-c" || a == "-e" || a == "-m" || a == "--eval" || a == "-p" || a == "-r" || a == "-s" || a == "-":
			return ""
		case strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "--") && strings.ContainsAny(a, "ce") && len(a) <= 5:
			return "" // -lc, -ne
		case strings.HasPrefix(a, "-") || strings.HasPrefix(a, "+"):
		default:
			return a
		}
	}
	return ""
}
