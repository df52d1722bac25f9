package check

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/code-on-incus/coi/cmd/coi-health/internal/facts"
	"github.com/code-on-incus/coi/pkg/run"
)

func storage() []Check {
	const g = "storage"
	return []Check{
		{"coi_directory", g, "~/.coi", coiDirectory},
		{"disk_space", g, "space under ~/.coi", diskSpace},
		{"sessions_directory", g, "saved sessions", sessionsDirectory},
	}
}

func configuration() []Check {
	const g = "configuration"
	return []Check{
		{"config", g, "configuration files", configFiles},
		{"config_refused", g, "what this project asks for", configRefused},
		{"network_mode", g, "network mode", networkMode},
		{"tool", g, "agent", tool},
		{"protection", g, "protected paths", protection},
		{"trust_store", g, "trust store", trustStore},
		{"old_layout", g, "old file names", oldLayout},
	}
}

func state() []Check {
	const g = "state"
	return []Check{
		{"active_containers", g, "containers", activeContainers},
		{"saved_sessions", g, "saved sessions", savedSessions},
		{"orphaned_resources", g, "leftovers", orphanedResources},
		{"immutable_leftovers", g, "immutable flags", immutableLeftovers},
		{"quarantine", g, "quarantine", quarantine},
	}
}

func coiDirectory(f *facts.Facts) Result {
	if f.HomeErr != nil {
		return failed(f.HomeErr.Error(), "see coi help")
	}
	st, err := os.Lstat(f.Home.Dir)
	if os.IsNotExist(err) {
		return ok("%s is made by the first session", f.Home.Shorten(f.Home.Dir))
	}
	if err != nil {
		return failed(err.Error(), "check the owner")
	}
	sys, isUnix := st.Sys().(*syscall.Stat_t)
	switch {
	case !st.IsDir():
		return failed(f.Home.Dir+" is not a directory of its own", "move it away")
	case isUnix && int(sys.Uid) != f.Home.UID:
		return failed(fmt.Sprintf("%s belongs to uid %d", f.Home.Dir, sys.Uid), fmt.Sprintf("sudo chown -R %d %s", f.Home.UID, f.Home.Dir))
	case st.Mode().Perm()&0o077 != 0:
		return failed("others may look into "+f.Home.Dir, "chmod 700 "+f.Home.Dir).
			remedy(Remedy{Why: "a private ~/.coi", Command: []string{"chmod", "700", f.Home.Dir}})
	}
	if sp, err := f.Space(f.Home.Dir); err == nil && network64[sp.Type] {
		return warn("on a network file system: notifications may be late", "set COI_HOME to a local directory")
	}
	return ok("private")
}

// network64 holds the magic numbers of network file systems, linux/magic.h.
var network64 = map[int64]bool{0x6969: true, 0xff534d42: true, 0xfe534d42: true, 0x517b: true, 0x01021997: true, 0x5346414f: true}

func diskSpace(f *facts.Facts) Result {
	dir := f.Home.Dir
	for {
		if _, err := os.Stat(dir); err == nil || dir == "/" {
			break
		}
		dir = filepath.Dir(dir)
	}
	sp, err := f.Space(dir)
	if err != nil {
		return skipped("statfs %s: %v", dir, err)
	}
	percent := sp.Free * 100 / max(sp.Total, 1)
	text := fmt.Sprintf("%.1f GiB free, %d %%", float64(sp.Free)/(1<<30), percent)
	if sp.Free < 5<<30 || percent < 10 {
		return warn(text, "free some space, or coi clean --sessions").with("free_bytes", sp.Free)
	}
	return ok("%s", text).with("free_bytes", sp.Free)
}

func sessionDirs(f *facts.Facts) []string {
	base := f.Home.Path("sessions")
	if f.Config != nil && f.Config.Paths.SessionsDir != "" {
		base = f.Home.Expand(f.Config.Paths.SessionsDir)
	}
	dirs, err := filepath.Glob(base + "-*/*")
	if err != nil {
		return nil
	}
	return dirs
}

func sessionsDirectory(f *facts.Facts) Result {
	var half []string
	for _, d := range sessionDirs(f) {
		if n := filepath.Base(d); strings.HasSuffix(n, ".new") || strings.HasSuffix(n, ".old") {
			half = append(half, f.Home.Shorten(d))
		} else if _, err := os.Stat(filepath.Join(d, "metadata.json")); err != nil {
			half = append(half, f.Home.Shorten(d))
		}
	}
	if len(half) > 0 {
		return warn("half saves: "+strings.Join(half, ", "), "coi clean").
			remedy(Remedy{Why: "saves that were cut short are finished or set aside", Command: []string{"coi", "clean", "--orphans", "--force"}})
	}
	return ok("whole")
}

func configFiles(f *facts.Facts) Result {
	if f.ConfigErr != nil {
		return failed(f.ConfigErr.Error(), "coi validate")
	}
	if f.Config == nil {
		return failed("could not be read", "coi validate")
	}
	return ok("valid")
}

func configRefused(f *facts.Facts) Result {
	if f.Config == nil {
		return skipped("no configuration")
	}
	var refused, waiting []string
	for _, r := range f.Config.Refused {
		refused = append(refused, r.Key)
	}
	for _, item := range f.Config.Gated {
		if !item.Approved {
			waiting = append(waiting, item.Kind+" of "+f.Home.Shorten(item.File)+":"+strconv.Itoa(item.Line))
		}
	}
	var words []string
	if len(refused) > 0 {
		words = append(words, "refused: "+strings.Join(refused, ", "))
	}
	if len(waiting) > 0 {
		words = append(words, "waiting for approval: "+strings.Join(waiting, ", "))
	}
	if len(words) > 0 {
		return warn(strings.Join(words, "; "), "coi trust shows and approves what waits; what is refused belongs in ~/.coi/config.toml").
			with("refused", refused).with("waiting", waiting)
	}
	return ok("nothing refused, nothing waiting")
}

func networkMode(f *facts.Facts) Result {
	if mode(f) == "open" {
		return warn("open: nothing is filtered", "set network.mode = \"restricted\"")
	}
	return ok("%s", mode(f))
}

// logins are where agents keep what they log in with, below the user's home. An
// agent that is not here takes the key of a provider from its environment.
var logins = map[string]string{
	"claude": ".claude/.credentials.json", "codex": ".codex/auth.json", "opencode": ".local/share/opencode/auth.json",
	"pi": ".pi/agent/auth.json", "omp": ".omp/auth.json", "gemini": ".gemini/oauth_creds.json",
}

func tool(f *facts.Facts) Result {
	if f.Config == nil {
		return skipped("no configuration")
	}
	name := f.Config.Tool.Name
	if name == "custom" {
		return ok("custom; what it logs in with is not looked for")
	}
	if file, known := logins[name]; known {
		if _, err := os.Stat(filepath.Join(f.Home.User, file)); err == nil {
			return ok("%s, logs in with ~/%s", name, file)
		}
	}
	var given []string
	for _, variable := range f.Config.Defaults.ForwardEnv {
		if f.Getenv(variable) != "" {
			given = append(given, variable)
		}
	}
	given = slices.AppendSeq(given, maps.Keys(f.Config.Defaults.Environment))
	given = slices.AppendSeq(given, maps.Keys(f.Config.Defaults.EnvCommands))
	for _, variable := range given {
		if strings.HasSuffix(variable, "_KEY") || strings.HasSuffix(variable, "_TOKEN") {
			return ok("%s, logs in with %s", name, variable)
		}
	}
	return warn(name+" has nothing to log in with: a session asks for it", "run "+name+" on this machine and log in, or put the variable of its key into defaults.forward_env")
}

func protection(f *facts.Facts) Result {
	if f.Config == nil {
		return skipped("no configuration")
	}
	if f.Config.Security.DisableProtection {
		return warn("protected paths are off", "remove security.disable_protection")
	}
	for _, s := range f.Running() {
		if s.Watched == nil {
			continue
		}
		if why, off := strings.CutPrefix(s.Watched.Immutable, "off"); off && f.Config.Security.HostImmutable {
			r := warn(s.Name+": protected files are not immutable on the host"+why, "systemctl enable --now coi-watch@$USER gives the monitor CAP_LINUX_IMMUTABLE")
			return r.unit(f, "coi-watch")
		}
	}
	return ok("%d protected paths", len(f.Config.Security.ProtectedPaths))
}

// trustStore asks coi-trust, which knows what each approval was for.
func trustStore(f *facts.Facts) Result {
	if _, err := os.Lstat(f.Home.Trust()); os.IsNotExist(err) {
		return ok("nothing approved yet")
	}
	if f.TrustErr != nil {
		return failed(f.TrustErr.Error(), "chmod 600 "+f.Home.Trust())
	}
	dead := 0
	for _, a := range f.Approvals {
		if a.State != "valid" {
			dead++
		}
	}
	if dead > 0 {
		return warn(fmt.Sprintf("%d approvals are out of date", dead), "coi trust --prune").
			remedy(Remedy{Why: "approvals of files that are gone or changed", Command: []string{"coi", "trust", "--prune", "--yes"}})
	}
	return ok("%d approvals", len(f.Approvals))
}

func oldLayout(f *facts.Facts) Result {
	var found, fix []string
	here := filepath.Join(f.Workspace, ".coi.toml")
	if _, err := os.Lstat(here); err == nil {
		if _, err := os.Lstat(filepath.Join(f.Workspace, ".coi", "config.toml")); err != nil {
			found, fix = append(found, ".coi.toml"), append(fix, "mkdir -p .coi", "mv .coi.toml .coi/config.toml")
		}
	}
	for _, p := range []struct{ old, to string }{
		{filepath.Join(f.Home.User, ".coi-profiles"), f.Home.Profiles()}, {filepath.Join(f.Workspace, ".coi-profiles"), ".coi/profiles"},
	} {
		if _, err := os.Lstat(p.old); err == nil {
			found, fix = append(found, f.Home.Shorten(p.old)), append(fix, "mv "+f.Home.Shorten(p.old)+" "+f.Home.Shorten(p.to))
		}
	}
	if len(found) > 0 {
		return warn("not read any more: "+strings.Join(found, ", "), strings.Join(fix, " && "))
	}
	return ok("none")
}

func activeContainers(f *facts.Facts) Result {
	return ok("%d running", len(f.Running())).with("running", len(f.Running()))
}

func savedSessions(f *facts.Facts) Result {
	n := len(sessionDirs(f))
	return ok("%d saved", n).with("saved", n)
}

func orphanedResources(f *facts.Facts) Result {
	var left []string
	for _, s := range f.Sessions {
		stale := s.Session.Supervisor != nil && run.StartTime(s.Session.Supervisor.PID) != s.Session.Supervisor.StartTime
		if s.Session.Phase != run.Ended && s.Session.Phase != "" && stale {
			left = append(left, s.Name+" has no supervisor")
		}
	}
	if f.IncusErr == nil && f.Incus.Reachable && f.Incus.Permitted {
		left = append(left, withoutContainer(f)...)
	}
	if len(left) > 0 {
		return warn(strings.Join(left, ", "), "coi clean --orphans").
			remedy(Remedy{Why: "leftovers of sessions that did not end in order", Command: []string{"coi", "clean", "--orphans", "--force"}})
	}
	return ok("none")
}

// withoutContainer are placeholders and agent links of containers that are gone.
func withoutContainer(f *facts.Facts) (left []string) {
	exists := map[string]bool{}
	for _, c := range f.Incus.Containers {
		exists[c.Name] = true
	}
	for _, s := range f.Sessions {
		// What a supervisor is about to do or to finish is no leftover.
		exists[s.Name] = exists[s.Name] || s.Session.Supervisor != nil && run.StartTime(s.Session.Supervisor.PID) == s.Session.Supervisor.StartTime
	}
	for _, kind := range []struct{ suffix, word string }{{".placeholders.json", "placeholders"}, {".agent", "agent link"}} {
		files, err := filepath.Glob(f.Home.Run("*" + kind.suffix))
		if err != nil {
			return left
		}
		for _, path := range files {
			if name := strings.TrimSuffix(filepath.Base(path), kind.suffix); !exists[name] {
				left = append(left, kind.word+" of "+name)
			}
		}
	}
	return left
}

func immutableLeftovers(f *facts.Facts) Result {
	names, err := run.Names(f.Home.Path("immutable-locks"), ".json")
	if err != nil {
		return skipped("%v", err)
	}
	running := map[string]bool{}
	for _, s := range f.Running() {
		running[s.Name] = true
	}
	var left []string
	for _, n := range names {
		if !running[n] {
			left = append(left, n)
		}
	}
	if len(left) > 0 {
		return warn("flags of ended sessions: "+strings.Join(left, ", "), "coi clean --orphans").
			remedy(Remedy{Why: "immutable files of sessions that are gone", Command: []string{"coi", "clean", "--orphans", "--force"}})
	}
	return ok("none")
}

func quarantine(f *facts.Facts) Result {
	dirs, err := filepath.Glob(f.Home.Path("storage", "quarantine", "*"))
	if err != nil || len(dirs) == 0 {
		return ok("empty")
	}
	return warn(fmt.Sprintf("%d sessions left changes in %s", len(dirs), f.Home.Shorten(f.Home.Path("storage", "quarantine"))), "look at MANIFEST.json there; it names each item and why")
}
