package tail

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"
)

// followed is one file and how far it was read.
type followed struct {
	index  int
	path   string
	f      *os.File
	offset int64
	held   []byte    // start of a line that is not finished
	since  time.Time // of held
	inLine bool      // a piece of the line went out already
	old    []*left
	read   []ID // parts that were given out
}

// left is a file that lost its name a moment ago. A writer that had it open
// may still finish a line there.
type left struct {
	f      *os.File
	offset int64
	until  time.Time
}

const lingering = time.Second

// look reads what is new, and goes over to the file that has the name now.
func (f *follower) look(x *followed) error {
	if err := f.leftovers(x); err != nil {
		return err
	}
	if x.f == nil {
		return f.open(x)
	}
	if err := f.drain(x); err != nil {
		return err
	}
	named, err := os.Stat(x.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	ours, err := x.f.Stat()
	if err != nil {
		return err
	}
	if named != nil && os.SameFile(named, ours) {
		return f.release(x)
	}
	// Rotated, replaced or removed. What was written between our last read and
	// the renaming is still in the old file, which stays open until another one
	// has the name.
	if err := f.drain(x); err != nil {
		return err
	}
	if named == nil {
		return f.release(x)
	}
	return f.next(x, ours)
}

// next reads the parts that came after the one that was open, and goes on with
// the file that has the name now.
func (f *follower) next(x *followed, ours os.FileInfo) error {
	files, err := f.steady(func() []string { return f.between(x, ours) })
	if err != nil || len(files) == 0 {
		return err
	}
	return f.goOn(x, files)
}

// goOn goes from file to file, in order of time.
func (f *follower) goOn(x *followed, files []*os.File) (err error) {
	for _, file := range files {
		if err == nil {
			err = f.flush(x)
		}
		if x.f != nil {
			x.old = append(x.old, &left{x.f, x.offset, time.Now().Add(lingering)})
		}
		x.f, x.offset = file, 0
		if id, ierr := IDOf(file); ierr == nil {
			x.read = append(x.read, id)
		}
		if err == nil {
			err = f.drain(x)
		}
	}
	f.forget(x)
	return err
}

// leftovers gives out lines that writers finished in files without a name.
func (f *follower) leftovers(x *followed) error {
	for len(x.old) > 0 {
		o := x.old[0]
		n, err := o.f.ReadAt(f.buf, o.offset)
		if end := bytes.LastIndexByte(f.buf[:n], '\n') + 1; end > 0 && len(x.held) == 0 {
			o.offset += int64(end)
			if err := f.sink(Chunk{File: x.index, Data: f.buf[:end]}); err != nil {
				return err
			}
		}
		if (err == nil && n > 0) || time.Now().Before(o.until) {
			return nil
		}
		_ = o.f.Close()
		x.old = x.old[1:]
	}
	return nil
}

// steady opens files by their paths, that of the log last. Names may move on
// while it lists and opens: a part that got its name after the folder was read
// would be missed. What was opened counts only if the paths are the same after it.
func (f *follower) steady(paths func() []string) ([]*os.File, error) {
	for range 100 {
		before := paths()
		files, err := f.openAll(before)
		if err != nil || (slices.Equal(before, paths()) && same(files)) {
			return files, err
		}
		closeAll(files)
	}
	return nil, nil // the next look may find a quiet moment
}

// between lists the paths after that of the file that was open.
func (f *follower) between(x *followed, ours os.FileInfo) []string {
	parts := f.parts(x)
	i := slices.IndexFunc(parts, func(p string) bool {
		st, err := os.Stat(p)
		return err == nil && os.SameFile(st, ours)
	})
	if i < 0 {
		return f.unread(x)
	}
	return parts[i+1:]
}

// unread lists the path of the log after those of its parts that nobody has
// read: parts may have been made, or all of ours pruned, between two looks.
func (f *follower) unread(x *followed) []string {
	return slices.DeleteFunc(f.parts(x), func(p string) bool {
		if p == x.path {
			return false
		}
		id, err := idOf(p)
		return err != nil || slices.Contains(x.read, id)
	})
}

func (f *follower) parts(x *followed) []string {
	if f.opts.Parts != nil {
		if parts := f.opts.Parts(x.index); len(parts) > 0 {
			return slices.Clone(parts)
		}
	}
	return []string{x.path}
}

// forget drops read files that are gone.
func (f *follower) forget(x *followed) {
	var there []ID
	for _, p := range f.parts(x) {
		if id, err := idOf(p); err == nil {
			there = append(there, id)
		}
	}
	x.read = slices.DeleteFunc(x.read, func(id ID) bool { return !slices.Contains(there, id) })
}

func (f *follower) openAll(paths []string) (files []*os.File, err error) {
	for _, p := range paths {
		file, err := f.opts.Open(p)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			closeAll(files)
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

// same reports whether all files still have the names they were opened by, and
// no two are one.
func same(files []*os.File) bool {
	var seen []os.FileInfo
	for _, file := range files {
		ours, err := file.Stat()
		if err != nil {
			return false
		}
		named, err := os.Stat(file.Name())
		if err != nil || !os.SameFile(ours, named) || slices.ContainsFunc(seen, func(s os.FileInfo) bool { return os.SameFile(s, ours) }) {
			return false
		}
		seen = append(seen, ours)
	}
	return true
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

// open starts with the first byte of what nobody has read; a missing file is
// waited for.
func (f *follower) open(x *followed) error {
	files, err := f.steady(func() []string { return f.unread(x) })
	if err != nil || len(files) == 0 {
		return err
	}
	return f.goOn(x, files)
}

// drain reads to the present end of the open file.
func (f *follower) drain(x *followed) error {
	if x.f == nil {
		return nil
	}
	if st, err := x.f.Stat(); err == nil && st.Size() < x.offset {
		if err := f.flush(x); err != nil {
			return err
		}
		if f.opts.Truncated != nil {
			f.opts.Truncated(x.index)
		}
		x.offset = 0
	}
	for {
		n, err := x.f.ReadAt(f.buf, x.offset)
		x.offset += int64(n)
		if n > 0 {
			if err := f.take(x, f.buf[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// take gives out the whole lines of data and holds what follows.
func (f *follower) take(x *followed, data []byte) error {
	end := bytes.LastIndexByte(data, '\n') + 1
	if end > 0 {
		out := data[:end]
		if len(x.held) > 0 {
			x.held = append(x.held, out...)
			out = x.held
		}
		if err := f.sink(Chunk{File: x.index, Data: out}); err != nil {
			return err
		}
		x.held, x.inLine = x.held[:0], false
	}
	if rest := data[end:]; len(rest) > 0 {
		if len(x.held) == 0 {
			x.since = time.Now()
		}
		x.held = append(x.held, rest...)
	}
	if len(x.held) > f.opts.MaxHeld {
		err := f.sink(Chunk{File: x.index, Data: x.held, Partial: true})
		x.held, x.inLine = x.held[:0], true
		return err
	}
	return nil
}

// release gives out a line that stayed unfinished for too long.
func (f *follower) release(x *followed) error {
	if f.opts.Hold > 0 && len(x.held) > 0 && time.Since(x.since) >= f.opts.Hold {
		return f.flush(x)
	}
	return nil
}

// flush ends an unfinished line, of which no more will come.
func (f *follower) flush(x *followed) error {
	if len(x.held) == 0 && !x.inLine || f.opts.Hold == 0 {
		x.held, x.inLine = x.held[:0], false
		return nil
	}
	x.held = append(x.held, '\n')
	err := f.sink(Chunk{File: x.index, Data: x.held})
	x.held, x.inLine = x.held[:0], false
	return err
}
