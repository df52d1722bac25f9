package build

import (
	"fmt"
	"regexp"
	"strings"
)

// Kind says where the root file system of an image comes from.
type Kind int

// The kinds of bases.
const (
	Mirror Kind = iota // made by mmdebstrap from a package mirror
	Remote             // downloaded by Incus from one of its remotes
	Local              // an image that Incus has
)

// Base is what an image is made of.
type Base struct {
	Kind   Kind
	Ref    string // as written
	Distro string // debian or ubuntu, for Mirror
	Suite  string // codename of the release, for Mirror
	Remote string // name of the Incus remote, for Remote
	Alias  string // for Remote and Local
}

// releases are the numbers people write for a release; a codename is taken as it is.
var releases = map[string]map[string]string{
	"debian": {"11": "bullseye", "12": "bookworm", "13": "trixie", "14": "forky"},
	"ubuntu": {"22.04": "jammy", "24.04": "noble", "24.10": "oracular", "25.04": "plucky", "25.10": "questing", "26.04": "resolute"},
}

var (
	suiteRE = regexp.MustCompile(`^[a-z][a-z0-9-]{1,30}$`)
	// aliasRE is what Incus and file names both take; a slash would leave the log directory.
	aliasRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,126}$`)
)

// ValidAlias reports whether an image built or published here may have this name.
func ValidAlias(alias string) bool { return aliasRE.MatchString(alias) }

// ParseBase reads "debian:V", "ubuntu:V", "REMOTE:ALIAS" or a local alias.
func ParseBase(ref string) (Base, error) {
	b := Base{Ref: ref}
	name, version, colon := strings.Cut(ref, ":")
	if !colon {
		if !ValidAlias(ref) {
			return b, fmt.Errorf("%q is no image alias", ref)
		}
		b.Kind, b.Alias = Local, ref
		return b, nil
	}
	numbers, known := releases[name]
	if !known {
		if name == "" || version == "" || strings.ContainsAny(ref, " \t\n") {
			return b, fmt.Errorf("%q is no base: want debian:V, ubuntu:V, REMOTE:ALIAS or a local alias", ref)
		}
		b.Kind, b.Remote, b.Alias = Remote, name, version
		return b, nil
	}
	b.Distro, b.Suite = name, version
	if suite, ok := numbers[version]; ok {
		b.Suite = suite
	}
	if !suiteRE.MatchString(b.Suite) {
		return b, fmt.Errorf("%q: no release %q of %s is known; a codename works too", ref, version, name)
	}
	return b, nil
}
