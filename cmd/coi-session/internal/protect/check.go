package protect

import (
	"fmt"
	"io/fs"
	"slices"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/beneath"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
)

// End is what the check at the end works with. The container is stopped.
type End struct {
	Baseline   string // run/<c>.baseline.json
	Copies     string // storage/baseline/<c>
	Quarantine string // storage/quarantine/<session-id>
	UID, GID   int    // who the files of the workspace belong to
	// ByHost reports whether the watcher saw a process of the host change this
	// host path; nil: unknown, which counts as the container.
	ByHost   func(string) bool
	Writable []string // host directories of writable mounts outside the workspace
}

// Finding is one line of the report.
type Finding struct {
	Level coi.Level
	Path  string // on the host
	Title string // escaped
	Item  *Item  // what went to quarantine for it
	Hint  string // a command, quoted
}

// Report is the result of Check.
type Report struct {
	Findings    []Finding
	NotVerified []string // parts that could not be looked at, with a command to do so
	Owned       int      // files given back to the user
	Quarantine  string   // directory, when something went there
}

// Clean reports whether there is nothing to tell.
func (r *Report) Clean() bool { return len(r.Findings) == 0 && len(r.NotVerified) == 0 }

type checker struct {
	End
	b      baseline
	trees  []Tree
	q      quarantine
	report Report
	rec    recorder
	done   map[string]bool // host paths with a finding
}

// Check compares the workspace with its baseline, without following a link,
// puts locked content back and moves what the container left there to the
// quarantine. A missing baseline gives an empty report: there was nothing to
// protect. The error means that nothing could be checked at all.
func Check(e End) (*Report, error) {
	c := &checker{End: e, q: quarantine{dir: e.Quarantine}, rec: recorder{left: MaxEntries}, done: map[string]bool{}}
	if err := home.ReadJSON(e.Baseline, schema, &c.b); err != nil {
		if home.Missing(err) {
			return &c.report, nil
		}
		return nil, err
	}
	for _, t := range c.b.Trees {
		root, err := beneath.Open(t.Path)
		if err != nil {
			return nil, fmt.Errorf("end check: %w", err)
		}
		defer func() { _ = root.Close() }()
		c.trees = append(c.trees, Tree{root, t.Inside})
	}
	c.roots()
	c.sweep()
	if err := c.q.close(); err != nil {
		c.report.NotVerified = append(c.report.NotVerified, "the list of what went to quarantine: "+cli.Escape(err.Error()))
	}
	if c.q.root != nil {
		c.report.Quarantine = c.q.root.Path()
	}
	slices.SortStableFunc(c.report.Findings, func(a, b Finding) int { return b.Level.Rank() - a.Level.Rank() })
	return &c.report, nil
}

func (c *checker) roots() {
	for _, kind := range []string{kindAnchor, kindLocked, kindMissing, kindWatched} {
		for i, r := range c.b.Roots {
			if r.Kind != kind || r.Tree >= len(c.trees) {
				continue
			}
			switch kind {
			case kindAnchor:
				c.anchor(r)
			case kindLocked:
				c.locked(i, r)
			case kindMissing:
				c.absent(r)
			case kindWatched:
				c.watched(i, r)
			}
		}
	}
}

func (c *checker) root(tree int) *beneath.Root { return c.trees[tree].Root }

// find adds a finding. take says that the thing at rel goes to quarantine.
func (c *checker) find(level coi.Level, tree int, rel, title string, take bool) {
	host := c.root(tree).Abs(rel)
	if c.ByHost != nil && c.ByHost(host) && level == coi.Critical {
		level, take, title = coi.Warning, false, title+" by a program of the host"
	}
	f := Finding{Level: level, Path: host, Title: cli.Escape(rel) + " " + title}
	if take {
		it, err := c.q.take(c.root(tree), rel, title)
		if err != nil {
			c.notVerified(tree, rel, err)
		} else {
			f.Item, f.Hint = &it, it.PutBack
		}
	}
	c.done[host] = true
	c.report.Findings = append(c.report.Findings, f)
}

func (c *checker) byHost(tree int, rel string) bool {
	return c.ByHost != nil && c.ByHost(c.root(tree).Abs(rel))
}

func (c *checker) notVerified(tree int, rel string, err error) {
	host := c.root(tree).Abs(rel)
	c.report.NotVerified = append(c.report.NotVerified,
		fmt.Sprintf("%s: %s; look with: sudo ls -la %s", cli.Escape(host), cli.Escape(err.Error()), cli.ShellQuote(host)))
}

// anchor tells when a directory above a lock is another one than before.
func (c *checker) anchor(r baseRoot) {
	st, err := c.root(r.Tree).Stat(r.Path)
	switch {
	case missing(err):
		c.find(coi.Critical, r.Tree, r.Path, "was removed", false)
	case err != nil:
		c.notVerified(r.Tree, r.Path, err)
	case st.Mode.IsDir() && (st.Ino != r.Ino || st.Dev != r.Dev):
		c.find(coi.Critical, r.Tree, r.Path, "was replaced by another directory", false)
	}
}

// parents removes links and files that stand in the place of a directory above
// a protected path: the host's programs would follow them.
func (c *checker) parents(tree int, rel string) {
	for _, dir := range beneath.Parents(rel) {
		st, err := c.root(tree).Stat(dir)
		if err != nil {
			return
		}
		if !st.Mode.IsDir() {
			c.find(coi.Critical, tree, dir, "was replaced by a "+kindOf(st), true)
			return
		}
	}
}

func kindOf(st beneath.Info) string {
	switch {
	case st.Mode&fs.ModeSymlink != 0:
		return "symlink"
	case st.Mode.IsRegular():
		return "file"
	case st.Mode.IsDir():
		return "directory"
	}
	return "special file"
}

// before gives what a root consisted of, also to the recorder.
func (c *checker) before(root int) map[string]item {
	c.rec.was = map[string]item{}
	for _, it := range c.b.Entries {
		if it.Root == root {
			c.rec.was[it.Path] = it
		}
	}
	return c.rec.was
}

// locked compares one protected path and puts it right.
func (c *checker) locked(i int, r baseRoot) {
	c.parents(r.Tree, r.Path)
	was := c.before(i)
	now, err := c.rec.snapshot(c.root(r.Tree), r.Path, "")
	if err != nil || r.Part {
		if err == nil {
			err = fmt.Errorf("too large to be compared as a whole")
		}
		c.notVerified(r.Tree, r.Path, err)
	}
	is := map[string]item{}
	added := ""
	for _, it := range now {
		is[it.Path] = it
		if _, ok := was[it.Path]; !ok && !r.Part && (added == "" || !beneath.Below(it.Path, added)) {
			added = it.Path
			c.find(coi.Critical, r.Tree, it.Path, "appeared in a locked place", true)
		}
	}
	for _, it := range c.b.Entries {
		if it.Root == i {
			c.one(it, is)
		}
	}
}

// one judges a single file of a protected path.
func (c *checker) one(was item, is map[string]item) {
	now, there := is[was.Path]
	switch {
	case there && was.same(now):
		return
	case there && was.Type == "dir" && now.Type == "dir":
		c.find(coi.Critical, was.Tree, was.Path, fmt.Sprintf("has mode %04o, was %04o", now.Mode.Perm(), was.Mode.Perm()), false)
		if st, err := c.root(was.Tree).Stat(was.Path); err == nil && !c.byHost(was.Tree, was.Path) {
			if err := c.root(was.Tree).Chmod(was.Path, st, was.Mode); err != nil {
				c.notVerified(was.Tree, was.Path, err)
			}
		}
		return
	case there:
		c.find(coi.Critical, was.Tree, was.Path, "was changed", true)
	default:
		c.find(coi.Critical, was.Tree, was.Path, "was removed", false)
	}
	if c.byHost(was.Tree, was.Path) {
		return
	}
	if err := c.putBack(was); err != nil {
		c.notVerified(was.Tree, was.Path, fmt.Errorf("the old content is not back: %w", err))
	}
}

// absent looks at a place that was covered by a placeholder.
func (c *checker) absent(r baseRoot) {
	c.parents(r.Tree, r.Path)
	root := c.root(r.Tree)
	st, err := root.Stat(r.Path)
	if missing(err) {
		return
	}
	if err != nil {
		c.notVerified(r.Tree, r.Path, err)
		return
	}
	if r.Dir && st.Mode.IsDir() {
		if entries, err := root.List(r.Path); err == nil && len(entries) == 0 {
			return
		}
	}
	if !r.Dir && st.Mode.IsRegular() {
		if b, err := root.ReadFile(r.Path, maxGitConfig); err == nil && string(b) == content(r.Path, false) {
			return
		}
	}
	c.find(coi.Critical, r.Tree, r.Path, "appeared where nothing was", true)
}

// watched reports a change and moves nothing.
func (c *checker) watched(i int, r baseRoot) {
	c.before(i)
	now, err := c.rec.snapshot(c.root(r.Tree), r.Path, "")
	if err != nil {
		c.notVerified(r.Tree, r.Path, err)
		return
	}
	var was []item
	for _, it := range c.b.Entries {
		if it.Root == i {
			was = append(was, it)
		}
	}
	if !r.Part && slices.EqualFunc(was, now, func(a, b item) bool { return a.Path == b.Path && a.same(b) }) {
		return
	}
	f := Finding{Level: coi.Warning, Path: c.root(r.Tree).Abs(r.Path), Title: cli.Escape(r.Path) + " was changed during the session"}
	f.Hint = "git -C " + cli.ShellQuote(c.root(r.Tree).Path()) + " diff -- " + cli.ShellQuote(r.Path)
	c.report.Findings = append(c.report.Findings, f)
}
