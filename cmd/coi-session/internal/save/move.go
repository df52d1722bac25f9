package save

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/beneath"
	"github.com/code-on-incus/coi/pkg/home"
)

// Move renames a directory tree of our own, also to another file system: there
// it is copied under a temporary name beside the target, synced and renamed;
// the source goes only after that.
func Move(src, dst string) error {
	err := os.Rename(src, dst)
	if !errors.Is(err, unix.EXDEV) {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dst), ".copy-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	if err := copyTree(src, tmp); err != nil {
		return fmt.Errorf("copy to another file system: %w", err)
	}
	if err := os.Rename(tmp, dst); err != nil {
		return err
	}
	return os.RemoveAll(src)
}

// copyTree copies regular files and directories into the directory to.
func copyTree(from, to string) error {
	src, err := openReal(from)
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }()
	dst, err := openReal(to)
	if err != nil {
		return err
	}
	defer func() { _ = dst.Close() }()
	var dirs []dirTime
	var bad error
	err = src.Walk("", MaxFiles*2, func(e beneath.Entry) error {
		st, err := e.Stat()
		if err != nil {
			return err
		}
		switch {
		case e.Type.IsDir():
			dirs = append(dirs, dirTime{e.Path, st.ModTime})
			return dst.Mkdir(e.Path, home.DirMode)
		case e.Type.IsRegular():
			return copyOne(src, dst, e.Path, st)
		}
		return nil
	}, func(rel string, err error) { bad = errors.Join(bad, fmt.Errorf("%s: %w", rel, err)) })
	for i := len(dirs) - 1; i >= 0 && err == nil; i-- {
		err = dst.SetTime(dirs[i].rel, dirs[i].at)
	}
	if err = errors.Join(err, bad); err != nil {
		return err
	}
	return unix.Syncfs(int(dst.File().Fd()))
}

func openReal(dir string) (*beneath.Root, error) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	return beneath.Open(real)
}

func copyOne(src, dst *beneath.Root, rel string, st beneath.Info) error {
	in, err := src.OpenRegular(rel)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := dst.Create(rel, st.Mode&fs.ModePerm)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	return dst.SetTime(rel, st.ModTime)
}

// Delete removes a saved session.
func Delete(s Saved) error {
	if !idRE.MatchString(filepath.Base(s.Dir)) || !strings.Contains(s.Dir, "-") {
		return fmt.Errorf("%s: %w", s.Dir, ErrID)
	}
	return os.RemoveAll(s.Dir)
}
