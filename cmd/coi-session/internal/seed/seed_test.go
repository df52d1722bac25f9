package seed

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/bundle"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/tool"
)

func home(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for rel, text := range files {
		p := filepath.Join(dir, rel)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o700), os.WriteFile(p, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func input(t *testing.T, name, dir string) Input {
	t.Helper()
	row, err := tool.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	return Input{
		Tool: row, HostHome: dir, Home: "/home/code", UID: 1000, Workspace: "/workspace", Strip: true,
		Context: "You are in a sandbox.", ContextPath: "/home/code/SANDBOX_CONTEXT.md",
	}
}

func files(t *testing.T, in Input) (map[string]bundle.File, []string) {
	t.Helper()
	r, err := Files(in)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bundle.File{}
	for _, f := range r.Files {
		out[f.Path] = f
	}
	return out, r.Warnings
}

const settings = `{
  "model": "opus",
  "env": {"AWS_REGION": "eu-1", "CLAUDE_CODE_USE_BEDROCK": "1"},
  "allowedTools": ["Bash"],
  "permissions": {"deny": ["Read(./secret)"], "defaultMode": "plan"},
  "zz": 1e400, "unknown": {"nested": [1, {"a": null}]}
}`

// S144, S145: everything the user had is still there next to coi's keys, and
// the host's file is untouched.
func TestClaudeSettings(t *testing.T) {
	dir := home(t, map[string]string{".claude/settings.json": settings, ".claude.json": `{"oauthAccount":{"x":1},"projects":{"/p":{"k":2}}}`, ".claude/.credentials.json": "secret"})
	before := sha256.Sum256([]byte(settings))
	got, warnings := files(t, input(t, "claude", dir))
	if len(warnings) != 0 {
		t.Errorf("warnings: %q", warnings)
	}
	want := `{
  "model": "opus",
  "env": {
    "AWS_REGION": "eu-1",
    "CLAUDE_CODE_USE_BEDROCK": "1"
  },
  "allowedTools": [
    "Bash"
  ],
  "permissions": {
    "deny": [
      "Read(./secret)"
    ],
    "defaultMode": "bypassPermissions"
  },
  "zz": 1e400,
  "unknown": {
    "nested": [
      1,
      {
        "a": null
      }
    ]
  },
  "skipDangerousModePermissionPrompt": true
}
`
	if diff := cmp.Diff(want, string(got["/home/code/.claude/settings.json"].Content)); diff != "" {
		t.Error(diff)
	}
	after, err := os.ReadFile(filepath.Join(dir, ".claude/settings.json"))
	if err != nil || sha256.Sum256(after) != before {
		t.Errorf("the host's file changed: %v", err)
	}
	var cj map[string]any
	if err := json.Unmarshal(got["/home/code/.claude.json"].Content, &cj); err != nil {
		t.Fatal(err)
	}
	projects := cj["projects"].(map[string]any)
	if cj["hasCompletedOnboarding"] != true || cj["bypassPermissionsModeAccepted"] != true || projects["/p"] == nil ||
		projects["/workspace"].(map[string]any)["hasTrustDialogAccepted"] != true || cj["oauthAccount"] == nil {
		t.Errorf(".claude.json = %v", cj)
	}
	if c := got["/home/code/.claude/.credentials.json"]; string(c.Content) != "secret" || c.Mode != 0o600 || c.UID != 1000 {
		t.Errorf("credentials = %+v", c)
	}
	managed := got["/etc/claude-code/managed-settings.json"]
	if managed.UID != 0 || !strings.Contains(string(managed.Content), `"includeCoAuthoredBy": false`) || !strings.Contains(string(managed.Content), "disableAutoMode") {
		t.Errorf("managed settings = %+v", managed)
	}
	if d := got["/home/code/.claude"]; !d.Dir || d.UID != 1000 {
		t.Errorf("parent directory = %+v", d)
	}
}

func TestInteractiveKeepsTheUsersMode(t *testing.T) {
	in := input(t, "claude", home(t, map[string]string{".claude/settings.json": settings}))
	in.Interactive = true
	got, _ := files(t, in)
	text := string(got["/home/code/.claude/settings.json"].Content)
	if !strings.Contains(text, `"defaultMode": "plan"`) || strings.Contains(text, "skipDangerous") {
		t.Errorf("settings = %s", text)
	}
}

func TestInvalidHostJSON(t *testing.T) {
	in := input(t, "claude", home(t, map[string]string{".claude/settings.json": "{\n\"a\": 1,\n oops}", ".claude/.credentials.json": "x"}))
	got, warnings := files(t, in)
	if len(warnings) != 1 || !strings.Contains(warnings[0], "line 3") {
		t.Errorf("warnings = %q; want one with the line", warnings)
	}
	if text := string(got["/home/code/.claude/settings.json"].Content); !strings.Contains(text, "bypassPermissions") || strings.Contains(text, `"a"`) {
		t.Errorf("settings = %s", text)
	}
}

// Links out of the home are not followed (R-REG-25), large and odd files skipped.
func TestHostFilesAreReadSafely(t *testing.T) {
	dir := home(t, map[string]string{"real/creds": "inside", ".codex/config.toml": "m = 1"})
	big := make([]byte, MaxFile+1)
	for _, err := range []error{
		os.Symlink("../real/creds", filepath.Join(dir, ".codex/auth.json")),
		os.Symlink("/etc/hostname", filepath.Join(dir, ".codex/AGENTS.md")),
		os.WriteFile(filepath.Join(dir, "big"), big, 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	in := input(t, "codex", dir)
	in.Context = ""
	in.Credentials = []Credential{{Host: filepath.Join(dir, "big"), Container: "/home/code/x/big", Mode: 0o600}, {Host: filepath.Join(dir, "real/creds"), Container: "/home/code/x/y", Mode: 0o640}}
	got, warnings := files(t, in)
	if string(got["/home/code/.codex/auth.json"].Content) != "inside" || string(got["/home/code/.codex/config.toml"].Content) != "m = 1" {
		t.Errorf("files = %v", got)
	}
	if _, ok := got["/home/code/.codex/AGENTS.md"]; ok || len(warnings) != 2 {
		t.Errorf("a link out of the home or a large file was copied; warnings %q", warnings)
	}
	if f := got["/home/code/x/y"]; f.Mode != 0o640 || !got["/home/code/x"].Dir {
		t.Errorf("ad-hoc credential = %+v", f)
	}
}

// A container that is used again keeps its own plain files.
func TestReuse(t *testing.T) {
	in := input(t, "codex", home(t, map[string]string{".codex/config.toml": "host", ".codex/auth.json": "new", ".codex/AGENTS.md": "host agents"}))
	in.Existing = func(p string) ([]byte, bool) {
		switch p {
		case "/home/code/.codex/config.toml":
			return []byte("mine"), true
		case "/home/code/.codex/AGENTS.md":
			return []byte("mine too\n" + BeginLine + "\nold\n" + EndLine + "\n"), true
		}
		return nil, false
	}
	got, _ := files(t, in)
	if _, ok := got["/home/code/.codex/config.toml"]; ok {
		t.Error("the container's own file is replaced")
	}
	if string(got["/home/code/.codex/auth.json"].Content) != "new" {
		t.Error("credentials are not renewed")
	}
	want := "mine too\n" + BeginLine + "\nYou are in a sandbox.\n" + EndLine + "\n"
	if diff := cmp.Diff(want, string(got["/home/code/.codex/AGENTS.md"].Content)); diff != "" {
		t.Error(diff)
	}
}

func TestOpencodeAndLink(t *testing.T) {
	in := input(t, "opencode", home(t, map[string]string{".config/opencode/opencode.json": `{"instructions":["a.md"],"permission":"ask"}`}))
	got, warnings := files(t, in)
	want := `{"instructions":["a.md","/home/code/SANDBOX_CONTEXT.md"],"permission":{"*":"allow"}}`
	v, err := parse(got["/home/code/.config/opencode/opencode.json"].Content)
	if err != nil || v.compact() != want {
		t.Errorf("opencode.json = %s, %v; want %s", v.compact(), err, want)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "opencode auth login") {
		t.Errorf("warnings = %q; want the login hint", warnings)
	}
	in.EnvNames = []string{"OPENAI_API_KEY"}
	if _, warnings = files(t, in); len(warnings) != 0 {
		t.Errorf("a forwarded key still warns: %q", warnings)
	}
	got, _ = files(t, input(t, "pi", home(t, nil)))
	if got["/home/code/.pi/agent/APPEND_SYSTEM.md"].Link != "/home/code/SANDBOX_CONTEXT.md" {
		t.Errorf("pi's link = %+v", got)
	}
}

func TestBlock(t *testing.T) {
	b := BeginLine + "\nnew\n" + EndLine + "\n"
	for name, tt := range map[string][2]string{
		"empty":      {"", b},
		"append":     {"mine", "mine\n" + b},
		"in place":   {"a\n" + BeginLine + "\nold\n" + EndLine + "\nz\n", "a\n" + b + "z\n"},
		"doubles":    {b + "x\n" + b, b + "x\n"},
		"crlf":       {"a\r\n", "a\r\n" + strings.ReplaceAll(b, "\n", "\r\n")},
		"no end":     {BeginLine + "\nkeep\n", "keep\n" + b},
		"no begin":   {"a\n" + EndLine + "\nb\n", "a\nb\n" + b},
		"two begins": {BeginLine + "\nkeep\n" + b, "keep\n" + b},
	} {
		got := Block(tt[0], "new\n")
		if got != tt[1] {
			t.Errorf("%s: Block = %q; want %q", name, got, tt[1])
		}
		if again := Block(got, "new"); again != got {
			t.Errorf("%s: a second start changes the file: %q", name, again)
		}
	}
}

// R-OWN-02: host JSON is merged without loss, whatever it holds.
func FuzzMerge(f *testing.F) {
	f.Add([]byte(settings))
	f.Add([]byte(`{"a":[1,1,{"b":"\u0000"}],"a":2}`))
	f.Add([]byte(`[[[[]]]]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := parse(text)
		var std any
		if json.Valid(text) != (err == nil) && len(text) < 100 && !strings.HasPrefix(string(text), "\xef\xbb\xbf") {
			t.Fatalf("parse(%q) = %v; encoding/json says valid %v", text, err, json.Valid(text))
		}
		if err != nil {
			return
		}
		if err := json.Unmarshal(v.text(), &std); err != nil && !strings.Contains(err.Error(), "number") {
			t.Fatalf("%q became invalid: %v", text, err)
		}
		again, err := parse(v.text())
		if err != nil || again.compact() != v.compact() {
			t.Fatalf("second parse of %q: %v", text, err)
		}
		if v.object != nil {
			if same := merge(again, v); same.object == nil || len(same.object.keys) != len(v.object.keys) {
				t.Fatalf("merge lost keys of %q", text)
			}
		}
	})
}

func FuzzBlock(f *testing.F) {
	f.Add("a\r\n"+BeginLine+"\r\nx\r\n", "new")
	f.Fuzz(func(t *testing.T, old, text string) {
		if strings.Contains(text, "coi sandbox context") || strings.Contains(text, "\r") || strings.Contains(old, "\r") {
			return
		}
		once := Block(old, text)
		if twice := Block(once, text); twice != once {
			t.Fatalf("not stable: %q then %q", once, twice)
		}
	})
}

// S144, S145, session §14: each tool's files of the host's home are inside, for
// the code user alone, credentials as they are, settings with all that the user
// had, the context where the tool reads it; no file of another tool is.
func TestEveryTool(t *testing.T) {
	const json = `{"of":{"the":["user"]}}`
	host := map[string]string{}
	for _, row := range tool.All() {
		for _, s := range row.Seeds {
			switch s.Kind {
			case tool.Settings:
				host[s.Path] = json
			default:
				host[s.Path] = "of the user: " + s.Path + "\n"
			}
		}
	}
	dir := home(t, host)
	const told = "You are in a sandbox."
	inContext := map[string]string{"claude": ".claude/CLAUDE.md", "codex": ".codex/AGENTS.md", "gemini": ".gemini/GEMINI.md"}
	links := map[string]string{"pi": ".pi/agent/APPEND_SYSTEM.md", "omp": ".omp/APPEND_SYSTEM.md"}
	for _, row := range tool.All() {
		if row.Name == "custom" {
			continue
		}
		got, warnings := files(t, input(t, row.Name, dir))
		if len(warnings) != 0 {
			t.Errorf("%s: %v", row.Name, warnings)
		}
		mine := map[string]bool{}
		for _, s := range row.Seeds {
			f, ok := got["/home/code/"+s.Path]
			mine[s.Path] = true
			text := string(f.Content)
			if !ok || f.Mode != 0o600 || f.UID != 1000 || f.GID != 1000 {
				t.Errorf("%s: %s = %+v; want it for the code user alone", row.Name, s.Path, f)
			}
			switch {
			case s.Kind == tool.Settings && !strings.Contains(strings.Join(strings.Fields(text), ""), `"of":{"the":["user"]}`):
				t.Errorf("%s: %s lost what the user had: %s", row.Name, s.Path, text)
			case s.Kind != tool.Settings && !strings.Contains(text, host[s.Path]):
				t.Errorf("%s: %s = %q", row.Name, s.Path, text)
			case (s.Kind == tool.Credential || s.Kind == tool.Plain) && text != host[s.Path]:
				t.Errorf("%s: %s was changed: %q", row.Name, s.Path, text)
			}
		}
		for p := range host {
			if _, there := got["/home/code/"+p]; there && !mine[p] {
				t.Errorf("%s was given %s", row.Name, p)
			}
		}
		if p := inContext[row.Name]; p != "" && strings.Count(string(got["/home/code/"+p].Content), told) != 1 {
			t.Errorf("%s: %s = %q; want the context once", row.Name, p, got["/home/code/"+p].Content)
		}
		if p := links[row.Name]; p != "" && got["/home/code/"+p].Link != "/home/code/SANDBOX_CONTEXT.md" {
			t.Errorf("%s: %s = %+v; want a link to the context", row.Name, p, got["/home/code/"+p])
		}
		if row.Name == "opencode" && !strings.Contains(string(got["/home/code/.config/opencode/opencode.json"].Content), "SANDBOX_CONTEXT.md") {
			t.Error("opencode: no instructions name the context")
		}
	}
}
