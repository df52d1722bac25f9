//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/test/internal/house"
	"github.com/code-on-incus/coi/test/internal/model"
)

// The real agent from npm, in its container, asks a model endpoint on the host
// that one hole in the policy leads to, and prints the answer. Without the hole
// it gets none.
func TestClaudeAnswers(t *testing.T) {
	m, err := model.Serve("The answer of the model is forty-two.")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	config := func(hole string) string {
		return fmt.Sprintf("[tool]\nname = \"claude\"\n[defaults.environment]\nANTHROPIC_BASE_URL = \"http://model.test:%d\"\n"+
			"ANTHROPIC_API_KEY = \"x\"\nCLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC = \"1\"\n%s", m.Port(), hole)
	}
	hole := fmt.Sprintf("[[network.hosts]]\nip = \"host\"\nhostnames = [\"model.test\"]\nports = [%d]\n", m.Port())
	configure(t, config(hole))
	dir := workspace(t)
	r := doIn(t, house.Call{Dir: dir, Args: []string{"run", "--tool", "claude", "--prompt", "ping"}})
	if r.Code != 0 || !strings.Contains(r.Stdout, "forty-two") {
		t.Fatalf("%s\nwant the model's answer; it was asked %d times", r, m.Asked())
	}
	asked := m.Asked()
	if asked == 0 {
		t.Error("the endpoint was never asked")
	}
	gone(t, 10*time.Second, coi.Hash8(dir))

	configure(t, config(""))
	probe := fmt.Sprintf("curl -s -m 5 http://169.254.0.1:%d/ ; echo code $?", m.Port())
	if r := must(t, dir, "run", "--", "sh", "-c", probe); strings.Contains(r.Stdout, "code 0") || m.Asked() != asked {
		t.Errorf("%s\nwant no way to the endpoint without the hole", r)
	}
}

// S40, session §8, §14 accept: a conversation with the real agent is saved, and
// in a fresh container the agent goes on with it: what it asks the model then
// holds what was said before. One that is started anew knows nothing of it.
func TestAgentsGoOn(t *testing.T) {
	claude := agent{tool: "claude", more: "[defaults.environment]\nANTHROPIC_BASE_URL = \"http://MODEL\"\n" +
		"ANTHROPIC_AUTH_TOKEN = \"x\"\nCLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC = \"1\"\n"}
	for _, a := range append([]agent{claude}, imageAgents...) {
		a.more += "[prompts]\nfirst = \"remember the word gooseberry\"\n"
		t.Run(a.tool, a.goesOn)
	}
}

func (a agent) goesOn(t *testing.T) {
	m, dir := a.ready(t), workspace(t)
	if r := must(t, dir, "run", "--tool", a.tool, "--prompt-name", "first"); !strings.Contains(r.Stdout, "forty-two") {
		t.Fatalf("%s\nwant the model's answer", r)
	}
	saved := list(t, dir, "--all").Saved
	if len(saved) == 0 || saved[0].Workspace != dir {
		t.Fatalf("saved sessions: %+v", saved)
	}
	for start, knows := range map[string]bool{"--resume=" + saved[0].ID: true, "--slot=3": false} {
		c := strings.TrimSpace(must(t, dir, "shell", "--background", "--tool", a.tool, start).Stdout)
		discard(t, dir, c)
		word := map[bool]string{true: "onwards", false: "anew"}[knows]
		err := house.Eventually(t.Context(), 2*time.Minute, func() error {
			r := do(t, dir, "tmux", "capture", c)
			switch {
			case m.Heard(word):
				return nil
			case !strings.Contains(r.Stdout, word): // until the agent takes what is typed
				do(t, dir, "tmux", "send", "--no-enter", c, word)
			default: // by itself: an Enter that comes with the text is part of a paste
				do(t, dir, "tmux", "send", c, "")
			}
			return fmt.Errorf("%s", r)
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Heard(word, "gooseberry", "forty-two"); got != knows {
			t.Errorf("%s: the agent knows of the first conversation: %v; want %v", start, got, knows)
		}
		must(t, dir, "kill", "--force", c)
	}
}
