package build

import (
	"fmt"
	"slices"
	"strings"
)

// Agent is a program that an image can carry.
type Agent struct {
	Name    string
	NPM     string // npm package, or
	PyPI    string // Python package
	Command string // what --version is asked of
}

// Defaults are the agents of an image when nobody says which.
var Defaults = []string{"claude", "opencode", "pi"}

// Agents are all that can be installed.
var Agents = []Agent{
	{"claude", "@anthropic-ai/claude-code", "", "claude"},
	{"codex", "@openai/codex", "", "codex"},
	{"opencode", "opencode-ai", "", "opencode"},
	{"pi", "@earendil-works/pi-coding-agent", "", "pi"},
	{"omp", "@oh-my-pi/pi-coding-agent", "", "omp"},
	{"gemini", "@google/gemini-cli", "", "gemini"},
	{"aider", "", "aider-chat", "aider"},
}

// findAgents looks up names; an unknown one is an error that lists the known.
func findAgents(names []string) ([]Agent, error) {
	var found []Agent
	for _, n := range names {
		i := slices.IndexFunc(Agents, func(a Agent) bool { return a.Name == n })
		if i < 0 {
			known := make([]string, len(Agents))
			for i, a := range Agents {
				known[i] = a.Name
			}
			return nil, fmt.Errorf("container.build.agents: unknown agent %q (%s)", n, strings.Join(known, " "))
		}
		if !slices.Contains(found, Agents[i]) {
			found = append(found, Agents[i])
		}
	}
	return found, nil
}

// variables are what the install script is told.
func variables(agents []Agent, registry string, cloudInit bool) map[string]string {
	var npm, pipx []string
	for _, a := range agents {
		if a.NPM != "" {
			npm = append(npm, a.Name+"="+a.NPM)
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
