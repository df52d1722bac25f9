package protect

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/beneath"
	"github.com/code-on-incus/coi/pkg/home"
)

// Caps of the copies that are kept to put things back.
const (
	maxCopies   = 64 << 20 // bytes of one session
	maxHashed   = 1 << 30  // bytes of one session that are read for their hash
	maxSnapshot = 30_000   // files of one session that are described
)

// Kinds of baseline entries.
const (
	kindLocked  = "locked"  // part of a protected path
	kindMissing = "missing" // a placeholder stands there
	kindAnchor  = "anchor"  // a directory above a lock
	kindWatched = "watched"
)

// baseline is run/<c>.baseline.json: what was there when the container started.
type baseline struct {
	SchemaVersion int               `json:"schema_version"`
	Container     string            `json:"container"`
	SessionID     string            `json:"session_id"`
	StartedAt     time.Time         `json:"started_at"`
	Trees         []baseTree        `json:"trees"`
	Roots         []baseRoot        `json:"roots"`
	Entries       []item            `json:"entries"`
	Repos         [][]string        `json:"repos"`                // by tree
	Lookalikes    [][]string        `json:"lookalikes,omitempty"` // by tree; with those of Repos
	GitFiles      map[string]string `json:"git_files"`
	Disabled      bool              `json:"disabled,omitempty"`
}

type baseTree struct {
	Path   string `json:"path"`
	Inside string `json:"inside"`
}

// baseRoot is one protected or watched path; Entries hold what it consists of.
type baseRoot struct {
	Tree int    `json:"tree"`
	Path string `json:"path"`
	Kind string `json:"kind"`
	Dev  uint64 `json:"dev,omitempty"` // of an anchor
	Ino  uint64 `json:"ino,omitempty"`
	Dir  bool   `json:"dir,omitempty"`  // of a placeholder
	Part bool   `json:"part,omitempty"` // too large: only its beginning is known
}

// item is one file, directory or link of a protected path.
type item struct {
	Tree   int         `json:"tree"`
	Root   int         `json:"root"` // index into Roots
	Path   string      `json:"path"`
	Type   string      `json:"type"` // file dir link other
	Mode   os.FileMode `json:"mode"`
	Size   int64       `json:"size"`
	MTime  time.Time   `json:"mtime"`
	SHA256 string      `json:"sha256"`
	Target string      `json:"target"`
	Copy   bool        `json:"copy,omitempty"`
	UID    int         `json:"uid"`
	GID    int         `json:"gid"`
}

// same reports whether two looks at one path saw the same content. Owner and
// time do not count: they make the host run nothing.
func (i item) same(o item) bool {
	if i.Type != o.Type || i.Target != o.Target || i.Type != "link" && i.Mode != o.Mode {
		return false
	}
	if i.Type == "file" && (i.SHA256 == "" || o.SHA256 == "") {
		return i.Size == o.Size && i.MTime.Equal(o.MTime)
	}
	return i.SHA256 == o.SHA256
}

// recorder takes the baseline.
type recorder struct {
	b              *baseline
	copies         string
	copied, hashed int64
	left           int // files that may still be described
	// was is what the files were like before, by path; nil at the start. Only a
	// file of the same size needs to be read to tell whether it is the same one,
	// so that what the container added cannot use up what may be read.
	was map[string]item
}

// Record writes the baseline file and copies of all locked content to the
// directory copies. Call it after Place. Warnings name what is too large to be
// put back.
func (p *Plan) Record(file, copies, container, session string) (warnings []string, err error) {
	b := &baseline{
		SchemaVersion: schema, Container: container, SessionID: session, StartedAt: time.Now(), Roots: []baseRoot{}, Entries: []item{},
		Repos: p.repos, Lookalikes: p.lookalikes, GitFiles: p.gitFiles, Disabled: p.disabled,
	}
	for _, t := range p.trees {
		b.Trees = append(b.Trees, baseTree{t.Root.Path(), t.Inside})
	}
	if err := os.RemoveAll(copies); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(copies, home.DirMode); err != nil {
		return nil, err
	}
	r := &recorder{b: b, copies: copies, left: maxSnapshot}
	for _, e := range p.Entries {
		switch {
		case e.State == Absent:
		case e.made:
			b.Roots = append(b.Roots, baseRoot{Tree: e.Tree, Path: e.Path, Kind: kindMissing, Dir: e.dir})
		default:
			if r.root(p.trees, e.Tree, e.Path, kindLocked) {
				warnings = append(warnings, e.Path+" is too large to be checked and put back as a whole")
			}
		}
	}
	for _, rel := range p.watched {
		r.root(p.trees, 0, rel, kindWatched)
	}
	p.recordAnchors(b)
	return warnings, home.WriteJSON(file, b, true)
}

func (p *Plan) recordAnchors(b *baseline) {
	for tree, set := range p.anchors {
		for rel := range set {
			if st, err := p.trees[tree].Root.Stat(rel); err == nil {
				b.Roots = append(b.Roots, baseRoot{Tree: tree, Path: rel, Kind: kindAnchor, Dev: st.Dev, Ino: st.Ino})
			}
		}
	}
}

// root records one path with all it holds; part tells that it is too large.
func (r *recorder) root(trees []Tree, tree int, rel, kind string) (part bool) {
	index := len(r.b.Roots)
	r.b.Roots = append(r.b.Roots, baseRoot{Tree: tree, Path: rel, Kind: kind})
	copies := r.copies
	if kind == kindWatched {
		copies = ""
	}
	items, err := r.snapshot(trees[tree].Root, rel, copies)
	for i := range items {
		items[i].Tree, items[i].Root = tree, index
	}
	r.b.Entries = append(r.b.Entries, items...)
	if err != nil {
		r.b.Roots[index].Part = true
	}
	return err != nil && kind == kindLocked
}

// snapshot describes rel and everything below it, in path order. With a copies
// directory the content of files goes there, named by its hash. A missing path
// has no items. The error means that not everything is described.
func (r *recorder) snapshot(root *beneath.Root, rel, copies string) ([]item, error) {
	st, err := root.Stat(rel)
	if missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	first, err := r.item(root, rel, st, copies)
	out := []item{first}
	if !st.Mode.IsDir() || err != nil {
		return out, err
	}
	var cut error
	err = root.Walk(rel, r.left, func(e beneath.Entry) error {
		st, err := e.Stat()
		if err != nil {
			cut = err
			return nil
		}
		it, err := r.item(root, e.Path, st, copies)
		cut = errors.Join(cut, err)
		out = append(out, it)
		return nil
	}, func(_ string, err error) { cut = err })
	r.left -= len(out) - 1
	slices.SortFunc(out, func(a, b item) int { return strings.Compare(a.Path, b.Path) })
	return out, errors.Join(err, cut)
}

func (r *recorder) item(root *beneath.Root, rel string, st beneath.Info, copies string) (item, error) {
	it := item{Path: rel, Type: "other", Mode: st.Mode & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky), Size: st.Size, MTime: st.ModTime, UID: st.UID, GID: st.GID}
	switch {
	case st.Mode.IsDir():
		it.Type, it.Size = "dir", 0
	case st.Mode&fs.ModeSymlink != 0:
		target, err := root.Readlink(rel)
		it.Type, it.Target = "link", target
		return it, err
	case st.Mode.IsRegular():
		it.Type = "file"
		return it, r.content(root, &it, copies)
	}
	return it, nil
}

// content hashes a file and keeps a copy of it, within the caps.
func (r *recorder) content(root *beneath.Root, it *item, copies string) error {
	if old, ok := r.was[it.Path]; r.was != nil && (!ok || old.Size != it.Size || old.SHA256 == "") {
		return nil
	}
	if r.hashed+it.Size > maxHashed {
		return fmt.Errorf("%s: too much to read", it.Path)
	}
	r.hashed += it.Size
	f, err := root.OpenRegular(it.Path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	// No more than was counted: a file may grow as it is read.
	sum := sha256.New()
	if copies == "" || r.copied+it.Size > maxCopies {
		_, err = io.Copy(sum, io.LimitReader(f, it.Size))
		it.SHA256 = hex.EncodeToString(sum.Sum(nil))
		return err
	}
	t, err := os.CreateTemp(copies, ".tmp-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(t.Name()) }()
	n, err := io.Copy(io.MultiWriter(t, sum), io.LimitReader(f, it.Size))
	r.copied += n
	it.SHA256, it.Copy = hex.EncodeToString(sum.Sum(nil)), true
	if err = errors.Join(err, t.Close()); err != nil {
		return err
	}
	return os.Rename(t.Name(), filepath.Join(copies, it.SHA256))
}

// missing: a parent that is a file or a link hides what was below it.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}

// DropBaseline removes the baseline and its copies once the end check is done.
func DropBaseline(file, copies string) error {
	return errors.Join(removeFile(file), os.RemoveAll(copies))
}

func removeFile(file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
