package inside

import (
	"bytes"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Mounts is the text of mountinfo of the process, read again only when the
// kernel says that a mount came or went.
func (r *Root) Mounts() ([]byte, error) { return r.mounts.read(r.pid) }

// mountTable keeps the text of a mountinfo. The file is a plain descriptor: as an
// os.File it would be known to the poller of the runtime, whose epoll asks the
// file on its own and so takes the one notification of a change (mounts_poll in
// fs/proc_namespace.c remembers per open file what was told).
type mountTable struct {
	mu     sync.Mutex
	open   bool
	fd     int
	text   []byte
	mounts []mount // of the text, once somebody asked
}

// mount is what decides whether a path is touched.
type mount struct{ point, kind string }

// maxMounts is the most that is read of one mountinfo.
const maxMounts = 1 << 20

func (m *mountTable) read(pid int) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.current(pid)
}

// of is the file system that name lies on.
func (m *mountTable) of(pid int, name string) (mount, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	text, err := m.current(pid)
	if err != nil {
		return mount{}, err
	}
	if m.mounts == nil {
		m.mounts = parseMounts(text)
	}
	return mountOf(m.mounts, name), nil
}

func (m *mountTable) current(pid int) ([]byte, error) {
	if !m.open {
		fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/mountinfo", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		m.fd, m.open, m.text, m.mounts = fd, true, nil, nil
	}
	fds := []unix.PollFd{{Fd: int32(m.fd), Events: unix.POLLPRI}}
	if n, err := unix.Poll(fds, 0); n == 0 && err == nil && m.text != nil {
		return m.text, nil
	}
	m.text, m.mounts = nil, nil // what cannot be read now is read the next time
	var all []byte
	buf := make([]byte, 16<<10)
	for len(all) < maxMounts {
		n, err := unix.Pread(m.fd, buf, int64(len(all)))
		if err != nil {
			return nil, err
		}
		if n == 0 {
			break
		}
		all = append(all, buf[:n]...)
	}
	m.text = all
	return all, nil
}

func (m *mountTable) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.open {
		_ = unix.Close(m.fd)
		m.open, m.text, m.mounts = false, nil, nil
	}
}

// parseMounts reads a mountinfo.
func parseMounts(mountinfo []byte) []mount {
	out := []mount{}
	for line := range bytes.SplitSeq(mountinfo, []byte("\n")) {
		head, tail, ok := strings.Cut(string(line), " - ")
		f, rest := strings.Fields(head), strings.Fields(tail)
		if ok && len(f) >= 5 && len(rest) >= 1 {
			out = append(out, mount{Unescape(f[4]), rest[0]})
		}
	}
	return out
}

// mountOf is the mount that name lies on.
func mountOf(mounts []mount, name string) (found mount) {
	best := -1
	for _, m := range mounts {
		rest, below := strings.CutPrefix(name, m.point)
		if m.point != "/" && (!below || rest != "" && rest[0] != '/') {
			continue
		}
		if len(m.point) >= best { // later lines lie on top of earlier ones
			best, found = len(m.point), m
		}
	}
	return found
}

// Unescape undoes the octal escapes of mountinfo.
func Unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
