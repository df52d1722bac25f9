package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/build"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/guard"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/image"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/plan"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/config"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// defaultImage is the image of everybody who names none; no project may build it.
const defaultImage = "coi-default"

type buildCmd struct {
	cli.Globals
	Workspace string `short:"w" default:"." placeholder:"DIR" help:"Workspace whose configuration is read."`
	Profile   string `placeholder:"NAME" help:"Build the image of this profile."`
	All       bool   `short:"a" help:"The default image, then that of every visible profile."`
	Force     bool   `short:"f" help:"Build although the image exists."`
	Base      string `placeholder:"REF" help:"debian:V or ubuntu:V from a mirror, REMOTE:ALIAS, or a local alias."`
	Network   string `placeholder:"MODE" help:"Network of the build container: restricted, allowlist or open. open works without a guard."`
}

func buildCommand() cli.Command {
	return cli.Command{
		Verb: "build", Summary: "build the image sessions start from", Grammar: &buildCmd{},
		Detail: "The image gets a dated name, and the plain name moves to it when all went well. " +
			"A build that fails or is interrupted leaves the old image. A base that was finished by then is kept for a day, without a name: " +
			"the next try starts from it, and coi clean removes it. " +
			"Its log is ~/.coi/logs/build-<alias>.log.",
		Examples: []string{"coi build", "coi build --base debian:13 --force"},
	}
}

// Run builds one image, or with --all each that the configuration names.
func (b *buildCmd) Run(c *cli.Context) error {
	h, err := c.Home()
	if err != nil {
		return err
	}
	if b.All && b.Profile != "" {
		return cli.Usage("--all and --profile cannot be used together")
	}
	if b.All {
		return b.all(c, h)
	}
	_, err = b.one(c, h, b.Profile)
	return err
}

// all builds what can be built and ends with a summary.
func (b *buildCmd) all(c *cli.Context, h home.Home) error {
	profiles, err := config.OpenProfiles(b.options(c, h, ""))
	if err != nil {
		return configError(err)
	}
	names := []string{""}
	for _, p := range profiles.Refs() {
		names = append(names, p.Name)
	}
	var built, skipped int
	var failed []string
	seen := map[string]bool{}
	for _, name := range names {
		cfg, err := config.Load(b.options(c, h, name))
		if err == nil && seen[cfg.Container.Image] {
			continue
		}
		done := false
		if err == nil {
			seen[cfg.Container.Image] = true
			done, err = b.one(c, h, name)
		}
		switch {
		case c.Err() != nil:
			return c.Err()
		case err != nil:
			failed = append(failed, name)
			c.Warn(fmt.Sprintf("profile %s: %v", name, err))
		case done:
			built++
		default:
			skipped++
		}
	}
	_, _ = fmt.Fprintf(c.Stderr, "built %d, skipped %d, failed %d\n", built, skipped, len(failed))
	if len(failed) > 0 {
		return cli.Exit(coi.ExitFailed)
	}
	return nil
}

func (b *buildCmd) options(c *cli.Context, h home.Home, profile string) config.Options {
	o := config.Options{Home: h, Getenv: c.Getenv, Environ: os.Environ(), Workspace: b.Workspace, Profile: profile}
	if profile != "" {
		o.By = "--profile"
	}
	return o
}

// one builds the image of a profile; done is false when it was there already.
func (b *buildCmd) one(c *cli.Context, h home.Home, profile string) (done bool, err error) {
	cfg, err := config.Load(b.options(c, h, profile))
	if err != nil {
		return false, configError(err)
	}
	cfg.TellGeneral(c)
	alias := cfg.Container.Image
	if err := b.mayBuild(h, cfg, alias); err != nil {
		return false, err
	}
	door, err := openDoor(c, cfg)
	if err != nil {
		return false, err
	}
	if _, err := door.Image(c, alias); err == nil && !b.Force {
		_, _ = fmt.Fprintf(c.Stdout, "%s exists, use --force to build it anew\n", alias)
		return false, nil
	} else if err != nil && !errors.Is(err, incus.ErrNotFound) {
		return false, incusError(err, cfg.Incus.Group)
	}
	req, err := b.request(c, h, cfg, alias)
	if err != nil {
		return false, err
	}
	return true, b.run(c, h, cfg, door, req)
}

// request puts together what the configuration, the environment and the flags say.
func (b *buildCmd) request(c *cli.Context, h home.Home, cfg *config.Config, alias string) (build.Request, error) {
	w := cfg.Container.Build
	s := build.Settings{Alias: alias, Base: w.Base, Mirror: w.Mirror, Registry: w.NPMRegistry, BaseGiven: cfg.IsSet("container.build.base")}
	for name, field := range map[string]*string{"COI_APT_MIRROR": &s.Mirror, "COI_NPM_REGISTRY": &s.Registry} {
		if v := c.Getenv(name); v != "" {
			*field = v
		}
	}
	custom, from, err := customScript(cfg)
	if err != nil {
		return build.Request{}, err
	}
	switch {
	case b.Base != "":
		s.Base, s.BaseGiven = b.Base, true
	case alias != defaultImage && !s.BaseGiven:
		s.Base, s.BaseGiven = defaultImage, true
	case s.Base == "":
		s.Base = "ubuntu:24.04"
	}
	if alias != defaultImage && custom == nil {
		return build.Request{}, cli.Fail(coi.ExitConfig, "build %s: its configuration has no container.build.script and no container.build.commands", alias).
			Hint("set one of them in the profile, or build %s", defaultImage)
	}
	base, registry, note, err := s.Resolve(c, h.User)
	if err != nil {
		return build.Request{}, cli.Fail(coi.ExitConfig, "build %s: %w", alias, err)
	}
	if note != "" {
		c.Note(note, "coi build --base "+s.Base+", or set container.build.mirror")
	}
	return build.Request{
		Alias: alias, Base: base, Mirror: s.Mirror, Registry: registry, Agents: w.Agents, CloudInit: w.CloudInit,
		Compression: w.Compression, Pool: cfg.Container.StoragePool, From: from, Custom: custom,
		Remote: func(name string) (string, string, error) { return incus.Remote(c.Getenv, name) },
	}, nil
}

// customScript is what a profile or project runs on its base, and the file that
// asks for it; nil for an image of coi's own contents.
func customScript(cfg *config.Config) (script []byte, from string, err error) {
	w := cfg.Container.Build
	if w.Script != "" {
		f, err := home.Open(w.Script)
		if err != nil {
			return nil, "", cli.Fail(coi.ExitConfig, "container.build.script: %w", err)
		}
		defer func() { _ = f.Close() }()
		script, err = home.ReadCapped(f, home.MaxFile)
		return script, cfg.Origin("container.build.script").File, err
	}
	if len(w.Commands) == 0 {
		return nil, "", nil
	}
	var text bytes.Buffer
	text.WriteString("set -e\n")
	for _, line := range w.Commands {
		text.WriteString(line + "\n")
	}
	return text.Bytes(), cfg.Origin("container.build.commands").File, nil
}

// mayBuild keeps a project from replacing an image that is not its own.
func (b *buildCmd) mayBuild(h home.Home, cfg *config.Config, alias string) error {
	asks := ""
	for _, key := range []string{
		"container.image", "container.build.base", "container.build.script", "container.build.commands",
		"container.build.agents", "container.build.compression", "container.build.cloud_init",
	} {
		if !cfg.Trusted(key) {
			asks = cfg.Origin(key).File
		}
	}
	if asks == "" {
		return nil
	}
	if alias == defaultImage {
		return cli.Fail(coi.ExitFailed, "build %s: %s may not change it", alias, cli.Escape(asks)).
			Hint("run coi build in another directory, or let the project name an image of its own")
	}
	user, err := config.Load(config.Options{Home: h, Getenv: func(string) string { return "" }})
	if err != nil {
		return err
	}
	if user.Container.Image == alias {
		return cli.Fail(coi.ExitFailed, "build %s: it is the image of %s, not of %s", alias,
			user.Origin("container.image").File, cli.Escape(asks))
	}
	meta, err := image.Load(h)
	if err != nil {
		return err
	}
	if m, known := meta.Images[alias]; known && m.BuiltFrom != asks {
		return cli.Fail(coi.ExitFailed, "build %s: it was built from %s, not from %s", alias, cli.Escape(m.BuiltFrom), cli.Escape(asks)).
			Hint("coi image delete %s, or choose another name", cli.ShellQuote(alias))
	}
	return nil
}

func (b *buildCmd) run(c *cli.Context, h home.Home, cfg *config.Config, door *incus.Client, req build.Request) error {
	fence, err := b.fence(c, h, cfg, door, req)
	if err != nil {
		return err
	}
	steps := &stepper{c: c, start: time.Now()}
	res, err := build.Run(c, build.Deps{Images: door, Machines: door, Fence: fence, Home: h, Step: steps.begin, Now: time.Now}, req)
	steps.end()
	if err != nil {
		return buildError(c, req.Alias, err)
	}
	_, _ = fmt.Fprintf(c.Stdout, "%s is %s (%d MiB), made in %ds\n", res.Alias, res.Versioned, res.Size>>20, int(time.Since(steps.start).Seconds()))
	for _, name := range req.Agents {
		if v := res.Versions[name]; v != "" {
			_, _ = fmt.Fprintf(c.Stdout, "%s %s\n", name, cli.Escape(v))
		}
	}
	return nil
}

// buildError shows the end of the log and says what was kept.
func buildError(c *cli.Context, alias string, err error) error {
	var failed *build.Error
	var un *guard.Unavailable
	switch {
	case errors.As(err, &un):
		return cli.Fail(coi.ExitFailed, "build %s: %w", alias, err).Hint("%s", un.Hint).Hint("coi build --network open")
	case errors.As(err, &failed):
		for _, line := range failed.Tail {
			_, _ = fmt.Fprintln(c.Stderr, "  | "+cli.Escape(line))
		}
		return cli.Fail(coi.ExitFailed, "build %s: %w; the image is as it was before", alias, err).Hint("the whole log is %s", failed.Log)
	case errors.Is(err, context.Canceled):
		return err
	}
	return cli.Fail(coi.ExitFailed, "build %s: %w", alias, err)
}

// fence chooses the network of the build container.
func (b *buildCmd) fence(c *cli.Context, h home.Home, cfg *config.Config, door *incus.Client, req build.Request) (build.Fence, error) {
	policy := plan.Policy(cfg)
	switch b.Network {
	case "":
		if policy.Mode == "open" {
			policy.Mode = "restricted"
		}
	case "restricted", "allowlist", "open":
		policy.Mode = b.Network
	default:
		return nil, cli.Usage("--network %q: want restricted, allowlist or open", b.Network)
	}
	if b.Network == "open" && !guard.Alive(h, guard.Netguard) {
		if _, err := guard.Ensure(h, guard.Netguard, c.Getenv); err != nil {
			c.Warn("building without a guard: the build container can reach everything this machine can")
			return &build.OpenFence{Machines: door}, nil
		}
	}
	for key, u := range map[string]string{"container.build.mirror": req.Mirror, "container.build.npm_registry": req.Registry} {
		policy.Allowed = append(policy.Allowed, build.Reach(key, u)...)
	}
	return &build.GuardFence{
		Home: h, Getenv: c.Getenv, Project: cfg.Incus.Project, Policy: policy,
		Events: run.NetEvents{Enabled: true, PerSecond: cfg.Monitoring.NFT.RateLimitPerSecond, DNSThreshold: cfg.Monitoring.NFT.DNSQueryThreshold},
	}, nil
}

// stepper prints each step of a build with the time it took.
type stepper struct {
	c     *cli.Context
	start time.Time

	mu   sync.Mutex
	name string
	at   time.Time
	done func()
}

func (s *stepper) begin(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if name == s.name {
		return
	}
	s.finish()
	s.name, s.at = name, time.Now()
	if cli.IsTerminal(s.c.Stderr) {
		_, s.done = s.c.Step(name)
	}
}

func (s *stepper) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finish()
}

func (s *stepper) finish() {
	if s.done != nil {
		s.done()
		s.done = nil
	}
	if s.name != "" && !s.c.Quiet {
		_, _ = fmt.Fprintf(s.c.Stderr, "%-40s %6.1fs\n", cli.Escape(s.name), time.Since(s.at).Seconds())
	}
	s.name = ""
}
