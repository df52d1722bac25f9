package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/alias"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/launch"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/record"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/redact"
	"github.com/code-on-incus/coi/pkg/run"
)

// byAlias lets an alias stand for its workspace, its profile and a slot.
func (b *begin) byAlias() error {
	if b.shell == nil || b.shell.Alias == "" {
		return nil
	}
	r, err := alias.Read(b.home)
	if err != nil {
		return err
	}
	name := b.shell.Alias
	e, ok := r.Aliases[name]
	if !ok {
		word, slot := alias.Split(name)
		if e, ok = r.Aliases[word]; ok && b.flags.Slot == 0 {
			b.flags.Slot = slot
		}
	}
	if !ok {
		var names []string
		for n := range r.Aliases {
			names = append(names, n)
		}
		slices.Sort(names)
		hint := "aliases are set by container.alias; there is none yet"
		if near := cli.Near(name, names); len(near) > 0 {
			hint = "did you mean " + near[0] + "?"
		}
		return cli.Fail(coi.ExitNoContainer, "no alias %q", cli.Escape(name)).Hint("%s", hint)
	}
	b.flags.Workspace = e.Workspace
	if b.flags.Profile == "" {
		b.flags.Profile = e.Profile
	}
	return nil
}

// keepAlias stores the alias of this workspace; one that belongs to another
// workspace is refused.
func (b *begin) keepAlias() error {
	name := b.cfg.Container.Alias
	if name == "" {
		return nil
	}
	if !alias.Valid(name, b.home.Prefix) {
		return cli.Fail(coi.ExitConfig, "container.alias: %q cannot be an alias", cli.Escape(name))
	}
	r, err := alias.Read(b.home)
	if err != nil {
		return err
	}
	if old, ok := r.Aliases[name]; ok && old.Workspace != b.ws.Path {
		return cli.Fail(coi.ExitConfig, "alias %s belongs to %s", name, cli.Escape(old.Workspace)).Hint("set another container.alias")
	}
	return alias.Set(b.home, name, alias.Entry{Workspace: b.ws.Path, Profile: b.cfg.Profile.Name})
}

// wholeHome asks before a workspace that holds ~/.coi becomes writable inside.
func (b *begin) wholeHome() error {
	if !b.ws.HoldsCoi {
		return nil
	}
	return b.c.Ask(b.flags.Consent, "all of %s becomes writable inside, except %s. Go on?", cli.Escape(b.ws.Path), cli.Escape(b.home.Dir))
}

// missingImage offers to build the image where somebody can answer.
func (b *begin) missingImage() error {
	name := b.cfg.Container.Image
	fail := cli.Fail(coi.ExitFailed, "image %s does not exist", cli.Escape(name)).Hint("coi build, or coi image list")
	if b.shell == nil || !cli.IsTerminal(b.c.Stdin) || name != "coi-default" {
		return fail
	}
	if err := b.c.Ask(b.flags.Consent, "image %s does not exist. Build it now?", name); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(b.c, self, "build")
	cmd.Args[0], cmd.Stdin, cmd.Stdout, cmd.Stderr = "coi-session", os.Stdin, b.c.Stderr, b.c.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build %s: %w", name, err)
	}
	b.image, err = b.door.Image(b.c, name)
	return err
}

// others tells a shell which slots of the workspace run already.
func (b *begin) others(found map[int]incus.Instance) {
	if b.shell == nil {
		return
	}
	for n := coi.MinSlot; n <= coi.MaxSlot; n++ {
		if i, ok := found[n]; ok && n != b.slot && i.Running() && b.livesIn(i.Name) {
			b.c.Note(i.Name+" is running here", "coi attach "+i.Name)
			return
		}
	}
}

// killed asks before a container that the monitor killed is started again.
func (b *begin) killed() error {
	r, err := record.Read(b.home, b.container)
	if err != nil || r.Killed == nil || b.old == nil {
		return nil //nolint:nilerr // without a record nothing says that it was killed
	}
	if b.shell != nil && b.shell.StartKilled {
		return nil
	}
	why := ""
	if r.Ended != nil {
		why = ": " + r.Ended.Detail
	}
	if !cli.IsTerminal(b.c.Stdin) && !b.flags.Given() {
		return cli.Fail(coi.ExitUsage, "%s was killed by the monitor%s", b.container, cli.Escape(why)).Hint("add --start-killed, or coi why %s", b.container)
	}
	return b.c.Ask(b.flags.Consent, "%s was killed by the monitor%s. Start it again?", b.container, cli.Escape(why))
}

// secrets tell the guards by hash which values must not appear in their records.
func (b *begin) secrets(spec *launch.Spec) {
	red, err := redact.New(b.home)
	if err != nil {
		b.c.Warn("forwarded values are not redacted by value: " + err.Error())
		return
	}
	var values []string
	for _, name := range b.cfg.Defaults.ForwardEnv {
		values = append(values, b.env[name])
	}
	for name := range b.cfg.Defaults.EnvCommands {
		values = append(values, b.env[name])
	}
	if spec.Watch.Redact = red.Hashes(values); spec.Watch.Redact == nil {
		spec.Watch.Redact = []run.SecretHash{}
	}
}

// preLaunch runs the commands that come before the tool, as the code user.
func (b *begin) preLaunch(live *launch.Live) error {
	for _, text := range b.cfg.Tool.PreLaunch {
		e := b.exec(live, []string{"/bin/sh", "-c", text})
		out := &tail{}
		e.Stdout, e.Stderr = out, out
		code, err := b.door.Exec(b.c, live.Spec.Record.Container, e)
		if err == nil && code == 0 {
			continue
		}
		if errors.Is(err, context.Canceled) {
			return err
		}
		f := cli.Fail(coi.ExitFailed, "tool.pre_launch: %s: exit code %d", cli.Escape(text), code)
		f.Lines = out.lines()
		return f
	}
	return nil
}

// tail keeps the end of an output.
type tail struct{ b []byte }

const maxTail = 4096

// Write keeps the last bytes.
func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	t.b = t.b[max(0, len(t.b)-maxTail):]
	return len(p), nil
}

func (t *tail) lines() []string {
	text := strings.TrimRight(string(t.b), "\n")
	if text == "" {
		return nil
	}
	list := strings.Split(text, "\n")
	return list[max(0, len(list)-20):]
}

// livesIn reports whether a session is in a container, and not about to end.
func (b *begin) livesIn(container string) bool {
	r, err := record.Read(b.home, container)
	return err == nil && r.Phase == run.Running
}
