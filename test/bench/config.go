package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/code-on-incus/coi/pkg/config"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/test/internal/house"
)

// profiles is how many profiles the measured home and project have together.
const profiles = 20

const profileText = `[container]
image = "coi-myproject-v1.2"
[network]
mode = "allowlist"
allowed_domains = ["api.example.com", "*.example.org:443"]
[limits.memory]
limit = "8GiB"
[limits.runtime]
max_duration = "8h"
[security]
additional_protected_paths = ["deploy"]
`

// settings measures coi config show as a program, against git config --list in
// the same run, and the load that every verb does.
func settings(ctx context.Context, h *house.House, rounds int) ([]measure, error) {
	user, project := filepath.Join(h.Dir, "settings", "user"), filepath.Join(h.Dir, "settings", "project")
	files := map[string]string{filepath.Join(user, ".coi/config.toml"): profileText, filepath.Join(project, ".coi/config.toml"): profileText}
	for n := range profiles {
		root := filepath.Join([]string{user, project}[n%2], ".coi")
		files[filepath.Join(root, "profiles", fmt.Sprintf("p%d", n), "config.toml")] = profileText
	}
	for path, text := range files {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, err
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	env := []string{"HOME=" + user, "PATH=" + os.Getenv("PATH")}
	if out, err := exec.CommandContext(ctx, "git", "init", "-q", project).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("git init: %w: %s", err, out)
	}
	var shown, git, load []time.Duration
	for range rounds {
		for _, side := range []struct {
			argv []string
			to   *[]time.Duration
		}{{[]string{filepath.Join(h.Bin, "coi-config"), "show"}, &shown}, {[]string{"git", "config", "--list"}, &git}} {
			start := time.Now()
			for range batch {
				cmd := exec.CommandContext(ctx, side.argv[0], side.argv[1:]...)
				cmd.Dir, cmd.Env = project, env
				if err := cmd.Run(); err != nil {
					return nil, fmt.Errorf("%v: %w", side.argv, err)
				}
			}
			*side.to = append(*side.to, time.Since(start)/batch)
		}
		took, err := loads(user, project)
		if err != nil {
			return nil, err
		}
		load = append(load, took)
	}
	ours, theirs := median(shown), median(git)
	note := fmt.Sprintf("%d profiles; show %.2f ms, git %.2f ms", profiles, ours, theirs)
	return []measure{
		{Name: "config show / git config --list", Value: ours / theirs, Unit: "ratio", Note: note},
		{Name: "config show", Value: ours, Unit: "ms", Goal: 5, Note: "as a program, start included"},
		{Name: "config load", Value: median(load), Unit: "ms", Goal: 5, Note: "what every verb does"},
	}, nil
}

func loads(user, project string) (time.Duration, error) {
	getenv := func(name string) string { return map[string]string{"HOME": user}[name] }
	hm, err := home.Find(getenv)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	for range batch {
		if _, err := config.Load(config.Options{Home: hm, Getenv: getenv, Workspace: project}); err != nil {
			return 0, err
		}
	}
	return time.Since(start) / batch, nil
}
