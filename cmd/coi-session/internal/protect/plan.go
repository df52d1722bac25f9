// Package protect keeps what the host will run out of the container's reach:
// git hooks and configuration, editor tasks, agent settings, coi's own project
// directory. It locks what can be locked, knows what cannot, and looks at the
// end, on the host side, what became of all of it.
//
// Call order at launch: Compute (reads only), Plan.Err, Plan.Manifest to
// run/<c>.placeholders.json, Plan.Place, Plan.Record to run/<c>.baseline.json,
// Plan.Devices into the create request, Plan.Watch to the watcher. If the launch
// fails later: RemovePlaceholders. At the end, with the container stopped:
// Check, then, when the flags are off, RemovePlaceholders and DropBaseline.
package protect

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/beneath"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/mount"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/run"
)

// Tree is a directory that the container can write.
type Tree struct {
	Root   *beneath.Root
	Inside string // where it is in the container
}

// Config is what to protect.
type Config struct {
	Workspace  Tree
	Common     *Tree // common directory of a linked worktree
	Protected  []string
	Watched    []string
	Writable   []string // security.writable_paths
	HooksPaths []string // core.hooksPath of the user's own configuration, relative or absolute
	// Manifests are the placeholder manifests of other running containers: what
	// they made counts as absent, so that the last one to end takes it away.
	Manifests []string
	Disabled  bool
	Strict    bool
	FreeHooks bool // git.writable_hooks
	// Also is shown every entry of the workspace, so that package mask needs no
	// walk of its own.
	Also func(beneath.Entry)
}

// State of a protected path.
type State string

// The three results that are no failure.
const (
	Locked   State = "locked"
	Verified State = "verified"
	Absent   State = "absent-ok"
)

// Entry is one protected path.
type Entry struct {
	Tree  int // index into the plan's trees
	Path  string
	State State
	Why   string // for verified
	Git   bool   // one of the paths of a git directory
	made  bool   // a placeholder
	dir   bool
}

// Plan is the computed set.
type Plan struct {
	Entries  []Entry
	Warnings []string
	trees    []Tree
	anchors  map[int]map[string]bool
	make     []placeholder
	watched  []string
	repos    [][]string // git directories that were there, by tree
	// lookalikes are repos and every folder that the end check would take for one
	lookalikes [][]string
	gitFiles   map[string]string // hashes of files named .git by host path
	problems   []string
	strict     bool
	disabled   bool
	shared     map[string]createdFile // placeholders of other containers by host path
}

type placeholder struct {
	Tree int
	Path string
	Dir  bool
	Text string
}

// MaxEntries is how many entries of a workspace are looked at.
const MaxEntries = 2_000_000

// maxNested is how many nested git directories are locked; the rest is verified at the end.
const maxNested = 200

// Compute looks at the trees and decides about every path. It changes nothing
// and goes on after a path that fails; see Err.
func Compute(c Config) *Plan {
	p := &Plan{trees: []Tree{c.Workspace}, anchors: map[int]map[string]bool{}, gitFiles: map[string]string{}, strict: c.Strict, disabled: c.Disabled}
	p.others(c.Manifests)
	p.survey(0, c.Also)
	p.watched = without(c.Watched, c.Writable)
	if c.Disabled {
		p.Warnings = append(p.Warnings, "protection is switched off: everything in the workspace is writable (security.disable_protection)")
		return p
	}
	for _, rel := range without(c.Protected, c.Writable) {
		if rel == ".git/hooks" && c.FreeHooks {
			continue
		}
		p.add(0, rel, strings.HasPrefix(rel, ".git/"), 0)
	}
	for _, rel := range c.Writable {
		p.tellUseless(rel)
	}
	p.gitDirs(0, c)
	for _, h := range c.HooksPaths {
		if rel, ok := c.Workspace.rel("", h); ok {
			p.hooks(0, rel)
		}
	}
	if c.Common != nil {
		p.trees = append(p.trees, *c.Common)
		p.survey(1, nil)
		p.gitDirs(1, c)
	}
	return p
}

// without takes out the entries that are, or lie below, a writable path.
func without(list, writable []string) []string {
	var out []string
	for _, rel := range list {
		clean, err := beneath.Clean(rel)
		if err != nil || slices.Contains(out, clean) {
			continue
		}
		if !slices.ContainsFunc(writable, func(w string) bool { return beneath.Below(clean, strings.TrimSuffix(w, "/")) }) {
			out = append(out, clean)
		}
	}
	return out
}

func (p *Plan) tellUseless(rel string) {
	clean, err := beneath.Clean(rel)
	if err != nil {
		return
	}
	for _, e := range p.Entries {
		if e.Tree == 0 && e.Path != clean && beneath.Below(clean, e.Path) {
			p.Warnings = append(p.Warnings, fmt.Sprintf("writable_paths: %s stays locked, since it lies in the protected %s", cli.Escape(clean), cli.Escape(e.Path)))
		}
	}
}

// Err is the failure of paths that should have been locked, all of them, with
// exit code 1; with strict_protection also of those that are only verified.
func (p *Plan) Err() error {
	lines := slices.Clone(p.problems)
	if p.strict {
		for _, e := range p.Entries {
			if e.State == Verified {
				lines = append(lines, fmt.Sprintf("%s cannot be locked: %s (security.strict_protection)", cli.Escape(e.Path), e.Why))
			}
		}
	}
	if len(lines) == 0 {
		return nil
	}
	e := cli.Fail(coi.ExitFailed, "%s", lines[0])
	e.Lines = lines[1:]
	return e
}

// Summary is the line that the start prints.
func (p *Plan) Summary() string {
	var locked, verified int
	var why []string
	for _, e := range p.Entries {
		switch e.State {
		case Locked:
			locked++
		case Verified:
			verified++
			if len(why) < 3 {
				why = append(why, cli.Escape(e.Path)+" "+e.Why)
			}
		case Absent:
		}
	}
	s := fmt.Sprintf("protected: %d locked", locked)
	if verified > 0 {
		s += fmt.Sprintf(", %d verified (%s)", verified, strings.Join(why, "; "))
	}
	return s
}

// inside is the path of an entry in the container.
func (p *Plan) inside(tree int, rel string) string { return path.Join(p.trees[tree].Inside, rel) }

func (p *Plan) host(tree int, rel string) string { return p.trees[tree].Root.Abs(rel) }

// hash is the part of a device name that stands for a path.
func hash(p string) string {
	sum := sha256.Sum256([]byte(p))
	return hex.EncodeToString(sum[:8])
}

// Devices are the disk devices of anchors and locks by name. Two paths of one
// name are an error (R-PATH-07).
func (p *Plan) Devices() (map[string]map[string]string, error) {
	out := map[string]map[string]string{}
	put := func(kind string, tree int, rel string, readonly bool) error {
		inside := p.inside(tree, rel)
		name := kind + "-" + hash(inside)
		dev := map[string]string{"type": "disk", "source": p.host(tree, rel), "path": inside}
		if readonly {
			dev["readonly"] = "true"
		}
		if old, ok := out[name]; ok && old["path"] != inside {
			return cli.Fail(coi.ExitFailed, "the paths %s and %s have one device name", cli.Escape(old["path"]), cli.Escape(inside))
		}
		out[name] = dev
		return nil
	}
	for tree, set := range p.anchors {
		for rel := range set {
			if err := put("anchor", tree, rel, false); err != nil {
				return nil, err
			}
		}
	}
	for _, e := range p.Entries {
		if e.State != Locked {
			continue
		}
		kind := "protect"
		if e.Git {
			kind = "gitc"
		}
		if err := put(kind, e.Tree, e.Path, true); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Locks are the locked paths of the workspace, for mount.Plan.Cover.
func (p *Plan) Locks() []mount.Lock {
	var out []mount.Lock
	for _, e := range p.Entries {
		if e.Tree == 0 && e.State == Locked {
			out = append(out, mount.Lock{Rel: e.Path, Source: p.host(0, e.Path)})
		}
	}
	return out
}

// LockedInside and WatchedInside are the paths in the container, for the
// watcher and the context file.
func (p *Plan) LockedInside() []string {
	var out []string
	for _, e := range p.Entries {
		if e.State != Absent {
			out = append(out, p.inside(e.Tree, e.Path))
		}
	}
	slices.Sort(out)
	return out
}

// WatchedInside are the watched paths in the container, there or not.
func (p *Plan) WatchedInside() []string {
	out := make([]string, 0, len(p.watched))
	for _, rel := range p.watched {
		out = append(out, p.inside(0, rel))
	}
	return out
}

// Immutable are the host paths that get the immutable flag.
func (p *Plan) Immutable() []string {
	var out []string
	for _, e := range p.Entries {
		if e.State == Locked {
			out = append(out, p.host(e.Tree, e.Path))
		}
	}
	return out
}

// Excludes are the lines for the container's git exclude file.
func (p *Plan) Excludes() []string {
	var out []string
	for _, m := range p.make {
		if m.Tree == 0 && !beneath.Below(m.Path, ".git") {
			out = append(out, "/"+strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, " ", `\ `).Replace(m.Path))
		}
	}
	return out
}

// Watch is what the watcher compares after the start: every lock and anchor with
// the object it was made of. Call it after Place.
func (p *Plan) Watch() ([]run.WatchMount, error) {
	var out []run.WatchMount
	add := func(tree int, rel string) error {
		st, err := p.trees[tree].Root.Stat(rel)
		if err != nil {
			return cli.Fail(coi.ExitFailed, "protected path: %w", err)
		}
		out = append(out, run.WatchMount{Path: p.inside(tree, rel), Source: p.host(tree, rel), Dev: st.Dev, Ino: st.Ino})
		return nil
	}
	for _, e := range p.Entries {
		if e.State == Locked {
			if err := add(e.Tree, e.Path); err != nil {
				return nil, err
			}
		}
	}
	for tree, set := range p.anchors {
		for rel := range set {
			if err := add(tree, rel); err != nil {
				return nil, err
			}
		}
	}
	slices.SortFunc(out, func(a, b run.WatchMount) int { return strings.Compare(a.Path, b.Path) })
	return out, nil
}

// Verify compares the objects on the host with those of an earlier Watch; for
// hosts without a watcher.
func Verify(mounts []run.WatchMount) error {
	for _, m := range mounts {
		f, err := beneath.OpenAbs(m.Source, unix.O_PATH|unix.O_NOFOLLOW)
		var st beneath.Info
		if err == nil {
			st, err = beneath.StatFile(f)
			_ = f.Close()
		}
		if err != nil || st.Dev != m.Dev || st.Ino != m.Ino {
			return cli.Fail(coi.ExitFailed, "%s was replaced between the check and the start", cli.Escape(m.Source))
		}
	}
	return nil
}
