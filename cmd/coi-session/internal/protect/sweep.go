package protect

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/beneath"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
)

// slack covers the difference between the clock that stamps files and ours.
const slack = 2 * time.Second

// sweep looks at every file once: for repositories that are new, and for bits
// and owners that container root left. What was changed before the session is
// known by its ctime, which nothing inside can set.
func (c *checker) sweep() {
	for i := range c.trees {
		f := newFinder()
		c.walk(i, func(e beneath.Entry) {
			f.see(e)
			c.bits(i, e)
		})
		c.repositories(i, f)
	}
	if !c.b.Disabled {
		c.mounts()
	}
}

func (c *checker) repositories(tree int, f *finder) {
	known := map[string]bool{}
	if tree < len(c.b.Lookalikes) {
		for _, dir := range c.b.Lookalikes[tree] {
			known[dir] = f.parts[dir]&hasHead == 0
		}
	}
	if tree < len(c.b.Repos) {
		for _, dir := range c.b.Repos[tree] {
			known[dir] = true
		}
	}
	for _, rel := range f.commons() {
		if named, ok := c.common(tree, rel, known[path.Dir(rel)]); ok && f.parts[named]&hasHead == 0 {
			known[named] = false
		}
	}
	for _, dir := range f.dirs(true) {
		if !known[dir] {
			c.repository(tree, dir)
		}
	}
	for _, g := range f.files {
		c.gitFile(tree, g)
	}
	for _, rel := range f.todos {
		c.todo(tree, rel)
	}
}

// common judges a commondir file and gives the directory that it names. One
// that appeared in an old repository would hand the repository's configuration
// to the container; one that leads out of the tree or over a link names a place
// that is not looked at.
func (c *checker) common(tree int, rel string, old bool) (dir string, ok bool) {
	root := c.root(tree)
	hash := fileHash(root, rel)
	was, had := c.b.GitFiles[root.Abs(rel)]
	same := had && hash != "" && was == hash
	if old && !same {
		c.find(coi.Critical, tree, rel, "makes a repository use another configuration", true)
		return "", false
	}
	text, err := root.ReadFile(rel, maxGitConfig)
	if err == nil {
		dir, ok = c.trees[tree].rel(path.Dir(rel), strings.TrimRight(string(text), "\r\n"))
	}
	if !ok && same {
		return "", false // it led out of the tree before
	}
	if ok {
		st, err := root.Stat(dir)
		ok = err == nil && st.Mode.IsDir()
	}
	if !ok {
		c.find(coi.High, tree, rel, "names no git directory of the workspace", true)
	}
	return dir, ok
}

// mounts sweeps the writable mounts outside the workspace.
func (c *checker) mounts() {
	for _, dir := range c.Writable {
		real, err := filepath.EvalSymlinks(dir)
		if err != nil {
			continue
		}
		root, err := beneath.Open(real)
		if errors.Is(err, unix.ENOTDIR) {
			continue
		}
		if err != nil {
			c.report.NotVerified = append(c.report.NotVerified, cli.Escape(err.Error()))
			continue
		}
		c.trees = append(c.trees, Tree{Root: root})
		i := len(c.trees) - 1
		c.walk(i, func(e beneath.Entry) { c.bits(i, e) })
		_ = root.Close()
	}
}

func (c *checker) walk(tree int, visit func(beneath.Entry)) {
	err := c.root(tree).Walk("", MaxEntries, func(e beneath.Entry) error {
		visit(e)
		return nil
	}, func(rel string, err error) { c.notVerified(tree, rel, err) })
	if err != nil {
		c.notVerified(tree, "", err)
	}
}

const special = fs.ModeSetuid | fs.ModeSetgid

// bits removes setuid, setgid and capabilities that are new, and gives files of
// container root to the user. On a directory setgid only passes on a group.
func (c *checker) bits(tree int, e beneath.Entry) {
	if !e.Type.IsRegular() && !e.Type.IsDir() {
		return
	}
	st, err := e.Stat()
	if err != nil || st.ChgTime.Before(c.b.StartedAt.Add(-slack)) {
		return
	}
	root := c.root(tree)
	if st.UID != c.UID && (st.Mode.IsDir() || st.Nlink == 1) {
		defer c.own(tree, e.Path, st)
	}
	if !st.Mode.IsRegular() {
		return
	}
	if bad := st.Mode & special; bad != 0 {
		c.find(coi.High, tree, e.Path, "got the bits "+bitNames(bad), false)
		if err := root.Chmod(e.Path, st, st.Mode&^special); err != nil {
			c.notVerified(tree, e.Path, err)
		}
	}
	if st.Mode&0o111 != 0 && root.Capability(e.Path, st) {
		c.find(coi.High, tree, e.Path, "got file capabilities", false)
		if err := root.DropCapability(e.Path, st); err != nil {
			c.notVerified(tree, e.Path, err)
		}
	}
}

func bitNames(m fs.FileMode) string {
	var names []string
	if m&fs.ModeSetuid != 0 {
		names = append(names, "setuid")
	}
	if m&fs.ModeSetgid != 0 {
		names = append(names, "setgid")
	}
	return strings.Join(names, " and ")
}

func (c *checker) own(tree int, rel string, st beneath.Info) {
	if err := c.root(tree).Chown(rel, st, c.UID, c.GID); err != nil {
		c.notVerified(tree, rel, fmt.Errorf("it belongs to uid %d: %w", st.UID, err))
		return
	}
	c.report.Owned++
}

// repository cleans a git directory that was not there at the start.
func (c *checker) repository(tree int, dir string) {
	root := c.root(tree)
	hooks := path.Join(dir, "hooks")
	if st, err := root.Stat(hooks); err == nil && !st.Mode.IsDir() {
		c.find(coi.High, tree, hooks, "of a new repository is a "+kindOf(st), true)
	} else if err == nil {
		entries, err := root.List(hooks)
		if err != nil {
			c.notVerified(tree, hooks, err)
		}
		c.newHooks(tree, hooks, entries)
	}
	c.config(tree, dir, "config")
	c.config(tree, dir, "config.worktree")
}

// manyHooks is how many hooks of a new repository are moved one by one; git
// knows fewer, so a directory with more is moved as a whole.
const manyHooks = 64

func (c *checker) newHooks(tree int, dir string, entries []fs.DirEntry) {
	var bad []string
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".sample") {
			bad = append(bad, e.Name())
		}
	}
	if len(bad) > manyHooks {
		c.find(coi.High, tree, dir, fmt.Sprintf("holds %d hooks of a new repository", len(bad)), true)
		return
	}
	for _, name := range bad {
		c.find(coi.High, tree, path.Join(dir, name), "is a hook of a new repository", true)
	}
}

// config removes from a new repository's configuration what runs programs or
// redirects; the original stays in quarantine.
func (c *checker) config(tree int, dir, name string) {
	root, rel := c.root(tree), path.Join(dir, name)
	text, err := root.ReadFile(rel, maxGitConfig)
	if missing(err) && !isLink(root, rel) {
		return
	}
	var keep []variable
	why := "is no configuration that git reads"
	if err == nil {
		var vars []variable
		if vars, err = gitConfig(text); err == nil {
			var gone []string
			keep, gone = split(vars, dir)
			if len(gone) == 0 {
				return
			}
			why = "sets " + strings.Join(gone, ", ")
		}
	}
	if len(keep) == 0 {
		keep = []variable{{section: "core", key: "repositoryformatversion", value: "0", hasValue: true}}
	}
	c.find(coi.High, tree, rel, cli.Escape(why)+" in a new repository", true)
	if err := root.WriteNew(rel, writeConfig(keep), 0o644); err != nil {
		c.notVerified(tree, rel, err)
		return
	}
	if st, err := root.Stat(rel); err == nil && st.UID != c.UID {
		_ = root.Chown(rel, st, c.UID, c.GID) // told by bits if it matters
	}
}

func isLink(root *beneath.Root, rel string) bool {
	st, err := root.Stat(rel)
	return err == nil && st.Mode&fs.ModeSymlink != 0
}

// split separates harmless variables from dangerous ones, whose names it gives.
func split(vars []variable, gitdir string) (keep []variable, gone []string) {
	for _, v := range vars {
		if !dangerous(v, gitdir) {
			keep = append(keep, v)
			continue
		}
		name := v.section + "." + v.key
		if v.hasSub {
			name = v.section + "." + v.sub + "." + v.key
		}
		if !slices.Contains(gone, name) {
			gone = append(gone, name)
		}
	}
	return keep, gone
}

// gitFile judges a .git file that is new or changed: one that leads out of the
// workspace could make the host use a git directory of the container's choice.
func (c *checker) gitFile(tree int, rel string) {
	root := c.root(tree)
	if old, ok := c.b.GitFiles[root.Abs(rel)]; ok && old == fileHash(root, rel) {
		return
	}
	b, err := root.ReadFile(rel, maxGitConfig)
	if err != nil {
		c.notVerified(tree, rel, err)
		return
	}
	target, ok := strings.CutPrefix(strings.TrimRight(string(b), "\r\n"), "gitdir: ")
	if !ok {
		return // git refuses it
	}
	if _, inside := c.trees[tree].rel(cleanDir(filepath.Dir(rel)), target); !inside {
		c.find(coi.High, tree, rel, "leads to a git directory outside the workspace", true)
	}
}
