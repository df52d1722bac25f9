// Package plan turns configuration, flags and the state of the machine into the
// spec of one session: everything is decided and checked here, before anything
// is made.
package plan

import (
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/bundle"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/launch"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/mount"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/record"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/uidmap"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/config"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// Input is what a plan is made of. All of it was resolved before.
type Input struct {
	Home      home.Home
	Config    *config.Config
	Workspace *mount.Workspace
	Identity  string
	Slot      int
	Container string
	Kind      string // of record
	SessionID string
	Tmux      bool
	Image     incus.Image
	Pool      incus.Pool
	Socket    string
	Old       *incus.Instance
	Mounts    *mount.Plan
	Inside    string // path of the workspace in the container
	UIDs      uidmap.Decision
	NIC       incus.Device // of open mode, should the guard not be there
	Monitor   launch.Monitor
	Tool      Tool
	Limits    Limits
	Locked    []string // workspace paths, for the monitor
	Secrets   []string
	Extra     map[string]incus.Device // proxies, locks, masks
	Alias     string
	Zone      string // IANA name of the time zone inside
}

// Tool is what the plan needs to know of the tool.
type Tool struct {
	Name string
	Argv []string
	Save []string // paths below the home of the code user
	Env  map[string]string
}

// Limits are limits in the words of Incus.
type Limits struct {
	Config map[string]string // limits.*
	Root   map[string]string // keys of the root disk
	Tmpfs  int64             // bytes of /tmp, 0: not a tmpfs of ours
	Words  []string          // for info
}

// Make puts the spec together.
func Make(in Input) launch.Spec {
	c := in.Config
	spec := launch.Spec{
		Record: newRecord(in), Source: incus.Source{Fingerprint: in.Image.Fingerprint}, Old: in.Old,
		Config: incusConfig(in), Devices: map[string]incus.Device{},
		Net: netWanted(in), Monitor: in.Monitor, OpenNIC: in.NIC, Ready: c.Container.ReadyTimeout,
	}
	root := incus.Device{"type": "disk", "path": "/", "pool": in.Pool.Name}
	maps.Copy(root, in.Limits.Root)
	spec.Devices["root"] = root
	maps.Copy(spec.Devices, in.Mounts.Devices)
	maps.Copy(spec.Devices, in.Extra)
	in.UIDs.Shift(spec.Devices, in.Mounts.OwnShift)
	if in.Image.Properties[BootProperty] != "1" && in.Old == nil {
		spec.Boot = bootFiles()
	}
	if in.Monitor != launch.Off {
		spec.Watch = watchWanted(in)
	}
	return spec
}

func newRecord(in Input) record.Record {
	c := in.Config
	r := record.Record{Session: run.Session{
		SchemaVersion: run.Schema, Container: in.Container, Project: c.Incus.Project, Identity: in.Identity,
		Workspace: in.Workspace.Path, Slot: in.Slot, Alias: in.Alias, Tool: in.Tool.Name, SessionID: in.SessionID,
		Profile: c.Profile.Name, Image: in.Image.Alias, Persistent: c.Container.Persistent, Kind: in.Kind,
		Veth: coi.VethName(vethTag(in), c.Incus.Project, in.Container), Mode: c.Network.Mode, CreatedAt: time.Now().UTC(),
	}}
	for _, x := range c.Refused {
		r.Refused = append(r.Refused, x.Key)
	}
	r.Plan = record.Plan{
		Socket: in.Socket, User: in.UIDs.User, UID: in.UIDs.UserUID, HomeDir: in.UIDs.Home, Inside: in.Inside, Tmux: in.Tmux,
		SessionsDir: c.Paths.SessionsDir + "-" + in.Tool.Name, StorageDir: c.Paths.StorageDir, LogsDir: c.Paths.LogsDir,
		Save: in.Tool.Save, StopTimeout: int(c.Container.ShutdownTimeout.Seconds()),
		AutoStop: c.Limits.Runtime.AutoStop, Graceful: c.Limits.Runtime.StopGraceful,
		Existed: in.Old != nil, Watched: in.Monitor != launch.Off, MustWatch: in.Monitor == launch.Required,
		Limits: in.Limits.Words, Forensics: c.Monitoring.ForensicsOnKill, KeepDays: c.Monitoring.AuditLogRetentionDays,
	}
	return r
}

func vethTag(in Input) string {
	if t := in.Config.Network.VethTag; t != "" {
		return t
	}
	return in.Home.VethTag()
}

// KeyVersion marks a container as ours.
const (
	KeyVersion    = "user.coi.version"
	KeyOwner      = "user.coi.owner"
	KeyHome       = "user.coi.home"
	KeyWorkspace  = "user.coi.workspace"
	KeyIdentity   = "user.coi.identity"
	KeySlot       = "user.coi.slot"
	KeyTool       = "user.coi.tool"
	KeySession    = "user.coi.session"
	KeyAlias      = "user.coi.alias"
	KeyPersistent = "user.coi.persistent"
	KeyImage      = "user.coi.image"
	KeyProfile    = "user.coi.profile"
)

// denyReboot makes a reboot inside end as a stop: reboot(2) with
// LINUX_REBOOT_MAGIC2A as first command word is refused, so systemd falls back
// to halting, and the container never starts again without its guards. The two
// values are RB_AUTOBOOT and LINUX_REBOOT_CMD_RESTART2.
const denyReboot = "reboot errno 1 [2,19088743,SCMP_CMP_EQ]\nreboot errno 1 [2,2712847316,SCMP_CMP_EQ]"

var (
	surface       = []string{"io_uring_setup", "io_uring_enter", "io_uring_register", "bpf", "userfaultfd", "keyctl", "add_key", "request_key"}
	surfaceStrict = []string{"perf_event_open"}
)

func denied(c *config.Config) string {
	var text strings.Builder
	text.WriteString(denyReboot)
	names := []string{}
	if c.Security.ReduceKernelSurface || c.Security.ReduceKernelSurfaceStrict {
		names = append(names, surface...)
	}
	if c.Security.ReduceKernelSurfaceStrict {
		names = append(names, surfaceStrict...)
	}
	for _, n := range names {
		text.WriteString("\n" + n + " errno 1")
	}
	return text.String()
}

func incusConfig(in Input) map[string]string {
	c := in.Config
	docker := strconv.FormatBool(c.Container.Docker)
	m := map[string]string{
		KeyVersion: "1", KeyOwner: strconv.Itoa(in.Home.UID), KeyHome: in.Home.Dir, KeyWorkspace: in.Workspace.Path, KeyIdentity: in.Identity,
		KeySlot: strconv.Itoa(in.Slot), KeyTool: in.Tool.Name, KeySession: in.SessionID, KeyPersistent: strconv.FormatBool(c.Container.Persistent),
		KeyImage: in.Image.Alias, "user.coi.dns": GuardDNS,
		// No other member of a cluster may take it over: nobody asks the guards there.
		"boot.autostart": "false", "cluster.evacuate": "stop", "security.privileged": "false", "security.idmap.isolated": "true", "security.guestapi": "false",
		"security.nesting": docker, "security.syscalls.intercept.mknod": docker, "security.syscalls.intercept.setxattr": docker,
		"security.syscalls.deny": denied(c), "environment." + launch.InitVariable: "wait",
	}
	if c.Container.Docker {
		m["linux.sysctl.net.ipv4.ip_unprivileged_port_start"] = "0"
	}
	for key, value := range map[string]string{KeyAlias: in.Alias, KeyProfile: c.Profile.Name, "raw.idmap": in.UIDs.RawIDMap} {
		if value != "" {
			m[key] = value
		}
	}
	for k, v := range in.Tool.Env {
		m["environment."+k] = v
	}
	maps.Copy(m, in.Limits.Config)
	return m
}

// BootProperty marks images that need no boot files.
const BootProperty = "coi.boot"

// GuardDNS is the address at which the guard answers names: the far end of
// every routed nic.
const GuardDNS = "169.254.0.1"

// bootFiles tell the network managers of an image to leave eth0 alone: it has
// its address before the first program runs. /tmp is cleaned by age and not at
// boot, since programs may be running before systemd comes to it.
func bootFiles() []bundle.File {
	file := func(path, text string) bundle.File {
		return bundle.File{Path: path, Mode: 0o644, Content: []byte(text)}
	}
	return []bundle.File{
		file("/etc/resolv.conf", "nameserver "+GuardDNS+"\noptions edns0\n"),
		file("/etc/systemd/network/00-coi-eth0.network", "[Match]\nName=eth0\n[Link]\nUnmanaged=yes\n"),
		file("/etc/NetworkManager/conf.d/00-coi.conf", "[keyfile]\nunmanaged-devices=interface-name:eth0\n"),
		file("/etc/network/interfaces", "auto lo\niface lo inet loopback\n"),
		file("/etc/cloud/cloud.cfg.d/99-coi.cfg", "network: {config: disabled}\n"),
		file("/etc/tmpfiles.d/tmp.conf", "q /tmp 1777 root root 10d\nq /var/tmp 1777 root root 30d\n"),
	}
}
