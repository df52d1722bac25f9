// Package study knows the stopped copies that are kept of containers the monitor
// ended: by what name, and whose they are. A copy is no session: nothing starts
// it or joins it.
package study

import (
	"strconv"
	"strings"
	"time"

	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
)

// Mark stands in the name of a copy, between that of the container and the time
// of its end in seconds.
const Mark = "-forensics-"

const (
	kind     = "coi forensics"
	keyKind  = "user.kind"
	keyOf    = "user.copy-of"
	keyOwner = "user.copy-owner"
	keyHome  = "user.copy-home"
)

// Parse takes the name of a copy apart: of which container it is and when that
// was ended. ok is false for every other name.
func Parse(name string) (of string, at time.Time, ok bool) {
	i := strings.LastIndex(name, Mark)
	if i < 0 || !coi.ValidContainer(name[:i]) {
		return "", time.Time{}, false
	}
	n, err := strconv.ParseInt(name[i+len(Mark):], 10, 64)
	if err != nil || n < 0 {
		return "", time.Time{}, false
	}
	return name[:i], time.Unix(n, 0), true
}

// Keys are the keys that make a container the copy of another. None of them
// makes it a session.
func Keys(of string, h home.Home) map[string]string {
	return map[string]string{keyKind: kind, keyOf: of, keyOwner: strconv.Itoa(h.UID), keyHome: h.Dir}
}

// Mine reports whether the keys of a container are those of a copy that was kept
// for this user and this ~/.coi.
func Mine(config map[string]string, h home.Home) bool {
	return config[keyKind] == kind && config[keyOwner] == strconv.Itoa(h.UID) && config[keyHome] == h.Dir
}

// Of is the container that a copy was made of.
func Of(config map[string]string) string { return config[keyOf] }
