package main

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/tool"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/config"
)

type toolCmd struct {
	cli.Globals
	List toolListCmd `cmd:"" help:"Show the agents coi knows."`
	Spec toolSpecCmd `cmd:"" help:"Print how an agent would be started in a container; nothing is run."`
}

func toolCommand() cli.Command {
	return cli.Command{
		Verb: "tool", Summary: "list the agents coi knows", Grammar: &toolCmd{},
		Examples: []string{"coi tool list", "coi tool spec --container coi-1a2b3c4d-1 --session-id s1 --prompt-file task.md"},
	}
}

type toolListCmd struct {
	cli.Format
	Workspace string `short:"w" default:"." placeholder:"DIR" help:"Workspace whose configuration is read."`
	Profile   string `placeholder:"NAME" help:"Profile to apply."`
}

type toolRow struct {
	Name     string `json:"name"`
	InImage  *bool  `json:"in_image"` // null: Incus could not be asked
	Headless bool   `json:"headless"`
	Resume   bool   `json:"resume"`
}

// Run lists the table. What the image holds is asked of Incus; without Incus
// the rest of the answer is the same.
func (l *toolListCmd) Run(c *cli.Context) error {
	h, err := c.Home()
	if err != nil {
		return err
	}
	cfg, err := looseConfig(c, h, l.Workspace, l.Profile)
	if err != nil {
		return err
	}
	held, known := imageAgents(c, cfg)
	rows := []toolRow{}
	for _, t := range tool.All() {
		row := toolRow{Name: t.Name, Headless: t.CanHeadless(), Resume: t.CanResume()}
		if known {
			in := held[t.Name]
			row.InImage = &in
		}
		rows = append(rows, row)
	}
	if l.IsJSON() {
		return c.PrintJSON(rows)
	}
	var cells [][]string
	for _, r := range rows {
		in := "?"
		if r.InImage != nil {
			in = yesNo(*r.InImage)
		}
		cells = append(cells, []string{r.Name, in, yesNo(r.Headless), yesNo(r.Resume)})
	}
	return c.Table([]cli.Column{{Name: "NAME"}, {Name: "IN IMAGE"}, {Name: "HEADLESS"}, {Name: "RESUME"}}, cells)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// imageAgents is what the configured image says it holds.
func imageAgents(c *cli.Context, cfg *config.Config) (held map[string]bool, known bool) {
	door, err := openDoor(c, cfg)
	if err != nil {
		return nil, false
	}
	img, err := door.Image(c, cfg.Container.Image)
	if err != nil {
		return nil, false
	}
	held = map[string]bool{}
	for word := range strings.FieldsSeq(img.Properties["coi.agents"]) {
		name, _, _ := strings.Cut(word, "=")
		held[name] = true
	}
	return held, true
}

type toolSpecCmd struct {
	Container        string   `required:"" placeholder:"NAME" help:"Container the agent would run in."`
	SessionID        string   `name:"session-id" required:"" placeholder:"TOKEN" help:"Id of the session."`
	Tool             string   `placeholder:"NAME" help:"Tool; default: the configured one."`
	PromptFile       string   `name:"prompt-file" type:"path" placeholder:"FILE" help:"Prompt for a headless start; it is staged in the container."`
	SystemPromptFile string   `name:"system-prompt-file" type:"path" placeholder:"FILE" help:"Further instructions; staged as well."`
	ResumeID         string   `name:"resume-id" xor:"resume" placeholder:"ID" help:"Go on with this conversation of the tool."`
	ResumeLatest     bool     `name:"resume-latest" xor:"resume" help:"Go on with the newest conversation."`
	Continue         optional `xor:"resume" placeholder:"ID" help:"Same as --resume-id; without an id as --resume-latest."`
	Workspace        string   `short:"w" default:"." placeholder:"DIR" help:"Workspace whose configuration is read."`
	Profile          string   `placeholder:"NAME" help:"Profile to apply."`
}

var tokenRE = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

type toolSpec struct {
	SchemaVersion int               `json:"schema_version"`
	Command       []string          `json:"command"`
	Env           map[string]string `json:"env"`
	Prompt        string            `json:"prompt,omitempty"` // inside path read as standard input
}

// Run prints the command line; prompts are staged so that it can be used.
func (s *toolSpecCmd) Run(c *cli.Context) error {
	for flag, value := range map[string]string{"--session-id": s.SessionID, "--resume-id": s.ResumeID, "--continue": s.Continue.Value} {
		if value != "" && !tokenRE.MatchString(value) {
			return cli.Usage("%s %q: want letters, digits, dot, underscore and hyphen, at most 64", flag, value)
		}
	}
	h, err := c.Home()
	if err != nil {
		return err
	}
	cfg, err := looseConfig(c, h, s.Workspace, s.Profile)
	if err != nil {
		return err
	}
	name := cfg.Tool.Name
	if s.Tool != "" {
		name = s.Tool
	}
	t, err := tool.Find(name)
	if err != nil {
		return err
	}
	door, err := openDoor(c, cfg)
	if err != nil {
		return err
	}
	d := &desk{c: c, home: h, cfg: cfg, door: door}
	inst, err := d.find(s.Container, 0, false)
	if err != nil {
		return err
	}
	start := tool.Start{
		SessionID: s.SessionID, ResumeID: s.ResumeID, Latest: s.ResumeLatest, Home: "/home/" + cfg.Incus.CodeUser,
		Headless: s.PromptFile != "", Interactive: cfg.Tool.PermissionMode == "interactive", Binary: cfg.Tool.Binary,
	}
	if s.Continue.Set {
		start.ResumeID, start.Latest = s.Continue.Value, s.Continue.Value == ""
	}
	for _, f := range []struct {
		from, suffix string
		to           *string
	}{{s.PromptFile, "", &start.PromptFile}, {s.SystemPromptFile, ".system", &start.SystemPromptFile}} {
		if f.from == "" {
			continue
		}
		*f.to = tool.PromptDir + "/" + s.SessionID + f.suffix
		if err := stagePrompt(c, door, inst.Name, f.from, cfg.Workspace, *f.to, cfg.Incus.CodeUID); err != nil {
			return err
		}
	}
	spec, err := t.Command(start)
	if err != nil {
		return err
	}
	if spec.Env == nil {
		spec.Env = map[string]string{}
	}
	return c.PrintJSON(toolSpec{1, spec.Command, spec.Env, spec.Stdin})
}

// stagePrompt copies a file of the host into the container, for the code user alone.
func stagePrompt(c *cli.Context, door *incus.Client, container, from, workspace, to string, uid int) error {
	text, err := promptFile(from, workspace)
	if err != nil {
		return cli.Fail(coi.ExitFailed, "prompt: %w", err)
	}
	if len(text) > maxPrompt {
		return cli.Fail(coi.ExitFailed, "%s is larger than %d bytes", cli.Escape(from), maxPrompt)
	}
	for _, dir := range []string{"/run/coi", tool.PromptDir} {
		err := door.PushFile(c, container, dir, incus.FileInfo{Type: "directory", Mode: 0o755}, strings.NewReader(""))
		if err != nil && !strings.Contains(err.Error(), "exist") {
			return fmt.Errorf("stage the prompt: %w", err)
		}
	}
	if err := door.PushFile(c, container, to, incus.FileInfo{Type: "file", UID: uid, GID: uid, Mode: 0o600}, strings.NewReader(string(text))); err != nil {
		return fmt.Errorf("stage the prompt: %w", err)
	}
	return nil
}
