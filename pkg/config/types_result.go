package config

import "github.com/code-on-incus/coi/pkg/trust"

// Mount is one mount that is allowed now. For a mount from an untrusted file
// Target is what was looked at when it was allowed, and exactly that must be
// mounted; for a trusted one Target is resolved by the session.
type Mount struct {
	Host      string // absolute path as written, ~ expanded
	Container string // absolute path, clean
	ReadOnly  bool
	Shift     *bool
	Trusted   bool
	// InWorkspace: the untrusted source resolves to a place in the workspace.
	// Locked and masked parts under it stay covered unless Overlap is true.
	InWorkspace bool
	Overlap     bool // a writable overlap with protected paths was approved
	Target      trust.Target
	Origin      Origin
}

// Socket is one [[sockets]].
type Socket struct {
	Host, Container, Env string
	Trusted              bool
	Target               trust.Target // as in Mount
	Origin               Origin
}

// Credential is one [[credentials]]: a tool's bundle, or one file.
type Credential struct {
	Bundle          string // tool name; the other fields are empty then
	Host, Container string
	Mode            uint32 // permission bits
	Trusted         bool
	Target          trust.Target // as in Mount
	Origin          Origin
}

// ProfileChoice is the profile in force.
type ProfileChoice struct {
	Name    string // empty: none
	Source  string // user, project, env or built-in
	File    string // empty for a built-in one
	Trusted bool
	By      string // "--profile", "alias", "session", "workspaces" or "defaults.profile"
}

// Context is the text that a profile adds to SANDBOX_CONTEXT.md.
type Context struct {
	Path, Text string
}

// Warning is a line for the user, with advice.
type Warning struct {
	Text  string
	Hints []string
	// Gate marks what the project asked for and did not get; only commands that
	// start a session, config show and health say it.
	Gate bool
}

// Refusal is a value of an untrusted file that was dropped.
type Refusal struct {
	Key    string
	Value  any
	File   string
	Line   int
	Reason string
}

// Item is a value of an untrusted file that needs approval.
type Item struct {
	trust.Item
	Approved bool
	Changed  bool   // the file was approved before, with other items or targets
	Approval string // the file under whose path the approval is kept
}
