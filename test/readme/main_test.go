//go:build readme

package readme

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestMain(m *testing.M) { os.Exit(online(m.Run)) }

const table = "coi_test_clean"

// online gives the machines a way out by a table of its own while tests run.
func online(tests func() int) int {
	script := fmt.Sprintf("table inet %s { chain post { type nat hook postrouting priority 90; ip saddr 10.99.7.0/24 masquerade; }; }", table)
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "%v: %s\n", err, out)
		return 1
	}
	code := tests()
	if out, err := exec.Command("nft", "delete", "table", "inet", table).CombinedOutput(); err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "%v: %s\n", err, out)
		return 1
	}
	return code
}
