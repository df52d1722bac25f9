// Package proc reads /proc about processes that may be hostile and may end at
// any moment: every read is bounded, no line is split where a process can put
// its own text, and a process is named by pid and start time, never by pid alone.
package proc

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// MaxFile is the most that is read of one file of /proc, in bytes.
const MaxFile = 128 << 10

// MaxArgv is the most that is kept of the arguments of a process, in bytes.
const MaxArgv = 4 << 10

// ErrGone means that the process ended, or that its pid belongs to another one.
var ErrGone = errors.New("process is gone")

// Root is /proc, or another place in tests.
type Root string

// Host is the /proc of this machine.
const Host Root = "/proc"

// Stat is what /proc/PID/stat says.
type Stat struct {
	PID, PPID int
	Comm      string
	State     byte
	Start     uint64 // clock ticks since boot
	TTY       int    // device number, 0 none
	UTime     uint64 // clock ticks
	STime     uint64
	Exiting   bool // its last thread is on the way out; the kernel has told of its exit already
}

// exiting is PF_EXITING of include/linux/sched.h, which the kernel sets before
// sched_process_exit.
const exiting = 0x4

// ReadStat reads the state of a process.
func (r Root) ReadStat(pid int) (Stat, error) {
	b, err := r.read(pid, "stat", 4096)
	if err != nil {
		return Stat{}, err
	}
	return ParseStat(b)
}

// ParseStat takes a stat line apart. The name of the command may hold spaces,
// newlines and parentheses; only the last parenthesis ends it.
func ParseStat(b []byte) (Stat, error) {
	open, shut := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || shut < open {
		return Stat{}, errors.New("stat: no command name")
	}
	f := strings.Fields(string(b[shut+1:]))
	if len(f) < 20 {
		return Stat{}, errors.New("stat: too few fields")
	}
	s := Stat{Comm: string(b[open+1 : shut]), State: f[0][0]}
	var err error
	if s.PID, err = strconv.Atoi(strings.TrimSpace(string(b[:open]))); err != nil {
		return Stat{}, errors.New("stat: no pid")
	}
	s.PPID, _ = strconv.Atoi(f[1])
	s.TTY, _ = strconv.Atoi(f[4])
	flags, _ := strconv.ParseUint(f[6], 10, 64)
	threads, _ := strconv.Atoi(f[17])
	s.Exiting = flags&exiting != 0 && threads <= 1
	s.UTime, _ = strconv.ParseUint(f[11], 10, 64)
	s.STime, _ = strconv.ParseUint(f[12], 10, 64)
	if s.Start, err = strconv.ParseUint(f[19], 10, 64); err != nil {
		return Stat{}, errors.New("stat: no start time")
	}
	return s, nil
}

// Is reports whether pid is still the process that started at start.
func (r Root) Is(pid int, start uint64) bool {
	s, err := r.ReadStat(pid)
	return err == nil && s.Start == start
}

// Argv reads the arguments, at most MaxArgv bytes; cut says that there are more.
func (r Root) Argv(pid int) (argv []string, cut bool, err error) {
	b, err := r.read(pid, "cmdline", MaxArgv+1)
	if err != nil {
		return nil, false, err
	}
	if cut = len(b) > MaxArgv; cut {
		b = b[:MaxArgv]
	}
	if len(b) == 0 {
		return nil, false, nil
	}
	return strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00"), cut, nil
}

// Exe is the path of the file that runs, as seen from inside its root.
// " (deleted)" is taken off and told.
func (r Root) Exe(pid int) (path string, deleted bool, err error) {
	path, err = os.Readlink(r.path(pid, "exe"))
	if err != nil {
		return "", false, gone(err)
	}
	path, deleted = strings.CutSuffix(path, " (deleted)")
	return path, deleted, nil
}

// CWD is the working directory, as seen from inside its root.
func (r Root) CWD(pid int) (string, error) {
	p, err := os.Readlink(r.path(pid, "cwd"))
	return p, gone(err)
}

// Link reads a link below /proc/PID whose target the kernel makes, such as
// ns/net or fd/0.
func (r Root) Link(pid int, name string) (string, error) {
	p, err := os.Readlink(r.path(pid, name))
	return p, gone(err)
}

// Namespace is the inode of one namespace of the process: mnt pid net user cgroup ipc uts.
func (r Root) Namespace(pid int, kind string) (uint64, error) {
	s, err := r.Link(pid, "ns/"+kind)
	if err != nil {
		return 0, err
	}
	return bracketed(s), nil
}

// bracketed is the number in "kind:[123]".
func bracketed(s string) uint64 {
	_, rest, ok := strings.Cut(s, ":[")
	if !ok {
		return 0
	}
	n, _ := strconv.ParseUint(strings.TrimSuffix(rest, "]"), 10, 64)
	return n
}

// Status holds the lines of /proc/PID/status that matter here.
type Status struct {
	UID    int   // real, host
	NSPIDs []int // outermost first
	NoNew  bool
}

// ReadStatus reads /proc/PID/status. Names of its lines are the kernel's; the
// one line with foreign text, Name, has its newline escaped by the kernel.
func (r Root) ReadStatus(pid int) (Status, error) {
	b, err := r.read(pid, "status", MaxFile)
	if err != nil {
		return Status{}, err
	}
	return ParseStatus(b), nil
}

// ParseStatus takes the text of a status file apart.
func ParseStatus(b []byte) Status {
	s := Status{UID: -1}
	for line := range strings.SplitSeq(string(b), "\n") {
		key, value, _ := strings.Cut(line, ":")
		f := strings.Fields(value)
		switch {
		case key == "Uid" && len(f) > 0:
			if n, err := strconv.Atoi(f[0]); err == nil {
				s.UID = n
			}
		case key == "NSpid":
			for _, v := range f {
				if n, err := strconv.Atoi(v); err == nil && len(s.NSPIDs) < 34 {
					s.NSPIDs = append(s.NSPIDs, n)
				}
			}
		case key == "NoNewPrivs" && len(f) > 0:
			s.NoNew = f[0] == "1"
		}
	}
	return s
}

// IO is how much a process read and wrote by system calls, in bytes.
type IO struct{ Read, Written uint64 }

// ReadIO reads /proc/PID/io.
func (r Root) ReadIO(pid int) (IO, error) {
	b, err := r.read(pid, "io", 4096)
	if err != nil {
		return IO{}, err
	}
	var io IO
	for line := range strings.SplitSeq(string(b), "\n") {
		key, value, _ := strings.Cut(line, ": ")
		n, _ := strconv.ParseUint(value, 10, 64)
		switch key {
		case "rchar":
			io.Read = n
		case "wchar":
			io.Written = n
		}
	}
	return io, nil
}

// IDMap translates uids of the host to those inside a user namespace.
type IDMap []struct{ inside, outside, count uint64 }

// UIDMap reads /proc/PID/uid_map.
func (r Root) UIDMap(pid int) (IDMap, error) {
	b, err := r.read(pid, "uid_map", MaxFile)
	if err != nil {
		return nil, err
	}
	return ParseIDMap(b), nil
}

// ParseIDMap takes the text of a uid_map apart.
func ParseIDMap(b []byte) IDMap {
	var m IDMap
	for line := range strings.SplitSeq(string(b), "\n") {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		var v [3]uint64
		ok := true
		for i := range v {
			n, err := strconv.ParseUint(f[i], 10, 64)
			v[i], ok = n, ok && err == nil
		}
		if ok {
			m = append(m, struct{ inside, outside, count uint64 }{v[0], v[1], v[2]})
		}
	}
	return m
}

// Inside is the uid that a host uid has inside; -1 when it has none.
func (m IDMap) Inside(host int) int {
	for _, e := range m {
		if h := uint64(host); h >= e.outside && h-e.outside < e.count {
			return int(e.inside + h - e.outside)
		}
	}
	return -1
}

// Outside is the host uid of an uid inside; -1 when it has none.
func (m IDMap) Outside(inside int) int {
	for _, e := range m {
		if i := uint64(inside); i >= e.inside && i-e.inside < e.count {
			return int(e.outside + i - e.inside)
		}
	}
	return -1
}

func (r Root) path(pid int, name string) string {
	return filepath.Join(string(r), strconv.Itoa(pid), name)
}

func (r Root) read(pid int, name string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(r.path(pid, name), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, gone(err)
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, limit))
	return b, gone(err)
}

func gone(err error) error {
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return ErrGone
	}
	return err
}
