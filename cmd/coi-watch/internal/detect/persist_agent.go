package detect

import (
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/paths"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var persistAgent = Detector{
	ID: "persist.agent", Level: coi.Warning, Wants: files,
	Title: "settings of an agent changed", Why: "hooks and instructions in these files steer the next session",
	Detect: writing(paths.AgentConf, func(written, track.View) (coi.Level, string) { return coi.Warning, "settings of an agent changed" }),
	Fire:   append(lines(coi.Warning, "echo '{}' > ~/.claude/settings.json", "cp x ~/.codex/config.toml", "jq . a | tee ~/.gemini/settings.json"), events(event.Event{Type: event.Write, PID: 3, Exe: "/usr/bin/tee", Path: "/home/code/.claude/settings.json"})...),
	Quiet:  append(lines("", "cat ~/.claude/settings.json", "claude mcp add x -- npx y", "ls ~/.claude", "echo x > CLAUDE.md"), events(event.Event{Type: event.Write, PID: 3, Role: "tool", Exe: "/usr/bin/node", Path: "/home/code/.claude/settings.json"})...),
}

func importKeys(s *command.Simple, _ track.View) *Finding {
	if oneOf(s.Name, "ssh-import-id", "ssh-import-id-gh", "ssh-import-id-lp") && len(s.Argv) > 1 {
		return say(s, coi.High, "login key fetched")
	}
	return nil
}
