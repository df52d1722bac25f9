package check

import (
	"debug/buildinfo"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-health/internal/facts"
	"github.com/code-on-incus/coi/pkg/cli/verbs"
	"github.com/code-on-incus/coi/pkg/run"
)

func system() []Check {
	const g = "system"
	return []Check{
		{"os", g, "operating system", checkOS},
		{"kernel_version", g, "kernel version", kernelVersion},
		{"kernel_features", g, "kernel features", kernelFeatures},
		{"kernel_build_age", g, "age of the kernel build", kernelAge},
		{"kernel_mitigations", g, "hardware mitigations", mitigations},
		{"distro_eol", g, "support of the distribution", distroEOL},
		{"lsm", g, "security module", lsm},
		{"timezone", g, "time zone", timezone},
		{"binaries", g, "coi's own programs", binaries},
		{"time", g, "clock", clock},
	}
}

func checkOS(f *facts.Facts) Result {
	name := f.OSRelease["PRETTY_NAME"]
	switch f.OSRelease["ID"] {
	case "debian", "ubuntu", "fedora", "arch", "opensuse-tumbleweed", "opensuse-leap", "rocky", "almalinux", "rhel", "linuxmint", "pop":
		return ok("%s", name)
	case "":
		return warn("unknown distribution", "coi is tried on Debian 12 and 13")
	}
	if strings.Contains(f.OSRelease["ID_LIKE"], "debian") {
		return ok("%s", name)
	}
	return warn("unknown distribution "+name, "coi is tried on Debian 12 and 13")
}

// version reads the first two numbers of a kernel release.
func version(release string) (major, minor int) {
	_, _ = fmt.Sscanf(release, "%d.%d", &major, &minor)
	return major, minor
}

func older(release string, major, minor int) bool {
	a, b := version(release)
	return a < major || a == major && b < minor
}

func kernelVersion(f *facts.Facts) Result {
	switch {
	case f.Kernel == "":
		return skipped("uname did not answer")
	case older(f.Kernel, 5, 15):
		return failed("kernel "+f.Kernel+" is too old", "install kernel 5.15 or newer, better 6.9")
	case older(f.Kernel, 6, 9):
		return warn("kernel "+f.Kernel+": firewall tables cannot be owned (6.9), mount events are polled (6.14)", "install kernel 6.9 or newer")
	case older(f.Kernel, 6, 14):
		return ok("%s (mount events are polled before 6.14)", f.Kernel)
	}
	return ok("%s", f.Kernel)
}

var buildDate = regexp.MustCompile(`[A-Z][a-z]{2} +(?:([A-Z][a-z]{2}) +(\d+) [\d:]+ \S+ (\d{4})|(\d+) ([A-Z][a-z]{2}) (\d{4}))|\((\d{4})-(\d\d)-(\d\d)\)`)

func kernelAge(f *facts.Facts) Result {
	built, found := buildTime(f.Read("/proc/version"))
	if !found {
		return skipped("/proc/version holds no date")
	}
	days := int(f.Now.Sub(built).Hours() / 24)
	if days >= 180 {
		return warn(fmt.Sprintf("kernel was built %d days ago", days), "install the kernel updates of your distribution").with("days", days)
	}
	return ok("built %d days ago", days).with("days", days)
}

func buildTime(text string) (time.Time, bool) {
	m := buildDate.FindStringSubmatch(text)
	var s string
	switch {
	case m == nil:
		return time.Time{}, false
	case m[1] != "":
		s = m[1] + " " + m[2] + " " + m[3]
	case m[4] != "":
		s = m[5] + " " + m[4] + " " + m[6]
	default:
		t, err := time.Parse("2006-01-02", m[7]+"-"+m[8]+"-"+m[9])
		return t, err == nil
	}
	t, err := time.Parse("Jan 2 2006", s)
	return t, err == nil
}

func mitigations(f *facts.Facts) Result {
	dir := filepath.Join(f.Root, "/sys/devices/system/cpu/vulnerabilities")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return skipped("the kernel does not list vulnerabilities")
	}
	var open []string
	for _, e := range entries {
		text := strings.TrimSpace(f.Read("/sys/devices/system/cpu/vulnerabilities/" + e.Name()))
		if strings.HasPrefix(text, "Vulnerable") {
			open = append(open, e.Name())
		}
	}
	if strings.Contains(" "+f.Read("/proc/cmdline")+" ", "mitigations=off") {
		open = append(open, "mitigations=off on the kernel command line")
	}
	if len(open) > 0 {
		return warn("not mitigated: "+strings.Join(open, ", "), "update firmware and kernel, and boot without mitigations=off")
	}
	return ok("all mitigated")
}

// eol holds the last day of security support of releases coi is tried on, from
// their publishers' calendars.
var eol = map[string]string{
	"debian 12": "2028-06-30", "debian 13": "2030-06-30", "debian 11": "2026-08-31",
	"ubuntu 22.04": "2027-04-30", "ubuntu 24.04": "2029-04-30", "ubuntu 20.04": "2025-05-31",
}

func distroEOL(f *facts.Facts) Result {
	key := f.OSRelease["ID"] + " " + f.OSRelease["VERSION_ID"]
	day, known := eol[key]
	if !known {
		return skipped("no calendar for %q", key)
	}
	end, err := time.Parse("2006-01-02", day)
	if err != nil {
		return skipped("%v", err)
	}
	if left := end.Sub(f.Now); left < 180*24*time.Hour {
		return warn(key+" has support until "+day, "upgrade the distribution")
	}
	return ok("%s has support until %s", key, day)
}

func lsm(f *facts.Facts) Result {
	list := f.Read("/sys/kernel/security/lsm")
	for _, name := range []string{"apparmor", "selinux"} {
		if strings.Contains(","+strings.TrimSpace(list)+",", ","+name+",") {
			return ok("%s", name)
		}
	}
	return warn("neither AppArmor nor SELinux confines containers", "enable AppArmor in the kernel")
}

func timezone(f *facts.Facts) Result {
	if tz := f.Getenv("TZ"); tz != "" {
		return ok("%s", tz)
	}
	if link, err := os.Readlink(filepath.Join(f.Root, "/etc/localtime")); err == nil {
		if _, zone, found := strings.Cut(link, "zoneinfo/"); found {
			return ok("%s", zone)
		}
	}
	if zone := strings.TrimSpace(f.Read("/etc/timezone")); zone != "" {
		return ok("%s", zone)
	}
	return warn("not found, sessions run in UTC", "timedatectl set-timezone ZONE")
}

func binaries(f *facts.Facts) Result {
	var open, missing, dirs []string
	builds := map[string][]string{}
	for _, name := range programs() {
		path, st := find(f.Exec, name)
		if st == nil {
			missing = append(missing, name)
			continue
		}
		sys, isUnix := st.Sys().(*syscall.Stat_t)
		foreign := isUnix && sys.Uid != 0 && int(sys.Uid) != os.Getuid()
		if st.Mode().Perm()&0o022 != 0 || foreign {
			open = append(open, path)
		}
		build := buildOf(path)
		builds[build] = append(builds[build], name)
		dirs = append(dirs, filepath.Dir(path))
	}
	slices.Sort(dirs)
	dead := deadLinks(slices.Compact(dirs))
	switch {
	case len(open) > 0:
		return failed("others may replace "+strings.Join(open, ", "), "chmod go-w FILE, owner root or you").
			remedy(Remedy{Why: "programs that others may write", Command: append([]string{"chmod", "go-w"}, open...), Root: os.Getuid() != 0})
	case len(missing) > 0:
		return warn("not installed: "+strings.Join(missing, ", "), "make install, or install the package again")
	case len(dead) > 0:
		return warn("links that lead nowhere: "+strings.Join(dead, ", "), "make install, or install the package again")
	case len(builds) > 1:
		var groups []string
		for build, names := range builds {
			groups = append(groups, strings.Join(names, ", ")+" of "+build)
		}
		slices.Sort(groups)
		return warn("programs of different builds: "+strings.Join(groups, "; "), "make install, or install the package again")
	}
	return ok("%d programs in %s", len(programs()), f.Exec)
}

// buildOf is the commit and state of the sources that a program was made of, as
// the compiler wrote it into the file.
func buildOf(path string) string {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return "an unknown build"
	}
	words := []string{info.GoVersion}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			words = append(words, s.Value[:min(12, len(s.Value))])
		case "vcs.modified":
			if s.Value == "true" {
				words = append(words, "changed")
			}
		}
	}
	return strings.Join(words, " ")
}

// deadLinks are links of verbs whose program is not there.
func deadLinks(dirs []string) (dead []string) {
	for _, dir := range dirs {
		links, err := filepath.Glob(filepath.Join(dir, "coi-*"))
		if err != nil {
			continue
		}
		for _, path := range links {
			if _, err := os.Stat(path); err != nil {
				dead = append(dead, filepath.Base(path))
			}
		}
	}
	return dead
}

// find looks for a program where make install puts one: coi in PREFIX/bin, all
// others in PREFIX/libexec/coi, and dir may be either.
func find(dir, name string) (string, os.FileInfo) {
	for _, path := range []string{
		filepath.Join(dir, name), filepath.Join(dir, "..", "libexec", "coi", name), filepath.Join(dir, "..", "..", "bin", name),
	} {
		if st, err := os.Stat(path); err == nil {
			return path, st
		}
	}
	return "", nil
}

// programs lists the binaries behind all verbs.
func programs() []string {
	var list []string
	seen := map[string]bool{}
	for _, v := range verbs.All {
		if !seen[v.Program] {
			seen[v.Program] = true
			list = append(list, v.Program)
		}
	}
	return list
}

func clock(f *facts.Facts) Result {
	if by, known := leap(f); known && (by > jump || by < -jump) {
		return warn(fmt.Sprintf("the wall clock was set by %s since the guards started: their records are not in order", by.Round(time.Second)),
			"enable systemd-timesyncd or chrony")
	}
	inStep, off, err := f.Synced()
	switch {
	case err != nil:
		return skipped("adjtimex: %v", err)
	case !inStep:
		return warn("the clock is not synchronised", "enable systemd-timesyncd or chrony")
	}
	return ok("synchronised, off by at most %d ms", off.Milliseconds())
}

// jump is how far wall clock and time since boot may drift apart in the life of a
// guard before it is called a jump.
const jump = 30 * time.Second

// leap compares, for a living guard, the wall clock that has passed since it
// started with the time the kernel says it lives. Its record is written a moment
// after its start; that is less than a jump.
func leap(f *facts.Facts) (by time.Duration, known bool) {
	if f.Uptime == 0 {
		return 0, false
	}
	for _, d := range daemons(f) {
		if d.Since.IsZero() || d.StartTime == 0 || !d.Alive(f.Now) {
			continue
		}
		const hertz = 100                                                // of /proc/PID/stat on every Linux that Go runs on
		lives := f.Uptime - time.Duration(d.StartTime)*time.Second/hertz //nolint:gosec // seconds since boot
		return f.Now.Sub(d.Since) - lives, true
	}
	return 0, false
}

func daemons(f *facts.Facts) (list []run.Daemon) {
	if f.Netguard != nil {
		list = append(list, f.Netguard.Daemon)
	}
	if f.Watcher != nil {
		list = append(list, f.Watcher.Daemon)
	}
	return list
}
