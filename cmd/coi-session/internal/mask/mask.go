// Package mask hides secrets of the workspace: an empty file or directory is
// mounted over everything that security.secret_paths matches.
//
// Call order: New, Set.See for every entry of a walk (package protect's, or
// Scan), Set.Follow for links, then Devices and Locks; Tracked for the warning.
// While the session runs: Match for files that appear, Scan now and then.
package mask

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/beneath"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/mount"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
)

// Cover is one hidden path of the workspace.
type Cover struct {
	Path string
	Dir  bool
}

// Set is the compiled list with what it matched so far.
type Set struct {
	res   []*regexp.Regexp
	hits  map[string]bool // path → is a directory
	links []string
}

// New compiles the globs. All bad ones are named in an error with exit code 5.
func New(globs []string) (*Set, error) {
	s := &Set{hits: map[string]bool{}}
	var bad []string
	for _, g := range globs {
		re, err := compile(g)
		if err != nil {
			bad = append(bad, fmt.Sprintf("security.secret_paths: %q: %s", cli.Escape(g), cli.Escape(err.Error())))
			continue
		}
		s.res = append(s.res, re)
	}
	if len(bad) == 0 {
		return s, nil
	}
	e := cli.Fail(coi.ExitConfig, "%s", bad[0])
	e.Lines = bad[1:]
	return nil, e
}

// maxGlob bounds a pattern: matching takes time in proportion to its length
// times that of the path (the regular expressions of Go do not backtrack).
const maxGlob = 256

// compile makes a regular expression of a glob: * and ? stay within a name, **
// crosses names, and a glob without a slash matches at any depth. dir/** means
// the directory itself, so that not even its names are seen.
func compile(glob string) (*regexp.Regexp, error) {
	g := strings.TrimSuffix(strings.TrimPrefix(glob, "./"), "/")
	anyDepth := !strings.Contains(g, "/")
	g = strings.TrimSuffix(g, "/**")
	if len(g) > maxGlob {
		return nil, fmt.Errorf("longer than %d bytes", maxGlob)
	}
	if g == "" || g == "**" || strings.HasPrefix(g, "/") || slices.Contains(strings.Split(g, "/"), "..") {
		return nil, errors.New("not a pattern for paths below the workspace")
	}
	var b strings.Builder
	b.WriteString(`^`)
	if anyDepth {
		b.WriteString(`(?:.*/)?`)
	}
	for i := 0; i < len(g); {
		n, text, err := one(g[i:])
		if err != nil {
			return nil, err
		}
		b.WriteString(text)
		i += n
	}
	b.WriteString(`$`)
	return regexp.Compile(`(?s)` + b.String())
}

// one translates the first element of a glob and says how long it is.
func one(g string) (n int, text string, err error) {
	switch {
	case strings.HasPrefix(g, "**/"):
		return 3, `(?:.*/)?`, nil
	case strings.HasPrefix(g, "**"):
		return 2, `.*`, nil
	case g[0] == '*':
		return 1, `[^/]*`, nil
	case g[0] == '?':
		return 1, `[^/]`, nil
	case g[0] == '\\' && len(g) > 1:
		return 2, regexp.QuoteMeta(g[1:2]), nil
	case g[0] == '[':
		return class(g)
	}
	for n = 1; n < len(g) && !strings.ContainsRune(`*?[\`, rune(g[n])); n++ {
	}
	return n, regexp.QuoteMeta(g[:n]), nil
}

func class(g string) (n int, text string, err error) {
	i := 1
	neg := i < len(g) && (g[i] == '!' || g[i] == '^')
	if neg {
		i++
	}
	start := i
	for i < len(g) && (g[i] != ']' || i == start) {
		i++
	}
	if i >= len(g) {
		return 0, "", errors.New("a [ without ]")
	}
	inner := strings.NewReplacer(`\`, `\\`, `[`, `\[`, `]`, `\]`, `^`, `\^`, `&`, `\&`).Replace(g[start:i])
	if neg {
		return i + 1, `[^/` + inner + `]`, nil
	}
	return i + 1, `[` + inner + `]`, nil
}

// Match reports whether a path of the workspace is to be hidden, and which part
// of it: the path itself or a directory above.
func (s *Set) Match(rel string) (string, bool) {
	for _, p := range append(beneath.Parents(rel), rel) {
		if s.matches(p) {
			return p, true
		}
	}
	return "", false
}

func (s *Set) matches(p string) bool {
	return slices.ContainsFunc(s.res, func(re *regexp.Regexp) bool { return re.MatchString(p) })
}

// See takes one entry of a walk. The directories above it were seen before, so
// only the entry itself is looked at: a tree 400 directories deep would
// otherwise cost 400 matches a file.
func (s *Set) See(e beneath.Entry) {
	if !s.matches(e.Path) || s.covered(e.Path) {
		return
	}
	switch {
	case e.Type&fs.ModeSymlink != 0:
		s.links = append(s.links, e.Path)
	case e.Type.IsDir() || e.Type.IsRegular():
		s.hits[e.Path] = e.Type.IsDir()
	}
}

func (s *Set) covered(rel string) bool {
	for _, p := range append(beneath.Parents(rel), rel) {
		if s.hits[p] {
			return true
		}
	}
	_, ok := s.hits[rel]
	return ok
}

// Scan walks a workspace and gives what was not hidden yet.
func (s *Set) Scan(root *beneath.Root, inside string, limit int) ([]Cover, error) {
	before := s.Covers()
	err := root.Walk("", limit, func(e beneath.Entry) error {
		s.See(e)
		return nil
	}, func(string, error) {})
	if ferr := s.Follow(root, inside); ferr != nil {
		err = errors.Join(err, ferr)
	}
	var fresh []Cover
	for _, c := range s.Covers() {
		if !slices.Contains(before, c) {
			fresh = append(fresh, c)
		}
	}
	return fresh, err
}

// maxLinks bounds chains of links, as the kernel does.
const maxLinks = 40

// Follow hides what matching links lead to within the workspace. inside is the
// path of the workspace in the container.
func (s *Set) Follow(root *beneath.Root, inside string) error {
	var bad error
	for i := 0; i < len(s.links) && i < maxLinks*100; i++ {
		bad = errors.Join(bad, s.follow(root, inside, s.links[i], 0))
	}
	s.links = nil
	return bad
}

func (s *Set) follow(root *beneath.Root, inside, rel string, depth int) error {
	target, err := root.Readlink(rel)
	if err != nil || depth >= maxLinks {
		return err
	}
	switch {
	case !path.IsAbs(target):
		target = path.Join("/", path.Dir(rel), target)
		if target == "/" {
			return nil
		}
		target = target[1:]
	case beneath.Below(path.Clean(target), root.Path()) && path.Clean(target) != root.Path():
		target = strings.TrimPrefix(path.Clean(target), root.Path()+"/")
	case beneath.Below(path.Clean(target), inside) && path.Clean(target) != inside:
		target = strings.TrimPrefix(path.Clean(target), inside+"/")
	default:
		return nil // leads out: inside the container it leads elsewhere
	}
	st, err := root.Stat(target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("secret %s: %w", cli.Escape(rel), err)
	case st.Mode&fs.ModeSymlink != 0:
		return s.follow(root, inside, target, depth+1)
	case (st.Mode.IsRegular() || st.Mode.IsDir()) && !s.covered(target):
		s.hits[target] = st.Mode.IsDir()
	}
	return nil
}

// Covers are the hidden paths, those below another one left out.
func (s *Set) Covers() []Cover {
	var out []Cover
	for p, dir := range s.hits {
		if !slices.ContainsFunc(beneath.Parents(p), func(d string) bool { return s.hits[d] }) {
			out = append(out, Cover{p, dir})
		}
	}
	slices.SortFunc(out, func(a, b Cover) int { return strings.Compare(a.Path, b.Path) })
	return out
}

// Device is the disk device that hides one path. masks is ~/.coi/masks.
func (c Cover) Device(inside, masks string) (name string, device map[string]string) {
	target := path.Join(inside, c.Path)
	sum := sha256.Sum256([]byte(target))
	return "mask-" + hex.EncodeToString(sum[:8]), map[string]string{"type": "disk", "source": c.source(masks), "path": target, "readonly": "true"}
}

func (c Cover) source(masks string) string {
	if c.Dir {
		return filepath.Join(masks, "empty-dir")
	}
	return filepath.Join(masks, "empty-file")
}

// Devices are the devices of all hidden paths.
func (s *Set) Devices(inside, masks string) map[string]map[string]string {
	out := map[string]map[string]string{}
	for _, c := range s.Covers() {
		name, dev := c.Device(inside, masks)
		out[name] = dev
	}
	return out
}

// Locks are the hidden paths for mount.Plan.Cover.
func (s *Set) Locks(masks string) []mount.Lock {
	var out []mount.Lock
	for _, c := range s.Covers() {
		out = append(out, mount.Lock{Rel: c.Path, Source: c.source(masks), Mask: true})
	}
	return out
}
