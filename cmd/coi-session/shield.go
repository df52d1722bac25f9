package main

import (
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/beneath"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/gitin"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/launch"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/mask"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/mount"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/plan"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/protect"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/record"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/supervise"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// shield is what keeps the workspace from becoming a way to the host.
type shield struct {
	protect *protect.Plan
	masks   *mask.Set
	git     *gitin.Git
	common  *beneath.Root
	mounts  []run.WatchMount // of locks and anchors
	places  *home.Lock       // from planning placeholders to having made them
}

func (s *shield) close() {
	if s == nil {
		return
	}
	s.places.Unlock()
	if s.common != nil {
		_ = s.common.Close()
	}
}

// shieldWorkspace computes locks, masks and git's part. It changes nothing in
// the workspace; placeholders come with raise.
func (b *begin) shieldWorkspace(in *plan.Input, wt *mount.Worktree) error {
	s := &shield{}
	b.shield = s
	sec := b.cfg.Security
	var err error
	if s.masks, err = mask.New(sec.SecretPaths); err != nil {
		return err
	}
	host := gitin.HostIdentity(b.c, b.home.User)
	if s.places, err = supervise.LockPlaces(b.c, b.home, b.ws.Root.Path()); err != nil {
		return err
	}
	want := protect.Config{
		Workspace: protect.Tree{Root: b.ws.Root, Inside: in.Inside}, Protected: sec.Protected(), Watched: sec.Watched(),
		Writable: sec.WritablePaths, HooksPaths: slices.DeleteFunc([]string{host.HooksPath}, func(p string) bool { return p == "" }),
		Manifests: supervise.Placed(b.home, b.container), Disabled: sec.DisableProtection, Strict: sec.StrictProtection,
		FreeHooks: b.cfg.Git.WritableHooks, Also: s.masks.See,
	}
	if wt != nil && !beneath.Below(wt.Common, b.ws.Path) {
		if s.common, err = beneath.Open(wt.Common); err != nil {
			return err
		}
		want.Common = &protect.Tree{Root: s.common, Inside: wt.Common}
	}
	s.protect = protect.Compute(want)
	for _, w := range s.protect.Warnings {
		b.c.Warn(w)
	}
	if err := s.protect.Err(); err != nil {
		return err
	}
	if err := s.masks.Follow(b.ws.Root, in.Inside); err != nil {
		return err
	}
	b.tellMasks()
	if err := in.Mounts.Cover(append(s.protect.Locks(), s.masks.Locks(b.home.Path("masks"))...)); err != nil {
		return err
	}
	if err := b.gitInside(in, host); err != nil {
		return err
	}
	return b.shieldDevices(in)
}

func (b *begin) tellMasks() {
	for _, w := range b.shield.masks.Tracked(b.ws.Root) {
		b.c.Warn(w)
	}
	if len(b.cfg.Security.SecretPaths) > 0 && len(b.shield.masks.Covers()) == 0 {
		b.c.Note("security.secret_paths matches nothing in this workspace yet")
	}
}

func (b *begin) gitInside(in *plan.Input, host gitin.Host) error {
	g := b.cfg.Git
	git, err := gitin.New(gitin.Config{
		Name: g.Name, Email: g.Email, Seed: g.SeedHostIdentity, ReadOnly: g.ReadOnly, Strip: g.StripAttribution,
		Patterns: g.StripAttributionPatterns, Branches: g.ProtectedBranches, Host: host, Workspace: in.Inside, Home: in.UIDs.Home,
		Excludes: b.shield.protect.Excludes(), IdentityDir: b.home.Path("git-identity"),
	})
	if err != nil {
		return err
	}
	b.shield.git = git
	maps.Copy(b.env, git.Env)
	return nil
}

func (b *begin) shieldDevices(in *plan.Input) error {
	s := b.shield
	devices, err := s.protect.Devices()
	if err != nil {
		return err
	}
	for _, set := range []map[string]map[string]string{devices, s.masks.Devices(in.Inside, b.home.Path("masks")), s.git.Devices} {
		maps.Copy(in.Extra, set)
	}
	in.Locked = s.protect.LockedInside()
	for _, c := range s.masks.Covers() {
		in.Locked = append(in.Locked, in.Inside+"/"+c.Path)
	}
	in.Secrets = b.cfg.Security.SecretPaths
	return nil
}

// raise makes the placeholders, manifest first, takes the baseline and adds to
// the spec what came of it. It is the last step of planning; lower undoes it.
func (b *begin) raise(in plan.Input, spec *launch.Spec) error {
	s, files := b.shield, supervise.FilesOf(b.home, b.cfg.Paths.StorageDir, b.container, in.SessionID)
	err := b.place(in, files)
	s.places.Unlock()
	if err != nil {
		b.lower()
		return err
	}
	spec.Files = append(spec.Files, s.git.Files...)
	spec.Script += s.git.Script
	p := &spec.Record.Plan
	p.Protected = s.protect.Summary()
	p.Saves = b.usesTool()
	p.OwnerUID, p.OwnerGID, p.Secrets = in.UIDs.UID, in.UIDs.GID, b.cfg.Security.SecretPaths
	for _, src := range in.Mounts.Sources {
		if d := in.Mounts.Devices[src.Device]; src.Device != "workspace" && src.Rel == "" && d["readonly"] != "true" {
			p.Writable = append(p.Writable, src.Path)
		}
	}
	if b.cfg.Security.HostImmutable {
		spec.Watch.Immutable = append(spec.Watch.Immutable, s.protect.Immutable()...)
	}
	if in.Monitor != launch.Off {
		spec.Watch.Mounts = append(spec.Watch.Mounts, s.mounts...)
	}
	reopen := spec.Reopen
	spec.Reopen = func() error {
		if err := protect.Verify(s.mounts); err != nil || reopen == nil {
			return err
		}
		return reopen()
	}
	if b.shell != nil {
		b.c.Note(p.Protected)
	}
	return nil
}

func (b *begin) place(in plan.Input, f supervise.Files) error {
	p := b.shield.protect
	if err := p.Manifest(f.Placeholders); err != nil {
		return err
	}
	if err := p.Place(in.UIDs.UID, in.UIDs.GID); err != nil {
		return err
	}
	warnings, err := p.Record(f.Baseline, f.Copies, b.container, in.SessionID)
	if err != nil {
		return err
	}
	for _, w := range warnings {
		b.c.Warn(w)
	}
	b.shield.mounts, err = p.Watch()
	return err
}

// lower takes the placeholders of a start that failed away again. Where the
// supervisor did so already there is nothing to do.
func (b *begin) lower() {
	if b.shield == nil {
		return
	}
	f := supervise.FilesOf(b.home, b.cfg.Paths.StorageDir, b.container, "")
	if left, err := f.Clear(b.home, b.container); err != nil || len(left) > 0 {
		b.c.Warn("placeholders are left in the workspace: "+strings.Join(left, ", "), "coi clean")
	}
}

// clearLeftovers takes away placeholders of containers that are gone, as after
// a crash of the host.
func (b *begin) clearLeftovers() {
	for _, name := range supervise.Leftover(b.home) {
		rec, err := record.Read(b.home, name)
		if err == nil && rec.Ended == nil {
			continue // its supervisor does it
		}
		f := supervise.FilesOf(b.home, b.cfg.Paths.StorageDir, name, "")
		if _, err := f.Clear(b.home, name); err != nil && !os.IsNotExist(err) {
			b.c.Warn("placeholders of " + name + ": " + err.Error())
		}
	}
}
