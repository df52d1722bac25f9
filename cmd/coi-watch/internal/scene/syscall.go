package scene

import (
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/bpf"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/wiring"
)

// calls maps a system call to the event it makes.
var calls = map[bpf.Call]struct {
	typ event.Type
	op  string
}{
	bpf.Setns: {event.Setns, "setns"}, bpf.Unshare: {event.Unshare, "unshare"}, bpf.Ptrace: {event.Ptrace, "ptrace"},
	bpf.VMWritev: {event.Ptrace, "process_vm_writev"}, bpf.InitModule: {event.Module, "init_module"}, bpf.FinitModule: {event.Module, "finit_module"},
	bpf.BPF: {event.Syscall, "bpf"}, bpf.OpenByHandle: {event.Syscall, "open_by_handle_at"}, bpf.IOUring: {event.Uring, "io_uring_setup"},
	bpf.Userfaultfd: {event.Syscall, "userfaultfd"}, bpf.Keyctl: {event.Syscall, "keyctl"}, bpf.Mount: {event.Mount, "mount"},
	bpf.MoveMount: {event.Mount, "move_mount"}, bpf.Umount: {event.Umount, "umount"}, bpf.PivotRoot: {event.Syscall, "pivot_root"},
	bpf.MemfdCreate: {event.Memfd, "memfd_create"}, bpf.Mknod: {event.Syscall, "mknod"}, bpf.Mknodat: {event.Syscall, "mknod"},
}

// attach are the ptrace requests that take hold of a process that did not ask
// for it: PTRACE_ATTACH and PTRACE_SEIZE. Everything else needs one of them first.
var attach = map[uint64]string{16: "attach", 0x4206: "seize"}

// syscall makes an event of a system call that returned. Calls that mean
// nothing by themselves are left out.
func (s *Scene) syscall(r *bpf.Record) (event.Event, bool) {
	c, ok := calls[r.Call]
	if !ok {
		return event.Event{}, false
	}
	ev := event.Event{Type: c.typ, Op: c.op, PID: r.PID, PPID: r.PPID, Start: r.Start, NSPID: r.NSPID, N: map[string]float64{"result": float64(r.Ret)}}
	switch r.Call {
	case bpf.Ptrace:
		word, wanted := attach[r.Arg[0]]
		if !wanted {
			return ev, false
		}
		ev.Op = word
		s.target(ev.N, r.Arg[1])
	case bpf.VMWritev:
		s.target(ev.N, r.Arg[0])
	case bpf.Mount, bpf.MoveMount:
		ev.Path2, ev.Path = r.Path, r.Path2
		if r.Call == bpf.MoveMount {
			ev.Path, ev.Path2 = r.Path, r.Path2
		}
		ev.N["flags"] = float64(r.Arg[3])
	case bpf.Umount, bpf.PivotRoot, bpf.MemfdCreate:
		ev.Path, ev.Path2 = r.Path, r.Path2
		ev.N["flags"] = float64(r.Arg[1])
	case bpf.Mknod:
		ev.Path, ev.Mode, ev.N["dev"] = r.Path, uint32(r.Arg[1]), float64(r.Arg[2])
	case bpf.Mknodat:
		ev.Path, ev.Mode, ev.N["dev"] = r.Path2, uint32(r.Arg[2]), float64(r.Arg[3])
	case bpf.Setns, bpf.Unshare:
		ev.N["flags"] = float64(r.Arg[map[bool]int{true: 1}[r.Call == bpf.Setns]])
	case bpf.BPF, bpf.Keyctl:
		ev.N["cmd"] = float64(r.Arg[0])
	}
	if op := r.Arg[1] & unix.S_IFMT; r.Call == bpf.Mknod && op != unix.S_IFBLK && op != unix.S_IFCHR {
		return ev, false // a FIFO or a socket
	}
	if op := r.Arg[2] & unix.S_IFMT; r.Call == bpf.Mknodat && op != unix.S_IFBLK && op != unix.S_IFCHR {
		return ev, false
	}
	s.adoptQuietly(r)
	s.about(&ev, r.PID)
	s.absolute(&ev.Path, r.PID)
	ev.NS = s.differing(r.NS)
	if r.Call == bpf.Setns && s.foreign(r) {
		ev.N["foreign"] = 1
	}
	ev.Chain = s.Table.Chain(s.Table.Get(r.PID))
	s.Stamp(&ev, "syscalls", r.Mono)
	return ev, true
}

// target is the process that a call is about: the caller counts it by its own
// namespace, the table by the host's.
func (s *Scene) target(n map[string]float64, nspid uint64) {
	s.Table.Each(func(p *Proc) {
		if uint64(p.NSPID) == nspid {
			n["target"] = float64(p.PID)
			if p.Role == wiring.Tool {
				n["tool"] = 1
			}
		}
	})
	if n["target"] == 0 {
		n["target"] = float64(nspid)
	}
}

// foreign reports whether a process of the container joined, or tried to join,
// a namespace that is none of the container's. Who is still on the way in from
// outside does not count.
func (s *Scene) foreign(r *bpf.Record) bool {
	if p := s.Table.Get(r.PID); p == nil || p.Outside {
		return false
	}
	if link, err := s.Proc.Link(r.PID, "fd/"+strconv.FormatUint(r.Arg[0], 10)); err == nil && strings.Contains(link, ":[") {
		kind, _, _ := strings.Cut(link, ":[")
		return !s.ours(kind, link)
	}
	if r.Ret < 0 {
		return false
	}
	for i, kind := range nsKinds { // the descriptor is closed: compare with the host's
		if n := uint64(r.NS[i]); n != 0 && n == s.host[kind] && n != s.NS[kind] {
			return true
		}
	}
	return false
}

// ours reports whether a namespace belongs to some process of the container.
func (s *Scene) ours(kind, link string) bool {
	if s.host[kind] != 0 && strings.HasSuffix(link, "["+strconv.FormatUint(s.host[kind], 10)+"]") {
		return s.NS[kind] == s.host[kind]
	}
	found := false
	s.Table.Each(func(p *Proc) {
		if !found {
			own, err := s.Proc.Link(p.PID, "ns/"+kind)
			found = err == nil && own == link
		}
	})
	return found
}

// absolute makes a relative path one from the root, while the process lives.
func (s *Scene) absolute(p *string, pid int) {
	if *p == "" || strings.HasPrefix(*p, "/") || strings.HasPrefix(*p, "memfd:") {
		return
	}
	if cwd, err := s.Proc.CWD(pid); err == nil {
		*p = path.Join(cwd, *p)
	}
}

// nsKinds are the places of namespaces in a record.
var nsKinds = [5]string{"mnt", "pid", "net", "cgroup", "user"}

// differing keeps the namespaces that are not those of the container's init.
func (s *Scene) differing(ns [5]uint32) map[string]uint64 {
	var out map[string]uint64
	for i, kind := range nsKinds {
		if n := uint64(ns[i]); n != 0 && s.NS[kind] != 0 && n != s.NS[kind] {
			if out == nil {
				out = map[string]uint64{}
			}
			out[kind] = n
		}
	}
	return out
}
