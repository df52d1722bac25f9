package main

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/bundle"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/launch"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/limit"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/plan"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/proxy"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/uidmap"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/zone"
	"github.com/code-on-incus/coi/pkg/cli"
)

func modeOf(bits uint32) os.FileMode { return os.FileMode(bits).Perm() }

func promptPath(id string) string { return "/run/coi/prompts/" + id }

// limits turns the configured limits into the words of Incus, as far as this
// host can enforce them.
func (b *begin) limits(in *plan.Input) error {
	c := b.cfg.Limits
	res, err := limit.Parse(limit.Limits{
		CPUCount: c.CPU.Count, CPUAllowance: c.CPU.Allowance, CPUPriority: c.CPU.Priority,
		Memory: c.Memory.Limit, MemoryEnforce: c.Memory.Enforce, Swap: c.Memory.Swap, DiskSize: c.Disk.Size, DiskMax: c.Disk.Max,
		DiskRead: c.Disk.Read, DiskWrite: c.Disk.Write, DiskPriority: c.Disk.Priority, Tmpfs: c.Disk.TmpfsSize, MaxProcesses: c.Runtime.MaxProcesses,
		Trusted: func(key string) bool { return b.cfg.Trusted("limits." + key) },
	})
	if err != nil {
		return err
	}
	host := limit.Probe()
	host.Pool, host.Driver, host.ImageBytes = b.pool.Name, b.pool.Driver, b.image.Size
	if res.Root["size"] != "" && b.old != nil {
		st, err := b.door.State(b.c, b.old.Name)
		if err != nil {
			return fmt.Errorf("what %s holds: %w", b.old.Name, err)
		}
		host.UsedBytes = st.Disk
	}
	warnings, err := res.Check(host)
	for _, w := range warnings {
		b.c.Warn(w)
		b.warnings = append(b.warnings, w)
	}
	if err != nil {
		return err
	}
	in.Limits = plan.Limits{Config: res.Config, Root: res.Root, Tmpfs: res.Tmpfs}
	for _, m := range []map[string]string{res.Config, res.Root} {
		for k, v := range m {
			in.Limits.Words = append(in.Limits.Words, k+"="+v)
		}
	}
	slices.Sort(in.Limits.Words)
	return nil
}

// proxies publishes ports and lends sockets.
func (b *begin) proxies(in *plan.Input) error {
	in.Extra = map[string]incus.Device{}
	var named []proxy.Want
	for _, m := range b.cfg.Ports.Map {
		named = append(named, proxy.Want{Name: m.Name, Container: m.Container, Host: m.Host, Listen: m.Listen})
	}
	ports, err := proxy.Ports(b.identity, b.slot, b.cfg.Ports.Pool, named, func(at netip.AddrPort) bool { return proxy.Free(at) })
	if err != nil {
		return err
	}
	b.ports = ports
	maps.Copy(in.Extra, proxy.PortDevices(ports, in.UIDs.UID, in.UIDs.GID))
	maps.Copy(b.env, proxy.Variables(ports))
	owner := proxy.Owner{HostUID: os.Geteuid(), HostGID: os.Getegid(), UID: in.UIDs.UserUID}
	for i, s := range b.cfg.Sockets {
		if err := proxy.CheckSocket(s.Host); err != nil {
			b.c.Warn(fmt.Sprintf("socket %s is skipped: %v", s.Host, err))
			continue
		}
		in.Extra[fmt.Sprintf("socket-%d", i+1)] = proxy.Socket(s.Host, s.Container, owner)
		if s.Env != "" {
			b.env[s.Env] = s.Container
		}
	}
	b.agent(in, owner)
	return nil
}

func (b *begin) agent(in *plan.Input, owner proxy.Owner) {
	if !b.cfg.SSH.ForwardAgent {
		return
	}
	link := b.home.Run(b.container + ".agent")
	if err := proxy.PointAgent(link, b.c.Getenv("SSH_AUTH_SOCK")); err != nil {
		b.c.Warn("the ssh agent is not forwarded: " + err.Error())
		return
	}
	in.Extra["ssh-agent"] = proxy.Socket(link, proxy.AgentInside, owner)
	b.env["SSH_AUTH_SOCK"] = proxy.AgentInside
}

// timezone is the zone inside.
func (b *begin) timezone() string {
	switch b.cfg.Timezone.Mode {
	case "utc":
		return "UTC"
	case "fixed":
		return b.cfg.Timezone.Name
	}
	z, err := zone.Host(b.c.Getenv)
	if err != nil {
		b.c.Warn(err.Error() + ": UTC is used")
	}
	return z
}

// setup is what the one exec inside does besides the tool's files.
func (b *begin) setup(in plan.Input, spec *launch.Spec) {
	var script strings.Builder
	user, uid := in.UIDs.User, in.UIDs.UserUID
	if user != "root" {
		argv := uidmap.Renumber(user, uid)
		for i, w := range argv {
			argv[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'" // several lines: no form of dash but this
		}
		// Before the user is asked for: the answer is the renumbered one.
		spec.Before = fmt.Sprintf("[ \"$(id -u %s 2>/dev/null || echo %d)\" = %d ] || %s || { echo \"coi-error renumber %s to uid %d\"; exit 1; }\n",
			cli.ShellQuote(user), uid, uid, strings.Join(argv, " "), user, uid)
	}
	z := b.timezone()
	b.env["TZ"] = z
	spec.Files = append(spec.Files, zone.Files(z)...)
	script.WriteString(zone.Script(z))
	if in.Limits.Tmpfs > 0 {
		fmt.Fprintf(&script, "mount -t tmpfs -o size=%d,mode=1777,nosuid,nodev tmpfs /tmp || { echo 'coi-error limits.disk.tmpfs_size: /tmp cannot be mounted'; exit 1; }\n", in.Limits.Tmpfs)
	}
	spec.Files = append(spec.Files,
		bundle.File{Path: "/run/coi/prompts", Mode: 0o700, UID: uid, GID: uid, Dir: true},
		bundle.File{Path: "/etc/profile.d/coi.sh", Mode: 0o644, Content: []byte("export MISE_TRUSTED_CONFIG_PATHS=" + cli.ShellQuote(in.Inside) + "\n")})
	if b.prompt != nil {
		spec.Files = append(spec.Files, bundle.File{Path: promptPath(in.SessionID), Mode: 0o600, UID: uid, GID: uid, Content: b.prompt})
	}
	if b.tmux {
		spec.Files = append(spec.Files, paneFiles(uid)...)
	}
	spec.Script += script.String()
	b.restore(in, spec)
}

// deadline sets the clock of the session, from the start of the tool.
func (b *begin) deadline(spec *launch.Spec) {
	r := b.cfg.Limits.Runtime
	if r.MaxDuration <= 0 {
		return
	}
	end := time.Now().UTC().Add(r.MaxDuration)
	rec := &spec.Record
	rec.Deadline = &end
	rec.WarnAt = warnings(end, r.MaxDuration, r.WarnBefore)
	spec.Watch.Deadline = &end
	spec.Files = append(spec.Files, bundle.File{Path: "/run/coi/deadline", Mode: 0o644, Content: []byte(end.Format(time.RFC3339) + "\n")})
}

// warnings are the moments at which a time limit is announced: as configured,
// and a minute before the end. What would come before the start is left out.
func warnings(end time.Time, limit, before time.Duration) []time.Time {
	var at []time.Time
	for _, d := range []time.Duration{max(before, time.Minute), min(before, time.Minute)} {
		if d > 0 && d < limit && !slices.Contains(at, end.Add(-d)) {
			at = append(at, end.Add(-d))
		}
	}
	return at
}

// existingFile reads a file of the stopped container that is used again, below
// the home of its user.
func (b *begin) existingFile(in plan.Input) func(string) ([]byte, bool) {
	return func(name string) ([]byte, bool) {
		if b.tree == nil {
			tree, err := b.door.Files(b.c, b.container)
			if err != nil {
				return nil, false
			}
			b.tree = tree
		}
		if !path.IsAbs(name) {
			name = path.Join(in.UIDs.Home, name)
		}
		data, err := b.tree.Head(name, maxSeed+1)
		return data, err == nil && len(data) <= maxSeed
	}
}

// maxSeed is the largest file of the tool that is merged, in bytes.
const maxSeed = 10 << 20
