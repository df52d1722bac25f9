package protect

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/beneath"
	"github.com/code-on-incus/coi/pkg/cli"
)

// maxGitConfig is the largest git configuration file that is read.
const maxGitConfig = 4 << 20

// gitPaths are the four places in a git directory from which the host would run something.
var gitPaths = []string{"hooks", "config", "config.worktree", "info/attributes"}

// finder recognises git directories by what they hold while a walk passes by.
type finder struct {
	parts map[string]uint8
	files []string // files named .git
	todos []string // steps of git operations in progress
}

// commons lists the files that make a git directory use another one's
// configuration and hooks.
func (f *finder) commons() []string {
	var out []string
	for dir, has := range f.parts {
		if has&hasHead != 0 && has&hasCommon != 0 {
			out = append(out, path.Join(dir, "commondir"))
		}
	}
	slices.Sort(out)
	return out
}

const (
	hasHead = 1 << iota
	hasObjects
	hasRefs
	hasCommon
)

func newFinder() *finder { return &finder{parts: map[string]uint8{}} }

func (f *finder) see(e beneath.Entry) {
	dir, base := path.Split(e.Path)
	dir = strings.TrimSuffix(dir, "/")
	if isTodo(e.Path) {
		f.todos = append(f.todos, e.Path)
	}
	switch base {
	case "HEAD":
		f.parts[dir] |= hasHead
	case "objects":
		f.parts[dir] |= hasObjects
	case "refs":
		f.parts[dir] |= hasRefs
	case "commondir":
		f.parts[dir] |= hasCommon
	case ".git":
		if e.Type.IsRegular() {
			f.files = append(f.files, e.Path)
		}
	}
}

// dirs lists the git directories in path order. At the end those without HEAD
// count as well: a worktree may name them as its common directory. At the start
// they do not, so that nothing is made in a folder that only looks alike.
func (f *finder) dirs(headless bool) []string {
	var out []string
	for dir, has := range f.parts {
		if has&hasObjects != 0 && has&hasRefs != 0 && (headless || has&hasHead != 0) || has&hasHead != 0 && has&hasCommon != 0 {
			out = append(out, dir)
		}
	}
	slices.Sort(out)
	return out
}

// survey walks a tree once.
func (p *Plan) survey(tree int, also func(beneath.Entry)) {
	f := newFinder()
	root := p.trees[tree].Root
	err := root.Walk("", MaxEntries, func(e beneath.Entry) error {
		f.see(e)
		if also != nil {
			also(e)
		}
		return nil
	}, func(rel string, err error) {
		p.Warnings = append(p.Warnings, fmt.Sprintf("not looked at for repositories: %s (%s)", cli.Escape(rel), cli.Escape(err.Error())))
	})
	if errors.Is(err, beneath.ErrTooMany) {
		p.Warnings = append(p.Warnings, fmt.Sprintf("the workspace has over %d entries: repositories behind them are not locked", MaxEntries))
	} else if err != nil {
		p.problems = append(p.problems, "the workspace cannot be read: "+cli.Escape(err.Error()))
	}
	for _, g := range slices.Concat(f.files, f.commons(), f.todos) {
		p.gitFiles[root.Abs(g)] = fileHash(root, g)
	}
	p.repos, p.lookalikes = append(p.repos, f.dirs(false)), append(p.lookalikes, f.dirs(true))
}

func fileHash(root *beneath.Root, rel string) string {
	b, err := root.ReadFile(rel, maxGitConfig)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// gitDirs locks the four paths of every git directory that is there, and the
// hook directories that their configuration names.
func (p *Plan) gitDirs(tree int, c Config) {
	nested := 0
	for _, dir := range p.repos[tree] {
		if tree == 0 && dir == ".git" { // its paths are those of the configuration
			p.hooksOf(0, dir)
			continue
		}
		nested++
		p.gitDir(tree, dir, c, nested > maxNested)
	}
	if nested > maxNested {
		p.Warnings = append(p.Warnings, fmt.Sprintf("%d nested repositories: %d are locked, the rest is checked at the end", nested, maxNested))
	}
}

func (p *Plan) gitDir(tree int, dir string, c Config, many bool) {
	linked := p.has(tree, path.Join(dir, "commondir"))
	for _, name := range gitPaths {
		rel := path.Join(dir, name)
		if name == "hooks" && c.FreeHooks || tree == 0 && freed(rel, c.Writable) || linked && name != "config.worktree" {
			continue
		}
		if many {
			if p.has(tree, rel) {
				p.enter(Entry{Tree: tree, Path: rel, State: Verified, Why: "is beyond the first 200 repositories", Git: true})
			}
			continue
		}
		p.add(tree, rel, true, 0)
	}
	p.hooksOf(tree, dir)
}

func (p *Plan) hooksOf(tree int, dir string) {
	for _, rel := range hooksPaths(p.trees[tree], dir) {
		p.hooks(tree, rel)
	}
}

func freed(rel string, writable []string) bool {
	return slices.ContainsFunc(writable, func(w string) bool { return beneath.Below(rel, strings.TrimSuffix(w, "/")) })
}

func (p *Plan) has(tree int, rel string) bool {
	_, err := p.trees[tree].Root.Stat(rel)
	return err == nil
}

// hooks locks a directory that core.hooksPath names. The whole workspace cannot be.
func (p *Plan) hooks(tree int, rel string) {
	if rel == "" {
		p.Warnings = append(p.Warnings, "core.hooksPath names the whole workspace: every file in it can become a hook on the host")
		return
	}
	p.add(tree, rel, true, 0)
}
