package build

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// machineRegistry is the npm registry the machine is set up for: what its npm
// says, else the registry line of the user's or the machine's npm file. Empty
// leaves it to the npm in the image, which knows the public one.
func machineRegistry(ctx context.Context, home string) string {
	cmd := exec.CommandContext(ctx, "npm", "config", "get", "registry")
	cmd.Dir = "/" // a project's own .npmrc has no say
	if out, err := cmd.Output(); err == nil {
		if u := strings.TrimSpace(string(out)); validURL(u) == nil {
			return u
		}
	}
	for _, path := range []string{filepath.Join(home, ".npmrc"), "/etc/npmrc", "/usr/etc/npmrc"} {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			k, v, _ := strings.Cut(line, "=")
			if u := strings.TrimSpace(v); strings.TrimSpace(k) == "registry" && validURL(u) == nil {
				return u
			}
		}
	}
	return ""
}
