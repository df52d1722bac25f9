// Package fds reads how the processes of a container are wired: which
// descriptors they hold, which of those are two ends of one thing, and which
// lead outside. It sees every network namespace of the container.
package fds

import (
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/proc"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/sockdiag"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/wiring"
)

// Bounds of one graph.
const (
	MaxProcesses = 4096
	MaxFDs       = 256 // of one process
	maxLines     = 64  // network namespaces with a line open
)

// Subject is a process to be looked at.
type Subject struct {
	PID, PPID  int
	Start      uint64
	Exe, Class string
	Argv       []string
	Role       wiring.Role
	Nested     bool
	Started    time.Duration // CLOCK_MONOTONIC, 0 unknown
}

// Reader keeps the lines to network namespaces, and when each socket was first
// seen. It is not safe for concurrent use.
type Reader struct {
	Proc  proc.Root
	lines map[uint64]*sockdiag.Conn
	first map[string]time.Duration
}

// New returns a reader of this machine's processes.
func New() *Reader {
	return &Reader{Proc: proc.Host, lines: map[uint64]*sockdiag.Conn{}, first: map[string]time.Duration{}}
}

// Close ends all lines.
func (r *Reader) Close() {
	for ns, c := range r.lines {
		c.Close()
		delete(r.lines, ns)
	}
}

// Read looks at the processes and returns the graph of this moment. Processes
// that ended meanwhile are left out. now is CLOCK_MONOTONIC.
func (r *Reader) Read(subjects []Subject, now time.Duration) wiring.Graph {
	if len(subjects) > MaxProcesses {
		subjects = subjects[:MaxProcesses]
	}
	tables := map[uint64]map[uint32]sockdiag.Socket{}
	seen := map[string]bool{}
	var g wiring.Graph
	for _, s := range subjects {
		ns, err := r.Proc.Namespace(s.PID, "net")
		if err != nil {
			continue
		}
		if _, ok := tables[ns]; !ok {
			tables[ns] = r.sockets(ns, s.PID)
		}
		n := wiring.Node{
			PID: s.PID, Start: s.Start, PPID: s.PPID, Exe: s.Exe, Class: s.Class, Argv: s.Argv, Role: s.Role, NetNS: ns, Nested: s.Nested,
		}
		if s.Started > 0 {
			n.AgeMS = (now - s.Started).Milliseconds()
		}
		n.FDs = r.descriptors(s.PID, tables[ns])
		for i := range n.FDs {
			r.age(&n.FDs[i], now, seen)
		}
		if r.Proc.Is(s.PID, s.Start) {
			g.Nodes = append(g.Nodes, n)
		}
	}
	markAccepted(&g)
	for id := range r.first {
		if !seen[id] {
			delete(r.first, id)
		}
	}
	return g
}

// sockets asks the namespace of a process for its sockets. A namespace whose
// line broke is asked anew.
func (r *Reader) sockets(ns uint64, pid int) map[uint32]sockdiag.Socket {
	c := r.lines[ns]
	if c == nil {
		if len(r.lines) >= maxLines {
			r.Close() // namespaces that are gone would fill the table
		}
		var err error
		if c, err = sockdiag.Open(pid); err != nil {
			return nil
		}
		r.lines[ns] = c
	}
	all, err := c.All()
	if err != nil {
		c.Close()
		delete(r.lines, ns)
	}
	return all
}

func (r *Reader) descriptors(pid int, sockets map[uint32]sockdiag.Socket) []wiring.FD {
	dir := path.Join(string(r.Proc), strconv.Itoa(pid), "fd")
	d, err := os.Open(dir)
	if err != nil {
		return nil
	}
	names, _ := d.Readdirnames(MaxFDs)
	_ = d.Close()
	var out []wiring.FD
	for _, name := range names {
		n, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		target, err := os.Readlink(path.Join(dir, name))
		if err != nil {
			continue
		}
		fd, ok := r.describe(pid, n, target, sockets)
		if ok || n <= 2 {
			out = append(out, fd)
		}
	}
	return out
}

// describe says what a descriptor is from the text of its link, which the
// kernel makes; a file of such a name has a slash in front. wanted is false
// for descriptors that connect nothing.
func (r *Reader) describe(pid, n int, target string, sockets map[uint32]sockdiag.Socket) (fd wiring.FD, wanted bool) {
	fd = wiring.FD{N: n, Kind: wiring.File, Read: true, Write: true}
	switch {
	case strings.HasPrefix(target, "pipe:["):
		fd.Kind, fd.ID = wiring.Pipe, inode(target)
		fd.Read, fd.Write = r.mode(pid, n)
	case strings.HasPrefix(target, "socket:["):
		fd.ID = inode(target)
		r.socket(&fd, sockets)
		return fd, fd.Kind != wiring.File
	case target == "/dev/null":
		fd.Kind = wiring.Null
		return fd, false
	case strings.HasPrefix(target, "/dev/pts/") && target != "/dev/pts/ptmx":
		fd.Kind, fd.ID = wiring.PTY, strings.TrimPrefix(target, "/dev/pts/")
	case target == "/dev/ptmx" || target == "/dev/pts/ptmx":
		fd.Kind, fd.ID = wiring.Master, r.ptyIndex(pid, n)
	case strings.HasPrefix(target, "/"):
		var st unix.Stat_t
		if err := unix.Stat(path.Join(string(r.Proc), strconv.Itoa(pid), "fd", strconv.Itoa(n)), &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
			return fd, false
		}
		fd.Kind, fd.ID = wiring.FIFO, strconv.FormatUint(st.Dev, 10)+":"+strconv.FormatUint(st.Ino, 10)
		fd.Read, fd.Write = r.mode(pid, n)
	default:
		return fd, false
	}
	return fd, true
}

func (r *Reader) socket(fd *wiring.FD, sockets map[uint32]sockdiag.Socket) {
	n, err := strconv.ParseUint(fd.ID, 10, 32)
	s, ok := sockets[uint32(n)]
	if err != nil || !ok {
		return
	}
	switch s.Family {
	case unix.AF_UNIX:
		fd.Kind = wiring.Unix
		if s.Peer != 0 {
			fd.PeerID = strconv.FormatUint(uint64(s.Peer), 10)
		}
	case unix.AF_VSOCK:
		fd.Kind, fd.Peer, fd.Connected, fd.Listen = wiring.Vsock, "vsock:"+strconv.Itoa(int(s.CID)), s.State == sockdiag.Established, s.State == sockdiag.Listening
	default:
		fd.Kind, fd.Sent, fd.Received, fd.LocalPort = wiring.Inet, s.Sent, s.Received, int(s.Local.Port())
		fd.Proto = map[uint8]string{unix.IPPROTO_TCP: "tcp", unix.IPPROTO_UDP: "udp"}[s.Proto]
		if fd.Listen = s.State == sockdiag.Listening; fd.Listen {
			fd.Peer, fd.Port = s.Local.Addr().String(), int(s.Local.Port())
			return
		}
		fd.Connected = s.Remote.Port() != 0 && (s.State == sockdiag.Established || s.Proto == unix.IPPROTO_UDP)
		fd.Peer, fd.Port = s.Remote.Addr().String(), int(s.Remote.Port())
	}
}

// mode asks which way a pipe is open: flags of /proc/PID/fdinfo/N.
func (r *Reader) mode(pid, n int) (read, write bool) {
	flags, ok := r.fdinfo(pid, n, "flags:", 8)
	if !ok {
		return true, true
	}
	switch flags & unix.O_ACCMODE {
	case unix.O_RDONLY:
		return true, false
	case unix.O_WRONLY:
		return false, true
	}
	return true, true
}

// ptyIndex is the number of the terminal that a master controls.
func (r *Reader) ptyIndex(pid, n int) string {
	i, ok := r.fdinfo(pid, n, "tty-index:", 10)
	if !ok {
		return ""
	}
	return strconv.FormatUint(i, 10)
}

func (r *Reader) fdinfo(pid, n int, key string, base int) (uint64, bool) {
	b, err := os.ReadFile(path.Join(string(r.Proc), strconv.Itoa(pid), "fdinfo", strconv.Itoa(n)))
	if err != nil || len(b) > proc.MaxFile {
		return 0, false
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		if v, ok := strings.CutPrefix(line, key); ok {
			u, err := strconv.ParseUint(strings.TrimSpace(v), base, 64)
			return u, err == nil
		}
	}
	return 0, false
}

// age fills in how long a socket has been seen.
func (r *Reader) age(fd *wiring.FD, now time.Duration, seen map[string]bool) {
	if fd.Kind != wiring.Inet && fd.Kind != wiring.Vsock {
		return
	}
	if _, ok := r.first[fd.ID]; !ok {
		r.first[fd.ID] = now
	}
	seen[fd.ID] = true
	fd.AgeMS = (now - r.first[fd.ID]).Milliseconds()
}

// markAccepted tells apart who called whom: a connection whose local port has
// a listener in the same namespace came in.
func markAccepted(g *wiring.Graph) {
	type spot struct {
		ns   uint64
		port int
	}
	listeners := map[spot]bool{}
	for _, n := range g.Nodes {
		for _, fd := range n.FDs {
			if fd.Listen && fd.Kind == wiring.Inet {
				listeners[spot{n.NetNS, fd.Port}] = true
			}
		}
	}
	for i := range g.Nodes {
		for j := range g.Nodes[i].FDs {
			fd := &g.Nodes[i].FDs[j]
			if fd.Kind == wiring.Inet && fd.Connected && listeners[spot{g.Nodes[i].NetNS, fd.LocalPort}] {
				fd.Accepted = true
			}
		}
	}
}

func inode(target string) string {
	_, rest, _ := strings.Cut(target, ":[")
	return strings.TrimSuffix(rest, "]")
}
