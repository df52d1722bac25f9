package protect

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/beneath"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
)

// schema is the schema_version of the files of this package.
const schema = 1

// manifest is run/<c>.placeholders.json.
type manifest struct {
	SchemaVersion int           `json:"schema_version"`
	Workspace     string        `json:"workspace"`
	Created       []createdFile `json:"created"`
}

type createdFile struct {
	Path   string `json:"path"`           // below Tree, or below the workspace
	Tree   string `json:"tree,omitempty"` // set when it is not the workspace
	Type   string `json:"type"`           // "file" or "dir"
	SHA256 string `json:"sha256"`         // of a file
}

// Manifest writes what Place is going to make, synced, so that a crash in
// between leaves nothing unknown behind.
func (p *Plan) Manifest(file string) error {
	m := manifest{SchemaVersion: schema, Workspace: p.trees[0].Root.Path(), Created: []createdFile{}}
	for _, c := range p.make {
		f := createdFile{Path: c.Path, Type: "dir"}
		if c.Tree != 0 {
			f.Tree = p.trees[c.Tree].Root.Path()
		}
		if !c.Dir {
			sum := sha256.Sum256([]byte(c.Text))
			f.Type, f.SHA256 = "file", hex.EncodeToString(sum[:])
		}
		m.Created = append(m.Created, f)
	}
	return home.WriteJSON(file, m, true)
}

// Place makes the placeholders with exclusive calls that follow no link, owned
// by uid and gid. What another session of the workspace made meanwhile is taken
// as it is, if it is of the right kind. The error has exit code 1 and names
// every path that failed.
func (p *Plan) Place(uid, gid int) error {
	var bad []string
	for _, c := range p.make {
		if err := p.placeOne(c, uid, gid); err != nil {
			bad = append(bad, fmt.Sprintf("%s cannot be covered: %s", cli.Escape(c.Path), cli.Escape(err.Error())))
		}
	}
	if len(bad) == 0 {
		return nil
	}
	e := cli.Fail(coi.ExitFailed, "%s", bad[0])
	e.Lines = bad[1:]
	return e
}

func (p *Plan) placeOne(c placeholder, uid, gid int) error {
	root := p.trees[c.Tree].Root
	var err error
	if c.Dir {
		err = root.Mkdir(c.Path, 0o755)
	} else {
		err = root.WriteNew(c.Path, []byte(c.Text), 0o644)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	st, serr := root.Stat(c.Path)
	if serr != nil {
		return serr
	}
	if c.Dir != st.Mode.IsDir() || !c.Dir && !st.Mode.IsRegular() {
		return errors.New("something else has taken its place")
	}
	if err == nil && (st.UID != uid || st.GID != gid) {
		return root.Chown(c.Path, st, uid, gid)
	}
	return nil
}

// WorkspaceOf is the workspace of a manifest, empty when there is none.
func WorkspaceOf(file string) (string, error) {
	var m manifest
	if err := home.ReadJSON(file, schema, &m); err != nil && !home.Missing(err) {
		return "", err
	}
	return m.Workspace, nil
}

// RemovePlaceholders takes away what a manifest names, where it is still as it
// was made: an empty directory or the same file. Paths that a manifest of
// another running container names stay. left names what was kept because it
// changed or could not be removed; the manifest is removed when nothing more can
// be done.
func RemovePlaceholders(file string, others []string) (left []string, err error) {
	var m manifest
	if err := home.ReadJSON(file, schema, &m); err != nil {
		if home.Missing(err) {
			return nil, nil
		}
		return nil, err
	}
	keep, err := listed(others)
	if err != nil {
		return nil, err
	}
	roots := map[string]*beneath.Root{}
	defer func() {
		for _, r := range roots {
			_ = r.Close()
		}
	}()
	failed := false
	for _, c := range slices.Backward(m.Created) {
		tree := m.Workspace
		if c.Tree != "" {
			tree = c.Tree
		}
		if keep[filepath.Join(tree, c.Path)].Path != "" {
			continue
		}
		if roots[tree] == nil {
			root, err := beneath.Open(tree)
			if errors.Is(err, fs.ErrNotExist) {
				continue // the workspace is gone, and its placeholders with it
			}
			if err != nil {
				return nil, fmt.Errorf("placeholders: %w", err)
			}
			roots[tree] = root
		}
		switch removed, err := removeOne(roots[tree], c); {
		case err != nil:
			failed = true
			left = append(left, fmt.Sprintf("%s: %s", c.Path, err))
		case !removed:
			left = append(left, c.Path)
		}
	}
	if failed {
		return left, nil
	}
	return left, removeFile(file)
}

func removeOne(root *beneath.Root, c createdFile) (removed bool, err error) {
	same, err := untouched(root, c, c.Path)
	if err == nil && same {
		err = root.Remove(c.Path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil // gone before, or somebody was faster
	}
	return err == nil && same, err
}

// untouched reports whether a placeholder is as it was made.
func untouched(root *beneath.Root, c createdFile, rel string) (bool, error) {
	st, err := root.Stat(rel)
	if err != nil {
		return false, err
	}
	switch {
	case c.Type == "dir" && st.Mode.IsDir():
		entries, err := root.List(rel)
		return len(entries) == 0, err
	case c.Type == "file" && st.Mode.IsRegular():
		return fileHash(root, rel) == c.SHA256, nil
	}
	return false, nil
}

// others reads the manifests of other containers; one that cannot be read
// counts as a problem, since its placeholders would be taken for the user's.
func (p *Plan) others(manifests []string) {
	all, err := listed(manifests)
	if err != nil {
		p.problems = append(p.problems, cli.Escape(err.Error()))
	}
	p.shared = all
}

// placed reports whether a path is an untouched placeholder of another container.
func (p *Plan) placed(tree int, rel string) bool {
	c, ok := p.shared[p.host(tree, rel)]
	if !ok {
		return false
	}
	same, err := untouched(p.trees[tree].Root, c, rel)
	return err == nil && same
}

// listed joins the placeholders of other manifests by host path.
func listed(files []string) (map[string]createdFile, error) {
	out := map[string]createdFile{}
	for _, f := range files {
		var m manifest
		if err := home.ReadJSON(f, schema, &m); err != nil {
			if home.Missing(err) {
				continue
			}
			return nil, err
		}
		for _, c := range m.Created {
			tree := m.Workspace
			if c.Tree != "" {
				tree = c.Tree
			}
			out[filepath.Join(tree, c.Path)] = c
		}
	}
	return out, nil
}
