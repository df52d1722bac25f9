package protect

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/beneath"
	"github.com/code-on-incus/coi/pkg/cli"
)

// maxLinks bounds chains of links, as the kernel does.
const maxLinks = 40

// add decides about one path of a tree. git marks paths of a git directory.
func (p *Plan) add(tree int, rel string, git bool, links int) {
	root := p.trees[tree].Root
	parts := strings.Split(rel, "/")
	for i := range parts {
		at := strings.Join(parts[:i+1], "/")
		st, err := root.Stat(at)
		switch {
		case errors.Is(err, fs.ErrNotExist) || err == nil && i == len(parts)-1 && p.placed(tree, at):
			p.absent(tree, rel, git)
			return
		case err != nil:
			p.problems = append(p.problems, fmt.Sprintf("%s cannot be protected: %s", cli.Escape(rel), cli.Escape(err.Error())))
			return
		case st.Mode&fs.ModeSymlink != 0:
			p.link(tree, at, strings.Join(parts[i+1:], "/"), git, links)
			return
		case !st.Mode.IsDir() || i == len(parts)-1:
			p.lock(tree, at, st, git)
			return
		}
	}
}

// lock locks what is there. A file in the place of a directory is locked
// itself, so that it cannot be replaced by one.
func (p *Plan) lock(tree int, rel string, st beneath.Info, git bool) {
	e := Entry{Tree: tree, Path: rel, State: Locked, Git: git, dir: st.Mode.IsDir()}
	switch {
	case !st.Mode.IsDir() && !st.Mode.IsRegular():
		e.State, e.Why = Verified, "is a special file"
	case strings.ContainsFunc(rel, func(r rune) bool { return r < 0x20 || r == 0x7f }):
		e.State, e.Why = Verified, "has control characters in its name"
	case st.Mode.IsRegular() && st.Nlink > 1:
		p.Warnings = append(p.Warnings, fmt.Sprintf("%s has %d names (hard links): what is written through another one is put back at the end", cli.Escape(rel), st.Nlink))
	}
	p.enter(e)
}

// enter adds an entry unless it is there or lies in a locked one.
func (p *Plan) enter(e Entry) {
	for _, old := range p.Entries {
		if old.Tree != e.Tree {
			continue
		}
		if old.Path == e.Path || old.State == Locked && old.dir && beneath.Below(e.Path, old.Path) {
			return
		}
	}
	p.Entries = append(p.Entries, e)
	if e.State == Locked {
		p.anchor(e.Tree, e.Path)
	}
}

// anchor binds every directory above a lock onto itself, so that renaming or
// removing it fails with EBUSY (rename(2): a mount point).
func (p *Plan) anchor(tree int, rel string) {
	if p.anchors[tree] == nil {
		p.anchors[tree] = map[string]bool{}
	}
	for _, dir := range beneath.Parents(rel) {
		p.anchors[tree][dir] = true
	}
}

// link handles a symbolic link on the way: it is verified, and what it leads to
// in the tree is locked as well.
func (p *Plan) link(tree int, at, rest string, git bool, links int) {
	target, err := p.trees[tree].Root.Readlink(at)
	if err != nil {
		p.problems = append(p.problems, fmt.Sprintf("%s cannot be protected: %s", cli.Escape(at), cli.Escape(err.Error())))
		return
	}
	p.enter(Entry{Tree: tree, Path: at, State: Verified, Why: "is a symlink", Git: git})
	if links >= maxLinks {
		return
	}
	if rel, ok := p.trees[tree].rel(cleanDir(path.Dir(at)), target); ok && rel != "" {
		p.add(tree, path.Join(rel, rest), git, links+1)
	}
}

// absent covers a path that is not there by a placeholder. Without a .git
// directory nothing below it is made: git init inside is allowed, and looked at
// in the end.
func (p *Plan) absent(tree int, rel string, git bool) {
	if git && tree == 0 && beneath.Below(rel, ".git") {
		if st, err := p.trees[0].Root.Stat(".git"); err != nil || !st.Mode.IsDir() {
			p.enter(Entry{Tree: tree, Path: rel, State: Absent, Git: true})
			return
		}
	}
	dir := !isFile(rel)
	before := len(p.Entries)
	p.enter(Entry{Tree: tree, Path: rel, State: Locked, Git: git, made: true, dir: dir})
	if len(p.Entries) == before {
		return
	}
	for _, parent := range beneath.Parents(rel) {
		if _, err := p.trees[tree].Root.Stat(parent); errors.Is(err, fs.ErrNotExist) || p.shared[p.host(tree, parent)].Path != "" {
			p.place(placeholder{Tree: tree, Path: parent, Dir: true})
		}
	}
	p.place(placeholder{Tree: tree, Path: rel, Dir: dir, Text: content(rel, dir)})
}

func (p *Plan) place(m placeholder) {
	if !slices.ContainsFunc(p.make, func(o placeholder) bool { return o.Tree == m.Tree && o.Path == m.Path }) {
		p.make = append(p.make, m)
	}
}

// fileNames are protected names without an extension that are files.
var fileNames = map[string]bool{
	".envrc": true, "config": true, "config.worktree": true, "attributes": true, "Makefile": true, "Justfile": true, "Dockerfile": true,
	"Vagrantfile": true, "Rakefile": true, "Gemfile": true, "Jenkinsfile": true, "Procfile": true,
}

// isFile guesses what a path that is not there would be: a name with an
// extension, or one that is known, is a file, everything else a directory.
func isFile(rel string) bool {
	base := path.Base(rel)
	if i := strings.LastIndexByte(base, '.'); i > 0 && i < len(base)-1 {
		return true
	}
	return fileNames[base] || strings.HasPrefix(base, ".") && strings.HasSuffix(base, "rc")
}

// content is what a placeholder file holds: the least that its readers accept.
func content(rel string, dir bool) string {
	switch {
	case dir:
		return ""
	case path.Base(rel) == ".mcp.json":
		return `{"mcpServers":{}}`
	case strings.HasSuffix(rel, ".json"):
		return "{}"
	}
	return ""
}
