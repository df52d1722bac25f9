//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/code-on-incus/coi/test/internal/house"
	"github.com/code-on-incus/coi/test/internal/model"
)

// agentHome gives the user of the house a file that an agent reads, as a user
// has it on the host.
func agentHome(t *testing.T, rel, text string) {
	t.Helper()
	p := filepath.Join(the.Home.User, rel)
	if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o700), os.WriteFile(p, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(p) })
}

// hole opens exactly the way to the model endpoint of a test.
func hole(m *model.Server) string {
	return fmt.Sprintf("[[network.hosts]]\nip = \"host\"\nhostnames = [\"model.test\"]\nports = [%d]\n", m.Port())
}

// agent is a real program from npm and the files of the user's home that point
// it to the model of a test.
type agent struct {
	tool  string
	files map[string]string // %d: the port of the model
	more  string            // of the configuration
}

// ready starts a model, and points the agent to it.
func (a agent) ready(t *testing.T) *model.Server {
	t.Helper()
	m, err := model.Serve("The answer of the model is forty-two.")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	at := fmt.Sprintf("model.test:%d", m.Port())
	for rel, text := range a.files {
		agentHome(t, rel, strings.ReplaceAll(text, "//MODEL", "//"+at))
	}
	configure(t, strings.ReplaceAll(a.more, "//MODEL", "//"+at)+hole(m))
	return m
}

func (a agent) answers(t *testing.T) {
	m := a.ready(t)
	r := doIn(t, house.Call{Dir: workspace(t), Args: []string{"run", "--tool", a.tool, "--prompt", "ping"}})
	if r.Code != 0 || !strings.Contains(r.Stdout, "forty-two") || m.Asked() == 0 {
		t.Errorf("%s\nwant the model's answer; it was asked %d times", r, m.Asked())
	}
}

// imageAgents are in the image of coi, beside claude.
var imageAgents = []agent{
	{"opencode", map[string]string{
		".config/opencode/opencode.json": `{"model":"own/fixed","provider":{"own":{"npm":"@ai-sdk/anthropic","options":{"baseURL":"http://MODEL/v1","apiKey":"x"},"models":{"fixed":{"name":"fixed"}}}}}`,
	}, "[defaults.environment]\nOPENCODE_DISABLE_MODELS_FETCH = \"1\"\n"},
	{"pi", map[string]string{
		".pi/agent/models.json":   `{"providers":{"own":{"baseUrl":"http://MODEL","api":"anthropic-messages","apiKey":"x","models":[{"id":"fixed"}]}}}`,
		".pi/agent/settings.json": `{"defaultProvider":"own","defaultModel":"fixed"}`,
	}, "[defaults.environment]\nPI_OFFLINE = \"1\"\n"},
}

// S122, session §14: the real agents of the image run headless inside, with the
// provider and the model that the user's own files on the host name, and print
// the answer.
func TestAgentsAnswer(t *testing.T) {
	for _, a := range imageAgents {
		t.Run(a.tool, a.answers)
	}
}

// The same for agents that are in an image of the user's own.
func TestAgentsOfAnImageAnswer(t *testing.T) {
	const image = "[container]\nimage = \"e2e-agents\"\n"
	configure(t, image+"[container.build]\ncompression = \"none\"\ncommands = [\"npm install -g --no-audit --no-fund @openai/codex @google/gemini-cli\"]\n")
	t.Cleanup(func() {
		if r := the.Do(context.Background(), house.Call{Args: []string{"image", "delete", "e2e-agents", "-f"}}); r.Code != 0 {
			t.Errorf("%s", r)
		}
	})
	must(t, workspace(t), "build")
	for _, a := range []agent{
		{"codex", map[string]string{
			".codex/config.toml": "model = \"fixed\"\nmodel_provider = \"own\"\n[model_providers.own]\nname = \"own\"\nbase_url = \"http://MODEL/v1\"\nwire_api = \"responses\"\n",
		}, ""},
		{
			"gemini",
			map[string]string{".gemini/settings.json": `{"security":{"auth":{"selectedType":"gemini-api-key"}}}`},
			"[tool.gemini]\nmodel = \"gemini-2.5-flash\"\n[defaults.environment]\nGEMINI_API_KEY = \"x\"\nGOOGLE_GEMINI_BASE_URL = \"http://MODEL\"\n",
		},
	} {
		a.more = image + a.more
		t.Run(a.tool, a.answers)
	}
}
