package house

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/code-on-incus/coi/pkg/home"
)

// maxTold bounds what is told of one file, in bytes.
const maxTold = 8 << 10

// Tell logs what the session of a container wrote and what Incus says of it,
// for a test that failed.
func (h *House) Tell(t *testing.T, container string) {
	t.Helper()
	paths, _ := filepath.Glob(h.Home.Run(container + ".*json"))
	for _, p := range append(paths, h.Home.Path("logs", container+".stdout.log"), h.Home.Path("logs", container+".stderr.log")) {
		if b, err := home.ReadFile(p); err == nil {
			t.Logf("%s:\n%s", filepath.Base(p), b[max(0, len(b)-maxTold):])
		}
	}
	for _, args := range [][]string{{"list", container, "-c", "ns4", "-f", "csv"}, {"operation", "list", "-f", "csv"}} {
		out, err := exec.Command("incus", args...).CombinedOutput()
		t.Logf("incus %v: %v\n%s", args, err, out)
	}
}
