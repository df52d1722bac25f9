package replay

import (
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
)

// local looks at this machine for files that a command line names by absolute
// path, as the sensors look into the container: the program behind a path is
// found by content, and script files are read. It is for command lines typed
// for this machine; recordings carry what they need.
type local struct {
	sums map[[32]byte]string // content of the machine's own programs, filled when needed
}

// maxProgram bounds what is compared by content.
const maxProgram = 64 << 20

// Resolve names the program of the same content, or behind the same link.
func (l *local) Resolve(path string) string {
	if !program.Writable(path) {
		return ""
	}
	if to, err := filepath.EvalSymlinks(path); err == nil && to != path && !program.Writable(to) {
		return program.Canonical(to)
	}
	sum, ok := digest(path)
	if !ok {
		return ""
	}
	if l.sums == nil {
		l.fill()
	}
	return l.sums[sum]
}

func (l *local) fill() {
	l.sums = map[[32]byte]string{}
	for _, class := range []program.Class{
		program.Shell, program.Interpreter, program.Relay, program.Downloader, program.Uploader, program.SSH, program.Account,
		program.Reader, program.Search, program.Archiver, program.Runtime, program.Debugger, program.Other,
	} {
		for _, n := range program.Names(class) {
			for _, dir := range []string{"/usr/bin/", "/bin/", "/usr/sbin/", "/sbin/", "/usr/local/bin/"} {
				if sum, ok := digest(dir + n); ok && l.sums[sum] == "" {
					l.sums[sum] = program.Canonical(n)
				}
			}
		}
	}
}

// open opens a regular file without following a link or waiting for a pipe.
func open(path string, most int64) (*os.File, bool) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, false
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() > most {
		_ = f.Close()
		return nil, false
	}
	return f, true
}

func digest(path string) (sum [32]byte, ok bool) {
	if to, err := filepath.EvalSymlinks(path); err == nil {
		path = to
	}
	f, ok := open(path, maxProgram)
	if !ok {
		return sum, false
	}
	defer f.Close() //nolint:errcheck // only read
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return sum, false
	}
	copy(sum[:], h.Sum(nil))
	return sum, true
}

// Read is the text of a script in a place where everybody may write.
func (l *local) Read(path string) string {
	if !program.Writable(path) {
		return ""
	}
	f, ok := open(path, event.MaxScript)
	if !ok {
		return ""
	}
	defer f.Close() //nolint:errcheck // only read
	data, err := io.ReadAll(io.LimitReader(f, event.MaxScript))
	if err != nil {
		return ""
	}
	return string(data)
}
