// Package seed makes the agent's files in the container from those of the
// host's home: settings merged deeply, so that everything the user had is still
// there, credentials by name only, and the auto-context block. The host's files
// are read and never written.
//
// Call order: fill an Input, Files, append Result.Files to the bundle, print
// Result.Warnings.
package seed

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/beneath"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/bundle"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/tool"
	"github.com/code-on-incus/coi/pkg/cli"
)

// MaxFile is the largest host file that is copied, in bytes.
const MaxFile = 10 << 20

// Credential is an entry of [[credentials]] with a path.
type Credential struct {
	Host      string // absolute; ~ is expanded
	Container string // absolute
	Mode      os.FileMode
}

// Input is everything that decides about the files.
type Input struct {
	Tool        tool.Tool
	HostHome    string
	Home        string // inside
	UID         int    // of the code user inside
	Interactive bool   // permission_mode
	Strip       bool   // git.strip_attribution
	Workspace   string // inside path
	Bundles     []tool.Tool
	Credentials []Credential
	EnvNames    []string // names of forwarded and set variables: a key among them stands for a credential file
	// Context is the text of SANDBOX_CONTEXT.md, ContextPath where it lies
	// inside; an empty text means tool.auto_context = false.
	Context, ContextPath string
	// Existing reads a file of a container that is used again. nil means a
	// fresh container.
	Existing func(name string) ([]byte, bool)
}

// Result is what to put into the container and what to tell.
type Result struct {
	Files    []bundle.File
	Warnings []string
}

type seeder struct {
	in   Input
	home *beneath.Root
	Result
}

// Files does the work. An error means that the host's home cannot be opened;
// everything smaller is a warning.
func Files(in Input) (Result, error) {
	dir, err := filepath.EvalSymlinks(in.HostHome)
	if err != nil {
		return Result{}, fmt.Errorf("home: %w", err)
	}
	home, err := beneath.Open(dir)
	if err != nil {
		return Result{}, fmt.Errorf("home: %w", err)
	}
	defer func() { _ = home.Close() }()
	s := &seeder{in: in, home: home}
	for _, f := range in.Tool.Seeds {
		s.one(f)
	}
	s.generated()
	s.credentials()
	return s.Result, nil
}

func (s *seeder) one(f tool.Seed) {
	switch f.Kind {
	case tool.Credential:
		return // together with the bundles, below
	case tool.Settings:
		s.settings(f.Path)
	case tool.Context:
		s.context(f.Path)
	case tool.Plain:
		if _, ok := s.existing(f.Path); ok {
			return
		}
		if b, ok := s.host(f.Path); ok {
			s.add(f.Path, b)
		}
	}
}

// settings merges container, host and coi's own keys, in that order.
func (s *seeder) settings(rel string) {
	v := empty()
	if b, ok := s.existing(rel); ok {
		if old, err := parse(b); err == nil && old.object != nil {
			v = old
		}
	}
	if b, ok := s.host(rel); ok {
		host, err := parse(b)
		switch {
		case err != nil:
			s.warn("%s on the host is not valid JSON (%s): coi's own keys only", rel, err)
		case host.object == nil:
			s.warn("%s on the host is not a JSON object (line 1): coi's own keys only", rel)
		default:
			v = merge(v, host)
		}
	}
	if s.own(rel, v); len(v.object.keys) > 0 {
		s.add(rel, v.text())
	}
}

// own sets the keys that coi needs and no others.
func (s *seeder) own(rel string, v value) {
	yes := scalar(true)
	switch rel {
	case ".claude/settings.json":
		if !s.in.Interactive {
			v.put(scalar("bypassPermissions"), "permissions", "defaultMode")
			v.put(yes, "skipDangerousModePermissionPrompt")
		}
	case ".claude.json":
		if !s.in.Interactive {
			v.put(yes, "bypassPermissionsModeAccepted")
		}
		for _, k := range []string{"hasCompletedOnboarding", "effortCalloutDismissed", "effortCalloutV2Dismissed"} {
			v.put(yes, k)
		}
		v.put(yes, "projects", s.in.Workspace, "hasTrustDialogAccepted")
		v.put(yes, "projects", s.in.Workspace, "hasCompletedProjectOnboarding")
	case ".config/opencode/opencode.json":
		mode := "allow"
		if s.in.Interactive {
			mode = "ask"
		}
		if p := v.object.vals["permission"]; p.object == nil && p.scalar != "" {
			v.object.set("permission", empty())
		}
		v.put(scalar(mode), "permission", "*")
		if s.in.Context != "" {
			list := value{isArray: true, array: []value{scalar(s.in.ContextPath)}}
			v.object.set("instructions", merge(v.object.vals["instructions"], list))
		}
	}
}

func (s *seeder) context(rel string) {
	b, ok := s.existing(rel)
	if !ok {
		b, _ = s.host(rel)
	}
	if s.in.Context != "" {
		b = []byte(Block(string(b), s.in.Context))
	}
	if len(b) > 0 {
		s.add(rel, b)
	}
}

// generated are the files that have no counterpart on the host.
func (s *seeder) generated() {
	if s.in.Tool.Link != "" && s.in.Context != "" {
		s.addFile(bundle.File{Path: path.Join(s.in.Home, s.in.Tool.Link), Link: s.in.ContextPath, UID: s.in.UID, GID: s.in.UID})
	}
	if s.in.Tool.Name != "claude" {
		return
	}
	v := empty()
	if !s.in.Interactive {
		v.put(scalar("disable"), "permissions", "disableAutoMode")
	}
	if s.in.Strip {
		v.put(scalar(false), "includeCoAuthoredBy")
	}
	if len(v.object.keys) > 0 {
		s.Files = append(s.Files, bundle.File{Path: "/etc/claude-code", Mode: 0o755, Dir: true},
			bundle.File{Path: "/etc/claude-code/managed-settings.json", Mode: 0o644, Content: v.text()})
	}
}

func (s *seeder) credentials() {
	for _, t := range append([]tool.Tool{s.in.Tool}, s.in.Bundles...) {
		found := 0
		for _, rel := range t.Credentials() {
			if b, ok := s.host(rel); ok {
				s.add(rel, b)
				found++
			}
		}
		if found == 0 && len(t.Credentials()) > 0 && !s.keyed(t) {
			s.Warnings = append(s.Warnings, fmt.Sprintf("no credentials of %s in your home: %s", t.Name, t.Login))
		}
	}
	for _, c := range s.in.Credentials {
		s.adhoc(c)
	}
}

// keyed reports whether a key comes by the environment instead.
func (s *seeder) keyed(t tool.Tool) bool {
	return slices.ContainsFunc(s.in.EnvNames, func(n string) bool {
		return strings.HasSuffix(n, "_API_KEY") || t.Name == "claude" && (n == "ANTHROPIC_AUTH_TOKEN" || n == "CLAUDE_CODE_OAUTH_TOKEN")
	})
}

func (s *seeder) adhoc(c Credential) {
	b, err := readHost(c.Host)
	if err != nil {
		s.warn("credential %s: %s", c.Host, err)
		return
	}
	s.Files = append(s.Files, bundle.Dirs(s.in.Home, c.Container, s.in.UID)...)
	s.addFile(bundle.File{Path: c.Container, Mode: c.Mode.Perm(), UID: s.in.UID, GID: s.in.UID, Content: b})
}

func readHost(p string) ([]byte, error) {
	real, err := filepath.EvalSymlinks(p)
	if err != nil {
		return nil, err
	}
	dir, err := beneath.Open(filepath.Dir(real))
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }()
	return dir.ReadFile(filepath.Base(real), MaxFile)
}

// host reads a file of the home. Links are followed as long as they stay in it.
func (s *seeder) host(rel string) ([]byte, bool) {
	real, err := filepath.EvalSymlinks(filepath.Join(s.home.Path(), rel))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false
	}
	var b []byte
	if err == nil {
		below, ok := strings.CutPrefix(real, s.home.Path()+"/")
		if !ok {
			s.warn("%s leads out of your home: not copied", rel)
			return nil, false
		}
		b, err = s.home.ReadFile(below, MaxFile)
	}
	if err != nil {
		s.warn("%s: %s", rel, err)
		return nil, false
	}
	return b, true
}

func (s *seeder) existing(rel string) ([]byte, bool) {
	if s.in.Existing == nil {
		return nil, false
	}
	return s.in.Existing(path.Join(s.in.Home, rel))
}

func (s *seeder) add(rel string, content []byte) {
	s.addFile(bundle.File{Path: path.Join(s.in.Home, rel), Mode: 0o600, UID: s.in.UID, GID: s.in.UID, Content: content})
}

func (s *seeder) addFile(f bundle.File) {
	s.Files = append(s.Files, bundle.Dirs(s.in.Home, f.Path, s.in.UID)...)
	s.Files = append(s.Files, f)
}

func (s *seeder) warn(format string, a ...any) {
	s.Warnings = append(s.Warnings, cli.Escape(fmt.Sprintf(format, a...)))
}
