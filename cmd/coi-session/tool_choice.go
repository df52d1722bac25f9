package main

import (
	"fmt"
	"path"
	"slices"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/brief"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/launch"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/plan"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/seed"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/tool"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/config"
)

// findTool is the row of the configured tool.
func findTool(c *config.Config) (tool.Tool, error) {
	if c.Tool.Name != "custom" {
		return tool.Find(c.Tool.Name)
	}
	x := c.Tool.Custom
	return tool.Custom{
		Command: x.Command, ResumeCommand: x.ResumeCommand, PromptCommand: x.PromptCommand,
		ConfigDir: x.ConfigDir, Files: x.Files, Save: x.Save, Domains: x.Domains,
	}.New()
}

// models is the section of the configuration that belongs to a tool.
func models(c *config.Config) config.ToolModel {
	return map[string]config.ToolModel{"claude": c.Tool.Claude, "codex": c.Tool.Codex, "gemini": c.Tool.Gemini, "aider": c.Tool.Aider}[c.Tool.Name]
}

// usesTool reports whether the session runs an agent at all.
func (b *begin) usesTool() bool {
	return b.shell != nil || b.prompt != nil
}

// chooseTool decides what the session runs and what of it is saved.
func (b *begin) chooseTool(in *plan.Input) error {
	row, err := findTool(b.cfg)
	if err != nil {
		return err
	}
	b.row = row
	in.Tool = plan.Tool{Name: row.Name, Argv: []string{row.Binary}}
	if !b.usesTool() {
		return nil
	}
	m := models(b.cfg)
	effort := m.EffortLevel
	if m.ReasoningEffort != "" {
		effort = m.ReasoningEffort
	}
	start := tool.Start{
		SessionID: in.SessionID, Interactive: b.cfg.Tool.PermissionMode == "interactive", Model: m.Model, Effort: effort,
		Binary: b.cfg.Tool.Binary, Home: in.UIDs.Home,
	}
	if b.cfg.Tool.AutoContext {
		start.ContextFile = in.UIDs.Home + "/" + brief.TextName
	}
	if b.prompt != nil {
		start.Headless, start.PromptFile = true, promptPath(in.SessionID)
	}
	b.resume(&start, in.Inside)
	spec, err := row.Command(start)
	if err != nil {
		return err
	}
	if spec.Latest {
		b.c.Note(row.Name + " cannot find that conversation by its id: it goes on with its newest one")
	}
	b.argv, in.Tool.Argv, in.Tool.Env, in.Tool.Save = spec.Argv(), spec.Command, spec.Env, row.Save
	if b.projectOff(row.Project) {
		in.Tool.Env[row.Project.Off] = "1"
		b.env[row.Project.Off] = "1"
	}
	switch {
	case b.shell != nil && b.shell.Debug:
		b.argv = []string{"/bin/bash", "-l"}
	case b.c.Getenv("COI_USE_DUMMY") == "1":
		b.argv = []string{"dummy"}
	}
	return nil
}

// projectOff reports whether a tool has to leave its directory of the workspace
// alone: it is locked, and the file that the tool would write is not there.
func (b *begin) projectOff(p tool.Project) bool {
	if p.Dir == "" || b.cfg.Security.DisableProtection || !slices.Contains(b.cfg.Security.Protected(), p.Dir) {
		return false
	}
	if _, err := b.ws.Root.Stat(path.Join(p.Dir, p.Wants)); err == nil {
		return false
	}
	if entries, err := b.ws.Root.List(p.Dir); err == nil && len(entries) > 0 {
		b.c.Warn(fmt.Sprintf("%s does not read %s of this workspace: it is read-only inside and has no %s", b.row.Name, p.Dir, p.Wants),
			"touch "+cli.ShellQuote(path.Join(b.ws.Path, p.Dir, p.Wants)))
	}
	return true
}

// seedTool adds the tool's files from the host's home to the set-up.
func (b *begin) seedTool(in plan.Input, spec *launch.Spec) error {
	input := seed.Input{
		Tool: b.row, HostHome: b.home.User, Home: in.UIDs.Home, UID: in.UIDs.UserUID,
		Interactive: b.cfg.Tool.PermissionMode == "interactive", Strip: b.cfg.Git.StripAttribution, Workspace: in.Inside,
		Context: b.context, ContextPath: in.UIDs.Home + "/SANDBOX_CONTEXT.md",
	}
	if !b.cfg.Tool.AutoContext {
		input.Context = ""
	}
	if !b.usesTool() {
		input.Tool = tool.Tool{Name: b.row.Name}
	}
	for _, c := range b.cfg.Credentials {
		if c.Bundle == "" {
			input.Credentials = append(input.Credentials, seed.Credential{Host: c.Host, Container: c.Container, Mode: modeOf(c.Mode)})
			continue
		}
		row, err := tool.Find(c.Bundle)
		if err != nil {
			return err
		}
		input.Bundles = append(input.Bundles, row)
	}
	for name := range b.env {
		input.EnvNames = append(input.EnvNames, name)
	}
	if !b.usesTool() && len(input.Credentials)+len(input.Bundles) == 0 {
		return nil
	}
	if in.Old != nil {
		input.Existing = b.existingFile(in)
	}
	res, err := seed.Files(input)
	if err != nil {
		return err
	}
	for _, w := range res.Warnings {
		b.c.Warn(w)
	}
	spec.Files = append(spec.Files, res.Files...)
	return nil
}
