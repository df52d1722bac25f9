package transfer

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Push copies a file or a directory of the host into a container, owned by uid,
// modes kept. Links below a directory are left out. It returns how many files
// it copied.
func Push(door Tree, local, to string, uid int) (int, error) {
	st, err := os.Stat(local)
	if err != nil {
		return 0, err
	}
	if len(to) > 1 && to[len(to)-1] == '/' || isDir(door, to) {
		to = path.Join(to, filepath.Base(local))
	}
	if !st.IsDir() {
		return 1, pushFile(door, local, to, uid, st)
	}
	n := 0
	err = filepath.WalkDir(local, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(local, p)
		if err != nil {
			return err
		}
		target := path.Join(to, filepath.ToSlash(rel))
		st, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			return door.Mkdir(target, st.Mode().Perm(), uid)
		case st.Mode().IsRegular():
			n++
			return pushFile(door, p, target, uid, st)
		}
		return nil
	})
	return n, err
}

func isDir(door Tree, p string) bool {
	st, err := door.Lstat(p)
	return err == nil && st.IsDir()
}

func pushFile(door Tree, local, to string, uid int, st fs.FileInfo) error {
	f, err := os.OpenFile(local, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return door.Write(to, st.Mode().Perm(), uid, f)
}
