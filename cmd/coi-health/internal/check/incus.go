package check

import (
	"fmt"
	"os"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-health/internal/facts"
)

func incus() []Check {
	const g = "incus"
	return []Check{
		{"incus", g, "Incus answers", incusAnswers},
		{"permissions", g, "right to use Incus", permissions},
		{"subids", g, "id ranges of root", subids},
		{"image", g, "configured image", image},
		{"image_age", g, "age of the image", imageAge},
		{"image_tool", g, "agent in the image", imageTool},
		{"default_profile", g, "Incus profiles", profiles},
		{"security_posture", g, "settings of running containers", posture},
		{"incus_storage_pools", g, "storage pools", pools},
	}
}

const setupHint = "make setup (of a package: sudo /usr/libexec/coi/setup), or install Incus and run: incus admin init --minimal"

func incusAnswers(f *facts.Facts) Result {
	switch {
	case f.IncusErr != nil:
		return failed("cannot ask coi-session: "+f.IncusErr.Error(), setupHint)
	case !f.Incus.Reachable:
		return failed("not reachable: "+f.Incus.Error, setupHint)
	case !f.Incus.Permitted:
		return skipped("you may not ask it; see permissions")
	case older(f.Incus.Version, 6, 0):
		return failed("version "+f.Incus.Version+" is too old", "install Incus 6.0 or newer")
	}
	if fixed, flaw := flawed(f.Incus.Version); flaw != "" {
		return warn("version "+f.Incus.Version+": "+flaw, "install Incus "+fixed+" or newer").with("version", f.Incus.Version)
	}
	return ok("version %s", f.Incus.Version).with("version", f.Incus.Version)
}

// flaws are known faults of the long-term branch in code that coi's containers
// touch; the version that mends each is named. R-LIM-11.
var flaws = []struct{ below, text string }{
	{"6.0.3", "interface filters can be bypassed on bridges (coi's routed interface does not use them)"},
	{"6.0.2", "shifted custom volumes keep wrong owners"},
}

func flawed(v string) (fixed, text string) {
	if !strings.HasPrefix(v, "6.0") {
		return "", ""
	}
	patch := 0
	_, _ = fmt.Sscanf(v, "6.0.%d", &patch)
	for _, fl := range flaws {
		var need int
		_, _ = fmt.Sscanf(fl.below, "6.0.%d", &need)
		if patch < need {
			return fl.below, fl.text
		}
	}
	return "", ""
}

func permissions(f *facts.Facts) Result {
	group := "incus-admin"
	if f.Config != nil {
		group = f.Config.Incus.Group
	}
	switch {
	case f.IncusErr != nil:
		return skipped("coi-session did not answer")
	case !f.Incus.Reachable:
		return skipped("Incus is not reachable")
	case f.Incus.Permitted:
		return ok("you may use the socket")
	}
	user := f.Getenv("USER")
	r := failed("you may not use the Incus socket", "sudo usermod -aG "+group+" "+user+", then log in again")
	for line := range strings.SplitSeq(f.Read("/etc/group"), "\n") {
		parts := strings.Split(line, ":")
		if len(parts) == 4 && parts[0] == group && strings.Contains(","+parts[3]+",", ","+user+",") {
			return warn("you are in "+group+", but not in this login", "log in again")
		}
	}
	if user == "" {
		return r
	}
	return r.remedy(Remedy{Why: "membership in the group of the Incus socket", Command: []string{"usermod", "-aG", group, user}, Root: true, ReLogin: true})
}

func subids(f *facts.Facts) Result { return mappable(f, os.Getuid(), os.Getgid()) }

func mappable(f *facts.Facts, uid, gid int) Result {
	if uid == 0 {
		return ok("root")
	}
	var missing []string
	for file, id := range map[string]int{"/etc/subuid": uid, "/etc/subgid": gid} {
		all := spans(f.Read(file))
		if !allows(all, id) {
			missing = append(missing, file)
		}
		if a, b := overlap(all); a != "" {
			return failed(file+": the ranges "+a+" and "+b+" overlap", "edit "+file+", then restart Incus")
		}
		if line := inside(all, id); line != "" {
			return failed(fmt.Sprintf("%s: your id %d lies in the range %s, which containers get: one of them could be you", file, id, line),
				"give root another range in "+file+", then restart Incus")
		}
	}
	sort.Strings(missing)
	if len(missing) == 0 {
		return ok("root may map uid %d", uid)
	}
	if f.Config != nil && uid == f.Config.Incus.CodeUID {
		// The workspace is mounted with its ids as they are; nothing has to be mapped,
		// except on a file system that cannot be mounted so, where the session says it.
		return ok("uid %d is that of the agent, nothing has to be mapped", uid)
	}
	// usermod locks, checks and replaces both files in one step.
	uids, gids := fmt.Sprintf("%d-%d", uid, uid), fmt.Sprintf("%d-%d", gid, gid)
	command := []string{"usermod", "--add-subuids", uids, "--add-subgids", gids, "root"}
	return failed("root may not map your uid in "+strings.Join(missing, " and "), "sudo "+strings.Join(command, " ")).
		remedy(Remedy{Why: "files of the workspace keep their owner inside", Command: command, Root: true})
}

// span is a line of a subid file: ids that an owner may give to containers.
type span struct {
	line, owner string
	start, end  int // both are in it
}

// spans reads a subid file, subuid(5). Lines that are none are left out.
func spans(text string) (all []span) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		parts := strings.Split(line, ":")
		if len(parts) != 3 {
			continue
		}
		start, err1 := strconv.Atoi(parts[1])
		count, err2 := strconv.Atoi(parts[2])
		if err1 == nil && err2 == nil && count >= 1 {
			all = append(all, span{line, parts[0], start, start + count - 1})
		}
	}
	return all
}

func (s span) holds(id int) bool { return id >= s.start && id <= s.end }

// allows reports whether root may map id.
func allows(all []span, id int) bool {
	return slices.ContainsFunc(all, func(s span) bool { return (s.owner == "root" || s.owner == "0") && s.holds(id) })
}

// inside finds the range of containers that an id lies in; a range of one id is
// for a workspace.
func inside(all []span, id int) string {
	for _, s := range all {
		if s.end > s.start && s.holds(id) {
			return s.line
		}
	}
	return ""
}

// overlap finds two ranges of containers of one owner that share ids. The single
// ids that root may map for a workspace lie in nobody's range.
func overlap(all []span) (a, b string) {
	for i, one := range all {
		for _, o := range all[:i] {
			if one.owner == o.owner && one.start <= o.end && o.start <= one.end && one.line != o.line {
				return o.line, one.line
			}
		}
	}
	return "", ""
}

func wantedImage(f *facts.Facts) string {
	if f.Config == nil {
		return "coi-default"
	}
	return f.Config.Container.Image
}

func findImage(f *facts.Facts) (facts.Image, bool) {
	for _, im := range f.Incus.Images {
		if im.Alias == wantedImage(f) {
			return im, true
		}
	}
	return facts.Image{}, false
}

func image(f *facts.Facts) Result {
	if !f.Incus.Reachable {
		return skipped("Incus is not reachable")
	}
	if _, found := findImage(f); !found {
		return failed("image "+wantedImage(f)+" does not exist", "coi build")
	}
	return ok("%s", wantedImage(f))
}

func imageAge(f *facts.Facts) Result {
	im, found := findImage(f)
	if !found {
		return skipped("no image")
	}
	if built, known := f.Images[im.Alias]; known && built.Fingerprint == im.Fingerprint && built.BaseFingerprint != "" {
		for _, base := range f.Incus.Images {
			if base.Alias == built.Base && base.Fingerprint != built.BaseFingerprint {
				return warn(im.Alias+" is older than its base "+base.Alias, "coi build --force")
			}
		}
	}
	days := int(f.Now.Sub(im.CreatedAt) / (24 * time.Hour))
	if days >= 30 {
		return warn(fmt.Sprintf("%s is %d days old", im.Alias, days), "coi build --force")
	}
	return ok("%s is %d days old", im.Alias, days)
}

func profiles(f *facts.Facts) Result {
	var with []string
	for _, c := range f.Incus.Containers {
		if len(c.Profiles) > 0 {
			with = append(with, c.Name)
		}
	}
	if len(with) > 0 {
		return warn("Incus profiles are attached to "+strings.Join(with, ", "), "coi kill NAME, and start the session again")
	}
	return ok("coi's containers use none")
}

// posture reads the settings back that every container of coi must have. R-LIM-01.
func posture(f *facts.Facts) Result {
	if !f.Incus.Reachable {
		return skipped("Incus is not reachable")
	}
	var bad []string
	running := 0
	for _, c := range f.Incus.Containers {
		if !strings.EqualFold(c.Status, "running") && !strings.EqualFold(c.Status, "frozen") {
			continue
		}
		running++
		for _, p := range postureOf(c) {
			bad = append(bad, c.Name+": "+p)
		}
	}
	if len(bad) > 0 {
		sort.Strings(bad)
		return failed(strings.Join(bad, "; "), "coi kill NAME, and start the session again")
	}
	return ok("%d running, all as they were created", running)
}

func postureOf(c facts.Container) []string {
	var bad []string
	must := func(key, want string) {
		if got := c.Config[key]; got != want {
			bad = append(bad, fmt.Sprintf("%s is %q", key, got))
		}
	}
	if c.Config["security.privileged"] == "true" {
		bad = append(bad, "privileged")
	}
	must("security.idmap.isolated", "true")
	must("security.guestapi", "false")
	for _, key := range []string{"raw.lxc", "raw.apparmor", "raw.seccomp"} {
		if c.Config[key] != "" {
			bad = append(bad, key+" is set")
		}
	}
	if c.Config["boot.autostart"] == "true" {
		bad = append(bad, "starts by itself")
	}
	nics := 0
	for _, d := range c.Devices {
		if d["type"] != "nic" {
			continue
		}
		nics++
		if d["nictype"] != "routed" || !strings.HasPrefix(d["host_name"], "coi") {
			bad = append(bad, fmt.Sprintf("its interface %q is none of coi's", d["host_name"]))
		}
	}
	if nics != 1 {
		bad = append(bad, fmt.Sprintf("%d network interfaces", nics))
	}
	return bad
}

func pools(f *facts.Facts) Result {
	if !f.Incus.Reachable {
		return skipped("Incus is not reachable")
	}
	if len(f.Incus.Pools) == 0 {
		return failed("there is no storage pool", setupHint)
	}
	worst := Result{Status: OK}
	var words []string
	rank := map[Status]int{OK: 0, Warning: 1, Failed: 2}
	for _, p := range f.Incus.Pools {
		status, text := judgePool(p)
		words = append(words, text)
		if rank[status] > rank[worst.Status] {
			worst.Status = status
		}
		worst = worst.with(p.Name, map[string]any{"driver": p.Driver, "quota": quota(p.Driver), "free_bytes": p.Total - min(p.Used, p.Total), "used_percent": usedPercent(p)})
	}
	worst.Message = strings.Join(words, "; ")
	if worst.Status != OK {
		worst.Hint = "coi clean, coi image cleanup PREFIX --keep N, or enlarge the pool; btrfs and zfs copy fastest"
	}
	return worst
}

// quota says whether a driver can bound the root disk of a container.
func quota(driver string) bool { return driver != "dir" }

func usedPercent(p facts.Pool) int {
	if p.Total == 0 {
		return 0
	}
	return int(p.Used * 100 / p.Total)
}

func judgePool(p facts.Pool) (Status, string) {
	text := fmt.Sprintf("%s (%s): %.1f GiB free, %d %% used", p.Name, p.Driver, float64(p.Total-min(p.Used, p.Total))/(1<<30), usedPercent(p))
	switch {
	case usedPercent(p) >= 95:
		return Failed, text
	case usedPercent(p) >= 80:
		return Warning, text
	case p.Driver == "dir":
		return Warning, text + ", copies everything at each start"
	case p.Thick:
		return Warning, text + ", no thin pool: each container takes its full size"
	}
	return OK, text
}
