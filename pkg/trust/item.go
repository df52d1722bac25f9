package trust

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Item is one thing a project asks for that is the user's to give.
type Item struct {
	Kind   string  // mount overlap socket credential ports port env forward-env ssh-agent domain tool-domain
	Fields []Field // as written, in a fixed order
	Target *Target // what a host path resolves to, nil where there is none
	Access string  // what the session could do with it: "read and write"
	Why    string  // why it matters, one sentence
	File   string  // where it is written
	Line   int
	// Needed is false when the item is within what the user allows anyway. It
	// is part of the fingerprint all the same, so that an approval does not
	// depend on which profile is in use.
	Needed bool
}

// Field is one named value of an item.
type Field struct{ Name, Value string }

// String says the item in words, with its target.
func (i Item) String() string {
	if i.Target == nil {
		return i.Words()
	}
	return fmt.Sprintf("%s (%s %s)", i.Words(), i.Target.Type, i.Target.Path)
}

// Words says the item as it was written, without its target.
func (i Item) Words() string {
	var b strings.Builder
	b.WriteString(i.Kind)
	for n, f := range i.Fields {
		switch {
		case f.Value == "":
		case (i.Kind == "mount" || i.Kind == "overlap") && f.Name == "container":
			b.WriteString(" → " + f.Value)
		case n == 0:
			b.WriteString(" " + f.Value)
		default:
			b.WriteString(" " + f.Name + "=" + f.Value)
		}
	}
	return b.String()
}

// line is the item as the fingerprint sees it: kind and every field quoted,
// then the resolved target. Directories are pinned by device and inode, files
// by path and type, since editors replace them.
func (i Item) line() string {
	parts := []string{strconv.Quote(i.Kind)}
	for _, f := range i.Fields {
		parts = append(parts, f.Name+"="+strconv.Quote(f.Value))
	}
	if t := i.Target; t != nil {
		kind := t.Type
		if i.Kind == Socket && kind == Missing {
			kind = Socket // its program is not running now; what is no socket is refused before
		}
		parts = append(parts, "path="+strconv.Quote(t.Path), "type="+kind)
		if t.Type == Dir {
			parts = append(parts, fmt.Sprintf("dev=%d ino=%d", t.Dev, t.Ino))
		}
	}
	return strings.Join(parts, " ")
}

// Fingerprint is the SHA-256, in hex, over the sorted lines of all items.
func Fingerprint(items []Item) string {
	lines := make([]string, len(items))
	for n, i := range items {
		lines[n] = i.line()
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return hex.EncodeToString(sum[:])
}
