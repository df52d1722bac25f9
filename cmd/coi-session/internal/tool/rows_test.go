package tool

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// S122, S148, session §14: every tool in every form, word for word. An empty
// text means that the tool has no such form.
func TestEveryForm(t *testing.T) {
	const id, old, prompt = "new-id", "old-id", PromptDir + "/p"
	forms := []struct {
		name string
		s    Start
	}{
		{"new", Start{SessionID: id}},
		{"interactive", Start{SessionID: id, Interactive: true}},
		{"resume", Start{SessionID: id, ResumeID: old}},
		{"latest", Start{SessionID: id, Latest: true}},
		{"headless", Start{SessionID: id, Headless: true, PromptFile: prompt}},
		{"headless resume", Start{SessionID: id, Headless: true, PromptFile: prompt, ResumeID: old}},
		{"headless latest", Start{SessionID: id, Headless: true, PromptFile: prompt, Latest: true}},
	}
	const bypass = "--permission-mode bypassPermissions"
	const free = "--dangerously-bypass-approvals-and-sandbox"
	for name, want := range map[string][7]string{
		"claude": {
			"claude " + bypass + " --session-id new-id", "claude --session-id new-id", "claude " + bypass + " --resume old-id", "claude " + bypass + " --continue",
			"claude " + bypass + " -p --session-id new-id < p", "claude " + bypass + " -p --resume old-id < p", "claude " + bypass + " -p --continue < p",
		},
		"codex": {
			"codex " + free, "codex -s workspace-write -a on-request", "codex resume " + free + " old-id", "codex resume " + free + " --last",
			"codex exec " + free + " --skip-git-repo-check < p", "codex exec " + free + " --skip-git-repo-check resume old-id - < p", "codex exec " + free + " --skip-git-repo-check resume --last - < p",
		},
		"opencode": {
			"opencode", "opencode", "opencode --session old-id", "opencode --continue",
			"opencode run < p", "opencode run --session old-id < p", "opencode run --continue < p",
		},
		"pi":  {"pi", "pi", "pi --continue", "pi --continue", "pi -p < p", "pi -p --continue < p", "pi -p --continue < p"},
		"omp": {"omp", "omp", "omp --continue", "omp --continue", "omp -p < p", "omp -p --continue < p", "omp -p --continue < p"},
		"gemini": {
			"gemini --yolo", "gemini", "gemini --yolo --resume old-id", "gemini --yolo --resume latest",
			"gemini --yolo -p  < p", "gemini --yolo -p  --resume old-id < p", "gemini --yolo -p  --resume latest < p",
		},
		"aider": {
			"aider --yes-always", "aider", "aider --yes-always --restore-chat-history", "aider --yes-always --restore-chat-history",
			"aider --yes-always --message-file " + prompt, "aider --yes-always --restore-chat-history --message-file " + prompt, "aider --yes-always --restore-chat-history --message-file " + prompt,
		},
	} {
		row, err := Find(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, f := range forms {
			spec, err := row.Command(f.s)
			got := strings.Join(spec.Command, " ")
			if spec.Stdin == prompt {
				got += " < p"
			}
			if err != nil || got != want[i] {
				t.Errorf("%s, %s:\n got %q, %v\nwant %q", name, f.name, got, err, want[i])
			}
		}
	}
}

// Session §14: what each tool is installed from, what of the host's home it is
// given, what of it is a credential, what is saved, and what it must reach.
func TestRows(t *testing.T) {
	type row struct{ From, Seeds, Credentials, Save, Domains string }
	want := map[string]row{
		"claude": {
			"npm @anthropic-ai/claude-code", ".claude/.credentials.json .claude/settings.json .claude.json .claude/CLAUDE.md .claude/config.yml", ".claude/.credentials.json",
			".claude", "api.anthropic.com platform.claude.com",
		},
		"codex":    {"npm @openai/codex", ".codex/auth.json .codex/config.toml .codex/AGENTS.md", ".codex/auth.json", ".codex", "api.openai.com auth.openai.com chatgpt.com"},
		"opencode": {"npm opencode-ai", ".local/share/opencode/auth.json .config/opencode/opencode.json .config/opencode/tui.json", ".local/share/opencode/auth.json", ".local/share/opencode .local/state/opencode", ""},
		"pi":       {"npm @mariozechner/pi-coding-agent", ".pi/agent/auth.json .pi/agent/settings.json .pi/agent/models.json .pi/agent/AGENTS.md", ".pi/agent/auth.json", ".pi/agent/sessions", ""},
		"omp":      {"npm @oh-my-pi/pi-coding-agent", ".omp/auth.json .omp/settings.json .omp/models.json .omp/AGENTS.md", ".omp/auth.json", ".omp", ""},
		"gemini": {
			"npm @google/gemini-cli", ".gemini/oauth_creds.json .gemini/google_accounts.json .gemini/settings.json .gemini/GEMINI.md", ".gemini/oauth_creds.json .gemini/google_accounts.json",
			".gemini", "generativelanguage.googleapis.com cloudcode-pa.googleapis.com oauth2.googleapis.com",
		},
		"aider": {"PyPI aider-chat", ".aider.conf.yml", "", ".aider", ""},
	}
	got := map[string]row{}
	for _, r := range All() {
		if r.Name == "custom" {
			continue
		}
		from := "npm " + r.Package
		if r.PyPI != "" {
			from = "PyPI " + r.PyPI
		}
		var seeds []string
		for _, s := range r.Seeds {
			seeds = append(seeds, s.Path)
		}
		got[r.Name] = row{from, strings.Join(seeds, " "), strings.Join(r.Credentials(), " "), strings.Join(r.Save, " "), strings.Join(r.Domains, " ")}
		if r.Login == "" {
			t.Errorf("%s: nobody is told how to log in", r.Name)
		}
		if len(r.Checks) == 0 {
			t.Errorf("%s: the image build looks for none of its flags", r.Name)
		}
		for _, p := range r.Credentials() {
			for _, s := range r.Save {
				if p == s {
					t.Errorf("%s: the credential %s is saved", r.Name, p)
				}
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
