// Package marks decides which files of a container are worth a mark, keeps the
// marks in place when files are replaced, and says of each event which file it
// was, as seen from inside.
package marks

import (
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/fanotify"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/inside"
)

// Max is the most marks of one container.
const Max = 4096

// Marker sets marks; fanotify.Sensor is the real one.
type Marker interface {
	Mark(fd int, mask uint64) (fanotify.Key, error)
}

// Want is what is to be marked beyond the places every container has.
type Want struct {
	Workspace string   // inside path
	Secrets   []string // patterns below it
	Locked    []string // inside paths
	Home      string
}

// target is a marked object.
type target struct {
	path string
	kind kind
	size int64
}

// Set is the marks of one container. It is not safe for concurrent use.
type Set struct {
	marker Marker
	root   *inside.Root
	want   Want
	places []place
	byKey  map[fanotify.Key]*target
	opens  map[pending]time.Time
	Full   bool             // more than Max were wanted
	failed map[string]error // places that exist and could not be marked
}

// pending is an opening of which it is not known yet whether it read.
type pending struct {
	pid int
	key fanotify.Key
}

// New returns a set without marks.
func New(m Marker) *Set {
	return &Set{marker: m, byKey: map[fanotify.Key]*target{}, opens: map[pending]time.Time{}, failed: map[string]error{}}
}

// Problem says what is not watched though it is there, empty when all is.
func (s *Set) Problem() string {
	if s.Full {
		return "degraded: more files to mark than one container may have"
	}
	if len(s.failed) == 0 {
		return ""
	}
	first := slices.Min(slices.Collect(maps.Keys(s.failed)))
	return fmt.Sprintf("degraded: %d places are not watched, %s: %v", len(s.failed), first, s.failed[first])
}

// Len is the number of marked objects.
func (s *Set) Len() int { return len(s.byKey) }

// Keys lists under which keys events of this set come.
func (s *Set) Keys() []fanotify.Key {
	out := make([]fanotify.Key, 0, len(s.byKey))
	for k := range s.byKey {
		out = append(out, k)
	}
	return out
}

// Knows reports whether a key belongs to this set.
func (s *Set) Knows(k fanotify.Key) bool { _, ok := s.byKey[k]; return ok }

// Arm sets all marks. What does not exist yet is marked when it appears in a
// marked directory. It may be called again, after paths or mounts changed.
func (s *Set) Arm(root *inside.Root, w Want) {
	s.root, s.want = root, w
	s.places = append([]place(nil), system...)
	homes := []string{"/root"}
	if passwd, _, err := root.Read("/etc/passwd", 0, 256<<10); err == nil {
		homes = append(homes, Homes(passwd)...)
	}
	if w.Home != "" {
		homes = append(homes, w.Home)
	}
	slices.Sort(homes)
	for _, h := range slices.Compact(homes) {
		for _, p := range perHome {
			s.places = append(s.places, place{path.Join(h, p.path), p.kind})
		}
	}
	for _, p := range w.Locked {
		s.places = append(s.places, place{p, changed}, place{path.Dir(p), changed})
	}
	for _, p := range s.places {
		s.mark(p)
	}
	s.secrets()
}

// mark sets the mark of one place, if it exists.
func (s *Set) mark(p place) {
	if strings.Contains(p.path, "*") {
		for _, name := range s.list(path.Dir(p.path)) {
			if ok, _ := path.Match(path.Base(p.path), name); ok {
				s.mark(place{path.Join(path.Dir(p.path), name), p.kind})
			}
		}
		return
	}
	fd, _, err := s.root.LocateLink(p.path)
	if err != nil {
		return
	}
	defer func() { _ = unix.Close(fd) }()
	s.markFD(fd, p)
}

func (s *Set) markFD(fd int, p place) {
	if len(s.byKey) >= Max {
		s.Full = true
		return
	}
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return
	}
	mask := uint64(fanotify.Writes)
	switch isDir := st.Mode&unix.S_IFMT == unix.S_IFDIR; {
	case st.Mode&unix.S_IFMT == unix.S_IFLNK:
		return // what it points to is marked under its own name
	case isDir && p.kind == opened:
		mask = fanotify.Changes | fanotify.Opens | unix.FAN_CLOSE_NOWRITE
	case isDir:
		mask = fanotify.Changes
	case p.kind == file || p.kind == opened:
		mask |= unix.FAN_OPEN | unix.FAN_CLOSE_NOWRITE
	case p.kind == fileData:
		mask |= fanotify.Grows
	}
	key, err := s.marker.Mark(fd, mask)
	if err != nil {
		s.failed[p.path] = err
		return
	}
	delete(s.failed, p.path)
	if old := s.byKey[key]; old != nil && (old.kind == opened || old.kind == file) && p.kind == changed {
		return // the closer look stays in force, the kernel joins the masks
	}
	s.byKey[key] = &target{path: p.path, kind: p.kind, size: st.Size}
}

func (s *Set) list(dir string) []string {
	fd, _, err := s.root.Locate(dir)
	if err != nil {
		return nil
	}
	defer func() { _ = unix.Close(fd) }()
	rfd, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	d := os.NewFile(uintptr(rfd), dir)
	defer func() { _ = d.Close() }()
	names, _ := d.Readdirnames(maxEntries)
	return names
}

// Bounds of the walk for project secrets.
const (
	maxDepth   = 4
	maxEntries = 4096
	maxDirs    = 512
)

// skipped folders hold what was fetched or built, by the ten thousand.
var skipped = []string{"node_modules", ".git", "target", "vendor", ".venv", "venv", "__pycache__", "dist", "build", ".cache"}

// secrets marks the files of the workspace that look like secrets, and the
// directories in which more may appear.
func (s *Set) secrets() {
	if s.want.Workspace == "" {
		return
	}
	type level struct {
		dir   string
		depth int
	}
	queue := []level{{s.want.Workspace, 0}}
	for dirs := 0; len(queue) > 0 && dirs < maxDirs; dirs++ {
		at := queue[0]
		queue = queue[1:]
		s.mark(place{at.dir, changed})
		for _, name := range s.list(at.dir) {
			p := path.Join(at.dir, name)
			if s.secret(p) {
				s.mark(place{p, file})
			} else if at.depth < maxDepth && !slices.Contains(skipped, name) && s.isDir(p) {
				queue = append(queue, level{p, at.depth + 1})
			}
		}
	}
}

func (s *Set) isDir(p string) bool {
	fd, _, err := s.root.LocateLink(p)
	if err != nil {
		return false
	}
	defer func() { _ = unix.Close(fd) }()
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
}

// secret reports whether a file of the workspace looks like a secret.
func (s *Set) secret(p string) bool {
	rel, ok := strings.CutPrefix(p, s.want.Workspace+"/")
	if !ok {
		return false
	}
	for _, pat := range append([]string{".env*", "*.tfstate"}, s.want.Secrets...) {
		subject := path.Base(rel)
		if strings.Contains(strings.TrimSuffix(pat, "/**"), "/") {
			subject = rel
		}
		if base, tree := strings.CutSuffix(pat, "/**"); tree && (rel == base || strings.HasPrefix(rel, base+"/")) {
			return true
		}
		if ok, _ := path.Match(pat, subject); ok {
			return true
		}
	}
	return false
}

// Events says what a notification means, as events with path and type; who
// did it is for the caller to add.
func (s *Set) Events(ev fanotify.Event, flags func(pid int, path string) (open bool, mode int)) []event.Event {
	p, t := s.where(ev)
	if p == "" {
		return nil
	}
	dir := ev.Mask&unix.FAN_ONDIR != 0
	var out []event.Event
	add := func(typ event.Type, op string) {
		out = append(out, event.Event{Type: typ, Sensor: "file", PID: ev.PID, Path: p, Op: op})
	}
	if ev.Mask&unix.FAN_CREATE != 0 {
		add(event.Create, "create")
	}
	if ev.Mask&unix.FAN_MOVED_FROM != 0 {
		add(event.Rename, "rename_from")
	}
	if ev.Mask&unix.FAN_MOVED_TO != 0 {
		add(event.Rename, "rename")
	}
	if !dir && s.read(ev, p, flags) {
		add(event.Open, "open")
	}
	if ev.Mask&unix.FAN_ATTRIB != 0 {
		if e, ok := s.attributes(p); ok {
			e.PID = ev.PID
			out = append(out, e)
		}
	}
	if !dir && ev.Mask&unix.FAN_CLOSE_WRITE != 0 {
		add(event.Write, "write")
	}
	if ev.Mask&unix.FAN_MODIFY != 0 && t != nil && s.shrank(t) {
		add(event.Write, "truncate")
	}
	if ev.Mask&(unix.FAN_DELETE|unix.FAN_DELETE_SELF) != 0 {
		add(event.Delete, "delete")
	}
	if ev.Mask&(unix.FAN_CREATE|unix.FAN_MOVED_TO) != 0 {
		s.appeared(p)
	}
	if ev.Mask&unix.FAN_DELETE_SELF != 0 && ev.Object != "" {
		delete(s.byKey, ev.Object)
	}
	return out
}

// where is the inside path of what an event is about. A marked object goes by
// the name it was marked under, however it was reached.
func (s *Set) where(ev fanotify.Event) (string, *target) {
	if t := s.byKey[ev.Object]; t != nil && (ev.Name == "" || t.kind == file || t.kind == fileData) {
		return t.path, t
	}
	if t := s.byKey[ev.Dir]; t != nil {
		p := path.Join(t.path, ev.Name)
		return p, s.byKey[ev.Object]
	}
	return "", nil
}

// read decides whether an opening was one to read. The notification does not
// tell; the descriptor does while it is open, and how it was closed after that.
func (s *Set) read(ev fanotify.Event, p string, flags func(int, string) (bool, int)) bool {
	key := pending{ev.PID, ev.Object}
	_, waits := s.opens[key]
	closedRead := ev.Mask&unix.FAN_CLOSE_NOWRITE != 0
	closedWrite := ev.Mask&unix.FAN_CLOSE_WRITE != 0
	opened := ev.Mask&unix.FAN_OPEN != 0
	switch {
	case !opened && !waits:
		return false
	case closedRead:
		delete(s.opens, key)
		return true
	case closedWrite:
		delete(s.opens, key)
		return false
	case !opened:
		return false
	}
	open, mode := flags(ev.PID, p)
	if open {
		return mode != unix.O_WRONLY
	}
	if len(s.opens) < Max {
		s.opens[key] = time.Now()
	}
	return false
}

// Overdue returns the openings of which nothing more was heard: the
// descriptor went to another process, so they count as read.
func (s *Set) Overdue(now time.Time) []event.Event {
	var out []event.Event
	for k, at := range s.opens {
		if now.Sub(at) < 100*time.Millisecond {
			continue
		}
		delete(s.opens, k)
		if t := s.byKey[k.key]; t != nil {
			out = append(out, event.Event{Type: event.Open, Sensor: "file", PID: k.pid, Path: t.path, Op: "open"})
		}
	}
	return out
}

// attributes says what a changed file is like now.
func (s *Set) attributes(p string) (event.Event, bool) {
	fd, _, err := s.root.LocateLink(p)
	if err != nil {
		return event.Event{}, false
	}
	defer func() { _ = unix.Close(fd) }()
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return event.Event{}, false
	}
	uid := int(st.Uid)
	return event.Event{Type: event.Attrib, Sensor: "file", Path: p, Op: "attrib", Mode: st.Mode, Owner: &uid}, true
}

// shrank reports whether a log lost data since it was looked at last.
func (s *Set) shrank(t *target) bool {
	in, err := s.root.Stat(t.path)
	if err != nil {
		return false
	}
	less := in.Size < t.size
	t.size = in.Size
	return less
}

// appeared marks what a new name calls for.
func (s *Set) appeared(p string) {
	for _, x := range s.places {
		if x.path == p {
			s.mark(x)
			if x.kind == changed || x.kind == opened {
				for _, y := range s.places { // what a new directory brought along
					if strings.HasPrefix(y.path, p+"/") {
						s.mark(y)
					}
				}
			}
			return
		}
		if ok, err := path.Match(x.path, p); ok && err == nil {
			s.mark(place{p, x.kind})
		}
	}
	if s.secret(p) {
		s.mark(place{p, file})
	}
	if strings.HasPrefix(p, s.want.Workspace+"/") && strings.Count(strings.TrimPrefix(p, s.want.Workspace), "/") <= maxDepth &&
		!slices.Contains(skipped, path.Base(p)) && s.isDir(p) {
		s.mark(place{p, changed})
	}
}
