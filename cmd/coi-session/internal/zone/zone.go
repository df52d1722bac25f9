// Package zone finds the time zone of a session and the files that set it.
package zone

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/bundle"
)

const database = "/usr/share/zoneinfo/"

var name = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$`)

// Host is the IANA name of the host's zone, from TZ, /etc/timezone or the link
// /etc/localtime.
func Host(getenv func(string) string) (string, error) {
	text, _ := os.ReadFile("/etc/timezone")
	link, _ := filepath.EvalSymlinks("/etc/localtime")
	_, below, _ := strings.Cut(link, "/zoneinfo/")
	for _, z := range []string{strings.TrimPrefix(getenv("TZ"), ":"), strings.TrimSpace(string(text)), below} {
		if name.MatchString(z) {
			return z, nil
		}
	}
	return "UTC", errors.New("the host's time zone is not known")
}

// Files set a zone inside. The host's own description goes along for images
// without a zone database; Script puts it in place there.
func Files(zone string) []bundle.File {
	files := []bundle.File{
		{Path: "/etc/timezone", Mode: 0o644, Content: []byte(zone + "\n")},
		{Path: "/etc/localtime", Link: database + zone},
	}
	if b, err := os.ReadFile(database + zone); err == nil && len(b) < 64<<10 {
		files = append(files, bundle.File{Path: "/run/coi/zone", Mode: 0o644, Content: b})
	}
	return files
}

// Script is the part of the set-up for images that do not know the zone.
func Script(zone string) string {
	if !name.MatchString(zone) {
		return ""
	}
	f := "'" + database + zone + "'"
	return "[ -e " + f + " ] || { mkdir -p \"$(dirname " + f + ")\" && cp /run/coi/zone " + f + "; } || echo 'coi-warning time zone " + zone + " is unknown to the image'\n"
}
