package scene

import (
	"errors"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/bpf"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
)

// program finds out which file runs. The kernel told device, inode and the
// name as given; the full path is asked of /proc while the process lives.
func (s *Scene) program(ev *event.Event, r *bpf.Record) {
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
func (s *Scene) running(r *bpf.Record) (*os.File, error) {
	if !readable[r.Magic] {
		return nil, errUnread
	}
	return os.OpenFile(path.Join(string(s.Proc), strconv.Itoa(r.PID), "exe"), os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
}

func (s *Scene) fullPath(r *bpf.Record, given string) string {
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

func flags(r *bpf.Record, given string) []string {
	var out []string
	memfd := r.Nlink == 0 && r.Magic == tmpfsMagic && strings.HasPrefix(r.Name, "memfd:")
	switch {
	case memfd:
		out = append(out, event.FlagMemfd)
	case r.Nlink == 0 && r.Ino != 0:
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
	im, _, _ := s.Images.look(in.Ino, in.Changed.Unix(), in.Path, s.Root)
	ev.Exe, ev.ExeSHA, ev.ExeClass, ev.ExeIs = im.path, im.sha, im.class, im.is
	ev.Argv = argv[i:]
}
