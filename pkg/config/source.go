package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/plain"
	"github.com/code-on-incus/coi/pkg/trust"
)

// maxFile is the largest configuration file, in bytes.
const maxFile = 1 << 20

// OriginKind says which layer a value comes from.
type OriginKind string

// Kinds of origin, as config show prints them.
const (
	BuiltIn     OriginKind = "built-in"
	UserFile    OriginKind = "user"
	ProjectFile OriginKind = "project"
	EnvFile     OriginKind = "env-file"
	ProfileFile OriginKind = "profile"
	FlagValue   OriginKind = "flag"
)

// source is one file, or the built-in values, or the flags.
type source struct {
	kind    OriginKind
	file    string // absolute; empty for built-in values and flags
	profile string // name, for profiles
	trusted bool
	isProf  bool
	hostDir string // what relative host paths are relative to
	fileDir string // what companions of the file are relative to
	coiDir  string // the project's .coi, where its companions must stay
}

// document is a parsed file: values and where each key stands.
type document struct {
	src  *source
	tree map[string]any
	pos  map[string]position // by path, parts joined with sep
	// mountForms holds the spellings of mounts that were used.
	mountForms map[string]position
}

type position struct{ Line, Column int }

const sep = "\x1f"

// readTrusted reads a file of the user's. ok is false when it is missing.
func readTrusted(path string) (data []byte, ok bool, p *Problem) {
	f, err := home.OpenTrusted(path)
	if home.Missing(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, &Problem{File: path, Problem: trimPath(err, path), Hint: unsafeHint(path)}
	}
	return readAll(path, f)
}

func unsafeHint(path string) string {
	st, err := os.Lstat(path)
	switch {
	case err != nil:
		return ""
	case st.Mode()&os.ModeSymlink != 0:
		return "put the file itself there, or name it with COI_CONFIG"
	case st.Mode().IsRegular() && st.Mode().Perm()&0o002 != 0:
		return "chmod o-w " + plain.ShellQuote(path)
	case st.Mode().IsRegular():
		return "chown it to yourself, and make it readable"
	}
	return "put a regular file there"
}

func trimPath(err error, path string) string {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return strings.TrimPrefix(err.Error(), path+": ")
}

// readProject reads rel below the project's .coi without following links: a
// repository must not choose which file is read.
func readProject(workspace, rel string) (data []byte, ok bool, p *Problem) {
	path := filepath.Join(workspace, rel)
	f, err := trust.OpenPlain(workspace, rel)
	if home.Missing(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, &Problem{File: path, Problem: trimPath(err, path), Hint: "a project's configuration is a regular file, with no link in its path"}
	}
	return readAll(path, f)
}

func readAll(path string, f *os.File) ([]byte, bool, *Problem) {
	defer func() { _ = f.Close() }()
	data, err := home.ReadCapped(f, maxFile)
	switch {
	case errors.Is(err, home.ErrUnsafe):
		return nil, false, &Problem{File: path, Problem: "over 1 MiB", Hint: "a configuration file is small"}
	case err != nil:
		return nil, false, &Problem{File: path, Problem: trimPath(err, path)}
	}
	return data, true, nil
}

// parse reads TOML. Two passes: one for the values, which also finds every
// fault of form, one for the place of each key.
func parse(src *source, data []byte) (*document, *Problem) {
	if i := invalidUTF8(data); i >= 0 {
		pos := newLines(data).at(i)
		return nil, &Problem{File: src.file, Line: pos.Line, Column: pos.Column, Problem: "not UTF-8 text"}
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	d := &document{src: src, pos: map[string]position{}, mountForms: map[string]position{}}
	data, p := d.place(data)
	if p != nil {
		return nil, p
	}
	if err := toml.Unmarshal(data, &d.tree); err != nil {
		p := &Problem{File: src.file, Problem: "not TOML: " + strings.TrimPrefix(err.Error(), "toml: ")}
		var de *toml.DecodeError
		if errors.As(err, &de) {
			p.Line, p.Column = de.Position()
			p.Key = strings.Join(de.Key(), ".")
		}
		return nil, p
	}
	return d, nil
}

// smallFile is a size at which no content is slow to read.
const smallFile = 16 << 10

// sound reports that a file has no problem by itself, at half the cost of parse
// since it notes no places, and whether it inherits. ok false says nothing: parse
// will tell.
func sound(src *source, data []byte, h expander) (inherits, ok bool) {
	if len(data) > smallFile || !utf8.Valid(data) || deepBrackets(data) >= 0 {
		return false, false
	}
	d := &document{src: src}
	if toml.Unmarshal(data, &d.tree) != nil {
		return false, false
	}
	var ps problems
	l := decode(d, h, &ps)
	return l != nil && l.inherits != "", len(ps) == 0
}

func invalidUTF8(data []byte) int {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

// place notes where each key stands and returns the text with [[mounts]]
// written as [[mounts.default]]: TOML cannot hold both forms in one file, and
// here both add to one list.
//
// It also ends what is nested deeper than any key: such a file is made to be slow.
func (d *document) place(data []byte) ([]byte, *Problem) {
	w := &walker{d: d, lines: newLines(data), counts: map[string]int{}, deep: -1}
	if at := deepBrackets(data); at >= 0 {
		return nil, w.tooDeep(at)
	}
	w.p.Reset(data)
	for w.p.NextExpression() {
		if n := w.p.Expression(); n.Kind != unstable.Comment {
			w.expression(n)
		}
		if w.deep >= 0 {
			return nil, w.tooDeep(w.deep)
		}
		if w.entries > maxEntries {
			return nil, &Problem{File: d.src.file, Line: 1, Column: 1, Problem: fmt.Sprintf("more than %d keys and values", maxEntries)}
		}
	}
	for _, r := range slices.Backward(w.rewrites) {
		data = slices.Concat(data[:r.Offset], []byte("mounts.default"), data[r.Offset+r.Length:])
	}
	return data, nil
}

// maxDepth and maxEntries are more than any file needs. Merging and the TOML
// library take time by the square of the entries.
const (
	maxDepth   = 12
	maxEntries = 10_000
)

func (w *walker) tooDeep(offset int) *Problem {
	at := w.lines.at(offset)
	return &Problem{File: w.d.src.file, Line: at.Line, Column: at.Column, Problem: fmt.Sprintf("nested deeper than %d", maxDepth)}
}

// maxBrackets bounds how deep a parser follows a value down. Brackets in strings
// count as well, which takes two hundred unmatched ones to matter.
const maxBrackets = 200

func deepBrackets(data []byte) int {
	depth := 0
	for i, c := range data {
		switch c {
		case '[', '{':
			if depth++; depth > maxBrackets {
				return i
			}
		case ']', '}':
			depth = max(depth-1, 0)
		}
	}
	return -1
}

type walker struct {
	p        unstable.Parser
	d        *document
	lines    lines
	prefix   string         // path of the current table, with list indexes
	counts   map[string]int // elements of each list of tables so far
	rewrites []unstable.Range
	entries  int
	deep     int // offset of what is nested too deep, -1 for none
}

func (w *walker) expression(n *unstable.Node) {
	switch n.Kind {
	case unstable.Table, unstable.ArrayTable:
		w.header(n)
	case unstable.KeyValue:
		w.keyValue(w.prefix, n)
	}
}

func (w *walker) header(n *unstable.Node) {
	var parts []string
	var first unstable.Range
	it := n.Key()
	for it.Next() {
		if len(parts) == 0 {
			first = it.Node().Raw
		}
		if parts = append(parts, string(it.Node().Data)); len(parts) > maxDepth {
			w.deep = int(first.Offset)
			return
		}
	}
	at := w.lines.at(int(first.Offset))
	if n.Kind == unstable.ArrayTable && parts[0] == "mounts" && len(parts) <= 2 {
		form := strings.Join(parts, ".")
		if _, seen := w.d.mountForms[form]; !seen {
			w.d.mountForms[form] = at
		}
		if len(parts) == 1 {
			w.rewrites = append(w.rewrites, first)
			parts = append(parts, "default")
		}
	}
	path := ""
	for i, part := range parts {
		path = join(path, part)
		if i == len(parts)-1 && n.Kind == unstable.ArrayTable {
			path = join(path, fmt.Sprint(w.counts[path]))
			w.counts[strings.TrimSuffix(path, sep+lastPart(path))]++
		} else if c := w.counts[path]; c > 0 {
			path = join(path, fmt.Sprint(c-1))
		}
		w.mark(path, at)
	}
	w.prefix = path
}

func lastPart(path string) string { return path[strings.LastIndex(path, sep)+len(sep):] }

func join(path, part string) string {
	if path == "" {
		return part
	}
	return path + sep + part
}

func (w *walker) mark(path string, at position) {
	if w.entries++; w.entries > maxEntries {
		return
	}
	if _, ok := w.d.pos[path]; !ok {
		w.d.pos[path] = at
	}
}

func (w *walker) keyValue(path string, n *unstable.Node) {
	it := n.Key()
	for it.Next() {
		if strings.Count(path, sep) > 2*maxDepth {
			w.deep = int(it.Node().Raw.Offset)
			return
		}
		path = join(path, string(it.Node().Data))
		w.mark(path, w.lines.at(int(it.Node().Raw.Offset)))
	}
	w.value(path, n.Value())
}

func (w *walker) value(path string, n *unstable.Node) {
	switch n.Kind {
	case unstable.InlineTable:
		it := n.Children()
		for it.Next() {
			w.keyValue(path, it.Node())
		}
	case unstable.Array:
		it := n.Children()
		for i := 0; it.Next(); {
			c := it.Node()
			if c.Kind == unstable.Comment {
				continue
			}
			at := w.d.pos[path]
			if c.Raw.Length > 0 {
				at = w.lines.at(int(c.Raw.Offset))
			}
			if strings.Count(path, sep) > 2*maxDepth {
				w.deep = int(c.Raw.Offset)
				return
			}
			element := join(path, fmt.Sprint(i))
			w.mark(element, at)
			w.value(element, c)
			i++
		}
	}
}

// lines turns offsets into lines and columns, both from 1.
type lines []int

func newLines(data []byte) lines {
	l := lines{0}
	for i, c := range data {
		if c == '\n' {
			l = append(l, i+1)
		}
	}
	return l
}

func (l lines) at(offset int) position {
	i, found := slices.BinarySearch(l, offset)
	if !found {
		i--
	}
	return position{i + 1, offset - l[i] + 1}
}

// at is the place of a path, or of the nearest table around it.
func (d *document) at(path ...string) position {
	for n := len(path); n > 0; n-- {
		if p, ok := d.pos[strings.Join(path[:n], sep)]; ok {
			return p
		}
	}
	return position{1, 1}
}
