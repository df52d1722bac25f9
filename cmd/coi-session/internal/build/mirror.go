package build

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// target is one package list that the machine's apt knows.
type target struct{ origin, label, codename, site, release, component string }

// aptFields asks apt for the fields of a target; the names are apt's own.
const aptFields = "$(ORIGIN)|$(LABEL)|$(CODENAME)|$(SITE)|$(RELEASE)|$(COMPONENT)"

// machineTargets asks apt which package lists it has. A machine without apt has none.
func machineTargets(ctx context.Context) []target {
	out, err := exec.CommandContext(ctx, "apt-get", "indextargets", "--format", aptFields, "Created-By: Packages").Output()
	if err != nil {
		return nil
	}
	return parseTargets(string(out))
}

func parseTargets(text string) []target {
	var all []target
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSpace(line), "|")
		if len(f) != 6 {
			continue
		}
		for i := range f {
			if strings.HasPrefix(f[i], "$(") {
				f[i] = "" // apt prints the name of a field that it does not know
			}
		}
		all = append(all, target{f[0], f[1], f[2], f[3], f[4], f[5]})
	}
	return all
}

// hostRelease is ID and VERSION_CODENAME of os-release.
func hostRelease(osRelease string) (distro, suite string) {
	for line := range strings.Lines(osRelease) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
		v = strings.Trim(v, `"'`)
		switch k {
		case "ID":
			distro = v
		case "VERSION_CODENAME":
			suite = v
		}
	}
	return distro, suite
}

// sources are the lines of sources.list for a base. An empty answer leaves the
// choice of the mirror to mmdebstrap, which knows that of each distribution.
func sources(b Base, mirror string, host []target, hostDistro, hostSuite string) []string {
	keyring := fmt.Sprintf("[signed-by=/usr/share/keyrings/%s-archive-keyring.gpg] ", b.Distro)
	components := "main"
	if b.Distro == "ubuntu" {
		components = "main universe"
	}
	line := func(site, release string) string { return "deb " + keyring + site + " " + release + " " + components }
	if mirror != "" {
		lines := []string{line(mirror, b.Suite), line(mirror, b.Suite+"-updates")}
		if b.Distro == "ubuntu" {
			lines = append(lines, line(mirror, b.Suite+"-security"))
		}
		return lines
	}
	var lines []string
	for _, t := range host {
		own := strings.EqualFold(t.origin, b.Distro) || t.origin == "" && hostDistro == b.Distro
		suffix, ok := strings.CutPrefix(t.release, hostSuite)
		if !own || !ok || !strings.Contains(components, t.component) || !slices.Contains([]string{"", "-updates", "-security"}, suffix) {
			continue
		}
		if l := line(t.site, b.Suite+suffix); !slices.Contains(lines, l) {
			lines = append(lines, l)
		}
	}
	return lines
}

// DefaultBase is the base of coi-default when nobody named one: the wanted one
// if the machine knows a mirror for it, else the machine's own release. why is
// empty when the wanted one is taken.
func DefaultBase(ctx context.Context, wanted, mirror string) (ref, why string) {
	b, err := ParseBase(wanted)
	if err != nil || b.Kind != Mirror || mirror != "" {
		return wanted, ""
	}
	text, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return wanted, ""
	}
	distro, suite := hostRelease(string(text))
	if _, known := releases[distro]; !known || distro == b.Distro {
		return wanted, ""
	}
	own := distro + ":" + suite
	parsed, err := ParseBase(own)
	if err != nil || len(sources(parsed, "", machineTargets(ctx), distro, suite)) == 0 {
		return wanted, ""
	}
	return own, fmt.Sprintf("base %s: this machine knows no mirror for %s", own, wanted)
}
