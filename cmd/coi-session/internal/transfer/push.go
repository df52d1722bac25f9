package transfer

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/beneath"
)

// Push copies the file or directory at local into a container, owned by uid,
// modes kept. local is an absolute path without links; to is the path inside,
// and name what the thing is called below an existing directory. What lies in a
// workspace is a container's to change meanwhile: no link is followed, not even
// one that appears after a look, and of what is below a directory only regular
// files and directories are taken.
func Push(door Tree, local, name, to string, uid int) (Result, error) {
	var res Result
	root, err := beneath.Open(filepath.Dir(local))
	if err != nil {
		return res, err
	}
	defer func() { _ = root.Close() }()
	if len(to) > 1 && to[len(to)-1] == '/' || isDir(door, to) {
		to = path.Join(to, name)
	}
	p := pusher{door: door, root: root, uid: uid, res: &res}
	base := filepath.Base(local)
	st, err := root.Stat(base)
	switch {
	case err != nil:
	case st.Mode.IsDir():
		err = p.directory(base, to, st, 0)
	default:
		err = p.file(base, to)
	}
	return res, err
}

func isDir(door Tree, p string) bool {
	st, err := door.Lstat(p)
	return err == nil && st.IsDir()
}

type pusher struct {
	door Tree
	root *beneath.Root
	uid  int
	res  *Result
}

func (p *pusher) directory(rel, to string, st beneath.Info, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%s: more than %d directories deep", p.root.Abs(rel), maxDepth)
	}
	entries, err := p.root.List(rel)
	if err == nil {
		err = p.door.Mkdir(to, st.Mode.Perm(), p.uid)
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := p.entry(path.Join(rel, e.Name()), path.Join(to, e.Name()), depth); err != nil {
			return err
		}
	}
	return nil
}

// entry takes one thing of a directory; what went away meanwhile is no error.
func (p *pusher) entry(rel, to string, depth int) error {
	st, err := p.root.Stat(rel)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case st.Mode.IsDir():
		return p.directory(rel, to, st, depth+1)
	case st.Mode&fs.ModeSymlink != 0:
		p.res.Links++
		return nil
	case !st.Mode.IsRegular():
		p.res.Others++
		return nil
	}
	err = p.file(rel, to)
	if errors.Is(err, beneath.ErrNotRegular) {
		p.res.Others++ // swapped after the look
		return nil
	}
	return err
}

// file sends as much as the file held when it was opened: it may grow as it is read.
func (p *pusher) file(rel, to string) error {
	f, err := p.root.OpenRegular(rel)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if err := p.door.Write(to, st.Mode().Perm(), p.uid, io.LimitReader(f, st.Size())); err != nil {
		return &os.PathError{Op: "push", Path: p.root.Abs(rel), Err: err}
	}
	p.res.Files++
	return nil
}
