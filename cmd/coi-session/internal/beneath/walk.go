package beneath

import (
	"errors"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrTooMany ends a walk that met more entries than it may.
var ErrTooMany = errors.New("too many entries")

// ErrSkip is returned by a Visit function to leave a directory out.
var ErrSkip = errors.New("skip this directory")

// Entry is one file met by Walk.
type Entry struct {
	Path string      // relative to the root
	Type os.FileMode // type bits only
	dir  *os.File
	name string
}

// Stat describes the entry through the directory that is being read, without
// following a link.
func (e Entry) Stat() (Info, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(int(e.dir.Fd()), e.name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return Info{}, &os.PathError{Op: "stat", Path: e.Path, Err: err}
	}
	return info(&st), nil
}

// Walk calls visit for everything below rel ("" is the root), a directory
// before what it holds. It follows no link and enters no other mount (a bind of
// the tree does not show those inside a container either). It reads no file
// attributes by itself: a directory of 100,000 files costs little more than
// reading their names. Directories that cannot be read are given to unreadable
// and left out. After limit entries it ends with ErrTooMany.
func (r *Root) Walk(rel string, limit int, visit func(Entry) error, unreadable func(rel string, err error)) error {
	f, err := r.open(rel, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	w := walker{limit: limit, visit: visit, unreadable: unreadable}
	return w.dir(f, rel)
}

// maxDepth bounds the descriptors that a walk holds open at a time.
const maxDepth = 400

var errDeep = errors.New("nested too deep")

type walker struct {
	limit, seen int
	depth       int
	visit       func(Entry) error
	unreadable  func(string, error)
}

// dir walks one open directory and closes it.
func (w *walker) dir(f *os.File, rel string) error {
	defer func() { _ = f.Close() }()
	entries, err := readDir(f, w.limit-w.seen+1)
	if err != nil {
		w.unreadable(rel, err)
	}
	for _, e := range entries {
		if w.seen++; w.seen > w.limit {
			return ErrTooMany
		}
		entry := Entry{Path: path.Join(rel, e.Name()), Type: e.Type(), dir: f, name: e.Name()}
		err := w.visit(entry)
		if errors.Is(err, ErrSkip) {
			continue
		}
		if err != nil {
			return err
		}
		if entry.Type.IsDir() {
			if err := w.enter(f, entry); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *walker) enter(parent *os.File, e Entry) error {
	if w.depth >= maxDepth {
		w.unreadable(e.Path, errDeep)
		return nil
	}
	w.depth++
	defer func() { w.depth-- }()
	fd, err := openat2(int(parent.Fd()), e.name, &unix.OpenHow{
		Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: resolve | unix.RESOLVE_NO_XDEV,
	})
	if errors.Is(err, unix.EXDEV) || errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		w.unreadable(e.Path, err)
		return nil
	}
	return w.dir(os.NewFile(uintptr(fd), e.Path), e.Path)
}

// maxNames is how many entries of one directory List takes.
const maxNames = 2_000_000

// readDir reads a directory in name order and gives the first most entries of
// it. It never holds more than twice as many: names cost a container nothing.
func readDir(f *os.File, most int) ([]os.DirEntry, error) {
	var all []os.DirEntry
	for {
		some, err := f.ReadDir(4096)
		all = append(all, some...)
		if len(all) > 2*most || err != nil {
			sortEntries(all)
			all = all[:min(len(all), most)]
		}
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
	}
}

func sortEntries(entries []os.DirEntry) {
	slices.SortFunc(entries, func(a, b os.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
}
