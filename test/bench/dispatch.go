package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/code-on-incus/coi/test/internal/house"
)

// nobody runs the external command: root gets none from PATH.
const nobody = 65534

// batch is how often a command runs in one round; a single start is too short
// to be measured.
const batch = 50

// dispatch starts one and the same program as an external verb of coi and of git.
func dispatch(ctx context.Context, h *house.House, rounds int) ([]measure, error) {
	dir := filepath.Join(h.Dir, "external")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	truth, err := exec.LookPath("true")
	if err != nil {
		return nil, err
	}
	program, err := os.ReadFile(truth)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"coi-benchnop", "git-benchnop"} {
		if err := os.WriteFile(filepath.Join(dir, name), program, 0o755); err != nil {
			return nil, err
		}
	}
	// The dispatcher alone, where everybody may execute it.
	coi := filepath.Join(dir, "bin", "coi")
	if err := copyProgram(filepath.Join(h.Bin, "coi"), coi); err != nil {
		return nil, err
	}
	git, err := exec.LookPath("git")
	if err != nil {
		return nil, err
	}
	var ours, theirs []time.Duration
	for range rounds {
		for _, side := range []struct {
			program string
			to      *[]time.Duration
		}{{coi, &ours}, {git, &theirs}} {
			start := time.Now()
			for range batch {
				cmd := exec.CommandContext(ctx, side.program, "benchnop")
				cmd.Dir, cmd.Env = "/", []string{"HOME=/nonexistent", "PATH=" + dir + ":/usr/bin:/bin"}
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
				if out, err := cmd.CombinedOutput(); err != nil {
					return nil, fmt.Errorf("%s benchnop: %w: %s", side.program, err, out)
				}
			}
			*side.to = append(*side.to, time.Since(start)/batch)
		}
	}
	a, b := median(ours), median(theirs)
	return []measure{{"coi VERB / git VERB", a / b, "ratio", 1.0, fmt.Sprintf("%.2f ms / %.2f ms", a, b)}}, nil
}

func copyProgram(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755)
}
