//go:build e2e

package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/code-on-incus/coi/test/internal/house"
)

var shBlock = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")

// Every block marked sh in the guides runs, in order, in one fresh workspace,
// as a reader would paste it: a line that fails fails the test.
func TestGuidesRun(t *testing.T) {
	guides, err := filepath.Glob("../../docs/guides/*.md")
	if err != nil || len(guides) == 0 {
		t.Fatalf("guides = %v, %v", guides, err)
	}
	for _, guide := range guides {
		text, err := os.ReadFile(guide)
		if err != nil {
			t.Fatal(err)
		}
		dir := workspace(t)
		for _, block := range shBlock.FindAllStringSubmatch(string(text), -1) {
			runBlock(t, dir, filepath.Base(guide), block[1])
		}
	}
}

func runBlock(t *testing.T, dir, guide, block string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	// bash gets the block as a file of its own, not as a line of ours.
	script := filepath.Join(t.TempDir(), "block")
	if err := os.WriteFile(script, []byte(block), 0o600); err != nil {
		t.Fatal(err)
	}
	like := the.Command(ctx, house.Call{Dir: dir, Args: []string{"version"}})
	cmd := exec.CommandContext(ctx, "bash", "-e", "-o", "pipefail", script)
	cmd.Dir, cmd.Env = like.Dir, append(like.Env, "PATH="+filepath.Dir(like.Path)+":"+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s\n%s", guide, err, strings.TrimSpace(block), out)
	}
}
