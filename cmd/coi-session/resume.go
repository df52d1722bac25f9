package main

import (
	"fmt"
	"io"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/launch"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/mount"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/pick"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/plan"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/save"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/tool"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/config"
)

// findSaved looks for the session to resume and takes over what the command
// line and the configuration leave open: profile, slot, persistence, tool.
func (b *begin) findSaved() error {
	if b.shell == nil || !b.shell.Resume.Set && !b.shell.Continue.Set {
		return nil
	}
	id := b.shell.Resume.Value
	if id == "" {
		id = b.shell.Continue.Value
	}
	s, err := save.Find(b.cfg.Paths.SessionsDir, save.Query{ID: id, Identity: b.identity, Tool: b.cfg.Tool.Name, ToolTyped: b.flags.Tool != ""})
	if err != nil {
		return err
	}
	b.saved = &s
	var flags []config.Flag
	if b.flags.Tool == "" && s.Tool != b.cfg.Tool.Name {
		flags = append(flags, config.Flag{Key: "tool.name", Value: s.Tool, Name: "--resume"})
	}
	if b.flags.Persistent == nil && !b.cfg.IsSet("container.persistent") && s.Persistent {
		flags = append(flags, config.Flag{Key: "container.persistent", Value: true, Name: "--resume"})
	}
	if b.flags.Slot == 0 && s.Slot >= coi.MinSlot && s.Slot <= coi.MaxSlot {
		b.wishSlot = s.Slot
	}
	profile := *b.flags
	if profile.Profile == "" {
		profile.Profile = s.ProfileName
	}
	if len(flags) == 0 && profile.Profile == b.flags.Profile {
		return nil
	}
	b.cfg, err = loadConfig(b.c, b.home, b.ws.Path, &profile, flags...)
	return err
}

// sessionID is the id of the resumed session, or a new one.
func (b *begin) sessionID() string {
	if b.saved != nil {
		return b.saved.SessionID
	}
	return newID()
}

// stillRunning finds the container in which the session to be resumed runs: two
// tools must never write one conversation.
func (b *begin) stillRunning() (string, error) {
	if b.saved == nil {
		return "", nil
	}
	all, err := b.door.Instances(b.c)
	if err != nil {
		return "", incusError(err, b.cfg.Incus.Group)
	}
	for _, i := range all {
		if pick.Mine(i, b.home) && i.Running() && i.Config[plan.KeySession] == b.saved.SessionID {
			return i.Name, nil
		}
	}
	return "", nil
}

// resume makes the start of the tool go on with the earlier conversation.
func (b *begin) resume(start *tool.Start, inside string) {
	if b.saved == nil {
		return
	}
	start.Latest = true
	root, err := b.saved.Open()
	if err != nil {
		return
	}
	defer func() { _ = root.Close() }()
	start.ResumeID = b.row.ResumeID(root, inside, mount.DefaultInside, b.ws.Path)
	if start.ResumeID == "" && b.row.CanResume() {
		b.c.Note(fmt.Sprintf("%s goes on with its newest conversation: no id was found in what was saved", b.row.Name))
	}
}

// restore lets a fresh container begin with what was saved. An older container
// has newer data of its own.
func (b *begin) restore(in plan.Input, spec *launch.Spec) {
	if b.saved == nil || in.Old != nil {
		return
	}
	spec.Restore = func(w io.Writer) error {
		return save.Restore(*b.saved, in.UIDs.Home, in.UIDs.UserUID, b.row.Credentials(), w)
	}
}
