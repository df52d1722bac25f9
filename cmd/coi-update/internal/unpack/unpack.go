// Package unpack writes a gzipped tar into a fresh directory: regular files,
// folders and links within it, nothing else, with caps on number and size.
package unpack

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Caps of one archive.
const (
	MaxFiles = 20000
	MaxBytes = 1 << 30
)

// ErrUnsafe is wrapped by errors about entries that no honest archive has.
var ErrUnsafe = errors.New("unsafe archive")

// Tar unpacks file into dir, which must be empty. links says whether relative
// symbolic links inside one folder are allowed; other links never are.
func Tar(file, dir string, links bool) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	return entries(tar.NewReader(z), root, links)
}

func entries(t *tar.Reader, root *os.Root, links bool) error {
	var total int64
	for n := 0; ; n++ {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if total += h.Size; n > MaxFiles || total > MaxBytes {
			return fmt.Errorf("%w: over %d files or %d bytes", ErrUnsafe, MaxFiles, int64(MaxBytes))
		}
		if err := entry(t, h, root, links); err != nil {
			return err
		}
	}
}

func entry(t *tar.Reader, h *tar.Header, root *os.Root, links bool) error {
	name := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
	if name == "" {
		return nil
	}
	if !filepath.IsLocal(h.Name) && h.Name != "./" {
		return fmt.Errorf("%w: %q leaves the archive", ErrUnsafe, h.Name)
	}
	switch h.Typeflag {
	case tar.TypeXGlobalHeader:
		return nil
	case tar.TypeDir:
		return root.MkdirAll(name, 0o755)
	case tar.TypeSymlink:
		if !links || h.Linkname != path.Base(h.Linkname) || h.Linkname == ".." {
			return fmt.Errorf("%w: link %q", ErrUnsafe, h.Name)
		}
		return root.Symlink(h.Linkname, name)
	case tar.TypeReg:
		return regular(t, h, root, name)
	}
	return fmt.Errorf("%w: %q is neither file nor folder", ErrUnsafe, h.Name)
}

func regular(t *tar.Reader, h *tar.Header, root *os.Root, name string) error {
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	mode := os.FileMode(0o644)
	if h.Mode&0o111 != 0 {
		mode = 0o755
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	if _, err := io.CopyN(f, t, h.Size); err != nil {
		_ = f.Close()
		return err
	}
	if err := f.Chmod(mode); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}
