package protect

import (
	"slices"
	"strings"
	"testing"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/beneath"
	"github.com/code-on-incus/coi/pkg/config"
	"github.com/code-on-incus/coi/pkg/home"
)

// runs lists, by program of the host, the files of a project from which it runs
// something without being told to each time.
var runs = map[string]string{
	"git":                 ".git/hooks/pre-commit .git/config .git/config.worktree .git/info/attributes",
	"husky":               ".husky/pre-commit .husky/_/husky.sh",
	"VS Code":             ".vscode/tasks.json .vscode/settings.json .vscode/launch.json .vscode/extensions.json",
	"dev containers":      ".devcontainer/devcontainer.json .devcontainer/post-create.sh",
	"JetBrains":           ".idea/workspace.xml .idea/runConfigurations/x.xml .idea/externalDependencies.xml",
	"direnv":              ".envrc",
	"claude":              ".claude/settings.json .claude/settings.local.json .claude/hooks/x .claude/commands/x.md .claude/agents/x.md .mcp.json",
	"codex":               ".codex/config.toml .codex/hooks.json",
	"gemini":              ".gemini/settings.json .gemini/.env .gemini/extensions/x/gemini-extension.json",
	"opencode":            "opencode.json .opencode/plugin/x.ts .opencode/command/x.md",
	"Cursor":              ".cursor/mcp.json .cursor/rules/x.mdc .cursor/hooks.json",
	"Copilot":             ".github/hooks/x.json",
	"coi":                 ".coi/config.toml .coi/profiles/x/config.toml",
	"watched: lefthook":   "lefthook.yml lefthook-local.yml .lefthook.yml",
	"watched: pre-commit": ".pre-commit-config.yaml",
	"watched: mise, asdf": "mise.toml .mise.toml mise.local.toml .mise/config.toml .tool-versions",
	"watched: git":        ".gitmodules .gitattributes",
	"watched: CI":         ".github/workflows/ci.yml .gitlab-ci.yml",
	"watched: agents":     "CLAUDE.md AGENTS.md GEMINI.md .claude/skills/x/SKILL.md",
}

// R-PATH-05: the defaults cover what common editors, environment loaders, agents
// and hook managers run; an ordinary source file is not covered.
func TestDefaultsCover(t *testing.T) {
	dir := t.TempDir()
	getenv := func(k string) string { return map[string]string{"HOME": dir}[k] }
	h, err := home.Find(getenv)
	must(t, err)
	cfg, err := config.Load(config.Options{Home: h, Getenv: getenv})
	must(t, err)
	covered := func(list []string, file string) bool {
		return slices.ContainsFunc(list, func(p string) bool { return beneath.Below(file, p) })
	}
	for program, files := range runs {
		list := cfg.Security.Protected()
		if strings.HasPrefix(program, "watched: ") {
			list = cfg.Security.Watched()
		}
		for file := range strings.FieldsSeq(files) {
			if !covered(list, file) {
				t.Errorf("%s: %s is in no list", program, file)
			}
		}
	}
	for _, file := range []string{"main.go", "src/x", ".gitignore", ".git/index", ".claude/notes.md"} {
		if covered(cfg.Security.Protected(), file) || covered(cfg.Security.Watched(), file) {
			t.Errorf("control: %s is in a list", file)
		}
	}
	if diff := len(defaults) - len(cfg.Security.Protected()); diff != 0 {
		t.Errorf("the list of these tests differs from the configuration's by %d", diff)
	}
}
