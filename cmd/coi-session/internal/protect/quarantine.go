package protect

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/beneath"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/home"
)

// Item is one thing that was taken out of a workspace.
type Item struct {
	Path    string `json:"path"` // in the quarantine directory; empty for what is only described: a link, or a file that cannot be moved and is too large to be copied
	From    string `json:"from"`
	SHA256  string `json:"sha256"` // of a file
	Reason  string `json:"reason"`
	Type    string `json:"type"` // file dir link other
	Mode    string `json:"mode"` // octal, as it was
	Target  string `json:"target,omitempty"`
	PutBack string `json:"put_back"` // the command, quoted for a shell
}

type manifestFile struct {
	SchemaVersion int    `json:"schema_version"`
	Items         []Item `json:"items"`
}

// maxKept is how many bytes of one file are hashed or copied: a file with holes
// costs its maker nothing and would fill the disk.
const maxKept = 1 << 30

// maxCopied is how many bytes one session may put on another file system by
// being copied to its quarantine; what goes beyond is described only. A move
// costs nothing and is not counted.
const maxCopied = 4 << 30

// quarantine is ~/.coi/storage/quarantine/<session-id>. It is made when the
// first thing goes in. Nothing in it can be executed.
type quarantine struct {
	dir     string
	root    *beneath.Root
	items   []Item
	copied  int64 // bytes
	written int   // items in the manifest on disk
}

const manifestName = "MANIFEST.json"

func (q *quarantine) open() error {
	if q.root != nil {
		return nil
	}
	if err := os.MkdirAll(q.dir, home.DirMode); err != nil {
		return err
	}
	real, err := filepath.EvalSymlinks(q.dir)
	if err != nil {
		return err
	}
	if q.root, err = beneath.Open(real); err != nil {
		return err
	}
	var m manifestFile
	if err := home.ReadJSON(filepath.Join(real, manifestName), schema, &m); err != nil && !home.Missing(err) {
		return err
	}
	q.items, q.written = m.Items, len(m.Items)
	return nil
}

// close writes what is missing of the manifest.
func (q *quarantine) close() error {
	if q.root == nil {
		return nil
	}
	err := q.manifest(true)
	return errors.Join(err, q.root.Close())
}

// often is how many items go to quarantine before the manifest, which is
// written whole, is written for every further so many only.
const often = 256

func (q *quarantine) manifest(now bool) error {
	n := len(q.items)
	if n == q.written || !now && n > often && n%often != 0 {
		return nil
	}
	q.written = n
	return home.WriteJSON(filepath.Join(q.root.Path(), manifestName), manifestFile{schema, q.items}, true)
}

// take moves rel out of the tree and writes the manifest.
func (q *quarantine) take(root *beneath.Root, rel, reason string) (Item, error) {
	if err := q.open(); err != nil {
		return Item{}, err
	}
	st, err := root.Stat(rel)
	if err != nil {
		return Item{}, err
	}
	name := fmt.Sprintf("%04d-%s", len(q.items)+1, safeName(path.Base(rel)))
	it := Item{Path: name, From: root.Abs(rel), Reason: reason, Mode: fmt.Sprintf("%04o", st.Mode.Perm()), Type: "other"}
	switch {
	case st.Mode&fs.ModeSymlink != 0:
		it.Type, it.Path = "link", ""
		if it.Target, err = root.Readlink(rel); err == nil {
			err = root.Remove(rel)
		}
	case st.Mode.IsRegular():
		it.Type = "file"
		it.SHA256, err = q.file(root, rel, st, name)
		if errors.Is(err, errLarge) {
			it.Path, err = "", root.Remove(rel)
		}
	case st.Mode.IsDir():
		it.Type = "dir"
		err = q.tree(root, rel, name)
	default:
		err = root.Move(rel, q.root, name)
	}
	if err != nil {
		return Item{}, err
	}
	it.PutBack = q.putBack(it)
	q.items = append(q.items, it)
	return it, q.manifest(false)
}

func safeName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.' {
			return r
		}
		return '_'
	}, s)
	return s[:min(len(s), 100)]
}

func (q *quarantine) putBack(it Item) string {
	from, to := cli.ShellQuote(q.root.Abs(it.Path)), cli.ShellQuote(it.From)
	switch {
	case it.Type == "link":
		return "ln -s -- " + cli.ShellQuote(it.Target) + " " + to
	case it.Path == "":
		return "" // nothing was kept
	case it.Type == "dir":
		return "cp -rT -- " + from + " " + to
	}
	return "install -m " + it.Mode + " -- " + from + " " + to
}

// file moves one regular file; what has further names or lies on another file
// system is copied, so that nothing outside can change it any more.
func (q *quarantine) file(root *beneath.Root, rel string, st beneath.Info, name string) (string, error) {
	if st.Nlink == 1 {
		err := root.Move(rel, q.root, name)
		if err == nil {
			return q.seal(name)
		}
		if !errors.Is(err, unix.EXDEV) {
			return "", err
		}
	}
	if st.Size > maxKept {
		return "", errLarge
	}
	sum, err := q.copyFile(root, rel, name)
	if err != nil {
		return "", err
	}
	return sum, root.Remove(rel)
}

// seal takes the execute and setuid bits from a moved file and hashes it.
func (q *quarantine) seal(name string) (string, error) {
	st, err := q.root.Stat(name)
	if err == nil {
		err = q.root.Chmod(name, st, home.FileMode)
	}
	if err != nil || st.Size > maxKept {
		return "", err
	}
	f, err := q.root.OpenRegular(name)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	sum := sha256.New()
	_, err = io.Copy(sum, f)
	return hex.EncodeToString(sum.Sum(nil)), err
}

var errLarge = errors.New("too large to be kept")

// copyFile copies into the quarantine as long as there is room for it.
func (q *quarantine) copyFile(root *beneath.Root, rel, name string) (string, error) {
	st, err := root.Stat(rel)
	if err != nil {
		return "", err
	}
	if q.copied+st.Size > maxCopied {
		return "", errLarge
	}
	q.copied += st.Size
	return copyFile(root, rel, q.root, name)
}

func copyFile(from *beneath.Root, rel string, to *beneath.Root, name string) (string, error) {
	in, err := from.OpenRegular(rel)
	if err != nil {
		return "", err
	}
	defer func() { _ = in.Close() }()
	st, err := in.Stat()
	if err != nil || st.Size() > maxKept {
		return "", errors.Join(err, errLarge)
	}
	out, err := to.Create(name, home.FileMode)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	// No more than it was when it was counted: it may grow as it is read.
	_, err = io.Copy(io.MultiWriter(out, sum), io.LimitReader(in, st.Size()))
	return hex.EncodeToString(sum.Sum(nil)), errors.Join(err, out.Sync(), out.Close())
}

// tree moves a directory, or copies it file by file to another file system.
func (q *quarantine) tree(root *beneath.Root, rel, name string) error {
	err := root.Move(rel, q.root, name)
	if errors.Is(err, unix.EXDEV) {
		if err = q.copyTree(root, rel, name); err == nil {
			err = root.RemoveAll(rel)
		}
		return err
	}
	if err != nil {
		return err
	}
	return q.sealTree(name)
}

func (q *quarantine) sealTree(name string) error {
	st, err := q.root.Stat(name)
	if err == nil {
		err = q.root.Chmod(name, st, home.DirMode)
	}
	if err != nil {
		return err
	}
	var bad error
	err = q.root.Walk(name, MaxEntries, func(e beneath.Entry) error {
		mode := fs.FileMode(home.FileMode)
		switch {
		case e.Type.IsDir():
			mode = home.DirMode
		case !e.Type.IsRegular():
			return nil
		}
		st, err := e.Stat()
		if err == nil {
			err = q.root.Chmod(e.Path, st, mode)
		}
		bad = errors.Join(bad, err)
		return nil
	}, func(_ string, err error) { bad = errors.Join(bad, err) })
	return errors.Join(err, bad)
}

func (q *quarantine) copyTree(root *beneath.Root, rel, name string) error {
	if err := q.root.Mkdir(name, home.DirMode); err != nil {
		return err
	}
	var bad error
	err := root.Walk(rel, MaxEntries, func(e beneath.Entry) error {
		to := path.Join(name, strings.TrimPrefix(e.Path, rel))
		var err error
		switch {
		case e.Type.IsDir():
			err = q.root.Mkdir(to, home.DirMode)
		case e.Type.IsRegular():
			if _, err = q.copyFile(root, e.Path, to); errors.Is(err, errLarge) {
				err = nil
			}
		case e.Type&fs.ModeSymlink != 0:
			var target string
			if target, err = root.Readlink(e.Path); err == nil {
				err = q.root.Symlink(target, to)
			}
		}
		return err
	}, func(_ string, err error) { bad = errors.Join(bad, err) })
	return errors.Join(err, bad)
}
