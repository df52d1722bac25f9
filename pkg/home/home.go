// Package home is the layout of ~/.coi: where every file lives, with which
// mode, and how it is opened, written and locked. It is the only reader of HOME
// and of the COI_* variables that name paths.
package home

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/coi"
)

// DirMode and FileMode are the modes of everything coi makes.
const (
	DirMode  = 0o700
	FileMode = 0o600
)

// Home is one user's ~/.coi.
type Home struct {
	Dir    string // absolute path of ~/.coi or COI_HOME
	User   string // absolute path of the user's home directory
	Custom string // Dir when COI_HOME points elsewhere than ~/.coi, else empty
	Prefix string // start of container names
	UID    int
}

// Error says that the environment or the layout itself is wrong; commands map
// it to the exit code of a configuration error.
type Error struct {
	Path, Problem, Hint string
}

func (e *Error) Error() string { return e.Path + ": " + e.Problem }

// Find works out the layout from the environment. It creates and reads nothing
// but the attributes of an existing COI_HOME.
func Find(getenv func(string) string) (Home, error) {
	h := Home{UID: os.Geteuid(), Prefix: coi.DefaultPrefix}
	h.User = getenv("HOME")
	if !filepath.IsAbs(h.User) {
		return h, &Error{"HOME", "not set to an absolute path", "set HOME to your home directory"}
	}
	h.User = filepath.Clean(h.User)
	h.Dir = filepath.Join(h.User, ".coi")
	if p := getenv("COI_CONTAINER_PREFIX"); p != "" {
		if !coi.ValidPrefix(p) {
			return h, &Error{"COI_CONTAINER_PREFIX", fmt.Sprintf("%q is no prefix", p), "use lower-case letters, digits and hyphens, ending in a hyphen"}
		}
		h.Prefix = p
	}
	dir := getenv("COI_HOME")
	if dir == "" {
		return h, nil
	}
	if !filepath.IsAbs(dir) {
		return h, &Error{"COI_HOME", "not an absolute path", "use the full path of the directory"}
	}
	dir = filepath.Clean(dir)
	if st, err := os.Stat(dir); err == nil {
		if err := owned(dir, st, h.UID); err != nil {
			return h, err
		}
	}
	if dir != h.Dir {
		h.Custom = dir
	}
	h.Dir = dir
	return h, nil
}

func owned(path string, st os.FileInfo, uid int) error {
	sys, ok := st.Sys().(*unixStat)
	if !ok {
		return nil
	}
	if int(sys.Uid) != uid {
		return &Error{path, fmt.Sprintf("belongs to uid %d, not to you", sys.Uid), "chown it or unset COI_HOME"}
	}
	if st.Mode().Perm()&0o002 != 0 {
		return &Error{path, "writable by everybody", "chmod o-w " + path}
	}
	return nil
}

// Path joins parts below ~/.coi.
func (h Home) Path(parts ...string) string {
	return filepath.Join(append([]string{h.Dir}, parts...)...)
}

// Config is the user's main configuration file.
func (h Home) Config() string { return h.Path("config.toml") }

// Profiles is the directory of the user's profiles.
func (h Home) Profiles() string { return h.Path("profiles") }

// Trust is the trust store.
func (h Home) Trust() string { return h.Path("trust.toml") }

// Run is a file of ~/.coi/run; without a name the directory itself.
func (h Home) Run(name ...string) string { return h.Path(append([]string{"run"}, name...)...) }

// Logs is the default directory of session logs.
func (h Home) Logs() string { return h.Path("logs") }

// Audit is a file of ~/.coi/audit; without a name the directory itself.
func (h Home) Audit(name ...string) string { return h.Path(append([]string{"audit"}, name...)...) }

// Expand replaces a leading ~ or ~/ by the user's home. $NAME is left alone.
func (h Home) Expand(path string) string {
	if path == "~" {
		return h.User
	}
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		return filepath.Join(h.User, rest)
	}
	return path
}

// Shorten is the inverse of Expand, for messages.
func (h Home) Shorten(path string) string {
	if path == h.User {
		return "~"
	}
	if rest, ok := strings.CutPrefix(path, h.User+"/"); ok {
		return "~/" + rest
	}
	return path
}

// VethTag marks the interfaces of this home's guard.
func (h Home) VethTag() string { return coi.VethTag(h.UID, h.Custom) }

// Table is the nftables table of this home's guard.
func (h Home) Table() string { return coi.TableName(h.UID, h.Custom) }

// Ensure makes the directory and its parents up to ~/.coi, all 0700, and
// corrects a looser mode of a directory it owns. corrected names the
// directories whose mode it changed.
func (h Home) Ensure(dir string) (corrected []string, err error) {
	rel, err := filepath.Rel(h.Dir, dir)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return nil, fmt.Errorf("%s is not below %s", dir, h.Dir)
	}
	parts := []string{}
	if rel != "." {
		parts = strings.Split(rel, "/")
	}
	p := h.Dir
	for i := -1; i < len(parts); i++ {
		if i >= 0 {
			p = filepath.Join(p, parts[i])
		}
		fixed, err := ensureOne(p, h.UID)
		if err != nil {
			return corrected, err
		}
		if fixed {
			corrected = append(corrected, p)
		}
	}
	return corrected, nil
}

func ensureOne(p string, uid int) (corrected bool, err error) {
	if err := os.Mkdir(p, DirMode); err == nil {
		return false, nil
	} else if !os.IsExist(err) {
		return false, fmt.Errorf("make %s: %w", p, err)
	}
	fd, err := unix.Open(p, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, &Error{p, "is not a directory of its own (" + err.Error() + ")", "move it away"}
	}
	defer func() { _ = unix.Close(fd) }()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return false, err
	}
	if int(st.Uid) != uid {
		return false, &Error{p, fmt.Sprintf("belongs to uid %d, not to you", st.Uid), fmt.Sprintf("sudo chown -R %d %s", uid, p)}
	}
	if st.Mode&0o077 != 0 {
		if err := unix.Fchmod(fd, DirMode); err != nil {
			return false, err
		}
		return true, nil
	}
	return false, nil
}
