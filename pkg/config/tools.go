package config

import "slices"

// agents are the tools that have a package, a bundle and a place in the image.
var agents = []string{"claude", "codex", "opencode", "pi", "omp", "gemini", "aider"}

// tools are the values of tool.name.
var tools = append(slices.Clone(agents), "custom")

// toolDomains are the names a tool cannot work without. Tools that are not
// here talk to the provider their user configured.
var toolDomains = map[string][]string{
	"claude": {"api.anthropic.com", "platform.claude.com"},
	"codex":  {"api.openai.com", "auth.openai.com", "chatgpt.com"},
	"gemini": {"generativelanguage.googleapis.com", "cloudcode-pa.googleapis.com", "oauth2.googleapis.com"},
}

// Tools lists the values of tool.name.
func Tools() []string { return slices.Clone(tools) }
