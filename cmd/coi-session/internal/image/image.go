// Package image names, lists and prunes the images that sessions start from,
// and keeps what is known about their making in image-meta.json.
package image

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/code-on-incus/coi/pkg/home"
)

// Meta is what is known about the making of an image.
type Meta struct {
	BuiltAt         time.Time `json:"built_at"`
	BuiltFrom       string    `json:"built_from"` // the file that asked for it
	Base            string    `json:"base"`
	BaseFingerprint string    `json:"base_fingerprint"`
	Fingerprint     string    `json:"fingerprint"`
	Agents          []string  `json:"agents"`
}

// schema is the schema_version of image-meta.json.
const schema = 1

// File is image-meta.json.
type File struct {
	SchemaVersion int             `json:"schema_version"`
	Images        map[string]Meta `json:"images"`
}

// Load reads image-meta.json; a missing file is empty.
func Load(h home.Home) (File, error) {
	f := File{SchemaVersion: schema, Images: map[string]Meta{}}
	err := home.ReadJSON(h.Path("image-meta.json"), schema, &f)
	if home.Missing(err) {
		err = nil
	}
	if f.Images == nil {
		f.Images = map[string]Meta{}
	}
	return f, err
}

// Remember records how an alias was made. An unreadable file is an error; it is
// not replaced.
func Remember(h home.Home, alias string, m Meta) error {
	return change(h, func(f *File) { f.Images[alias] = m })
}

// Forget drops what is known of an alias.
func Forget(h home.Home, alias string) error {
	return change(h, func(f *File) { delete(f.Images, alias) })
}

func change(h home.Home, edit func(*File)) error {
	f, err := Load(h)
	if err != nil {
		return err
	}
	edit(&f)
	f.SchemaVersion = schema
	return home.WriteJSON(h.Path("image-meta.json"), f, true)
}

// stamp is the date in a versioned alias, in UTC.
const stamp = "20060102-150405"

var datedRE = regexp.MustCompile(`^(.+)-(\d{8}-\d{6})(?:-(\d+))?$`)

// Dated takes a versioned alias apart: "coi-default-20260102-030405-2" is the
// second of coi-default in that second.
func Dated(alias string) (stem string, at time.Time, nth int, ok bool) {
	m := datedRE.FindStringSubmatch(alias)
	if m == nil {
		return "", time.Time{}, 0, false
	}
	at, err := time.Parse(stamp, m[2])
	if err != nil {
		return "", time.Time{}, 0, false
	}
	nth = 1
	if m[3] != "" {
		if _, err := fmt.Sscanf(m[3], "%d", &nth); err != nil {
			return "", time.Time{}, 0, false
		}
	}
	return m[1], at, nth, true
}

// FreeAlias is the versioned alias for a build of stem at this time that is not
// taken yet.
func FreeAlias(stem string, at time.Time, taken func(string) (bool, error)) (string, error) {
	name := stem + "-" + at.UTC().Format(stamp)
	alias := name
	for n := 2; ; n++ {
		used, err := taken(alias)
		if err != nil || !used {
			return alias, err
		}
		alias = fmt.Sprintf("%s-%d", name, n)
	}
}

// Local is an image as cleanup sees it.
type Local struct {
	Fingerprint string
	Aliases     []string
}

// Victim is an image to be deleted and the dated alias that was the reason.
type Victim struct {
	Alias, Fingerprint string
}

// Old picks, among images whose only names are dated aliases starting with
// prefix, all but the keep newest of each stem, oldest first. An image with any
// other name stays, though it counts among the newest.
func Old(all []Local, prefix string, keep int) []Victim {
	type dated struct {
		Victim
		at   time.Time
		nth  int
		held bool
	}
	stems := map[string][]dated{}
	for _, img := range all {
		for _, a := range img.Aliases {
			stem, at, nth, ok := Dated(a)
			if !ok || !strings.HasPrefix(a, prefix) {
				continue
			}
			held := slices.ContainsFunc(img.Aliases, func(other string) bool { _, _, _, d := Dated(other); return !d })
			stems[stem] = append(stems[stem], dated{Victim{a, img.Fingerprint}, at, nth, held})
		}
	}
	var out []Victim
	for _, list := range stems {
		slices.SortFunc(list, func(a, b dated) int {
			if c := b.at.Compare(a.at); c != 0 {
				return c
			}
			return b.nth - a.nth
		})
		for _, d := range list[min(keep, len(list)):] {
			if !d.held {
				out = append(out, d.Victim)
			}
		}
	}
	slices.SortFunc(out, func(a, b Victim) int { return strings.Compare(a.Alias, b.Alias) })
	return out
}
