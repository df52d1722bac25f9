// Package merge prints the two session logs of a container as one, in order of
// time, and follows them.
package merge

import (
	"bufio"
	"context"
	"io"
	"os"
	"slices"
	"sync"

	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/logs"
	"github.com/code-on-incus/coi/pkg/tail"
)

// Pair is the two logs of a container and how files are opened.
type Pair struct {
	Out, Err string
	Open     func(path string) (*os.File, error)
}

func (p Pair) paths() [2]string { return [2]string{p.Out, p.Err} }

// Print writes both logs, rotated parts included, merged by time; of lines at
// the same time those of Out come first. n limits it to the last n lines, -1
// is all. found says whether there was any file.
func (p Pair) Print(pr *Printer, w *bufio.Writer, n int) (found bool, err error) {
	var s [2]*stream
	for i, path := range p.paths() {
		if s[i], err = p.stream(path); err != nil {
			return false, err
		}
		defer s[i].close()
		found = found || len(s[i].files) > 0
	}
	return found, print(pr, w, s, n)
}

func print(pr *Printer, w *bufio.Writer, s [2]*stream, n int) error {
	skip := 0
	if n == 0 {
		return nil
	}
	if n > 0 {
		for _, one := range s {
			got, err := one.rewind(n, pr.Filter)
			if err != nil {
				return err
			}
			skip += got
		}
		skip = max(0, skip-n)
	}
	for _, one := range s {
		if err := one.start(); err != nil {
			return err
		}
	}
	return merged(pr, w, s, skip)
}

// merged writes the lines of both streams in order.
func merged(pr *Printer, w *bufio.Writer, s [2]*stream, skip int) error {
	for {
		i := 0
		switch {
		case s[0].done && s[1].done:
			return nil
		case s[0].done, !s[1].done && string(s[1].key[:]) < string(s[0].key[:]):
			i = 1
		}
		wanted := pr.wants(s[i])
		if wanted && skip > 0 {
			skip--
			wanted = false
		}
		for {
			if wanted {
				if err := pr.piece(w, i, s[i].piece, s[i].begins, s[i].ends); err != nil {
					return err
				}
			}
			ended := s[i].ends
			if err := s[i].next(); err != nil {
				return err
			}
			if ended {
				break
			}
		}
	}
}

// Follow first writes the last n lines, then what comes, in order of arrival,
// until the context ends. A file that is not there is waited for. truncated is
// told of files that became shorter.
func (p Pair) Follow(ctx context.Context, pr *Printer, w *bufio.Writer, n int, truncated func(path string)) error {
	var s [2]*stream
	var files []tail.File
	for i, path := range p.paths() {
		one, err := p.stream(path)
		if err != nil {
			return err
		}
		defer one.close()
		s[i] = one
		file := tail.File{Path: path, Read: one.ids()}
		if f, size := one.current(path); f != nil {
			file.F, file.Offset = f, size
		}
		files = append(files, file)
	}
	if err := print(pr, w, s, n); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	var mu sync.Mutex
	opts := tail.Options{
		Open: p.Open, Hold: halfLine, MaxHeld: 1 << 20,
		Parts:     func(i int) []string { return logs.Files(p.paths()[i]) },
		Truncated: func(i int) { truncated(p.paths()[i]) },
	}
	return tail.Follow(ctx, files, opts, func(c tail.Chunk) error {
		mu.Lock()
		defer mu.Unlock()
		if err := pr.chunk(w, c); err != nil {
			return err
		}
		return w.Flush()
	})
}

// stream opens all parts of one log, oldest first. Names that move on while it
// opens would make it miss a part or have one twice: then it opens them again.
func (p Pair) stream(path string) (*stream, error) {
	for tries := 1; ; tries++ {
		names := logs.Files(path)
		s, err := p.openAll(names)
		if err != nil || slices.Equal(names, logs.Files(path)) && s.steady() || tries == 100 {
			return s, err
		}
		s.close()
	}
}

func (p Pair) openAll(names []string) (*stream, error) {
	s := &stream{}
	for _, name := range names {
		f, err := p.Open(name)
		if home.Missing(err) {
			continue
		}
		if err != nil {
			s.close()
			return nil, err
		}
		st, err := f.Stat()
		s.files = append(s.files, part{f, name, st})
		if err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

// steady reports whether all files still have their names.
func (s *stream) steady() bool {
	for _, p := range s.files {
		if st, err := os.Stat(p.name); err != nil || !os.SameFile(st, p.info) {
			return false
		}
	}
	return true
}

// part is an open file of a stream.
type part struct {
	f    *os.File
	name string
	info os.FileInfo // its size is how much of it belongs to the printing
}

// current is the open file that has the name of the log, opened once more so
// that it can be followed on its own.
func (s *stream) current(path string) (*os.File, int64) {
	if len(s.files) == 0 {
		return nil, 0
	}
	last := s.files[len(s.files)-1]
	if last.name != path {
		return nil, 0
	}
	f, err := os.Open("/proc/self/fd/" + itoa(int(last.f.Fd())))
	if err != nil {
		return nil, 0
	}
	return f, last.info.Size()
}

func (s *stream) close() {
	for _, p := range s.files {
		_ = p.f.Close()
	}
}

func (s *stream) ids() (out []tail.ID) {
	for _, p := range s.files {
		if id, err := tail.IDOf(p.f); err == nil {
			out = append(out, id)
		}
	}
	return out
}

func (p part) reader(from int64) io.Reader { return io.NewSectionReader(p.f, from, p.info.Size()-from) }
