// Package brief tells the agent where it is: SANDBOX_CONTEXT.md for its reading
// and SANDBOX_CONTEXT.json for its programs. Words that come from the
// repository, a branch, a profile or a file name are data: they appear quoted,
// on one line, and can add no instruction.
//
// Call order: fill Facts, Text (or the user's own file), Files.
package brief

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/bundle"
	"github.com/code-on-incus/coi/pkg/cli"
)

// Network is what may be reached.
type Network struct {
	Mode           string   `json:"mode"`
	IPv6           bool     `json:"ipv6"`
	AllowedPorts   []string `json:"allowed_ports"`
	DNSServers     []string `json:"dns_servers"`
	AllowedDomains []string `json:"allowed_domains"`
}

// Mount is one extra mount.
type Mount struct {
	Container string `json:"container"`
	ReadOnly  bool   `json:"readonly"`
}

// Port is one published port.
type Port struct {
	Name          string `json:"name"`
	HostPort      int    `json:"host_port"`
	ContainerPort int    `json:"container_port"`
	Listen        string `json:"listen"`
	Pool          bool   `json:"pool"`
	EnvVar        string `json:"env_var"`
}

// Limits are as written in the configuration; empty means none.
type Limits struct {
	CPU         string `json:"cpu"`
	Memory      string `json:"memory"`
	Disk        string `json:"disk"`
	MaxDuration string `json:"max_duration"`
	EndsAt      string `json:"ends_at"` // RFC 3339
}

// Facts are the fields of SANDBOX_CONTEXT.json, schema version 1. They hold no
// secret values, only names.
type Facts struct {
	SchemaVersion     int      `json:"schema_version"`
	ContainerName     string   `json:"container_name"`
	ToolName          string   `json:"tool_name"`
	WorkspacePath     string   `json:"workspace_path"`
	HomeDir           string   `json:"home_dir"`
	OS                string   `json:"os"`
	Architecture      string   `json:"architecture"`
	Timezone          string   `json:"timezone"`
	Persistent        bool     `json:"persistent"`
	RunAsRoot         bool     `json:"run_as_root"`
	Network           Network  `json:"network"`
	SSHAgentForwarded bool     `json:"ssh_agent_forwarded"`
	GHAuthenticated   bool     `json:"gh_cli_authenticated"`
	DockerAvailable   bool     `json:"docker_available"`
	ForwardedEnvVars  []string `json:"forwarded_env_vars"`
	ProtectedPaths    []string `json:"protected_paths"`
	WatchedPaths      []string `json:"watched_paths"`
	ProtectedBranches []string `json:"protected_branches"`
	ExtraMounts       []Mount  `json:"extra_mounts"`
	PublishedPorts    []Port   `json:"published_ports"`
	Limits            Limits   `json:"limits"`

	// Profile and its own text; Trusted says whether that text is the user's.
	Profile        string `json:"-"`
	ProfileText    string `json:"-"`
	ProfileTrusted bool   `json:"-"`
	MaskedPaths    int    `json:"-"`
	Interactive    bool   `json:"-"` // permission_mode
}

// Names of the files in the home.
const (
	TextName = "SANDBOX_CONTEXT.md"
	JSONName = "SANDBOX_CONTEXT.json"
)

// JSON is the machine's form; lists are never null.
func (f Facts) JSON() ([]byte, error) {
	f.SchemaVersion = 1
	f.Network.AllowedPorts = list(f.Network.AllowedPorts)
	f.Network.DNSServers = list(f.Network.DNSServers)
	f.Network.AllowedDomains = list(f.Network.AllowedDomains)
	f.ForwardedEnvVars, f.ProtectedPaths, f.WatchedPaths = list(f.ForwardedEnvVars), list(f.ProtectedPaths), list(f.WatchedPaths)
	f.ProtectedBranches, f.ExtraMounts, f.PublishedPorts = list(f.ProtectedBranches), list(f.ExtraMounts), list(f.PublishedPorts)
	b, err := json.MarshalIndent(f, "", "  ")
	return append(b, '\n'), err
}

func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

// Files are both files, 0600 of the code user. data nil leaves the JSON out.
func Files(home string, uid int, text string, data []byte) []bundle.File {
	out := []bundle.File{{Path: path.Join(home, TextName), Mode: 0o600, UID: uid, GID: uid, Content: []byte(text)}}
	if data != nil {
		out = append(out, bundle.File{Path: path.Join(home, JSONName), Mode: 0o600, UID: uid, GID: uid, Content: data})
	}
	return out
}

// maxWord bounds a quoted word, in bytes.
const maxWord = 300

// word quotes foreign text as code: one line, no control characters, no
// backtick that would end the quote.
func word(s string) string {
	if len(s) > maxWord {
		s = strings.ToValidUTF8(s[:maxWord], "") + "..."
	}
	s = strings.ReplaceAll(cli.Escape(s), "`", `\x60`)
	if s == "" {
		return "(none)"
	}
	return "`" + s + "`"
}

func words(l []string) string {
	if len(l) == 0 {
		return "none"
	}
	out := make([]string, len(l))
	for i, s := range l {
		out[i] = word(s)
	}
	return strings.Join(out, ", ")
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func row(b *strings.Builder, name, value string) {
	fmt.Fprintf(b, "| %s | %s |\n", name, strings.ReplaceAll(value, "|", `\|`))
}
