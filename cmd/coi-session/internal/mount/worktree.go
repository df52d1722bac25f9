package mount

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/beneath"
	"github.com/code-on-incus/coi/pkg/cli"
)

// Worktree is the other half of a workspace that git-worktree(1) made.
type Worktree struct {
	GitDir string // <common>/worktrees/<name>
	Common string // the directory with objects, refs, config and hooks
	File   *os.File
	Info   beneath.Info
}

// pointerLimit is more than any path that git writes into its pointer files.
const pointerLimit = 8 << 10

// FindWorktree reads the .git file of a linked worktree. It is believed only
// when the back pointer in the main repository names this workspace: a file
// in a cloned repository can point anywhere, but cannot write there. A nil
// Worktree with a warning means that .git is a file and stays one.
func FindWorktree(w *Workspace) (*Worktree, string) {
	st, err := w.Root.Stat(".git")
	if err != nil || !st.Mode.IsRegular() {
		return nil, ""
	}
	wt, err := readWorktree(w)
	if err != nil {
		return nil, fmt.Sprintf(".git is a file that leads to no repository of this workspace (%s): git does not work inside", cli.Escape(err.Error()))
	}
	return wt, ""
}

func readWorktree(w *Workspace) (*Worktree, error) {
	b, err := w.Root.ReadFile(".git", pointerLimit)
	if err != nil {
		return nil, err
	}
	target, ok := strings.CutPrefix(strings.TrimRight(string(b), "\r\n"), "gitdir: ")
	if !ok {
		return nil, fmt.Errorf("it has no gitdir line")
	}
	gitdir, err := resolveFrom(w.Path, target)
	if err != nil {
		return nil, err
	}
	g, err := beneath.Open(gitdir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = g.Close() }()
	back, err := pointer(g, "gitdir")
	if err != nil {
		return nil, err
	}
	if filepath.Clean(back) != filepath.Join(w.Path, ".git") {
		return nil, fmt.Errorf("%s belongs to the worktree %s", gitdir, back)
	}
	common, err := pointer(g, "commondir")
	if err != nil {
		return nil, err
	}
	return openCommon(w, gitdir, common)
}

func openCommon(w *Workspace, gitdir, common string) (*Worktree, error) {
	common, f, st, err := resolveSource(common)
	if err != nil {
		return nil, err
	}
	if err := isCommon(w, gitdir, common, st); err != nil {
		_ = f.Close()
		return nil, err
	}
	return &Worktree{GitDir: gitdir, Common: common, File: f, Info: st}, nil
}

// isCommon checks that a directory is what git makes for several worktrees.
func isCommon(w *Workspace, gitdir, common string, st beneath.Info) error {
	if filepath.Dir(gitdir) != filepath.Join(common, "worktrees") {
		return fmt.Errorf("%s is not a worktree of %s", gitdir, common)
	}
	if st.UID != w.Info.UID && st.UID != os.Geteuid() {
		return fmt.Errorf("%s belongs to uid %d", common, st.UID)
	}
	c, err := beneath.Open(common)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if o, err := c.Stat("objects"); err != nil || !o.Mode.IsDir() {
		return fmt.Errorf("%s has no objects", common)
	}
	if h, err := c.Stat("HEAD"); err != nil || !h.Mode.IsRegular() {
		return fmt.Errorf("%s has no HEAD", common)
	}
	return nil
}

// pointer reads a file of one path; a relative one is relative to its directory.
func pointer(g *beneath.Root, name string) (string, error) {
	b, err := g.ReadFile(name, pointerLimit)
	if err != nil {
		return "", err
	}
	p := strings.TrimRight(string(b), "\r\n")
	if !filepath.IsAbs(p) {
		p = filepath.Join(g.Path(), p)
	}
	return p, nil
}

func resolveFrom(dir, p string) (string, error) {
	if !filepath.IsAbs(p) {
		p = filepath.Join(dir, p)
	}
	return filepath.EvalSymlinks(p)
}

// device is the common directory at its own path; its dangerous parts are
// locked by package protect.
func (wt *Worktree) device() map[string]string {
	return map[string]string{"type": "disk", "source": wt.Common, "path": wt.Common}
}

// reopen opens an absolute path for comparison with a kept descriptor.
func reopen(path string) (beneath.Info, error) {
	f, err := beneath.OpenAbs(path, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return beneath.Info{}, err
	}
	defer func() { _ = f.Close() }()
	return beneath.StatFile(f)
}
