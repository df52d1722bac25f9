// Package rulefile reads folders of rule files safely: regular files of the
// user or of root that nobody else may write, no links, with caps.
package rulefile

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Caps of one folder.
const (
	MaxFile  = 1 << 20
	MaxFiles = 5000
	maxDepth = 12
)

// File is one rule file that was read, or Err, why it was not.
type File struct {
	Path string // below the folder
	Data []byte
	Err  error
}

// Read reads every file below dir whose name ends in one of suffixes, in the
// order of names. A folder that does not exist has no files.
func Read(dir string, suffixes ...string) ([]File, error) {
	var out []File
	if _, err := os.Lstat(dir); os.IsNotExist(err) {
		return nil, nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close() //nolint:errcheck // only read
	err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		rel, rerr := filepath.Rel(dir, p)
		if rerr != nil {
			return rerr
		}
		if err != nil {
			return err
		}
		if d.IsDir() {
			if strings.Count(rel, "/") > maxDepth {
				return fs.SkipDir
			}
			return nil
		}
		if !ends(rel, suffixes) {
			return nil
		}
		if len(out) >= MaxFiles {
			return fmt.Errorf("%s: more than %d files", dir, MaxFiles)
		}
		data, err := one(root, rel)
		out = append(out, File{Path: rel, Data: data, Err: err})
		return nil
	})
	return out, err
}

func ends(name string, suffixes []string) bool {
	for _, s := range suffixes {
		if strings.HasSuffix(name, s) {
			return true
		}
	}
	return false
}

func one(root *os.Root, rel string) ([]byte, error) {
	f, err := root.OpenFile(rel, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("not a regular file")
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, err
	}
	if int(st.Uid) != os.Geteuid() && st.Uid != 0 {
		return nil, fmt.Errorf("belongs to another user")
	}
	if info.Mode().Perm()&0o022 != 0 {
		return nil, fmt.Errorf("writable by others")
	}
	if info.Size() > MaxFile {
		return nil, fmt.Errorf("over 1 MiB")
	}
	return io.ReadAll(io.LimitReader(f, MaxFile))
}
