package build

import (
	"bytes"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/code-on-incus/coi/pkg/home"
)

// TailLines is how much of a log is shown when a build failed.
const TailLines = 30

// maxLine bounds one line that is kept in memory, in bytes.
const maxLine = 4096

// Log is the log of one build: it goes to a file, its last lines are kept, and
// lines that announce a step or name a failure are picked out of it.
type Log struct {
	mu   sync.Mutex
	f    *os.File
	part []byte
	tail []string
	fail string
	step func(string)
}

// openLog starts the log at path anew. step is called for each step announced in it.
func openLog(path string, step func(string)) (*Log, error) {
	f, err := home.OpenAppend(path)
	if err != nil {
		return nil, err
	}
	if err := f.Truncate(0); err != nil {
		_ = f.Close()
		return nil, err
	}
	return &Log{f: f, step: step}, nil
}

// Write takes what a program of the build said. It never fails: a full disk
// must not stop the output of the program that would say so.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f != nil {
		_, _ = l.f.Write(p)
	}
	rest := p
	for {
		line, after, found := bytes.Cut(rest, []byte{'\n'})
		l.part = append(l.part, line[:min(len(line), maxLine)]...)
		if !found {
			return len(p), nil
		}
		l.line(string(l.part))
		l.part, rest = l.part[:0], after
	}
}

func (l *Log) line(s string) {
	s = strings.TrimRight(s, "\r")
	if i := strings.LastIndexByte(s, '\r'); i >= 0 {
		s = s[i+1:] // a progress line shows its last state
	}
	if len(l.tail) == TailLines {
		l.tail = l.tail[1:]
	}
	l.tail = append(l.tail, s[:min(len(s), maxLine)])
	if what, ok := strings.CutPrefix(s, "coi-step: "); ok {
		l.step(what)
	}
	if what, ok := strings.CutPrefix(s, "coi-fail: "); ok {
		l.fail = what
	}
}

// Tail is the last lines of the log.
func (l *Log) Tail() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string{}, l.tail...)
}

// Failure is what the install script itself named as the cause, or empty.
func (l *Log) Failure() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fail
}

// Close ends the file.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.f
	l.f = nil
	if f == nil {
		return nil
	}
	return f.Close()
}

var _ io.Writer = (*Log)(nil)
