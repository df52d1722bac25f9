// Package uidmap decides how the files of the host's user appear inside: by
// idmapped mounts (shift), by one line of raw.idmap, or not at all.
//
// Call order: Probe each mount source, fill a Request, Decide, put
// Decision.RawIDMap into the create request and call Decision.Shift on its
// devices; inside, run Renumber when the image's code user has another uid.
package uidmap

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
)

// Request is what the decision depends on.
type Request struct {
	UID, GID           int // of the user who runs coi
	OwnerUID, OwnerGID int // of the workspace; used when coi is run by root
	CodeUID            int
	CodeUser           string
	DisableShift       bool     // incus.disable_shift
	ShiftFailed        bool     // a start with shift failed: decide again without
	ExistingRaw        string   // raw.idmap of a container that is used again
	Unmappable         []string // sources that cannot be idmapped, from Probe
	GuestMaps          bool     // a VM tool maps the sources by itself, from Probe
	SubUID, SubGID     []byte   // /etc/subuid and /etc/subgid; nil when missing
}

// Decision is how to map.
type Decision struct {
	UID, GID int    // host ids that the code user stands for
	UseShift bool   // disk devices get shift=true
	RawIDMap string // value of raw.idmap; empty: not set
	User     string // who the tool runs as
	UserUID  int    // its uid inside
	Home     string // its home inside
	Notes    []string
}

// Decide applies the table of mappings. Errors are *cli.Error with exit code 1
// and say what to add or to set.
func Decide(r Request) (Decision, error) {
	d := Decision{UID: r.UID, GID: r.GID, User: r.CodeUser, UserUID: r.CodeUID, Home: "/home/" + r.CodeUser}
	if r.UID == 0 {
		d.UID, d.GID = r.OwnerUID, r.OwnerGID
	}
	if d.UID == 0 {
		return rootOwned(r, d)
	}
	switch {
	case r.ExistingRaw != "":
		d.RawIDMap = r.ExistingRaw
		return d, nil
	case d.UID == r.CodeUID && r.GuestMaps:
		return d, nil
	case d.UID == r.CodeUID && !r.DisableShift && !r.ShiftFailed && len(r.Unmappable) == 0:
		d.UseShift = true
		return d, nil
	}
	d.RawIDMap = rawIDMap(d.UID, d.GID, r.CodeUID)
	return d, permitted(r, d)
}

// rootOwned is a workspace of root: its files are container root's by idmapped
// mounts. raw.idmap would make container root the host's root, so without
// shift there is no way.
func rootOwned(r Request, d Decision) (Decision, error) {
	d.User, d.UserUID, d.Home = "root", 0, "/root"
	d.Notes = append(d.Notes, "the workspace belongs to root: the tool runs as the container's root with home /root")
	if r.DisableShift || r.ShiftFailed || len(r.Unmappable) > 0 {
		why := "idmapped mounts are switched off or failed"
		if len(r.Unmappable) > 0 {
			why = cli.Escape(r.Unmappable[0]) + " cannot be idmapped"
		}
		return d, cli.Fail(coi.ExitFailed, "the workspace belongs to root and %s", why).
			Hint("give the workspace to a user: chown -R USER: DIR")
	}
	d.UseShift = true
	return d, nil
}

func rawIDMap(uid, gid, code int) string {
	if uid == gid {
		return fmt.Sprintf("both %d %d", uid, code)
	}
	return fmt.Sprintf("uid %d %d\ngid %d %d", uid, code, gid, code)
}

// idRange is one line of /etc/subuid: Count ids from First that Owner may map.
type idRange struct{ First, Count int }

func (r idRange) has(id int) bool { return id >= r.First && id < r.First+r.Count }

// rootRanges reads the lines of root. Lines that make no sense grant nothing.
func rootRanges(text []byte) []idRange {
	var out []idRange
	for line := range strings.Lines(string(text)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) != 3 || f[0] != "root" && f[0] != "0" {
			continue
		}
		first, err1 := strconv.Atoi(f[1])
		count, err2 := strconv.Atoi(f[2])
		if err1 == nil && err2 == nil && first >= 0 && count > 0 {
			out = append(out, idRange{first, count})
		}
	}
	return out
}

// permitted checks what newuidmap(1) will check at start, so that the refusal
// comes before anything is made and says what to do. Without the file Incus
// maps by itself and nothing is refused.
func permitted(r Request, d Decision) error {
	var lines []string
	for _, f := range []struct {
		name string
		text []byte
		id   int
	}{{"/etc/subuid", r.SubUID, d.UID}, {"/etc/subgid", r.SubGID, d.GID}} {
		if f.text == nil {
			continue
		}
		granted := false
		for _, g := range rootRanges(f.text) {
			if !g.has(f.id) {
				continue
			}
			if g.Count > 1 {
				return cli.Fail(coi.ExitFailed, "id %d lies in %d-%d, which %s gives to containers: it cannot be mapped to the code user",
					f.id, g.First, g.First+g.Count-1, f.name).
					Hint("set [incus] code_uid = %d in ~/.coi/config.toml, or move root's range in %s", f.id, f.name)
			}
			granted = true
		}
		if !granted {
			lines = append(lines, fmt.Sprintf("root:%d:1 in %s", f.id, f.name))
		}
	}
	if len(lines) == 0 {
		return nil
	}
	e := cli.Fail(coi.ExitFailed, "Incus may not map uid %d, gid %d into a container", d.UID, d.GID)
	e.Hints = append(e.Hints, fmt.Sprintf("add these lines: echo root:%d:1 | sudo tee -a /etc/subuid; echo root:%d:1 | sudo tee -a /etc/subgid", d.UID, d.GID))
	e.Hints = append(e.Hints, "missing: "+strings.Join(lines, ", ")+"; restart Incus afterwards")
	return e
}

// Shift sets or removes shift=true on every disk device that has a host source.
// skip names devices whose configuration decides for itself.
func (d Decision) Shift(devices map[string]map[string]string, skip map[string]bool) {
	for name, dev := range devices {
		if dev["type"] != "disk" || dev["source"] == "" || skip[name] {
			continue
		}
		if d.UseShift {
			dev["shift"] = "true"
		} else {
			delete(dev, "shift")
		}
	}
}
