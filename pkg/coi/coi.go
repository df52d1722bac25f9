// Package coi holds the nouns of the house: container names, slots, workspace
// identity, levels and exit codes. It imports the standard library only, so
// that every tool can speak the same words at no cost.
package coi

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// Exit codes of every coi command. A verb that adds others lists them in its help.
const (
	ExitOK          = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitIncus       = 3
	ExitNoContainer = 4
	ExitConfig      = 5
	ExitInterrupted = 130
)

// DefaultPrefix starts every container name unless COI_CONTAINER_PREFIX says otherwise.
const DefaultPrefix = "coi-"

// MinSlot and MaxSlot bound the slots of one workspace.
const (
	MinSlot = 1
	MaxSlot = 10
)

// IfNameLen is the longest interface name Linux accepts (IFNAMSIZ less its NUL).
const IfNameLen = 15

// Names are checked by hand: compiling patterns was a third of the start of
// every program.

func lower(c byte) bool { return c >= 'a' && c <= 'z' }
func upper(c byte) bool { return c >= 'A' && c <= 'Z' }
func digit(c byte) bool { return c >= '0' && c <= '9' }

// ValidPrefix reports whether p may replace DefaultPrefix: a lower-case letter,
// up to 20 of a-z 0-9 and hyphen, and a final hyphen.
func ValidPrefix(p string) bool {
	if len(p) < 2 || len(p) > 22 || !lower(p[0]) || p[len(p)-1] != '-' {
		return false
	}
	for i := range len(p) {
		if c := p[i]; !lower(c) && !digit(c) && c != '-' {
			return false
		}
	}
	return true
}

// Hash8 is the first eight hex digits of SHA-256 of a workspace identity: the
// resolved path, or SessionIdentity of a session name.
func Hash8(identity string) string {
	sum := sha256.Sum256([]byte(identity))
	return hex.EncodeToString(sum[:4])
}

// SessionIdentity is the identity of a workspace that has container.session_name set.
func SessionIdentity(name string) string { return "session-name:" + name }

// ContainerName is <prefix><hash8>-<slot>.
func ContainerName(prefix, identity string, slot int) string {
	return prefix + Hash8(identity) + "-" + strconv.Itoa(slot)
}

// SplitName takes a container name apart. ok is false when the name was not
// made by ContainerName with this prefix.
func SplitName(prefix, name string) (hash8 string, slot int, ok bool) {
	rest, found := strings.CutPrefix(name, prefix)
	if !found || len(rest) < 10 || rest[8] != '-' {
		return "", 0, false
	}
	n, err := strconv.Atoi(rest[9:])
	if err != nil || n < MinSlot || n > MaxSlot || strconv.Itoa(n) != rest[9:] {
		return "", 0, false
	}
	if _, err := hex.DecodeString(rest[:8]); err != nil {
		return "", 0, false
	}
	return rest[:8], n, true
}

// ValidContainer reports whether name is a legal Incus instance name: a letter,
// then letters, digits and hyphens, 2 to 63 characters, no hyphen at the end.
// Names become file names under ~/.coi, so nothing else may pass.
func ValidContainer(name string) bool {
	if len(name) < 2 || len(name) > 63 || digit(name[0]) || name[0] == '-' || name[len(name)-1] == '-' {
		return false
	}
	for i := range len(name) {
		if c := name[i]; !lower(c) && !upper(c) && !digit(c) && c != '-' {
			return false
		}
	}
	return true
}

// TmuxSession is the name of the tmux session inside a container.
func TmuxSession(container string) string { return "coi-" + container }

var b32 = base32.StdEncoding.WithPadding(base32.NoPadding)

func short(text string, n int) string {
	sum := sha256.Sum256([]byte(text))
	return strings.ToLower(b32.EncodeToString(sum[:]))[:n]
}

// VethTag is the three characters that mark the interfaces of one user's
// guard. home is empty for ~/.coi; a COI_HOME elsewhere has a guard, and so a
// tag, of its own.
func VethTag(uid int, home string) string {
	text := "uid:" + strconv.Itoa(uid)
	if home != "" {
		text += ":" + home
	}
	return short(text, 3)
}

// VethName is the fixed name of a container's host-side interface: "coi", the
// tag, and nine characters from the project and the container name.
func VethName(tag, project, container string) string {
	return "coi" + tag + short(project+"/"+container, 9)
}

// TableName is the nftables table of one user's guard. home as in VethTag.
func TableName(uid int, home string) string {
	name := "coi_" + strconv.Itoa(uid)
	if home != "" {
		name += "_" + VethTag(uid, home)
	}
	return name
}

// Level is how much a finding matters.
type Level string

// The four levels, in rising order.
const (
	Info     Level = "info"
	Warning  Level = "warning"
	High     Level = "high"
	Critical Level = "critical"
)

// Levels lists all levels in rising order.
var Levels = []Level{Info, Warning, High, Critical}

// Rank is 0 for info up to 3 for critical, and -1 for anything else.
func (l Level) Rank() int {
	for i, v := range Levels {
		if v == l {
			return i
		}
	}
	return -1
}

// ParseLevel accepts the four level words.
func ParseLevel(s string) (Level, error) {
	if l := Level(s); l.Rank() >= 0 {
		return l, nil
	}
	return "", fmt.Errorf("unknown level %q (info, warning, high, critical)", s)
}
