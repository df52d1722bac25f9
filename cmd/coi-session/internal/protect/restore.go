package protect

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"

	"github.com/code-on-incus/coi/pkg/home"
)

// putBack makes a file, directory or link as the baseline has it. Its place is
// free; parents that are gone are made.
func (c *checker) putBack(it item) error {
	root := c.root(it.Tree)
	if dir := path.Dir(it.Path); dir != "." {
		if _, err := root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	var err error
	switch it.Type {
	case "dir":
		if err = root.Mkdir(it.Path, it.Mode); errors.Is(err, fs.ErrExist) {
			err = nil
		}
	case "link":
		err = root.Symlink(it.Target, it.Path)
	case "file":
		err = c.putFile(it)
	default:
		err = errors.New("a special file is not made again")
	}
	if err != nil {
		return err
	}
	if st, serr := root.Stat(it.Path); serr == nil && it.Type != "link" && (st.UID != it.UID || st.GID != it.GID) {
		if err := root.Chown(it.Path, st, it.UID, it.GID); err != nil {
			return err
		}
	}
	return root.SetTime(it.Path, it.MTime)
}

func (c *checker) putFile(it item) error {
	if !it.Copy {
		return errors.New("it was too large to keep a copy")
	}
	f, err := home.Open(filepath.Join(c.Copies, it.SHA256))
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	data, err := home.ReadCapped(f, maxCopies)
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != it.SHA256 {
		return fmt.Errorf("the copy in %s is damaged", c.Copies)
	}
	return c.root(it.Tree).WriteNew(it.Path, data, it.Mode.Perm())
}
