package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/build"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/guard"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/pick"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/plan"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/protect"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/record"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/save"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/study"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/supervise"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

type cleanCmd struct {
	workspaceFlag
	cli.Globals
	cli.Consent
	All       bool `short:"a" help:"Everything below, persistent stopped containers included."`
	Sessions  bool `help:"Saved sessions of the tool in use."`
	Orphans   bool `help:"What ended sessions left: containers, rules, placeholders, records."`
	Pools     bool `help:"Stopped containers in pools that no configuration names."`
	Forensics bool `help:"Copies for study that monitoring.forensics_on_kill kept."`
	DryRun    bool `help:"List only."`
}

func cleanCommand() cli.Command {
	return cli.Command{
		Verb: "clean", Summary: "remove what ended sessions left behind", Grammar: &cleanCmd{},
		Examples: []string{"coi clean", "coi clean --orphans --dry-run", "coi clean --forensics --dry-run"},
	}
}

// group is a kind of leftovers: each is listed, asked about once, and removed.
type group struct {
	title string
	items []string
	clear func(item string) error
}

// Run cleans.
func (x *cleanCmd) Run(c *cli.Context) error {
	d, err := openDesk(c, x.Workspace)
	if err != nil {
		return err
	}
	mine, err := d.mine()
	if err != nil {
		return err
	}
	groups, err := x.groups(d, mine)
	if err != nil {
		return err
	}
	nothing := true
	var failed error
	for _, g := range groups {
		if len(g.items) == 0 {
			continue
		}
		nothing = false
		if err := x.one(c, g); err != nil {
			failed = err
		}
	}
	if x.Orphans || x.All {
		said, err := x.guardOrphans(c)
		nothing = nothing && !said
		if err != nil && failed == nil {
			failed = err
		}
	}
	if err := x.flags(d); err != nil && failed == nil {
		failed = err
	}
	if nothing {
		c.Note("nothing to clean")
	}
	return failed
}

func (x *cleanCmd) one(c *cli.Context, g group) error {
	for _, item := range g.items {
		_, _ = fmt.Fprintf(c.Stdout, "%s: %s\n", g.title, cli.Escape(item))
	}
	if x.DryRun {
		return nil
	}
	if err := c.Ask(x.Consent, "remove %d %s?", len(g.items), g.title); err != nil {
		return err
	}
	var failed error
	for _, item := range g.items {
		if err := g.clear(item); err != nil {
			c.Warn(item + ": " + err.Error())
			failed = cli.Exit(coi.ExitFailed)
		}
	}
	return failed
}

func (x *cleanCmd) groups(d *desk, mine []incus.Instance) ([]group, error) {
	var ephemeral, persistent, pools []string
	named := d.poolsInUse()
	for _, i := range mine {
		if i.Running() {
			continue
		}
		switch {
		case i.Config[plan.KeyPersistent] != "true":
			ephemeral = append(ephemeral, i.Name)
		case x.All:
			persistent = append(persistent, i.Name)
		case x.Pools && !named[i.Devices["root"]["pool"]]:
			pools = append(pools, i.Name)
		}
	}
	end := func(do string) func(string) error {
		return func(name string) error {
			inst, err := d.door.Instance(d.c, name)
			if errors.Is(err, incus.ErrNotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			return d.bringToEnd(inst, record.Ask{Do: do})
		}
	}
	var groups []group
	if !x.Sessions && !x.Pools && !x.Forensics || x.Orphans || x.All {
		bases, err := d.keptBases()
		if err != nil {
			return nil, err
		}
		groups = append(groups, group{"stopped ephemeral containers", ephemeral, end(record.AskShutdown)}, bases)
	}
	groups = append(groups, group{"stopped persistent containers", persistent, end(record.AskKill)},
		group{"stopped containers in unnamed pools", pools, end(record.AskKill)})
	if x.Sessions || x.All {
		g, err := d.savedGroup()
		if err != nil {
			return nil, err
		}
		groups = append(groups, g)
	}
	if x.Forensics || x.All {
		g, err := d.copiesGroup()
		if err != nil {
			return nil, err
		}
		groups = append(groups, g)
	}
	if x.Orphans || x.All {
		groups = append(groups, d.orphanFiles(mine), d.orphanCopies())
	}
	return groups, nil
}

// keptBases are images without a name that builds of this home on this machine
// left when they failed. While a build runs they are its own.
func (d *desk) keptBases() (group, error) {
	g := group{title: "bases of failed builds", clear: func(fp string) error {
		if home.Held(build.LockPath(d.home)) {
			return errors.New("a build has begun since it was listed: it stays")
		}
		return d.door.DeleteImage(d.c, fp)
	}}
	if home.Held(build.LockPath(d.home)) {
		return g, nil
	}
	member, err := d.door.Member(d.c)
	if err != nil {
		return g, incusError(err, d.cfg.Incus.Group)
	}
	all, err := d.door.Images(d.c)
	if err != nil {
		return g, incusError(err, d.cfg.Incus.Group)
	}
	for _, img := range all {
		if build.Kept(img, d.home, member) {
			g.items = append(g.items, img.Fingerprint)
		}
	}
	return g, nil
}

// poolsInUse are the pools that the configuration names: its own, or Incus' default.
func (d *desk) poolsInUse() map[string]bool {
	out := map[string]bool{}
	if p, err := findPool(d.c, d.door, d.cfg.Container.StoragePool); err == nil {
		out[p.Name] = true
	}
	if p, err := findPool(d.c, d.door, ""); err == nil {
		out[p.Name] = true
	}
	return out
}

func (d *desk) savedGroup() (group, error) {
	all, _, err := save.List(d.cfg.Paths.SessionsDir)
	byID := map[string]save.Saved{}
	g := group{title: "saved sessions", clear: func(id string) error { return save.Delete(byID[id]) }}
	for _, s := range all {
		if s.Tool == d.cfg.Tool.Name {
			byID[s.SessionID] = s
			g.items = append(g.items, s.SessionID)
		}
	}
	return g, err
}

// copiesGroup are the copies for study of this user.
func (d *desk) copiesGroup() (group, error) {
	all, err := d.door.Instances(d.c)
	if err != nil {
		return group{}, incusError(err, d.cfg.Incus.Group)
	}
	g := group{title: "copies for study", clear: func(name string) error {
		inst, err := d.door.Instance(d.c, name)
		switch {
		case errors.Is(err, incus.ErrNotFound):
			return nil
		case err != nil:
			return err
		case inst.Running() || inst.Away != "" || !study.Mine(inst.Config, d.home):
			return errors.New("it was started, or is another container by now: it stays")
		}
		return d.door.Delete(d.c, name)
	}}
	for _, k := range copiesOf(pick.Here(all), d.home) {
		g.items = append(g.items, k.Name)
	}
	return g, nil
}

// reviveTime is how long clean waits for the supervisors that openDesk has
// started again: what they bring to an end is no orphan.
const reviveTime = 15 * time.Second

// awaitRevived waits until the sessions whose container is gone have ended.
func (d *desk) awaitRevived(exists map[string]bool) {
	ctx, stop := context.WithTimeout(d.c, reviveTime)
	defer stop()
	for _, name := range d.revived {
		if exists[name] {
			continue
		}
		// One that does not come to its end is cleaned up as it is.
		ended := false
		_ = run.Wait(ctx, record.Path(d.home, name), func([]byte) bool {
			r, err := record.Read(d.home, name)
			ended = err == nil && r.Ended != nil
			return ended || home.Missing(err)
		})
		if !ended {
			continue
		}
		if l, err := home.WaitLock(ctx, record.LockPath(d.home, name)); err == nil {
			l.Unlock()
		}
	}
}

// clearOrphan removes a file of a container that does not exist, unless a
// session has taken the name since it was listed.
func (d *desk) clearOrphan(name, p string) error {
	lock, err := home.TryLock(record.LockPath(d.home, name))
	if errors.Is(err, home.ErrLocked) {
		return nil // it has a supervisor again
	}
	if err != nil {
		return err
	}
	defer lock.Unlock()
	if _, err := os.Lstat(record.Path(d.home, name)); errors.Is(err, os.ErrNotExist) {
		defer func() { _ = os.Remove(record.LockPath(d.home, name)) }() // else it would stay for ever
	}
	if _, err := d.door.Instance(d.c, name); !errors.Is(err, incus.ErrNotFound) {
		return err
	}
	files := supervise.FilesOf(d.home, d.cfg.Paths.StorageDir, name, "")
	switch p {
	case files.Placeholders:
		if err := d.unlock(name); err != nil {
			return err
		}
		left, err := files.RemovePlaceholders(d.home, name)
		if _, kept := os.Lstat(p); err == nil && kept == nil {
			err = fmt.Errorf("placeholders stay in the workspace: %s", cli.Escape(strings.Join(left, ", ")))
		}
		return err
	case files.Baseline:
		return protect.DropBaseline(p, files.Copies)
	}
	if err := os.Remove(p); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil // its guard was faster
}

// orphanFiles are files of containers that do not exist any more and that no
// supervisor is about to finish.
func (d *desk) orphanFiles(mine []incus.Instance) group {
	exists := map[string]bool{}
	for _, i := range mine {
		exists[i.Name] = true
	}
	d.awaitRevived(exists)
	of := map[string]string{}
	g := group{title: "orphaned files", clear: func(p string) error { return d.clearOrphan(of[p], p) }}
	for _, suffix := range []string{
		run.NetFile, run.WatchFile, run.NetLocalFile, run.NetHoldFile, record.AskFile, ".agent", ".placeholders.json", ".baseline.json",
		// What guards say of a container, and do not take back when they died before it.
		run.NetStatusFile, run.NetViewFile, run.WatchStatusFile, run.WatchViewFile, run.WatchStateFile, run.WatchEventsFile,
	} {
		matches, _ := filepath.Glob(d.home.Run("*" + suffix))
		for _, p := range matches {
			name := strings.TrimSuffix(filepath.Base(p), suffix)
			if !coi.ValidContainer(name) || exists[name] || home.Held(record.LockPath(d.home, name)) {
				continue
			}
			// Somebody else's container of that exact name is no orphan of ours.
			if _, err := d.door.Instance(d.c, name); errors.Is(err, incus.ErrNotFound) {
				of[p] = name
				g.items = append(g.items, p)
			}
		}
	}
	return g
}

// orphanCopies are copies of workspaces that belong to snapshots of containers
// that do not exist any more.
func (d *desk) orphanCopies() group {
	g := group{title: "workspace copies of snapshots", clear: os.RemoveAll}
	dirs, _ := filepath.Glob(d.home.Path("storage", "snapshots", "*"))
	for _, p := range dirs {
		name := filepath.Base(p)
		if !coi.ValidContainer(name) {
			continue
		}
		if _, err := d.door.Instance(d.c, name); errors.Is(err, incus.ErrNotFound) {
			g.items = append(g.items, p)
		}
	}
	return g
}

// unlockTime is how long the monitor may take to start and to clear flags.
const unlockTime = 20 * time.Second

// unlock lets the monitor take back the immutable flags of a container that is
// gone: it does so when it starts, and it alone may.
func (d *desk) unlock(name string) error {
	flags := d.home.Path("immutable-locks", name+".json")
	if _, err := os.Lstat(flags); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if _, err := guard.Ensure(d.home, guard.Watcher, d.c.Getenv); err != nil {
		return fmt.Errorf("immutable flags: %w", err)
	}
	ctx, stop := context.WithTimeout(d.c, unlockTime)
	defer stop()
	if err := run.Wait(ctx, flags, func(b []byte) bool { return b == nil }); err != nil {
		return fmt.Errorf("immutable flags: the monitor did not clear them: %w", err)
	}
	return nil
}

// flags has immutable flags of containers that are gone taken back. They are
// nobody's wish any more, so nobody is asked.
func (x *cleanCmd) flags(d *desk) error {
	locks, _ := filepath.Glob(d.home.Path("immutable-locks", "*.json"))
	var failed error
	for _, p := range locks {
		name := strings.TrimSuffix(filepath.Base(p), ".json")
		if x.DryRun || !coi.ValidContainer(name) || home.Held(record.LockPath(d.home, name)) {
			continue
		}
		if _, err := d.door.Instance(d.c, name); !errors.Is(err, incus.ErrNotFound) {
			continue
		}
		if err := d.unlock(name); err != nil {
			d.c.Warn(name+": "+err.Error(), "sudo chattr -R -i DIRECTORY")
			failed = cli.Exit(coi.ExitFailed)
		}
	}
	return failed
}

// guardOrphans lets the firewall look for rules without a container: first what
// there is, then, when the answer is yes, it takes that away.
func (x *cleanCmd) guardOrphans(c *cli.Context) (said bool, err error) {
	path, err := besides("coi-netguard")
	if err != nil {
		return false, nil //nolint:nilerr // without the guard there are no rules of it to be removed here
	}
	found, err := guardClean(c, path, "--dry-run")
	if err != nil {
		return true, err
	}
	for _, line := range found {
		_, _ = fmt.Fprintln(c.Stdout, "guard: "+cli.Escape(line))
	}
	if len(found) == 0 || x.DryRun {
		return len(found) > 0, nil
	}
	if err := c.Ask(x.Consent, "remove %d things of the firewall?", len(found)); err != nil {
		return true, err
	}
	_, err = guardClean(c, path, "--force")
	return true, err
}

// guardClean runs the firewall's own clean and gives its lines.
func guardClean(c *cli.Context, path, flag string) (lines []string, err error) {
	args := []string{"clean", "--orphans", flag}
	out, err := exec.CommandContext(c, path, args...).CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil {
		return nil, cli.Fail(coi.ExitFailed, "guard rules: %s", cli.Escape(text)).Hint("sudo %s", strings.Join(append([]string{path}, args...), " "))
	}
	for line := range strings.Lines(text) {
		if !strings.Contains(line, "nothing") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines, nil
}

// besides is a program of the house beside our own executable.
func besides(name string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	if self, err = filepath.EvalSymlinks(self); err != nil {
		return "", err
	}
	p := filepath.Join(filepath.Dir(self), name)
	_, err = os.Stat(p)
	return p, err
}
