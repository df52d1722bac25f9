package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Report is the outcome of checking files without using them.
type Report struct {
	Files    []string
	Problems []Problem
	Notes    []Warning
}

// ValidateFile checks one file as kind "config" or "profile"; "" guesses from
// the place: profiles/NAME/config.toml is a profile. The file is judged as the
// user's own, with notes on what a project could not do when it lies in a .coi.
// err is set when the file cannot be read at all.
func ValidateFile(o Options, kind, path string) (Report, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return Report{}, err
	}
	if kind == "" && filepath.Base(filepath.Dir(filepath.Dir(abs))) == "profiles" {
		kind = "profile"
	}
	ld := newLoader(o)
	data, ok, p := readTrusted(abs)
	if p == nil && !ok {
		p = &Problem{File: abs, Problem: "no such file"}
	}
	if p != nil {
		return Report{}, &Error{[]Problem{*p}}
	}
	dir := filepath.Dir(abs)
	src := &source{kind: UserFile, file: abs, trusted: true, isProf: kind == "profile", hostDir: dir, fileDir: dir}
	l := ld.decode(src, data, &ld.ps)
	r := Report{Files: []string{abs}}
	if l != nil {
		if len(ld.ps) == 0 {
			ld.check(stack(ld.bottom, l))
		}
		r.Notes = notesOf(l)
		if strings.Contains(abs, "/.coi/") && dir != o.Home.Dir && !strings.HasPrefix(dir, o.Home.Dir+"/") {
			r.Notes = append(r.Notes, scopeNotes(l)...)
		}
	}
	r.Problems = ld.ps
	return r, nil
}

func notesOf(l *layer) []Warning {
	notes := l.notes
	if v, ok := l.vals["network.use_sudo"]; ok {
		notes = append(notes, Warning{Text: fmt.Sprintf("%s:%d: network.use_sudo has no effect: nothing uses sudo", v.src.file, v.pos.Line)})
	}
	return notes
}

func scopeNotes(l *layer) []Warning {
	var out []Warning
	for _, row := range Schema {
		for key, v := range l.vals {
			if v.row.Key == row.Key && row.Scope == Refuse {
				out = append(out, Warning{Text: fmt.Sprintf("%s:%d: %s is refused in a project", v.src.file, v.pos.Line, key)})
			}
		}
	}
	return out
}

// Validate checks every file that would be loaded here: the main files, every
// profile with its parents, and what they give together.
func Validate(o Options) Report {
	ld := newLoader(o)
	ld.environment()
	ld.resolveWorkspace()
	if len(ld.ps) > 0 {
		return Report{Problems: ld.ps}
	}
	user, project, env := ld.mainLayers()
	r := Report{}
	r.note(user, project, env)
	for _, ref := range ld.all() {
		if ref.File == "" {
			continue
		}
		c := ld.load(ref, &ld.ps)
		ld.cfg.files = append(ld.cfg.files, ref.File)
		r.note(c.layers...)
	}
	if len(ld.ps) == 0 {
		ld.whole(o, &r)
	}
	r.Files, r.Problems = ld.cfg.files, ld.ps
	return r
}

// whole loads everything as a session would, once without and once with each profile.
func (ld *loader) whole(o Options, r *Report) {
	names := []string{""}
	for _, ref := range ld.all() {
		if ref.File != "" {
			names = append(names, ref.Source+":"+ref.Name)
		}
	}
	for _, name := range names {
		o.Profile = name
		c, err := Load(o)
		var e *Error
		if errors.As(err, &e) {
			for _, p := range e.Problems {
				ld.ps.add(p)
			}
			continue
		}
		for _, w := range append(c.Warnings, c.Notes...) {
			r.addNote(w)
		}
	}
}

func (r *Report) note(layers ...*layer) {
	for _, l := range layers {
		if l == nil {
			continue
		}
		for _, w := range notesOf(l) {
			r.addNote(w)
		}
	}
}

func (r *Report) addNote(w Warning) {
	if !slices.ContainsFunc(r.Notes, func(n Warning) bool { return n.Text == w.Text }) {
		r.Notes = append(r.Notes, w)
	}
}
