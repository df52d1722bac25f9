package main

import (
	"runtime"
	"slices"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/brief"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/launch"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/plan"
	"github.com/code-on-incus/coi/pkg/home"
)

// maxContext is the largest context file of the user's own, in bytes.
const maxContext = 1 << 20

// brief words what the agent is told of its surroundings. A failure is a
// warning: the session goes on.
func (b *begin) brief(in plan.Input, spec *launch.Spec) {
	facts := b.facts(in, spec)
	b.context = facts.Text()
	if file := b.cfg.Tool.ContextFile; file != "" {
		text, err := home.ReadRegular(file, maxContext)
		if err != nil {
			b.c.Warn("tool.context_file: " + err.Error())
		} else {
			b.context = string(text)
		}
	}
	var data []byte
	if b.cfg.Tool.ContextJSON {
		var err error
		if file := b.cfg.Tool.ContextJSONFile; file != "" {
			data, err = home.ReadRegular(file, maxContext)
		} else {
			data, err = facts.JSON()
		}
		if err != nil {
			b.c.Warn("SANDBOX_CONTEXT.json: " + err.Error())
			data = nil
		}
	}
	spec.Files = append(spec.Files, brief.Files(in.UIDs.Home, in.UIDs.UserUID, b.context, data)...)
}

func (b *begin) facts(in plan.Input, spec *launch.Spec) brief.Facts {
	c := b.cfg
	f := brief.Facts{
		ContainerName: b.container, ToolName: c.Tool.Name, WorkspacePath: in.Inside, HomeDir: in.UIDs.Home, OS: system(b.image.Properties),
		Architecture: runtime.GOARCH, Timezone: b.env["TZ"], Persistent: c.Container.Persistent, RunAsRoot: in.UIDs.User == "root",
		SSHAgentForwarded: in.Extra["ssh-agent"] != nil, GHAuthenticated: b.env["GH_TOKEN"] != "" || b.env["GITHUB_TOKEN"] != "",
		DockerAvailable: c.Container.Docker, ForwardedEnvVars: slices.Clone(c.Defaults.ForwardEnv),
		ProtectedPaths: b.shield.protect.LockedInside(), WatchedPaths: b.shield.protect.WatchedInside(),
		ProtectedBranches: c.Git.ProtectedBranches, Profile: c.Profile.Name, ProfileText: c.Context.Text, ProfileTrusted: c.Profile.Trusted,
		MaskedPaths: len(b.shield.masks.Covers()), Interactive: c.Tool.PermissionMode == "interactive",
		Limits: brief.Limits{CPU: c.Limits.CPU.Count, Memory: c.Limits.Memory.Limit, Disk: c.Limits.Disk.Size},
	}
	if f.Limits.Disk == "" {
		f.Limits.Disk = c.Limits.Disk.Max
	}
	if d := c.Limits.Runtime.MaxDuration; d > 0 {
		f.Limits.MaxDuration = d.String()
	}
	if end := spec.Record.Deadline; end != nil {
		f.Limits.EndsAt = end.Format(time.RFC3339)
	}
	policy := spec.Net.Policy
	f.Network = brief.Network{Mode: c.Network.Mode, IPv6: c.Network.IPv6, AllowedPorts: policy.AllowedPorts, DNSServers: policy.DNSServers}
	for _, d := range policy.Allowed {
		f.Network.AllowedDomains = append(f.Network.AllowedDomains, d.Dest)
	}
	for _, m := range in.Mounts.Sources[1:] {
		f.ExtraMounts = append(f.ExtraMounts, brief.Mount{Container: m.Inside, ReadOnly: in.Mounts.Devices[m.Device]["readonly"] == "true"})
	}
	for _, p := range b.ports {
		port := brief.Port{Name: p.Name, HostPort: p.Host, ContainerPort: p.Container, Listen: p.Listen, Pool: p.Pool, EnvVar: p.Variable}
		f.PublishedPorts = append(f.PublishedPorts, port)
	}
	return f
}

// system names the distribution of an image by its properties.
func system(properties map[string]string) string {
	for _, key := range []string{"description", "image.description", "os"} {
		if v := properties[key]; v != "" {
			return v
		}
	}
	return "Linux"
}
