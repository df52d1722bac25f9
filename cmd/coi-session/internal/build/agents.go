package build

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/tool"
)

// Defaults are the agents of an image when nobody says which.
var Defaults = []string{"claude", "opencode", "pi"}

// findAgents looks up names in the table of tools; an unknown one, or one that
// no registry carries, is an error.
func findAgents(names []string) ([]tool.Tool, error) {
	var found []tool.Tool
	for _, n := range names {
		t, err := tool.Find(n)
		if err != nil {
			return nil, fmt.Errorf("container.build.agents: %w", err)
		}
		if t.Package == "" && t.PyPI == "" {
			return nil, fmt.Errorf("container.build.agents: %s cannot be installed", n)
		}
		if !slices.ContainsFunc(found, func(have tool.Tool) bool { return have.Name == t.Name }) {
			found = append(found, t)
		}
	}
	return found, nil
}

// variables are what the install script is told.
func variables(agents []tool.Tool, registry string, cloudInit bool) map[string]string {
	var npm, pipx []string
	for _, a := range agents {
		if a.Package != "" {
			npm = append(npm, a.Name+"="+a.Package)
		} else {
			pipx = append(pipx, a.Name+"="+a.PyPI)
		}
	}
	v := map[string]string{
		"COI_PACKAGES": strings.Join(packages, " "), "COI_OPTIONAL": strings.Join(optional, " "),
		"COI_NPM": strings.Join(npm, " "), "COI_PIPX": strings.Join(pipx, " "),
		"COI_NODE": nodePackage(), "COI_REGISTRY": registry, "COI_CLOUD_INIT": "0",
	}
	if cloudInit {
		v["COI_CLOUD_INIT"] = "1"
	}
	return v
}

// versions asks each agent for its version and its help, as the code user. That
// shows that it starts, and that it still has the options which sessions use.
func (b *builder) versions(ctx context.Context, m *machine) (map[string]string, error) {
	found := map[string]string{}
	for _, a := range b.agents {
		b.Step("agent " + a.Name + " --version")
		out, err := m.output(ctx, false, a.Binary, "--version")
		if err != nil {
			return nil, fmt.Errorf("agent %s does not start: %w", a.Name, err)
		}
		if out == "" { // some say it on stderr
			if out, err = m.output(ctx, true, a.Binary, "--version"); err != nil {
				return nil, fmt.Errorf("agent %s does not start: %w", a.Name, err)
			}
		}
		found[a.Name], _, _ = strings.Cut(out, "\n")
		for _, c := range a.Checks {
			help, err := m.output(ctx, true, append([]string{a.Binary}, c.Args...)...)
			if err != nil {
				return nil, fmt.Errorf("agent %s: %w", a.Name, err)
			}
			if gone := missing(help, c.Words); len(gone) > 0 {
				return nil, fmt.Errorf("agent %s %s has no %s any more", a.Name, found[a.Name], strings.Join(gone, ", "))
			}
		}
	}
	return found, nil
}

func missing(text string, words []string) []string {
	var gone []string
	for _, w := range words {
		if !strings.Contains(text, w) {
			gone = append(gone, w)
		}
	}
	return gone
}
