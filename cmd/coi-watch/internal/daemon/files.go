package daemon

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"maps"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/fanotify"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/inotify"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/marks"
)

// notices is a set of marks and the line on which their events come:
// fanotify, else inotify.
type notices interface {
	marks.Marker
	Keep(keys iter.Seq[fanotify.Key])
	Read(each func([]fanotify.Event)) error
	Close()
}

// fileSensor is what the daemon hears of files; it hands each event
// to the containers that marked the object.
type fileSensor struct {
	tier string // fanotify or inotify
	open func() (notices, error)
	lost atomic.Uint64

	settle func() // hands over the starts of programs until now

	marking sync.RWMutex // between a mark and its claim nothing is given up

	mu     sync.Mutex
	s      notices
	owners map[fanotify.Key][]*container
}

// openFiles takes the best file sensor that works here and weighs what the
// sensors together are worth.
func (d *Daemon) openFiles() error {
	f := &fileSensor{tier: "fanotify", settle: d.source.settle, owners: map[fanotify.Key][]*container{}, open: func() (notices, error) { return fanotify.Open() }}
	var refused, err error
	if f.s, refused = f.open(); refused != nil {
		f.tier, f.open = "inotify", func() (notices, error) { return inotify.Open() }
		if f.s, err = f.open(); err != nil {
			return errors.Join(refused, err)
		}
	}
	d.files = f
	if err := d.weigh(effective(), refused); err != nil {
		f.Close()
		return err
	}
	return nil
}

// Close ends all marks.
func (f *fileSensor) Close() { f.door().Close() }

func (f *fileSensor) door() notices {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.s
}

// Mark makes the sensor a marks.Marker that outlives a group.
func (f *fileSensor) Mark(fd int, mask uint64) (fanotify.Key, error) { return f.door().Mark(fd, mask) }

func (f *fileSensor) sensor() sensor {
	return sensor{name: "files", unseen: "files opened, written, renamed and removed", read: func(context.Context) error { return f.read() }, renew: func() error {
		s, err := f.open()
		if err != nil {
			return err
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.s.Close()
		f.s, f.owners = s, map[fanotify.Key][]*container{} // marks are gone with their group
		return nil
	}}
}

func (f *fileSensor) read() error {
	own := os.Getpid()
	return f.door().Read(func(batch []fanotify.Event) {
		// What a process did to a file comes by another way than its start: the
		// start goes first, so that it is known who it was.
		f.settle()
		for _, ev := range batch {
			switch {
			case ev.Overflow:
				f.lost.Add(1)
			case ev.PID != own: // our own reading is no news
				f.deliver(ev)
			}
		}
	})
}

func (f *fileSensor) deliver(ev fanotify.Event) {
	f.mu.Lock()
	owners := f.owners[ev.Object]
	if len(owners) == 0 {
		owners = f.owners[ev.Dir]
	}
	f.mu.Unlock()
	for _, c := range owners {
		c.inbox.add(item{file: &ev})
	}
}

// claim makes the sensor send events of these objects to a container.
func (f *fileSensor) claim(c *container, keys []fanotify.Key) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range keys {
		known := false
		for _, o := range f.owners[k] {
			known = known || o == c
		}
		if !known {
			f.owners[k] = append(f.owners[k], c)
		}
	}
}

// release ends that. The marks themselves vanish with their inodes, or with
// the last owner of anything on their file system.
func (f *fileSensor) release(c *container) {
	f.marking.Lock()
	defer f.marking.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	for k, owners := range f.owners {
		var rest []*container
		for _, o := range owners {
			if o != c {
				rest = append(rest, o)
			}
		}
		if len(rest) == 0 {
			delete(f.owners, k)
		} else {
			f.owners[k] = rest
		}
	}
	f.s.Keep(maps.Keys(f.owners))
}

// armFiles sets the marks of a container whose root is known.
func (c *container) armFiles() {
	if c.scene.Root == nil {
		return
	}
	if c.marks == nil {
		c.marks = marks.New(c.d.files)
	}
	c.d.files.marking.RLock()
	defer c.d.files.marking.RUnlock()
	c.marks.Arm(c.scene.Root, marks.Want{Workspace: c.cfg.Workspace, Secrets: c.cfg.Secrets, Locked: c.cfg.Locked, Home: c.cfg.Home})
	c.d.files.claim(c, c.marks.Keys())
}

// takeFile has a notification judged, if a process of the container caused it.
func (c *container) takeFile(ev fanotify.Event) {
	if c.marks == nil || ev.PID != 0 && !c.member(ev.PID) {
		return
	}
	for _, e := range c.fileEvents(ev) {
		if e.PID != 0 {
			c.scene.About(&e, e.PID)
		}
		c.scene.Stamp(&e, "file", 0)
		c.judgeEvent(e)
	}
}

// fileEvents says what a notification means, and marks what appeared.
func (c *container) fileEvents(ev fanotify.Event) []event.Event {
	c.d.files.marking.RLock()
	defer c.d.files.marking.RUnlock()
	before := c.marks.Len()
	events := c.marks.Events(ev, c.openMode)
	if c.marks.Len() != before {
		c.d.files.claim(c, c.marks.Keys())
	}
	return events
}

// member reports whether a process is, or was a moment ago, in the container.
func (c *container) member(pid int) bool {
	if p := c.scene.Table.Get(pid); p != nil && (p.Gone || c.scene.Proc.Is(pid, p.Start)) {
		return true
	}
	return c.inGroup(pid)
}

func (c *container) inGroup(pid int) bool {
	b, err := os.ReadFile(path.Join(string(c.scene.Proc), strconv.Itoa(pid), "cgroup"))
	if err != nil || len(b) > 64<<10 {
		return false
	}
	want := []byte("/" + c.payload)
	for line := range bytes.SplitSeq(b, []byte("\n")) {
		_, p, _ := bytes.Cut(line, []byte("::"))
		if bytes.Equal(p, want) || bytes.HasPrefix(p, append(want, '/')) {
			return true
		}
	}
	return false
}

// openMode looks how a process has a file open at this moment.
func (c *container) openMode(pid int, name string) (open bool, mode int) {
	dir := path.Join(string(c.scene.Proc), strconv.Itoa(pid))
	d, err := os.Open(dir + "/fd")
	if err != nil {
		return false, 0
	}
	names, _ := d.Readdirnames(1024)
	_ = d.Close()
	for _, n := range names {
		target, err := os.Readlink(dir + "/fd/" + n)
		if err != nil || path.Base(target) != path.Base(name) {
			continue
		}
		b, err := os.ReadFile(dir + "/fdinfo/" + n)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(b), "flags:")
		word, _, _ := strings.Cut(strings.TrimSpace(rest), "\n")
		flags, err := strconv.ParseUint(word, 8, 64)
		if err == nil {
			return true, int(flags & unix.O_ACCMODE)
		}
	}
	return false, 0
}
