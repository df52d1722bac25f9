package main

import (
	"errors"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/build"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/image"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
)

// stale looks whether the image is older than the one it was made from. An
// image of a mirror or a remote has no base here that could be newer, and a
// container that exists is not made of the image any more.
func (b *begin) stale() error {
	check := b.cfg.Container.StaleBaseCheck
	if check == "off" || b.old != nil {
		return nil
	}
	file, err := image.Load(b.home)
	if err != nil {
		b.c.Warn("whether the image is older than its base is not known: " + err.Error())
		return nil
	}
	m, ok := file.Images[b.cfg.Container.Image]
	if !ok || m.Fingerprint != b.image.Fingerprint || m.BaseFingerprint == "" {
		return nil
	}
	base, err := build.ParseBase(m.Base)
	if err != nil || base.Kind != build.Local {
		return nil //nolint:nilerr // a base that is no name here cannot be asked for
	}
	now, err := b.door.Image(b.c, base.Alias)
	switch {
	case errors.Is(err, incus.ErrNotFound):
		return nil
	case err != nil:
		return err
	case now.Fingerprint == m.BaseFingerprint:
		return nil
	}
	text := "image " + cli.Escape(b.cfg.Container.Image) + " is older than its base " + cli.Escape(base.Alias)
	hint := "coi build --force"
	if p := b.cfg.Profile.Name; p != "" {
		hint += " --profile " + cli.ShellQuote(p)
	}
	if check == "error" {
		return cli.Fail(coi.ExitFailed, "%s (container.stale_base_check)", text).Hint("%s", hint)
	}
	b.c.Warn(text, hint)
	return nil
}
