// Package bundle is what is put into a container at set-up: files for one tar
// archive that container root unpacks at /. Packages that want something inside
// return Files; session joins them, so one push carries all.
package bundle

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

// File is one file or directory to be made in the container.
type File struct {
	Path     string // absolute, clean
	Mode     os.FileMode
	UID, GID int // inside the container
	Dir      bool
	Link     string // target of a symbolic link; Content is not used then
	Content  []byte
}

// Write sends the files as one tar archive. Of two files of one path the later
// one counts. Parents come before what they hold.
func Write(w io.Writer, files []File) error {
	seen := map[string]int{}
	var list []File
	for _, f := range files {
		if !path.IsAbs(f.Path) || path.Clean(f.Path) != f.Path || f.Path == "/" {
			return fmt.Errorf("bundle: %q is not an absolute path", f.Path)
		}
		if i, ok := seen[f.Path]; ok {
			list[i] = f
			continue
		}
		seen[f.Path] = len(list)
		list = append(list, f)
	}
	slices.SortStableFunc(list, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	tw := tar.NewWriter(w)
	for _, f := range list {
		if err := writeOne(tw, f); err != nil {
			return fmt.Errorf("bundle %s: %w", f.Path, err)
		}
	}
	return tw.Close()
}

func writeOne(tw *tar.Writer, f File) error {
	h := &tar.Header{
		Name: f.Path[1:], Mode: int64(f.Mode.Perm()), Uid: f.UID, Gid: f.GID,
		ModTime: time.Now(), Typeflag: tar.TypeReg, Size: int64(len(f.Content)),
	}
	switch {
	case f.Dir:
		h.Typeflag, h.Size, h.Name = tar.TypeDir, 0, h.Name+"/"
	case f.Link != "":
		h.Typeflag, h.Size, h.Linkname = tar.TypeSymlink, 0, f.Link
	}
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	if f.Dir || f.Link != "" {
		return nil
	}
	_, err := io.Copy(tw, bytes.NewReader(f.Content))
	return err
}

// Dirs gives the directories between home and file that are missing from a
// fresh home, as entries of mode 0700 owned by the code user, so that unpacking
// does not leave them to root.
func Dirs(home, file string, uid int) []File {
	var out []File
	for dir := path.Dir(file); dir != home && strings.HasPrefix(dir, home+"/"); dir = path.Dir(dir) {
		out = append(out, File{Path: dir, Mode: 0o700, UID: uid, GID: uid, Dir: true})
	}
	slices.Reverse(out)
	return out
}
