package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/launch"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/mount"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/plan"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/proxy"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/save"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/supervise"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/tool"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/uidmap"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/config"
	"github.com/code-on-incus/coi/pkg/home"
)

// begin is a session on its way from the typed command to a running container.
type begin struct {
	c     *cli.Context
	flags *sessionFlags
	shell *shellCmd // nil for other verbs
	kind  string
	tmux  bool
	argv  []string // of the tool
	// chosen looks at the rest of the command line once the configuration is read.
	chosen func() error
	prompt []byte // of a headless run; nil: none

	shield   *shield
	row      tool.Tool
	context  string // text of SANDBOX_CONTEXT.md
	ports    []proxy.Published
	warnings []string // for the record

	home     home.Home
	cfg      *config.Config
	ws       *mount.Workspace
	identity string
	door     *incus.Client
	image    incus.Image
	pool     incus.Pool
	env      map[string]string // from the host
	line     timeline

	slot      int
	container string      // set before the start for a container with a name of its own
	storage   string      // pool that was typed
	saved     *save.Saved // session to resume
	wishSlot  int         // slot that it had
	running   string      // container in which it runs already
	old       *incus.Instance
	tree      *incus.Files // of the stopped container that is used again
}

// start does steps 1 to 18 of a launch.
func (b *begin) start() (*launch.Live, error) {
	b.line.begin(b.c.Getenv)
	if err := b.flags.check(); err != nil {
		return nil, err
	}
	if err := b.settings(); err != nil {
		return nil, err
	}
	if err := b.machine(); err != nil {
		return nil, err
	}
	defer func() { _ = b.ws.Close() }()
	supervise.Revive(b.home)
	if name, err := b.stillRunning(); err != nil || name != "" {
		b.running = name
		return nil, err
	}
	ident, err := home.WaitLock(b.c, b.home.Run(coi.Hash8(b.identity)+".lock"))
	if err != nil {
		return nil, err
	}
	defer ident.Unlock()
	choose := b.chooseSlot
	if b.container != "" {
		choose = b.takeName
	}
	lock, err := choose()
	if err != nil {
		return nil, err
	}
	b.line.mark("slot chosen")
	for _, check := range []func() error{b.keepAlias, b.killed, b.stale} {
		if err := check(); err != nil {
			lock.Unlock()
			return nil, err
		}
	}
	b.clearLeftovers()
	spec, err := b.spec()
	// Incus ends all file sessions of an instance before it starts it and waits
	// for each to close (incusd, stopForkfile): an open one would wait for ever.
	b.closeTree()
	defer b.shield.close()
	if err != nil {
		lock.Unlock()
		return nil, err
	}
	b.secrets(&spec)
	spec.Files = append(spec.Files, enterFiles(spec.Env, spec.Record.Plan.UID)...)
	b.line.mark("planned")
	live, err := launch.Launch(b.c, launch.Env{
		Door: b.door, Home: b.home, Getenv: b.c.Getenv, Lock: lock,
		Created: ident.Unlock, Warn: b.c.Warn, Mark: b.line.mark,
	}, spec)
	if err != nil {
		b.lower()
		return nil, b.explain(err)
	}
	return live, nil
}

// settings reads the configuration of the workspace.
func (b *begin) settings() error {
	h, err := b.c.Home()
	if err != nil {
		return err
	}
	b.home = h
	for _, dir := range []string{h.Run(), h.Logs(), h.Path("masks")} {
		corrected, err := h.Ensure(dir)
		if err != nil {
			return err
		}
		for _, d := range corrected {
			b.c.Note(d + " was open to others: its mode is 0700 now")
		}
	}
	if err := maskSources(h); err != nil {
		return err
	}
	if err := b.byAlias(); err != nil {
		return err
	}
	if b.ws, err = mount.OpenWorkspace(b.flags.Workspace, b.mountEnv()); err != nil {
		return err
	}
	if err := b.wholeHome(); err != nil {
		return err
	}
	if b.cfg, err = loadConfig(b.c, h, b.ws.Path, b.flags); err != nil {
		return err
	}
	b.cfg.Tell(b.c)
	if b.shell != nil {
		b.tmux = b.shell.Background || b.cfg.Shell.UseTmux && !b.shell.NoTmux || b.shell.Tmux
	}
	b.identity = b.ws.Path
	if name := b.cfg.Container.SessionName; name != "" {
		b.identity = coi.SessionIdentity(name)
	}
	if err := b.findSaved(); err != nil {
		return err
	}
	b.line.mark("configuration read")
	if b.chosen != nil {
		return b.chosen()
	}
	return nil
}

func (b *begin) closeTree() {
	if b.tree != nil {
		_ = b.tree.Close()
		b.tree = nil
	}
}

func (b *begin) mountEnv() mount.Env {
	env := mount.Env{
		Coi: []string{b.home.Dir}, Masks: b.home.Path("masks"), Owner: os.Getuid(), Group: os.Getgid(),
		Incus: []string{incus.SocketPath(b.c.Getenv), "/var/lib/incus"},
	}
	if b.home.Custom != "" {
		env.Coi = append(env.Coi, b.home.Path("..", ".coi"))
		env.Coi[1] = b.home.User + "/.coi"
	}
	return env
}

// maskSources are the empty file and directory that cover things inside.
func maskSources(h home.Home) error {
	dir, file := h.Path("masks", "empty-dir"), h.Path("masks", "empty-file")
	if err := os.Mkdir(dir, 0o555); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o444)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// machine asks Incus all that the plan needs to know, at the same time.
func (b *begin) machine() error {
	door, err := openDoor(b.c, b.cfg)
	if err != nil {
		return err
	}
	b.door = door
	g, ctx := errgroup.WithContext(b.c)
	g.Go(func() error { return supportedIncus(ctx, door, b.cfg.Incus.Member) })
	g.Go(func() (err error) { b.image, err = door.Image(ctx, b.cfg.Container.Image); return b.noImage(err) })
	g.Go(func() (err error) { b.pool, err = findPool(ctx, door, b.poolName()); return err })
	g.Go(func() (err error) {
		var missing []string
		b.env, missing, err = plan.HostEnv(ctx, b.cfg, os.LookupEnv)
		for _, name := range missing {
			b.c.Warn("forward_env: " + name + " is not set")
		}
		return err
	})
	err = g.Wait()
	b.line.mark("Incus asked")
	if errors.Is(err, errNoImage) {
		// The other questions were given up with it.
		if err := b.missingImage(); err != nil {
			return err
		}
		return b.machine()
	}
	return err
}

func (b *begin) poolName() string {
	if b.storage != "" {
		return b.storage
	}
	return b.cfg.Container.StoragePool
}

func (b *begin) noImage(err error) error {
	switch {
	case errors.Is(err, incus.ErrNotFound) && b.old != nil:
		return nil // a container that exists does not need its image any more
	case errors.Is(err, incus.ErrNotFound):
		return errNoImage
	}
	return err
}

// errNoImage says that the image has to be built first.
var errNoImage = errors.New("no such image")

func findPool(ctx context.Context, door *incus.Client, name string) (incus.Pool, error) {
	if name == "" {
		devices, err := door.DefaultDevices(ctx)
		if err != nil {
			return incus.Pool{}, err
		}
		for _, d := range devices {
			if d["type"] == "disk" && d["path"] == "/" {
				name = d["pool"]
			}
		}
	}
	if name == "" {
		name = "default"
	}
	p, err := door.Pool(ctx, name)
	if !errors.Is(err, incus.ErrNotFound) {
		return p, err
	}
	all, err := door.Pools(ctx)
	if err != nil {
		return p, err
	}
	names := make([]string, len(all))
	for i, q := range all {
		names[i] = q.Name
	}
	return p, cli.Fail(coi.ExitFailed, "storage pool %s does not exist (there are: %v)", cli.Escape(name), names).Hint("set container.storage_pool")
}

// spec puts the plan of this session together.
func (b *begin) spec() (launch.Spec, error) {
	in := plan.Input{
		Home: b.home, Config: b.cfg, Workspace: b.ws, Identity: b.identity, Slot: b.slot, Container: b.container,
		Kind: b.kind, SessionID: b.sessionID(), Tmux: b.tmux, Image: b.image, Pool: b.pool, Socket: b.door.Socket, Old: b.old,
		Alias: b.cfg.Container.Alias,
	}
	wt, warning := mount.FindWorktree(b.ws)
	if warning != "" {
		b.c.Warn(warning)
	}
	inside, warning, err := b.ws.Inside(b.cfg.Paths.PreserveWorkspacePath, wt)
	if err != nil {
		return launch.Spec{}, err
	}
	if warning != "" {
		b.c.Warn(warning)
	}
	in.Inside = inside
	userHome := "/home/" + b.cfg.Incus.CodeUser
	if b.ws.Info.UID == 0 && os.Geteuid() == 0 {
		userHome = "/root"
	}
	in.Mounts, err = mount.Build(b.ws, inside, userHome, wt, configuredMounts(b.cfg), b.mountEnv())
	if err != nil {
		return launch.Spec{}, err
	}
	if in.UIDs, err = b.mapping(in.Mounts.SourcePaths()); err != nil {
		return launch.Spec{}, err
	}
	shield := func(in *plan.Input) error { return b.shieldWorkspace(in, wt) }
	for _, step := range []func(*plan.Input) error{b.limits, b.proxies, shield, b.chooseTool} {
		if err := step(&in); err != nil {
			return launch.Spec{}, err
		}
	}
	in.Monitor = b.monitor()
	if in.NIC, err = b.openNIC(); err != nil {
		return launch.Spec{}, err
	}
	spec := plan.Make(in)
	b.deadline(&spec)
	b.setup(in, &spec)
	b.brief(in, &spec)
	if err := b.seedTool(in, &spec); err != nil {
		return launch.Spec{}, err
	}
	spec.Env, spec.Reopen = b.env, in.Mounts.Verify
	spec.Record.Warnings = append(spec.Record.Warnings, b.warnings...)
	for _, p := range b.ports {
		spec.Record.Plan.Ports = append(spec.Record.Plan.Ports, p.String())
	}
	return spec, b.raise(in, &spec)
}

func (b *begin) monitor() launch.Monitor {
	switch {
	case !b.cfg.Monitored():
		b.c.Note("this session is not monitored: monitoring.enabled is false")
		return launch.Off
	case b.cfg.MustMonitor():
		return launch.Required
	}
	return launch.Wanted
}

func (b *begin) mapping(sources []string) (uidmap.Decision, error) {
	unmappable, guest := uidmap.Probe(sources)
	subuid, _ := os.ReadFile("/etc/subuid")
	subgid, _ := os.ReadFile("/etc/subgid")
	r := uidmap.Request{
		UID: os.Geteuid(), GID: os.Getegid(), OwnerUID: b.ws.Info.UID, OwnerGID: b.ws.Info.GID,
		CodeUID: b.cfg.Incus.CodeUID, CodeUser: b.cfg.Incus.CodeUser, DisableShift: b.cfg.Incus.DisableShift,
		Unmappable: unmappable, GuestMaps: guest, SubUID: subuid, SubGID: subgid,
	}
	if b.old != nil {
		r.ExistingRaw = b.old.Config["raw.idmap"]
	}
	d, err := uidmap.Decide(r)
	for _, n := range d.Notes {
		b.c.Note(n)
	}
	return d, err
}

func configuredMounts(c *config.Config) []mount.Mount {
	var out []mount.Mount
	for _, m := range c.Mounts {
		want := mount.Mount{
			Host: m.Host, Container: m.Container, ReadOnly: m.ReadOnly, Shift: m.Shift,
			Resolved: m.Target.Path, Overlap: m.Overlap || m.Trusted, Origin: fmt.Sprintf("%v: ", m.Origin),
		}
		if !m.Trusted && m.Target.Path != "" {
			want.Approved = m.Target.Open
		}
		out = append(out, want)
	}
	return out
}

// explain adds to a failed launch what the user can do about it.
func (b *begin) explain(err error) error {
	var g *launch.GuardError
	var s *launch.StartError
	var f *launch.FrozenError
	var w *launch.WatchError
	switch {
	case errors.Is(err, context.Canceled) && b.c.Err() != nil:
		return cli.Fail(coi.ExitInterrupted, "interrupted: what was made is removed")
	case errors.As(err, &g):
		return cli.Fail(coi.ExitFailed, "network mode %s: %w", b.cfg.Network.Mode, err).Hint("%s", g.Hint())
	case errors.As(err, &w):
		return cli.Fail(coi.ExitFailed, "%w", err).Hint("%s", w.Hint())
	case errors.As(err, &f):
		return cli.Fail(coi.ExitFailed, "%w", err).Hint("coi why %s", f.Name)
	case errors.As(err, &s):
		e := cli.Fail(coi.ExitFailed, "%w", err)
		e.Lines = s.Lines
		return e
	case errors.Is(err, incus.ErrChanged):
		return cli.Fail(coi.ExitFailed, "%w", err).Hint("somebody changed the container meanwhile: try again")
	}
	return err
}

// recordPhaseTimeout is how long commands wait for a supervisor to do its part.
const recordPhaseTimeout = 90 * time.Second
