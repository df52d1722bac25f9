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
