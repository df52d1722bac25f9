// Package tail follows one or several growing files by name: files that appear
// later, are rotated, replaced, truncated or removed. It is woken by file
// notifications, with a poll as the net under them.
package tail

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Poll is how often the files are looked at without a notification, which
// network file systems and a full watch table do not give.
const Poll = 200 * time.Millisecond

// File is one file to follow.
type File struct {
	Path string
	// F, when set, is the open file to go on with from Offset. Otherwise the
	// file is read from its first byte as soon as it is there. Follow closes it.
	F      *os.File
	Offset int64
	// Read are the parts of the log, with the file that has its name, which the
	// caller has given out or does not want. Others that are found when the
	// first file is opened, or after all of them were pruned, come first.
	Read []ID
}

// Chunk is what arrived in one file: whole lines with their newlines, or the
// next piece of a line that is not finished.
type Chunk struct {
	File    int // index of the file
	Data    []byte
	Partial bool
}

// Options of Follow.
type Options struct {
	// Open opens a path; it decides what is refused. An error other than a
	// missing file ends Follow.
	Open func(path string) (*os.File, error)
	// Parts lists the files of one log in order of time, the followed path
	// last. It tells what came between the file that was open and the one that
	// has the name now.
	Parts func(file int) []string
	// Hold is how long an unfinished line is held before it is given out with
	// a newline; 0 means until it is finished.
	Hold time.Duration
	// MaxHeld is how many bytes of an unfinished line are held at most.
	MaxHeld int
	// Truncated, when set, is told of a file that became shorter.
	Truncated func(file int)
}

// Follow hands on what arrives until the context ends, which is no error, or
// sink or Open fails.
func Follow(ctx context.Context, files []File, o Options, sink func(Chunk) error) error {
	if o.MaxHeld <= 0 {
		o.MaxHeld = 1 << 20
	}
	f := &follower{opts: o, sink: sink, buf: make([]byte, 64<<10)}
	for i, file := range files {
		f.files = append(f.files, &followed{index: i, path: filepath.Clean(file.Path), f: file.F, offset: file.Offset, read: slices.Clone(file.Read)})
	}
	defer f.close()
	return f.run(ctx)
}

type follower struct {
	opts    Options
	sink    func(Chunk) error
	files   []*followed
	buf     []byte
	watcher *fsnotify.Watcher
	watched map[string]bool
}

func (f *follower) close() {
	for _, file := range f.files {
		if file.f != nil {
			_ = file.f.Close()
		}
		for _, o := range file.old {
			_ = o.f.Close()
		}
	}
	if f.watcher != nil {
		_ = f.watcher.Close()
	}
}

func (f *follower) run(ctx context.Context) error {
	var events chan fsnotify.Event
	if w, err := fsnotify.NewWatcher(); err == nil {
		f.watcher, f.watched, events = w, map[string]bool{}, w.Events
	}
	tick := time.NewTicker(Poll)
	defer tick.Stop()
	f.watch()
	if err := f.all(); err != nil {
		return err
	}
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case e := <-events:
			err = f.event(e)
		case <-tick.C:
			f.watch()
			err = f.all()
		}
		if err != nil {
			return err
		}
	}
}

// watch adds the folders of the files, or the nearest ones that exist.
func (f *follower) watch() {
	if f.watcher == nil {
		return
	}
	for _, file := range f.files {
		dir := filepath.Dir(file.path)
		for !f.watched[dir] {
			if f.watcher.Add(dir) == nil {
				f.watched[dir] = true
				break
			}
			if up := filepath.Dir(dir); up != dir {
				dir = up
				continue
			}
			break
		}
	}
}

func (f *follower) all() error {
	for _, file := range f.files {
		if err := f.look(file); err != nil {
			return err
		}
	}
	return nil
}

// event looks at the file that the notification names, so that lines of
// several files come out in order of arrival. Folders that come and go make
// everything be looked at.
func (f *follower) event(e fsnotify.Event) error {
	name := filepath.Clean(e.Name)
	if e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename) {
		delete(f.watched, name)
	}
	for _, file := range f.files {
		if file.path == name {
			return f.look(file)
		}
	}
	if e.Has(fsnotify.Create) && f.ancestor(name) {
		f.watch()
		return f.all()
	}
	return nil
}

func (f *follower) ancestor(dir string) bool {
	for _, file := range f.files {
		for d := filepath.Dir(file.path); len(d) >= len(dir); d = filepath.Dir(d) {
			if d == dir {
				return true
			}
			if d == "/" || d == "." {
				break
			}
		}
	}
	return false
}
