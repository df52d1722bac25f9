package inside

import (
	"bytes"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Mounts is the text of mountinfo of the process, read again only when the
// kernel says that a mount came or went.
func (r *Root) Mounts() ([]byte, error) { return r.mounts.read(r.pid) }

// FreshMounts is Mounts without trust in the kernel's word that nothing has
// changed: the notification of an unmount can be gone before it is asked for.
func (r *Root) FreshMounts() ([]byte, error) {
	r.mounts.close()
	return r.mounts.read(r.pid)
}

// mountTable keeps the text of a mountinfo.
type mountTable struct {
	mu   sync.Mutex
	f    *os.File
	text []byte
}

func (m *mountTable) read(pid int) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.f == nil {
		f, err := os.Open("/proc/" + strconv.Itoa(pid) + "/mountinfo")
		if err != nil {
			return nil, err
		}
		m.f = f
	} else {
		fds := []unix.PollFd{{Fd: int32(m.f.Fd()), Events: unix.POLLPRI}}
		if n, err := unix.Poll(fds, 0); n == 0 && err == nil && m.text != nil {
			return m.text, nil
		}
	}
	b, err := io.ReadAll(io.NewSectionReader(m.f, 0, 1<<20))
	if err == nil {
		m.text = b
	}
	return b, err
}

func (m *mountTable) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.f != nil {
		_ = m.f.Close()
		m.f = nil
	}
}

// mountOf is the type of the file system that name lies on.
func mountOf(mountinfo []byte, name string) (kind, point string) {
	best := -1
	for line := range bytes.SplitSeq(mountinfo, []byte("\n")) {
		head, tail, ok := strings.Cut(string(line), " - ")
		f, rest := strings.Fields(head), strings.Fields(tail)
		if !ok || len(f) < 5 || len(rest) < 1 {
			continue
		}
		p := Unescape(f[4])
		if p != "/" && p != name && !strings.HasPrefix(name, p+"/") {
			continue
		}
		if len(p) >= best { // later lines lie on top of earlier ones
			best, kind, point = len(p), rest[0], p
		}
	}
	return kind, point
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
