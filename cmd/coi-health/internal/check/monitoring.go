package check

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-health/internal/facts"
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
	return ok("pid %d: %s", f.Watcher.PID, strings.Join(f.Watcher.Sources, ", "))
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
	for _, s := range f.Running() {
		if s.Watched != nil {
			lost += s.Watched.Lost
		}
	}
	if lost > 0 || len(f.Watcher.Problems) > 0 {
		r = warn(fmt.Sprintf("%d events lost; %s", lost, strings.Join(f.Watcher.Problems, "; ")), "coi watch status")
	}
	return r.with("lost", lost).with("sources", f.Watcher.Sources)
}

func freezer(f *facts.Facts) Result {
	if f.Watcher == nil || !f.Watcher.Alive(f.Now) {
		return skipped("the monitor does not run")
	}
	for _, p := range f.Watcher.Problems {
		if strings.Contains(p, "freez") {
			return failed(p, "coi watch status")
		}
	}
	return ok("tried by the monitor at its start")
}

func patterns(f *facts.Facts) Result {
	if f.Config == nil {
		return skipped("no configuration")
	}
	n := 0
	for _, dir := range []string{f.Config.Detection.SigmaDir, f.Config.Detection.GTFOBinsDir, f.Config.Detection.PatternsDir} {
		_ = filepath.WalkDir(f.Home.Expand(dir), func(_ string, d os.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				n++
			}
			return nil
		})
	}
	if n == 0 {
		return ok("built-in detectors only")
	}
	return ok("%d rule files", n).with("files", n)
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
	if m.FileReadThresholdMB > 500 {
		odd = append(odd, fmt.Sprintf("file_read_threshold_mb = %g", m.FileReadThresholdMB))
	}
	if m.AuditLogRetentionDays < 7 {
		odd = append(odd, fmt.Sprintf("audit_log_retention_days = %d", m.AuditLogRetentionDays))
	}
	if len(odd) > 0 {
		return warn("weaker than the defaults: "+strings.Join(odd, ", "), "coi config show --origin monitoring")
	}
	return ok("as shipped or stricter")
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
		return failed(dir+" is not a directory", "move it away")
	}
	if bad := loose(dir); len(bad) > 0 {
		return failed("others may read or write "+strings.Join(bad, ", "), "chmod -R go= "+dir).
			remedy(Remedy{Why: "private audit files", Command: []string{"chmod", "-R", "go=", dir}})
	}
	var fs unix.Statfs_t
	if unix.Statfs(dir, &fs) == nil {
		free := fs.Bavail * uint64(fs.Bsize)
		if free < 1<<30 && fs.Bavail*20 < fs.Blocks {
			return warn(fmt.Sprintf("%d MiB left", free>>20), "free some space")
		}
	}
	return ok("private")
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
		st, err := os.Lstat(path)
		if err == nil && st.ModTime().After(f.Now.Add(time.Minute)) {
			return warn(home.Home{}.Shorten(filepath.Base(path))+" was written in the future", "check the clock")
		}
	}
	return ok("none from the future")
}
