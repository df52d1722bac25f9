// Package rules copies rule files out of a collection into a flat, private
// directory tree and says what is different from the installed one. Rule files
// are data: they are looked at for form and size, never run.
package rules

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"github.com/code-on-incus/coi/pkg/home"
)

// Caps of a collection.
const (
	MaxFile  = 1 << 20
	MaxFiles = 5000
)

// Report is what Collect took and what it did not, with the reason.
type Report struct {
	Files int
	Bad   []string
}

// Collect copies every file with one of the endings below from into to. Links
// are never followed.
func Collect(from, to string, endings []string) (Report, error) {
	var r Report
	if err := os.MkdirAll(to, home.DirMode); err != nil {
		return r, err
	}
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() || !slices.Contains(endings, filepath.Ext(path)) {
			return nil
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if err := copyRule(path, filepath.Join(to, rel), d); err != nil {
			r.Bad = append(r.Bad, rel+": "+err.Error())
			return nil
		}
		if r.Files++; r.Files > MaxFiles {
			return fmt.Errorf("over %d files", MaxFiles)
		}
		return nil
	})
	return r, err
}

func copyRule(from, to string, d fs.DirEntry) error {
	if !d.Type().IsRegular() {
		return errors.New("not a regular file")
	}
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	b, err := home.ReadCapped(f, MaxFile)
	if err != nil {
		return err
	}
	if !utf8.Valid(b) || bytes.IndexByte(b, 0) >= 0 {
		return errors.New("not text")
	}
	if ext := filepath.Ext(from); ext == ".yml" || ext == ".yaml" {
		var any yaml.Node
		if err := yaml.Unmarshal(b, &any); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(to), home.DirMode); err != nil {
		return err
	}
	return os.WriteFile(to, b, home.FileMode)
}

// Difference lists files by name.
type Difference struct{ New, Changed, Removed []string }

// Compare says how fresh differs from the installed directory.
func Compare(installed, fresh string) Difference {
	was, is := contents(installed), contents(fresh)
	var d Difference
	for name, b := range is {
		switch old, ok := was[name]; {
		case !ok:
			d.New = append(d.New, name)
		case !bytes.Equal(old, b):
			d.Changed = append(d.Changed, name)
		}
	}
	for name := range was {
		if _, ok := is[name]; !ok {
			d.Removed = append(d.Removed, name)
		}
	}
	return d
}

func contents(dir string) map[string][]byte {
	m := map[string][]byte{}
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || len(m) > MaxFiles {
			return nil //nolint:nilerr // what cannot be read counts as not there
		}
		if b, err := home.ReadFile(path); err == nil {
			rel, _ := filepath.Rel(dir, path)
			m[rel] = b
		}
		return nil
	})
	return m
}
