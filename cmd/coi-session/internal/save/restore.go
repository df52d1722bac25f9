package save

import (
	"archive/tar"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/beneath"
)

// Restore writes the saved paths as a tar archive for the root of a container:
// everything lies below home and belongs to uid. Credentials that an older save
// may hold are left out. Nothing saved gives an empty archive.
func Restore(s Saved, homeInside string, uid int, exclude []string, w io.Writer) error {
	root, err := s.Open()
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	tw := tar.NewWriter(w)
	prefix := strings.TrimPrefix(homeInside, "/")
	var bad error
	err = root.Walk("", MaxFiles*2, func(e beneath.Entry) error {
		if e.Path == metaName || slices.Contains(exclude, e.Path) || !e.Type.IsDir() && !e.Type.IsRegular() {
			return nil
		}
		return restoreOne(tw, root, e, path.Join(prefix, e.Path), uid)
	}, func(rel string, err error) { bad = errors.Join(bad, fmt.Errorf("%s: %w", rel, err)) })
	return errors.Join(err, bad, tw.Close())
}

func restoreOne(tw *tar.Writer, root *beneath.Root, e beneath.Entry, name string, uid int) error {
	st, err := e.Stat()
	if err != nil {
		return err
	}
	h := &tar.Header{Name: name, Mode: int64(st.Mode & fs.ModePerm), Uid: uid, Gid: uid, ModTime: st.ModTime, Typeflag: tar.TypeReg, Size: st.Size}
	if e.Type.IsDir() {
		h.Typeflag, h.Size, h.Name = tar.TypeDir, 0, name+"/"
		return tw.WriteHeader(h)
	}
	f, err := root.OpenRegular(e.Path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.CopyN(tw, f, st.Size)
	return err
}

// Source reads a container's file system; an SFTP client of a stopped
// container is one with a thin wrapper round Open.
type Source interface {
	ReadDir(path string) ([]fs.FileInfo, error)
	Lstat(path string) (fs.FileInfo, error)
	Open(path string) (io.ReadCloser, error)
}

// Stream writes the paths below home as the archive that Save reads. Links and
// special files are left out, files that vanish or cannot be read as well: the
// caller saves what is there.
func Stream(src Source, homeInside string, paths []string, w io.Writer) error {
	tw := tar.NewWriter(w)
	for _, p := range paths {
		st, err := src.Lstat(path.Join(homeInside, p))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := streamOne(src, tw, homeInside, p, st, 0); err != nil {
			return err
		}
	}
	return tw.Close()
}

// maxDepth bounds directories in directories of a foreign file system.
const maxDepth = 200

func streamOne(src Source, tw *tar.Writer, homeInside, rel string, st fs.FileInfo, depth int) error {
	h := &tar.Header{Name: rel, Mode: int64(st.Mode().Perm()), ModTime: st.ModTime(), Typeflag: tar.TypeReg, Size: st.Size()}
	if st.Mode().IsRegular() {
		return streamFile(src, tw, path.Join(homeInside, rel), h)
	}
	if !st.IsDir() || depth > maxDepth {
		return nil
	}
	h.Typeflag, h.Size, h.Name = tar.TypeDir, 0, rel+"/"
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	entries, err := src.ReadDir(path.Join(homeInside, rel))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.Contains(e.Name(), "/") || e.Name() == "." || e.Name() == ".." {
			continue
		}
		if err := streamOne(src, tw, homeInside, path.Join(rel, e.Name()), e, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// streamFile sends exactly the size it announced: a file that shrinks is filled
// with zeros, one that grows is cut.
func streamFile(src Source, tw *tar.Writer, name string, h *tar.Header) error {
	f, err := src.Open(name)
	if err != nil {
		return nil //nolint:nilerr // a file that vanished or is locked must not cost the save
	}
	defer func() { _ = f.Close() }()
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	n, err := io.CopyN(tw, f, h.Size)
	if errors.Is(err, io.EOF) {
		_, err = io.CopyN(tw, zeros{}, h.Size-n)
	}
	return err
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// Mark stands for the state of the paths below home: it changes when a file
// appears, goes, grows or is written.
func Mark(src Source, homeInside string, paths []string) (string, error) {
	sum := fnv.New64a()
	var walk func(rel string, st fs.FileInfo, depth int) error
	walk = func(rel string, st fs.FileInfo, depth int) error {
		_, _ = fmt.Fprintf(sum, "%s %d %d\n", rel, st.Size(), st.ModTime().UnixNano())
		if !st.IsDir() || depth > maxDepth {
			return nil
		}
		entries, err := src.ReadDir(path.Join(homeInside, rel))
		for _, e := range entries {
			if err := walk(path.Join(rel, e.Name()), e, depth+1); err != nil {
				return err
			}
		}
		return err
	}
	for _, p := range paths {
		st, err := src.Lstat(path.Join(homeInside, p))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		if err := walk(p, st, 0); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%x", sum.Sum64()), nil
}
