package scene

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/bpf"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/inside"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/proc"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/wiring"
)

// Scene is the view of one container. It is not safe for concurrent use.
type Scene struct {
	Container string
	Table     *Table
	Images    *Images
	Proc      proc.Root

	Root      *inside.Root // of the container's init; nil until it runs
	Init      int
	InitStart uint64
	NS        map[string]uint64 // namespaces of init
	host      map[string]uint64 // namespaces of this program
	uids      proc.IDMap
	roles     roles
	boot      time.Time // wall clock at the start of CLOCK_MONOTONIC
	seq       uint64
	Missed    uint64 // execs whose arguments were gone
}

// New returns a scene in which nothing happened yet. tool is the program of
// the agent and its arguments.
func New(container string, tool []string, names Names) *Scene {
	s := &Scene{
		Container: container, Table: NewTable(), Images: NewImages(names), Proc: proc.Host, roles: roles{tool: tool},
		boot: time.Now().Add(-monotonic()), host: map[string]uint64{},
	}
	for _, kind := range nsKinds {
		s.host[kind], _ = s.Proc.Namespace(os.Getpid(), kind) // 0 compares with nothing
	}
	return s
}

func monotonic() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return time.Duration(ts.Nano())
}

// ErrNotInside is a process that has not changed its root yet.
var ErrNotInside = errors.New("the first process is still in the root of the host")

// SetInit takes the container's first process as the measure of what is
// normal: its root, its namespaces, its uid map.
func (s *Scene) SetInit(pid int) error {
	root, err := inside.Open(pid)
	if err != nil {
		return err
	}
	if root.IsHost() {
		root.Close()
		return ErrNotInside
	}
	if s.Root != nil {
		s.Root.Close()
	}
	s.Root, s.Init, s.NS = root, pid, map[string]uint64{}
	if st, err := s.Proc.ReadStat(pid); err == nil {
		s.InitStart = st.Start
	}
	for _, kind := range []string{"mnt", "pid", "net", "user", "cgroup"} {
		if n, err := s.Proc.Namespace(pid, kind); err == nil {
			s.NS[kind] = n
		}
	}
	s.uids, err = s.Proc.UIDMap(pid)
	return err
}

// CountFrom makes the next event number n+1.
func (s *Scene) CountFrom(n uint64) { s.seq = n }

// UID is the uid inside of a host uid; -1 when it has none.
func (s *Scene) UID(host int) int {
	if s.uids == nil {
		return -1
	}
	return s.uids.Inside(host)
}

// HostUID is the host uid of an uid inside; -1 when it has none.
func (s *Scene) HostUID(insideUID int) int { return s.uids.Outside(insideUID) }

// Close lets go of the root.
func (s *Scene) Close() {
	if s.Root != nil {
		s.Root.Close()
		s.Root = nil
	}
}

// Stamp numbers an event and dates it. mono is CLOCK_MONOTONIC in ns, 0 for now.
func (s *Scene) Stamp(ev *event.Event, sensor string, mono uint64) {
	if mono == 0 {
		mono = uint64(monotonic())
	}
	s.seq++
	ev.V, ev.Seq, ev.Container, ev.Sensor = event.Version, s.seq, s.Container, sensor
	ev.Mono, ev.TS = int64(mono), s.boot.Add(time.Duration(mono)).UTC()
}

// Record makes an event of what the kernel side said; ok is false for records
// that only keep the table up to date.
func (s *Scene) Record(r bpf.Record) (ev event.Event, ok bool) {
	switch r.Kind {
	case bpf.KindExec:
		return s.exec(r), true
	case bpf.KindFork:
		return s.fork(r), true
	case bpf.KindExit:
		return s.exit(r), true
	case bpf.KindConnect, bpf.KindSend, bpf.KindListen, bpf.KindAccept:
		return s.socket(r), true
	case bpf.KindSyscall:
		return s.syscall(r)
	}
	return ev, false
}

func (s *Scene) exec(r bpf.Record) event.Event {
	p := s.adopt(r.PID, r.PPID, r.Start)
	p.NSPID, p.UID, p.Started = r.NSPID, s.UID(int(r.UID)), int64(r.Mono)
	ev := event.Event{
		Type: event.Exec, PID: r.PID, PPID: r.PPID, Start: r.Start, NSPID: r.NSPID, Argv: r.Argv,
		ArgvCut: r.ArgvCut, ArgvMissed: r.ArgvMissed, ExeDev: uint64(r.Dev), ExeIno: r.Ino,
	}
	s.Stamp(&ev, "exec", r.Mono)
	if r.ArgvMissed {
		s.Missed++
	}
	if p.UID >= 0 {
		uid := p.UID
		ev.UID = &uid
	}
	if r.TTY >= 0 {
		ev.TTY = "pts/" + strconv.Itoa(int(r.TTY))
	}
	s.program(&ev, r)
	for _, d := range r.FD {
		ev.Stdio = append(ev.Stdio, stdio(d))
	}
	ev.Chain = s.Table.Chain(r.PPID)
	p.Exe, p.Class, p.Is, p.Argv = ev.Exe, ev.ExeClass, ev.ExeIs, ev.Argv
	if p.Argv0 = ""; len(ev.Argv) > 0 {
		p.Argv0 = ev.Argv[0]
	}
	p.Role = s.roles.of(s.Table, p, s.Init)
	ev.Role = string(p.Role)
	parent := s.Table.Get(r.PPID)
	p.Setup = p.UID == 0 && r.PID != s.Init && p.NSPID != 1 && (p.Outside || parent != nil && parent.Setup)
	s.script(&ev, r)
	return ev
}

// adopt finds or makes the entry of a process that showed itself.
func (s *Scene) adopt(pid, ppid int, start uint64) *Proc {
	p := s.Table.Get(pid)
	if p == nil || p.Start != start {
		p = &Proc{PID: pid, Start: start, UID: -1}
	}
	p.PPID, p.Gone = ppid, false
	parent := s.Table.Get(ppid)
	p.Outside = parent == nil || ppid == 0
	s.Table.Put(p)
	return p
}

func (s *Scene) fork(r bpf.Record) event.Event {
	p := s.adopt(r.Child, r.PID, r.ChildStart)
	p.NSPID, p.UID = r.ChildNSPID, s.UID(int(r.UID))
	if parent := s.Table.Get(r.PID); parent != nil {
		p.Exe, p.Class, p.Is, p.Argv, p.Argv0, p.Role = parent.Exe, parent.Class, parent.Is, parent.Argv, parent.Argv0, parent.Role
	}
	ev := event.Event{Type: event.Fork, PID: r.Child, PPID: r.PID, Start: r.ChildStart, NSPID: r.ChildNSPID}
	s.Stamp(&ev, "fork", r.Mono)
	return ev
}

func (s *Scene) exit(r bpf.Record) event.Event {
	if p := s.Table.Get(r.PID); p != nil && p.Start == r.Start {
		p.Gone = true
	}
	ev := event.Event{Type: event.Exit, PID: r.PID, PPID: r.PPID, Start: r.Start, N: map[string]float64{"read": float64(r.Read), "written": float64(r.Written)}}
	s.about(&ev, r.PID)
	s.Stamp(&ev, "exit", r.Mono)
	return ev
}

// about fills in what is known of the process an event is about.
func (s *Scene) about(ev *event.Event, pid int) {
	p := s.Table.Get(pid)
	if p == nil {
		return
	}
	ev.PPID, ev.Start, ev.NSPID = p.PPID, p.Start, p.NSPID
	ev.Exe, ev.ExeClass, ev.ExeIs, ev.Role = p.Exe, p.Class, p.Is, string(p.Role)
	if p.UID >= 0 {
		uid := p.UID
		ev.UID = &uid
	}
}

// About is about for sensors that know a pid and nothing else.
func (s *Scene) About(ev *event.Event, pid int) {
	ev.PID = pid
	if p := s.Table.Get(pid); p == nil || p.Gone {
		s.discover(pid)
	}
	s.about(ev, pid)
	if p := s.Table.Get(pid); p != nil {
		ev.Argv = p.Argv
		ev.Chain = s.Table.Chain(p.PPID)
	}
}

// program finds out which file runs. The kernel told device, inode and the
// name as given; the full path is asked of /proc while the process lives.
func (s *Scene) program(ev *event.Event, r bpf.Record) {
	given := r.Interp
	if given == "" {
		given = r.File
	}
	im := s.Images.lookKernel(r.Dev, r.Ino, r.Ctime, func() string { return s.fullPath(r, given) }, s.Root, func() (*os.File, error) { return s.running(r) })
	ev.Exe, ev.ExeSHA, ev.ExeClass, ev.ExeIs = im.path, im.sha, im.class, im.is
	ev.ExeFlags = flags(r, given)
	if isLoader(r.Name) && len(r.Argv) > 1 {
		s.behindLoader(ev, r.Argv)
	}
	if ev.Has(event.FlagMemfd) && ev.ExeIs != "" {
		ev.ExeFlags = append(ev.ExeFlags, event.FlagSameBytes)
	}
}

// readable are the file systems whose reads end, by their magic number: ext4,
// xfs, btrfs, zfs, tmpfs, overlay.
var readable = map[uint64]bool{0xef53: true, 0x58465342: true, 0x9123683e: true, 0x2fc12fc1: true, tmpfsMagic: true, 0x794c7630: true}

// errUnread is a program on a file system that is not read.
var errUnread = errors.New("file system is not read")

// running opens the very file that a living process runs.
func (s *Scene) running(r bpf.Record) (*os.File, error) {
	if !readable[r.Magic] {
		return nil, errUnread
	}
	return os.OpenFile(path.Join(string(s.Proc), strconv.Itoa(r.PID), "exe"), os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
}

func (s *Scene) fullPath(r bpf.Record, given string) string {
	if exe, _, err := s.Proc.Exe(r.PID); err == nil && path.Base(exe) == r.Name && s.Proc.Is(r.PID, r.Start) {
		return exe
	}
	if strings.HasPrefix(given, "/") {
		return path.Clean(given)
	}
	if cwd, err := s.Proc.CWD(r.PID); err == nil && given != "" {
		return path.Join(cwd, given)
	}
	return given
}

const (
	tmpfsMagic = 0x01021994
	setidBits  = unix.S_ISUID | unix.S_ISGID
)

func flags(r bpf.Record, given string) []string {
	var out []string
	memfd := r.Nlink == 0 && r.Magic == tmpfsMagic && strings.HasPrefix(r.Name, "memfd:")
	switch {
	case memfd:
		out = append(out, event.FlagMemfd)
	case r.Nlink == 0:
		out = append(out, event.FlagDeleted)
	}
	if r.Mode&setidBits != 0 {
		out = append(out, event.FlagSetuid)
	}
	if isLoader(r.Name) || strings.HasPrefix(given, "/proc/") && (strings.Contains(given, "/root/") || strings.Contains(given, "/fd/")) {
		out = append(out, event.FlagLoader)
	}
	for _, dir := range []string{"/tmp/", "/var/tmp/", "/dev/shm/", "/run/shm/"} {
		if strings.HasPrefix(given, dir) {
			out = append(out, event.FlagWritableDir)
		}
	}
	return out
}

func isLoader(name string) bool {
	return strings.HasPrefix(name, "ld-linux") || strings.HasPrefix(name, "ld-musl") || strings.HasPrefix(name, "ld.so") ||
		strings.HasPrefix(name, "ld-2.")
}

// behindLoader takes the program that the loader was asked to run for the one
// that runs: ld-linux counts as what it loads.
func (s *Scene) behindLoader(ev *event.Event, argv []string) {
	i := 1
	for i < len(argv) && strings.HasPrefix(argv[i], "--") {
		switch argv[i] {
		case "--library-path", "--argv0", "--preload", "--audit", "--inhibit-rpath", "--glibc-hwcaps-prepend", "--glibc-hwcaps-mask":
			i++
		}
		i++
	}
	if i >= len(argv) || s.Root == nil {
		return
	}
	name := argv[i]
	if !strings.HasPrefix(name, "/") {
		if cwd, err := s.Proc.CWD(ev.PID); err == nil {
			name = path.Join(cwd, name)
		}
	}
	in, err := s.Root.Stat(name)
	if err != nil {
		return
	}
	im, _, _ := s.Images.look(in.Ino, in.Ctime, in.Path, s.Root)
	ev.Exe, ev.ExeSHA, ev.ExeClass, ev.ExeIs = im.path, im.sha, im.class, im.is
	ev.Argv = argv[i:]
}

// pipeFS is the device number, in the kernel's form, of the file system that
// pipes without a name live on.
var pipeFS = func() uint32 {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return 0
	}
	defer func() { _, _ = unix.Close(p[0]), unix.Close(p[1]) }()
	var st unix.Stat_t
	if err := unix.Fstat(p[0], &st); err != nil {
		return 0
	}
	return unix.Major(st.Dev)<<20 | unix.Minor(st.Dev)
}()

// Descriptor puts a descriptor in the words of the wiring graph.
func Descriptor(n int, d bpf.Desc) wiring.FD {
	s := stdio(d)
	fd := wiring.FD{N: n, Kind: s.Kind, ID: s.ID, Read: true, Write: true}
	if s.Kind == wiring.Inet {
		fd.Proto, fd.LocalPort = proto(d.Sock), int(d.Sock.Local.Port())
		fd.Connected = d.Sock.Remote.IsValid() && d.Sock.Remote.Port() != 0
		if fd.Connected {
			fd.Peer, fd.Port = d.Sock.Remote.Addr().String(), int(d.Sock.Remote.Port())
		}
	}
	return fd
}

// stdio puts a descriptor in the words of the event.
func stdio(d bpf.Desc) event.Stdio {
	id := strconv.FormatUint(d.Ino, 10)
	switch d.Mode & unix.S_IFMT {
	case unix.S_IFIFO:
		if d.Dev == pipeFS {
			return event.Stdio{Kind: wiring.Pipe, ID: id}
		}
		return event.Stdio{Kind: wiring.FIFO, ID: strconv.FormatUint(unix.Mkdev(d.Dev>>20, d.Dev&0xfffff), 10) + ":" + id}
	case unix.S_IFCHR:
		switch major := d.Rdev >> 20; {
		case d.Rdev == 1<<20|3:
			return event.Stdio{Kind: wiring.Null}
		case major >= 136 && major <= 143:
			return event.Stdio{Kind: wiring.PTY, ID: strconv.Itoa(int(d.Rdev & 0xfffff))}
		}
	case unix.S_IFSOCK:
		return socketStdio(d, id)
	case 0:
		return event.Stdio{}
	}
	return event.Stdio{Kind: wiring.File, ID: id}
}

func socketStdio(d bpf.Desc, id string) event.Stdio {
	switch d.Sock.Family {
	case unix.AF_UNIX:
		return event.Stdio{Kind: wiring.Unix, ID: id}
	case unix.AF_VSOCK:
		return event.Stdio{Kind: wiring.Vsock, ID: id}
	}
	out := event.Stdio{Kind: wiring.Inet, ID: id}
	if d.Sock.Remote.IsValid() && d.Sock.Remote.Port() != 0 {
		out.Peer = d.Sock.Remote.String()
	}
	return out
}

func (s *Scene) socket(r bpf.Record) event.Event {
	ev := event.Event{PID: r.PID, PPID: r.PPID, Start: r.Start, NSPID: r.NSPID, Proto: proto(r.Sock), Dir: "out"}
	sensor := "connect"
	switch r.Kind {
	case bpf.KindListen:
		ev.Type, ev.Dir, ev.Local, ev.Port = event.Listen, "in", r.Sock.Local.String(), int(r.Sock.Local.Port())
	case bpf.KindAccept:
		ev.Type, ev.Dir, ev.Local = event.Accept, "in", r.Sock.Local.String()
		ev.Peer, ev.Port = r.Sock.Remote.Addr().String(), int(r.Sock.Remote.Port())
	default:
		ev.Type, ev.Peer, ev.Port = event.Connect, r.Sock.Remote.Addr().String(), int(r.Sock.Remote.Port())
	}
	if r.PID != 0 {
		s.adoptQuietly(r)
		s.about(&ev, r.PID)
	}
	s.Stamp(&ev, sensor, r.Mono)
	return ev
}

// adoptQuietly learns of a process whose exec was before our time.
func (s *Scene) adoptQuietly(r bpf.Record) {
	if p := s.Table.Get(r.PID); p == nil || p.Start != r.Start {
		s.discover(r.PID)
	}
}

func proto(e bpf.Endpoint) string {
	switch e.Proto {
	case unix.IPPROTO_TCP:
		return "tcp"
	case unix.IPPROTO_UDP, unix.IPPROTO_UDPLITE:
		return "udp"
	case unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6:
		return "icmp"
	case unix.IPPROTO_SCTP:
		return "sctp"
	}
	switch e.Type {
	case unix.SOCK_STREAM:
		return "tcp"
	case unix.SOCK_DGRAM:
		return "udp"
	}
	return fmt.Sprintf("ip-%d", e.Proto)
}
