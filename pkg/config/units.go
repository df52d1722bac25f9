package config

import (
	"path/filepath"
	"strings"

	"github.com/code-on-incus/coi/pkg/trust"
)

// Unit is one untrusted file and everything in it that takes the user's word.
// An approval covers all items of a unit, and only as they are now.
type Unit struct {
	File     string
	Items    []trust.Item // in the order of the file; those with Needed wait without an approval
	Approved bool
	Changed  bool // approved before, with other items or targets
}

// Needed lists the items that wait for approval, or would.
func (u Unit) Needed() []trust.Item {
	var out []trust.Item
	for _, i := range u.Items {
		if i.Needed {
			out = append(out, i)
		}
	}
	return out
}

// Units lists the project's main file and each of its profiles, with what they
// ask for. A profile that cannot be read is left out, with a warning. The error is
// of type *Error.
func Units(o Options) ([]Unit, []Warning, error) {
	ps, err := OpenProfiles(o)
	if err != nil {
		return nil, nil, err
	}
	warnings := ps.Warnings()
	o.Profile, o.By = "default", ""
	main, err := loadUnits(o)
	if err != nil {
		return nil, warnings, err
	}
	out := main
	for _, ref := range ps.Refs() {
		if ref.Source != "project" {
			continue
		}
		o.Profile = "project:" + ref.Name
		units, err := loadUnits(o)
		if err != nil {
			continue // Load has a warning of its own for every broken profile
		}
		for _, u := range units {
			if u.File == ref.File {
				out = append(out, u)
			}
		}
	}
	return out, warnings, nil
}

func loadUnits(o Options) ([]Unit, error) {
	c, err := Load(o)
	if err != nil {
		return nil, err
	}
	return c.units, nil
}

// UnitOf reads the unit of one file again, for an approval that is in the
// store. ok is false when the file is no project's, cannot be used, or asks
// for nothing any more.
func UnitOf(o Options, file string) (u Unit, ok bool) {
	workspace, profile, isProject := projectOf(file)
	if !isProject {
		return Unit{}, false
	}
	o.Workspace, o.Profile, o.By = workspace, "default", ""
	if profile != "" {
		o.Profile = "project:" + profile
	}
	units, err := loadUnits(o)
	if err != nil {
		return Unit{}, false
	}
	for _, u := range units {
		if u.File == file {
			return u, true
		}
	}
	return Unit{}, false
}

// projectOf takes the path of a project's file apart.
func projectOf(file string) (workspace, profile string, ok bool) {
	if ws, found := strings.CutSuffix(file, "/.coi/config.toml"); found {
		return ws, "", true
	}
	dir := filepath.Dir(file)
	ws, found := strings.CutSuffix(filepath.Dir(dir), "/.coi/profiles")
	return ws, filepath.Base(dir), found && filepath.Base(file) == "config.toml"
}

// asUnit is the part as Units gives it.
func (p *part) asUnit(approved, changed bool) Unit {
	u := Unit{File: p.unit, Approved: approved, Changed: changed}
	for _, n := range p.order() {
		u.Items = append(u.Items, p.items[n])
	}
	return u
}
