package transfer

import (
	"context"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
)

// Push copies a file or a directory of the host into a container, owned by uid,
// modes kept. Links below a directory are left out. It returns how many files
// it copied.
func Push(ctx context.Context, door Door, name, local, to string, uid int) (int, error) {
	st, err := os.Stat(local)
	if err != nil {
		return 0, err
	}
	if len(to) > 1 && to[len(to)-1] == '/' || isDir(ctx, door, name, to) {
		to = path.Join(to, filepath.Base(local))
	}
	if !st.IsDir() {
		return 1, pushFile(ctx, door, name, local, to, uid, st)
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
			return door.PushFile(ctx, name, target, incus.FileInfo{Type: "directory", UID: uid, GID: uid, Mode: int(st.Mode().Perm())}, nil)
		case st.Mode().IsRegular():
			n++
			return pushFile(ctx, door, name, p, target, uid, st)
		}
		return nil
	})
	return n, err
}

func isDir(ctx context.Context, door Door, name, p string) bool {
	content, info, err := door.PullFile(ctx, name, p)
	if err != nil {
		return false
	}
	closeIt(content)
	return info.Type == "directory"
}

func pushFile(ctx context.Context, door Door, name, local, to string, uid int, st fs.FileInfo) error {
	f, err := os.OpenFile(local, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return door.PushFile(ctx, name, to, incus.FileInfo{Type: "file", UID: uid, GID: uid, Mode: int(st.Mode().Perm())}, f)
}
