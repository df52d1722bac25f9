package mount

import (
	"path"
	"slices"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/beneath"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
)

// Lock is a path of the workspace that is read-only or hidden inside.
type Lock struct {
	Rel    string // below the workspace
	Source string // host path that is put over it
	Mask   bool   // hidden: covered in every case, approved or not
}

// Cover applies locks and masks to the second ways that in-workspace mounts
// give: what is locked at its own place is locked at the mount's target too,
// unless a writable overlap was approved. A mount whose target would hide a
// locked path is an error with exit code 5.
func (p *Plan) Cover(locks []Lock) error {
	for _, l := range locks {
		place := path.Join(p.insidePath, l.Rel)
		for _, s := range slices.Clone(p.Sources[1:]) {
			if beneath.Below(place, s.Inside) {
				return cli.Fail(coi.ExitConfig, "%smount %s: its target %s would hide the locked path %s",
					s.mount.Origin, cli.Escape(s.mount.Host), cli.Escape(s.Inside), cli.Escape(l.Rel))
			}
			if s.inWS {
				p.coverOne(s, l)
			}
		}
	}
	return nil
}

func (p *Plan) coverOne(s Source, l Lock) {
	if s.mount.Overlap && !s.mount.ReadOnly && !l.Mask {
		return
	}
	if beneath.Below(s.Rel, l.Rel) && s.Rel != "" {
		p.Devices[s.Device]["readonly"] = "true"
		if l.Mask {
			p.hide(s, path.Dir(l.Source))
		}
		return
	}
	rel, ok := strings.CutPrefix(l.Rel, s.Rel)
	if s.Rel != "" && (!ok || rel[0] != '/') {
		return
	}
	target := path.Join(s.Inside, rel)
	name := DeviceName("protect", target)
	if l.Mask {
		name = DeviceName("mask", target)
	}
	p.Devices[name] = map[string]string{"type": "disk", "source": l.Source, "path": target, "readonly": "true"}
	p.InWS = append(p.InWS, name)
}

// hide gives the mount an empty source of its own kind; nothing is left of it to compare.
func (p *Plan) hide(s Source, masks string) {
	empty := "empty-file"
	if s.Info.Mode.IsDir() {
		empty = "empty-dir"
	}
	p.Devices[s.Device]["source"] = path.Join(masks, empty)
	p.Sources = slices.DeleteFunc(p.Sources, func(o Source) bool {
		if o.Device == s.Device {
			_ = o.file.Close()
		}
		return o.Device == s.Device
	})
}
