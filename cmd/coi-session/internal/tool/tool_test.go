package tool

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/beneath"
	"github.com/code-on-incus/coi/pkg/cli"
)

// S39, S122, session §14: the command line of each tool in each form.
func TestCommand(t *testing.T) {
	const id, other = "11111111-2222-4333-8444-555555555555", "other"
	prompt := PromptDir + "/p"
	tests := []struct {
		tool string
		s    Start
		want string
		in   string
	}{
		{"claude", Start{SessionID: id}, "claude --permission-mode bypassPermissions --session-id " + id, ""},
		{"claude", Start{SessionID: id, Interactive: true}, "claude --session-id " + id, ""},
		{"claude", Start{SessionID: id, ResumeID: other}, "claude --permission-mode bypassPermissions --resume other", ""},
		{"claude", Start{SessionID: id, Latest: true}, "claude --permission-mode bypassPermissions --continue", ""},
		{"claude", Start{SessionID: id, Headless: true, PromptFile: prompt}, "claude --permission-mode bypassPermissions -p --session-id " + id, prompt},
		{"codex", Start{SessionID: id, Model: "m", Effort: "high"}, "codex --dangerously-bypass-approvals-and-sandbox -m m -c model_reasoning_effort=high", ""},
		{"codex", Start{Interactive: true}, "codex -s workspace-write -a on-request", ""},
		{"codex", Start{ResumeID: other}, "codex resume --dangerously-bypass-approvals-and-sandbox other", ""},
		{"codex", Start{Latest: true}, "codex resume --dangerously-bypass-approvals-and-sandbox --last", ""},
		{"codex", Start{Headless: true, PromptFile: prompt}, "codex exec --dangerously-bypass-approvals-and-sandbox --skip-git-repo-check", prompt},
		{"opencode", Start{ResumeID: other}, "opencode --session other", ""},
		{"opencode", Start{Headless: true, PromptFile: prompt}, "opencode run", prompt},
		{"pi", Start{Latest: true}, "pi --continue", ""},
		{"pi", Start{ResumeID: other}, "pi --continue", ""},
		{"omp", Start{Headless: true, PromptFile: prompt}, "omp -p", prompt},
		{"gemini", Start{Latest: true}, "gemini --yolo --resume latest", ""},
		{"gemini", Start{Headless: true, PromptFile: prompt, Model: "g"}, "gemini --yolo --model g -p ", prompt},
		{"aider", Start{Headless: true, PromptFile: prompt, ContextFile: "/c"}, "aider --yes-always --read /c --message-file " + prompt, ""},
		{"aider", Start{Latest: true}, "aider --yes-always --restore-chat-history", ""},
		{"claude", Start{SessionID: id, Binary: "/opt/claude"}, "/opt/claude --permission-mode bypassPermissions --session-id " + id, ""},
	}
	for _, tt := range tests {
		row, err := Find(tt.tool)
		if err != nil {
			t.Fatal(err)
		}
		got, err := row.Command(tt.s)
		if err != nil || strings.Join(got.Command, " ") != tt.want || got.Stdin != tt.in {
			t.Errorf("%s %+v:\n got %q (stdin %q), %v\nwant %q (stdin %q)", tt.tool, tt.s, strings.Join(got.Command, " "), got.Stdin, err, tt.want, tt.in)
		}
	}
}

func TestCommandRefuses(t *testing.T) {
	c, err := Custom{Command: []string{"bash", "-c", "echo hi"}}.New()
	if err != nil {
		t.Fatal(err)
	}
	codexRow, _ := Find("codex")
	for name, err := range map[string]error{
		"headless without form":   second(c.Command(Start{Headless: true})),
		"resume without form":     second(c.Command(Start{Latest: true})),
		"headless asks":           second(codexRow.Command(Start{Headless: true, Interactive: true})),
		"system prompt for codex": second(codexRow.Command(Start{SystemPromptFile: "/x"})),
	} {
		var e *cli.Error
		if !errors.As(err, &e) || e.Code != 2 {
			t.Errorf("%s: %v; want exit 2", name, err)
		}
	}
}

func second(_ Spec, err error) error { return err }

func TestEnvAndArgv(t *testing.T) {
	row, _ := Find("claude")
	spec, err := row.Command(Start{SessionID: "i", Headless: true, PromptFile: "/run/coi/prompts/p", Model: "sonnet", Effort: "high"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"ANTHROPIC_MODEL": "sonnet", "CLAUDE_CODE_EFFORT_LEVEL": "high"}, spec.Env); diff != "" {
		t.Error(diff)
	}
	want := []string{"sh", "-c", `exec "$@" <"$0"`, "/run/coi/prompts/p", "claude", "--permission-mode", "bypassPermissions", "-p", "--session-id", "i"}
	if diff := cmp.Diff(want, spec.Argv()); diff != "" {
		t.Error(diff)
	}
	row, _ = Find("aider")
	spec, _ = row.Command(Start{Home: "/home/code"})
	if spec.Env["AIDER_CHAT_HISTORY_FILE"] != "/home/code/.aider/chat.history.md" {
		t.Errorf("aider writes its history to %q", spec.Env["AIDER_CHAT_HISTORY_FILE"])
	}
	if again, _ := Find("aider"); again.Env["AIDER_CHAT_HISTORY_FILE"] != "{home}/.aider/chat.history.md" {
		t.Error("a start changed the table")
	}
}

func TestCustom(t *testing.T) {
	c, err := Custom{
		Command: []string{"ag", "start"}, ResumeCommand: []string{"ag", "go", "{id}"}, PromptCommand: []string{"ag", "do", "{prompt_file}"},
		ConfigDir: ".ag", Files: []string{".ag/key"},
	}.New()
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Command(Start{ResumeID: "7"})
	if err != nil || strings.Join(got.Command, " ") != "ag go 7" {
		t.Errorf("resume = %q, %v", got.Command, err)
	}
	got, err = c.Command(Start{Headless: true, PromptFile: "/p"})
	if err != nil || strings.Join(got.Command, " ") != "ag do /p" || got.Stdin != "" {
		t.Errorf("headless = %+v, %v", got, err)
	}
	if diff := cmp.Diff([]string{".ag"}, c.Save); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []Custom{{}, {Command: []string{"x"}, Save: []string{"/etc"}}, {Command: []string{"x"}, Files: []string{"../y"}}} {
		var e *cli.Error
		if _, err := bad.New(); !errors.As(err, &e) || e.Code != 5 {
			t.Errorf("New(%+v) = %v; want exit 5", bad, err)
		}
	}
}

func TestFind(t *testing.T) {
	var e *cli.Error
	if _, err := Find("cluade"); !errors.As(err, &e) || e.Code != 5 || !strings.Contains(e.Hints[0], "claude") {
		t.Errorf("Find(cluade) = %v, %v; want exit 5 and the hint claude", err, e)
	}
	for _, row := range All() {
		if row.Package == "" && row.PyPI == "" || len(row.Save) == 0 || len(row.Checks) == 0 || row.Login == "" {
			t.Errorf("row %s lacks something: %+v", row.Name, row)
		}
	}
}

// Session §8: the id is found by newest modification time under the workspace.
func TestResumeID(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const a, b, c = "11111111-2222-4333-8444-555555555555", "21111111-2222-4333-8444-555555555555", "31111111-2222-4333-8444-555555555555"
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	write := func(rel, text string, when time.Time) {
		p := filepath.Join(dir, rel)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o700), os.WriteFile(p, []byte(text), 0o600), os.Chtimes(p, when, when)); err != nil {
			t.Fatal(err)
		}
	}
	write(".claude/projects/-workspace/"+a+".jsonl", "", at)
	write(".claude/projects/-workspace/"+b+".jsonl", "", at.Add(time.Hour))
	write(".claude/projects/-workspace/notes.jsonl", "", at.Add(2*time.Hour))
	write(".claude/projects/-elsewhere/"+c+".jsonl", "", at.Add(3*time.Hour))
	line := func(cwd string) string { return `{"type":"session_meta","payload":{"cwd":"` + cwd + `"}}` + "\n" }
	write(".codex/sessions/2026/01/01/rollout-x-"+a+".jsonl", line("/workspace"), at)
	write(".codex/sessions/2026/01/02/rollout-x-"+b+".jsonl", line("/other"), at.Add(time.Hour))
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, ".claude/projects/-workspace/"+c+".jsonl")); err != nil {
		t.Fatal(err)
	}
	root, err := beneath.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	for name, want := range map[string]string{"claude": b, "codex": a, "pi": ""} {
		row, _ := Find(name)
		if got := row.ResumeID(root, "/home/u/src", "/workspace"); got != want {
			t.Errorf("%s ResumeID = %q; want %q", name, got, want)
		}
	}
	if got := (Tool{Name: "claude"}).ResumeID(root, "/nowhere"); got != "" {
		t.Errorf("ResumeID of an unknown workspace = %q", got)
	}
}
