// Package logs writes the two session log files of a container: one for
// information, one for warnings and errors. Several programs append to them;
// each message is one line and one write.
package logs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/plain"
)

// Tags of messages: the part of coi that speaks.
const (
	Setup    = "setup"
	Session  = "session"
	Save     = "save"
	Network  = "network"
	Monitor  = "monitor"
	Security = "security"
	Limits   = "limits"
	Git      = "git"
	Trust    = "trust"
	Image    = "image"
)

// Suffixes of the two files of a container.
const (
	StdoutSuffix = ".stdout.log"
	StderrSuffix = ".stderr.log"
)

// TimeForm is how a line begins, in local time.
const TimeForm = "2006/01/02 15:04:05"

const (
	// MaxLine is the longest line in bytes, newline included. One write of that
	// size to a file opened for appending is not mixed with others.
	MaxLine = 4 << 10
	// MaxFile is the size in bytes at which a file is rotated.
	MaxFile = 10 << 20
	// Rotated is how many old files are kept: .1, the youngest, to .5.
	Rotated = 5
)

// Redactor takes secrets out of a message. *redact.Redactor is one.
type Redactor interface{ Text(s string) string }

// Log is the pair of files of one container. Its methods do nothing on a nil
// *Log, may be called by several goroutines, and never fail: a session does
// not end because its log cannot be written.
type Log struct {
	red      Redactor
	out, err *file
	now      func() time.Time
}

// Open prepares the files of container in dir, which it makes. They are opened
// at the first message. Where that will not work the error says why; the Log
// may be used even so, and tries again with each message. red may be nil.
func Open(dir, container string, red Redactor) (*Log, error) {
	l := &Log{
		red: red, now: time.Now,
		out: &file{path: filepath.Join(dir, container+StdoutSuffix)},
		err: &file{path: filepath.Join(dir, container+StderrSuffix)},
	}
	if !coi.ValidContainer(container) {
		l.out, l.err = nil, nil
		return l, fmt.Errorf("logs: %q is no container name", container)
	}
	if err := os.MkdirAll(dir, home.DirMode); err != nil {
		return l, err
	}
	return l, errors.Join(l.out.try(), l.err.try())
}

// Info writes a message of information: steps of the set-up, notices, threats.
func (l *Log) Info(tag, format string, a ...any) {
	if l != nil {
		l.write(l.out, tag, fmt.Sprintf(format, a...))
	}
}

// Error writes a warning or an error.
func (l *Log) Error(tag, format string, a ...any) {
	if l != nil {
		l.write(l.err, tag, fmt.Sprintf(format, a...))
	}
}

// Started separates sessions of one container.
func (l *Log) Started(id string) { l.Info(Session, "started %s", id) }

// Ended is the other half of Started.
func (l *Log) Ended(reason string) { l.Info(Session, "ended %s", reason) }

// Close closes the files. Later messages open them again.
func (l *Log) Close() {
	if l != nil && l.out != nil {
		l.out.close()
		l.err.close()
	}
}

func (l *Log) write(f *file, tag, text string) {
	if f == nil {
		return
	}
	if l.red != nil {
		// Cut with room to spare first: no half of a secret may stay.
		text = l.red.Text(text[:min(len(text), MaxLine+256)])
	}
	f.append(Line(l.now(), tag, text))
}

// Line is one line of a session log with its newline: local time, tag, text.
// Control characters are spelled out and the whole is cut to MaxLine bytes.
func Line(t time.Time, tag, text string) []byte {
	b := t.AppendFormat(make([]byte, 0, 64+len(text)), TimeForm)
	b = append(b, " ["...)
	b = append(b, plain.Escape(tag)...)
	b = append(b, "] "...)
	b = append(b, plain.Escape(text)...)
	if len(b) > MaxLine-1 {
		b = append(b[:cutAt(b, MaxLine-4)], "…"...)
	}
	return append(b, '\n')
}

// cutAt is n, or less where n would split a character.
func cutAt(b []byte, n int) int {
	for n > 0 && b[n]&0xc0 == 0x80 {
		n--
	}
	return n
}

// file is one of the two.
type file struct {
	path string
	mu   sync.Mutex
	f    *os.File
}

func (f *file) try() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.open()
}

func (f *file) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.drop()
}

func (f *file) drop() {
	if f.f != nil {
		_ = f.f.Close()
		f.f = nil
	}
}

func (f *file) open() (err error) {
	if f.f == nil {
		f.f, err = home.OpenAppend(f.path)
	}
	return err
}

// append writes one line to the file that has the name now, which somebody
// else may have rotated or removed since the last line.
func (f *file) append(line []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	size, same := f.state()
	if !same {
		f.drop()
	} else if size+int64(len(line)) > MaxFile && f.rotate() {
		f.drop()
	}
	if f.open() != nil {
		// The folder may have been removed with its files.
		if os.MkdirAll(filepath.Dir(f.path), home.DirMode) != nil || f.open() != nil {
			return
		}
	}
	if _, err := f.f.Write(line); err != nil {
		f.drop()
	}
}

// state is the size of the file and whether it still has its name.
func (f *file) state() (size int64, same bool) {
	if f.f == nil {
		return 0, false
	}
	var ours, named unix.Stat_t
	if unix.Fstat(int(f.f.Fd()), &ours) != nil || unix.Lstat(f.path, &named) != nil {
		return 0, false
	}
	return ours.Size, ours.Ino == named.Ino && ours.Dev == named.Dev
}

// rotate moves the file to .1, what was there to .2, and so on. Among several
// writers the one that holds the lock of the file does it; it reports whether
// the name is free for a new file.
func (f *file) rotate() bool {
	if unix.Flock(int(f.f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return false // another writer is at it
	}
	defer func() { _ = unix.Flock(int(f.f.Fd()), unix.LOCK_UN) }()
	if _, same := f.state(); !same {
		return true
	}
	for i := Rotated - 1; i >= 1; i-- {
		if err := os.Rename(numbered(f.path, i), numbered(f.path, i+1)); err != nil && !home.Missing(err) {
			return false
		}
	}
	return os.Rename(f.path, numbered(f.path, 1)) == nil
}

func numbered(path string, i int) string { return path + "." + strconv.Itoa(i) }

// Files lists the parts of one log in order of time, oldest first: path.5 to
// path.1 and path, as far as they exist.
func Files(path string) []string {
	var out []string
	for i := Rotated; i >= 0; i-- {
		p := path
		if i > 0 {
			p = numbered(path, i)
		}
		if _, err := os.Lstat(p); err == nil {
			out = append(out, p)
		}
	}
	return out
}
