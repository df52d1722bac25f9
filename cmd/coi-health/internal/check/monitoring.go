package check

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-health/internal/facts"
	"github.com/code-on-incus/coi/pkg/config"
	"github.com/code-on-incus/coi/pkg/home"
)

func monitoring() []Check {
	const g = "monitoring"
	return []Check{
		{"watch", g, "the monitor runs", watcher},
		{"watched", g, "running containers are watched", watched},
		{"sensors", g, "sensors", sensors},
		{"freezer", g, "freezing works", freezer},
		{"patterns", g, "rule files", patterns},
		{"monitoring_configuration", g, "settings", monitoringConfiguration},
		{"frozen_containers", g, "containers waiting for a decision", frozen},
		{"audit_directory", g, "audit directory", auditDirectory},
		{"audit_chain", g, "audit trails verify", auditChain},
		{"cgroup", g, "control groups", cgroup},
		{"clock_writers", g, "record times", clockWriters},
	}
}

const watchHint = "systemctl enable --now coi-watch@$USER, or run a session as root to have it started"

func hasFileCaps(path string) bool {
	n, err := unix.Getxattr(path, "security.capability", nil)
	return err == nil && n > 0
}

func insists(f *facts.Facts) bool {
	return f.Config != nil && f.Config.Monitoring.Enabled != nil && *f.Config.Monitoring.Enabled
}

func watcher(f *facts.Facts) Result {
	if f.Config != nil && f.Config.Monitoring.Enabled != nil && !*f.Config.Monitoring.Enabled {
		return warn("monitoring is switched off", "remove monitoring.enabled = false")
	}
	if f.Watcher == nil || !f.Watcher.Alive(f.Now) {
		if len(f.Running()) == 0 && startsItself(f, "coi-watch") {
			return ok("not running; the next session starts it")
		}
		if insists(f) {
			return failed("not running, and monitoring.enabled = true is written", watchHint).unit(f, "coi-watch")
		}
		return warn("not running: sessions are not monitored", watchHint).unit(f, "coi-watch")
	}
	if f.Watcher.Weak != "" && insists(f) {
		return failed("monitoring.enabled = true is written, and the monitor cannot do its work: "+f.Watcher.Weak, "coi health --fix")
	}
	if len(f.Watcher.Problems) > 0 {
		return warn(strings.Join(f.Watcher.Problems, "; "), "coi watch status")
	}
	r := ok("pid %d: %s", f.Watcher.PID, strings.Join(f.Watcher.Sources, ", "))
	if byHand(f, "coi-watch") {
		r = warn("started by hand: it is gone after the next start of the machine", watchHint).unit(f, "coi-watch")
	}
	return r
}

func watched(f *facts.Facts) Result {
	if f.Config != nil && f.Config.Monitoring.Enabled != nil && !*f.Config.Monitoring.Enabled {
		return skipped("monitoring is switched off")
	}
	var bad []string
	running := f.Running()
	for _, s := range running {
		switch {
		case s.Watch == nil:
			continue // this session was started without monitoring, and said so
		case s.Watched == nil || !s.Watched.Armed:
			bad = append(bad, s.Name+" is not armed")
		case s.Watched.Generation < s.Watch.Generation:
			bad = append(bad, s.Name+" is armed with older settings")
		}
	}
	if len(bad) > 0 {
		return failed(strings.Join(bad, "; "), "coi watch status")
	}
	return ok("%d running", len(running))
}

func sensors(f *facts.Facts) Result {
	if f.Watcher == nil || !f.Watcher.Alive(f.Now) {
		return skipped("the monitor does not run")
	}
	r := ok("%s", strings.Join(f.Watcher.Sources, ", "))
	var lost uint64
	problems := slices.Clone(f.Watcher.Problems)
	for _, s := range f.Running() {
		if s.Watched == nil {
			continue
		}
		lost += s.Watched.Lost
		for _, p := range s.Watched.Problems {
			if !slices.Contains(problems, p) && !ofRules(p) {
				problems = append(problems, s.Name+": "+p)
			}
		}
	}
	if lost > 0 {
		problems = append([]string{fmt.Sprintf("%d events lost by running sessions", lost)}, problems...)
	}
	if len(problems) > 0 {
		r = warn(strings.Join(problems, "; "), sensorHint(problems))
	}
	tiers := map[string]string{}
	for _, source := range f.Watcher.Sources {
		name, tier, _ := strings.Cut(source, ":")
		tiers[name] = tier
	}
	return r.with("lost", lost).with("sensors", tiers)
}

// sensorHint is the right or the kernel option that the first of the problems
// speaks of.
func sensorHint(problems []string) string {
	for _, p := range problems {
		switch {
		case strings.Contains(p, "CAP_"):
			return "systemctl enable --now coi-watch@$USER gives the monitor its capabilities"
		case strings.Contains(p, "BTF") || strings.Contains(p, "bpf"):
			return "install a kernel with CONFIG_DEBUG_INFO_BTF and CONFIG_BPF_EVENTS"
		case strings.Contains(p, "inotify"):
			return "install a kernel with CONFIG_FANOTIFY, or give the monitor CAP_SYS_ADMIN"
		}
	}
	return "coi watch status"
}

// freezer repeats what the monitor found when it started: it freezes an empty
// group of its own then.
func freezer(f *facts.Facts) Result {
	if f.Watcher == nil || !f.Watcher.Alive(f.Now) {
		return skipped("the monitor does not run")
	}
	tried := f.Watcher.Freezer
	took := time.Duration(tried.US) * time.Microsecond
	const hint = "systemctl restart coi-watch@$USER, which has the right to freeze"
	switch {
	case tried.TriedAt.IsZero():
		return skipped("this monitor has not tried it")
	case tried.Error != "":
		return failed("freezing an empty group failed: "+tried.Error, hint)
	case took > slowFreeze:
		return warn(fmt.Sprintf("freezing and thawing an empty group took %s", took), "coi watch status; a busy machine freezes late").with("us", tried.US)
	}
	return ok("an empty group was frozen and thawed in %s at %s", took, tried.TriedAt.Format(time.TimeOnly)).with("us", tried.US)
}

const slowFreeze = 20 * time.Millisecond

// oldRules is when a collection of rules that is fetched from elsewhere is old.
const oldRules = 90 * 24 * time.Hour

func patterns(f *facts.Facts) Result {
	if f.Config == nil {
		return skipped("no configuration")
	}
	n := 0
	var old []string
	for _, set := range []struct {
		dir     string
		fetched bool
	}{{f.Config.Detection.SigmaDir, true}, {f.Config.Detection.GTFOBinsDir, true}, {f.Config.Detection.PatternsDir, false}} {
		dir := f.Home.Expand(set.dir)
		files, newest := ruleFiles(dir)
		n += files
		if set.fetched && files > 0 && f.Now.Sub(newest) > oldRules {
			old = append(old, fmt.Sprintf("%s is %d days old", f.Home.Shorten(dir), int(f.Now.Sub(newest)/(24*time.Hour))))
		}
	}
	var bad []string
	unsupported := map[string]bool{}
	for _, s := range f.Running() {
		if s.Watched == nil {
			continue
		}
		for _, p := range s.Watched.Problems {
			switch {
			case strings.HasPrefix(p, "sigma:"):
				unsupported[p] = true // of a collection that uses more than one program can see
			case ofRules(p) && !slices.Contains(bad, p):
				bad = append(bad, p)
			}
		}
	}
	r := ok("%d rule files", n)
	switch {
	case len(bad) > 0:
		r = warn(strings.Join(bad, "; "), "coi watch rules; mend the file, or coi update patterns")
	case len(old) > 0:
		r = warn(strings.Join(old, "; "), "coi update patterns")
	case n == 0:
		r = ok("built-in detectors only")
	}
	return r.with("files", n).with("unsupported", len(unsupported))
}

// ofRules reports whether a problem of the monitor is one of a rule file.
func ofRules(problem string) bool {
	return strings.HasPrefix(problem, "sigma:") || strings.HasPrefix(problem, "pattern:")
}

// ruleFiles counts the files below a directory and says when it was last changed.
func ruleFiles(dir string) (n int, newest time.Time) {
	_ = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // a directory that is not there has no files
		}
		if st, err := d.Info(); err == nil && st.ModTime().After(newest) {
			newest = st.ModTime()
		}
		if d.Type().IsRegular() {
			n++
		}
		return nil
	})
	return n, newest
}

func monitoringConfiguration(f *facts.Facts) Result {
	if f.Config == nil {
		return skipped("no configuration")
	}
	m := f.Config.Monitoring
	var odd []string
	if m.Enabled != nil && !*m.Enabled {
		odd = append(odd, "enabled = false")
	}
	if !m.AutoPauseOnHigh {
		odd = append(odd, "auto_pause_on_high = false")
	}
	if !m.AutoKillOnCritical {
		odd = append(odd, "auto_kill_on_critical = false")
	}
	for _, limit := range limits(m) {
		// 0 is off where it is allowed.
		if limit.have == 0 || limit.have > 10*limit.shipped {
			odd = append(odd, fmt.Sprintf("%s = %g", limit.key, limit.have))
		}
	}
	if m.AuditLogRetentionDays < 7 {
		odd = append(odd, fmt.Sprintf("audit_log_retention_days = %d", m.AuditLogRetentionDays))
	}
	if len(odd) > 0 {
		return warn("weaker than the defaults: "+strings.Join(odd, ", "), "coi config show --origin monitoring")
	}
	return ok("as shipped or stricter")
}

type limit struct {
	key           string
	have, shipped float64
}

// limits are the thresholds above which something is found, and what coi ships.
func limits(have config.Monitoring) []limit {
	all := []limit{
		{key: "file_read_threshold_mb", have: have.FileReadThresholdMB},
		{key: "file_read_rate_mb_per_sec", have: have.FileReadRateMBPerSec},
		{key: "process_count_threshold", have: float64(have.ProcessCountThreshold)},
		{key: "process_spawn_rate_threshold", have: float64(have.ProcessSpawnRateThreshold)},
		{key: "upload_warn_mb", have: float64(have.UploadWarnMB)},
		{key: "upload_high_mb", have: float64(have.UploadHighMB)},
	}
	for i := range all {
		row, _ := config.Lookup("monitoring." + all[i].key)
		switch d := row.Default.(type) {
		case float64:
			all[i].shipped = d
		case int64:
			all[i].shipped = float64(d)
		}
	}
	return all
}

func frozen(f *facts.Facts) Result {
	var words []string
	for _, s := range f.Running() {
		if s.Watched != nil && s.Watched.Frozen != nil {
			words = append(words, s.Name+" ("+s.Watched.FrozenTitle+")")
		}
	}
	if len(words) > 0 {
		return warn("waiting for you: "+strings.Join(words, ", "), "coi why NAME; then coi unfreeze NAME, coi watch allow FINDING or coi kill NAME")
	}
	return ok("none")
}

func auditDirectory(f *facts.Facts) Result {
	dir := f.Home.Audit()
	st, err := os.Lstat(dir)
	switch {
	case os.IsNotExist(err):
		return ok("none yet")
	case err != nil:
		return failed(err.Error(), "check the owner of "+dir)
	case !st.IsDir():
		return failed(dir+" is not a directory of its own", "move it away")
	}
	if alien := foreignFiles(dir, f.Home.UID); len(alien) > 0 {
		return failed("not yours: "+strings.Join(alien, ", "), fmt.Sprintf("sudo chown -hR %d %s", f.Home.UID, dir))
	}
	if bad := loose(dir); len(bad) > 0 {
		return failed("others may read or write "+strings.Join(bad, ", "), "chmod -R go= "+dir).
			remedy(Remedy{Why: "private audit files", Command: []string{"chmod", "-R", "go=", dir}})
	}
	if sp, err := f.Space(dir); err == nil && sp.Free < 1<<30 && sp.Free*20 < sp.Total {
		return warn(fmt.Sprintf("%d MiB left", sp.Free>>20), "free some space")
	}
	return ok("private")
}

// foreignFiles are entries of a directory that belong to somebody else.
func foreignFiles(dir string, uid int) []string {
	var bad []string
	_ = filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // what cannot be read is reported by other checks
		}
		if st, err := d.Info(); err == nil && len(bad) < 5 {
			if sys, isUnix := st.Sys().(*syscall.Stat_t); isUnix && int(sys.Uid) != uid {
				bad = append(bad, p)
			}
		}
		return nil
	})
	return bad
}

// loose names entries of a directory, itself included, that the group or others
// may touch or that are neither plain files nor folders.
func loose(dir string) []string {
	var bad []string
	_ = filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // what cannot be read is reported by other checks
		}
		st, err := d.Info()
		if err == nil && (st.Mode().Perm()&0o077 != 0 || st.Mode()&os.ModeType&^os.ModeDir != 0) && len(bad) < 5 {
			bad = append(bad, p)
		}
		return nil
	})
	return bad
}

func auditChain(f *facts.Facts) Result {
	names, err := filepath.Glob(f.Home.Audit("*.jsonl"))
	if err != nil {
		return failed(err.Error(), "")
	}
	ctx, cancel := context.WithTimeout(context.Background(), each)
	defer cancel()
	n := 0
	for _, path := range names {
		container := strings.TrimSuffix(filepath.Base(path), ".jsonl")
		if strings.Contains(container, ".") {
			continue // an older part, verified with its trail
		}
		if out, err := facts.Tool(ctx, f.Exec, "coi-audit", "verify", container); err != nil {
			return failed(container+": "+strings.TrimSpace(string(out)+" "+err.Error()), "coi audit verify "+container)
		}
		n++
	}
	return ok("%d trails", n)
}

func cgroup(f *facts.Facts) Result {
	if f.Exists("/sys/fs/cgroup/cgroup.controllers") {
		return ok("unified")
	}
	if f.Exists("/sys/fs/cgroup/unified/cgroup.procs") {
		return warn("hybrid: freezing is rewritten until it holds, swap is not limited", "boot with systemd.unified_cgroup_hierarchy=1")
	}
	return warn("version 1 only: counters and freezer by version 1", "boot with systemd.unified_cgroup_hierarchy=1")
}

func clockWriters(f *facts.Facts) Result {
	names, err := filepath.Glob(f.Home.Audit("*.jsonl"))
	if err != nil {
		return failed(err.Error(), "")
	}
	for _, path := range names {
		if at, found := lastRecord(path); found && at.After(f.Now.Add(time.Minute)) {
			return warn(fmt.Sprintf("%s has a record of %s", filepath.Base(path), at.Format(time.RFC3339)), "check the clock")
		}
	}
	return ok("none from the future")
}

// lastRecord is the time of the last whole record of a trail.
func lastRecord(path string) (at time.Time, found bool) {
	const tail = 256 << 10
	file, err := home.Open(path)
	if err != nil {
		return at, false
	}
	defer func() { _ = file.Close() }()
	if st, err := file.Stat(); err == nil && st.Size() > tail {
		if _, err := file.Seek(-tail, io.SeekEnd); err != nil {
			return at, false
		}
	}
	text, err := home.ReadCapped(file, tail)
	if err != nil {
		return at, false
	}
	for line := range bytes.Lines(text) {
		var record struct {
			TS time.Time `json:"ts"`
		}
		if json.Unmarshal(line, &record) == nil && !record.TS.IsZero() {
			at, found = record.TS, true
		}
	}
	return at, found
}
