package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/beneath"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/mount"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/pick"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/plan"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/record"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
)

type containerCmd struct {
	Launch  containerLaunch  `cmd:"" help:"Create and start a container with guards and no session."`
	Start   containerStart   `cmd:"" help:"Start a stopped container, guards first."`
	Stop    containerStop    `cmd:"" help:"Stop a container and keep it."`
	Delete  containerDelete  `cmd:"" help:"Delete a container."`
	Exec    containerExec    `cmd:"" help:"Run a command in a container."`
	Exists  containerExists  `cmd:"" help:"Exit 0 if the container exists, else 1."`
	Running containerRunning `cmd:"" help:"Exit 0 if the container runs, else 1."`
	Mount   containerMount   `cmd:"" help:"Mount a directory of the host."`
	List    containerList    `cmd:"" help:"List containers of coi."`
	Info    containerInfo    `cmd:"" help:"What Incus says about a container."`
	workspaceFlag
	cli.Globals
}

func containerCommand() cli.Command {
	return cli.Command{
		Verb: "container", Summary: "plumbing: launch, exec, mount, delete", Grammar: &containerCmd{},
		Examples: []string{"coi container exec coi-1a2b3c4d-1 --capture -- id -u", "coi container running coi-1a2b3c4d-1 && echo yes"},
		Exits:    []string{"N  exec: the exit code of the command"},
	}
}

type named struct {
	Name string `arg:"" help:"Container or alias."`
}

func (p *containerCmd) find(c *cli.Context, name string) (*desk, incus.Instance, error) {
	d, err := openDesk(c, p.Workspace)
	if err != nil {
		return nil, incus.Instance{}, err
	}
	inst, err := d.find(name, 0, false)
	return d, inst, err
}

type containerStop struct {
	named
	Force   bool `short:"f" help:"At once."`
	Timeout int  `placeholder:"SEC" help:"Seconds before force."`
}

// Run stops and keeps.
func (s *containerStop) Run(c *cli.Context, p *containerCmd) error {
	d, inst, err := p.find(c, s.Name)
	if err != nil {
		return err
	}
	if !inst.Running() {
		c.Note(inst.Name + " is stopped already")
		return nil
	}
	ask := record.Ask{Do: record.AskStop, Timeout: s.Timeout}
	if s.Force {
		ask.Do = record.AskHalt
	}
	return d.bringToEnd(inst, ask)
}

type containerDelete struct {
	named
	cli.Consent
}

// Run deletes; a running or persistent container is asked about.
func (x *containerDelete) Run(c *cli.Context, p *containerCmd) error {
	d, inst, err := p.find(c, x.Name)
	if err != nil {
		return err
	}
	if inst.Running() || inst.Config[plan.KeyPersistent] == "true" {
		if err := c.Ask(x.Consent, "delete %s (%s)?", inst.Name, strings.ToLower(inst.Status)); err != nil {
			return err
		}
	}
	return d.bringToEnd(inst, record.Ask{Do: record.AskKill})
}

type containerExec struct {
	User    int      `default:"-1" placeholder:"UID" help:"User id inside; root by default."`
	Group   int      `default:"-1" placeholder:"GID" help:"Group id inside."`
	Env     []string `sep:"none" placeholder:"K=V" help:"A variable; may be given several times."`
	Cwd     string   `placeholder:"DIR" help:"Directory."`
	Capture bool     `help:"Collect the output instead of streaming it."`
	Format  string   `enum:",json,raw" default:"" placeholder:"json|raw" help:"Form of --capture."`
	TTY     bool     `short:"t" name:"tty" help:"Allocate a terminal."`
	Name    string   `arg:"" help:"Container or alias."`
	Command []string `arg:"" passthrough:"partial" help:"Command and its arguments, after --."`
}

// maxCapture bounds each captured stream, in bytes.
const maxCapture = 16 << 20

func (x *containerExec) exec(c *cli.Context) (incus.Exec, error) {
	var e incus.Exec
	switch {
	case x.Capture && x.TTY:
		return e, cli.Usage("--capture and --tty exclude each other")
	case x.Format != "" && !x.Capture:
		return e, cli.Usage("--format needs --capture")
	case len(x.Command) == 0 || x.Command[0] != "--" && !dashed(os.Args):
		return e, cli.Usage("the command must stand behind --")
	}
	argv := x.Command
	if argv[0] == "--" {
		argv = argv[1:]
	}
	if len(argv) == 0 {
		return e, cli.Usage("no command given")
	}
	e = incus.Exec{Argv: argv, Cwd: x.Cwd, UID: max(x.User, 0), Env: map[string]string{"TERM": plan.Term(c.Getenv("TERM"))}, TTY: x.TTY}
	e.GID = e.UID
	if x.Group >= 0 {
		e.GID = x.Group
	}
	for _, kv := range x.Env {
		k, v, ok := strings.Cut(kv, "=")
		if !ok || k == "" {
			return e, cli.Usage("--env %q is not K=V", cli.Escape(kv))
		}
		e.Env[k] = v
	}
	return e, nil
}

func dashed(args []string) bool {
	return slices.Contains(args, "--")
}

// Run runs the command, as root unless told otherwise, with no shell between.
func (x *containerExec) Run(c *cli.Context, p *containerCmd) error {
	e, err := x.exec(c)
	if err != nil {
		return err
	}
	d, inst, err := p.find(c, x.Name)
	if err != nil {
		return err
	}
	switch {
	case d.frozen(inst) != "":
		return cli.Fail(coi.ExitFailed, "%s is frozen", inst.Name).Hint("coi unfreeze %s", inst.Name)
	case !inst.Running():
		return cli.Fail(coi.ExitFailed, "%s is not running", inst.Name).Hint("coi container start %s", inst.Name)
	}
	var code int
	switch {
	case x.Capture:
		return x.capture(c, d, inst, e)
	case x.TTY:
		code, err = attachPane(c, c, d.door, inst.Name, e)
	default:
		e.Stdin, e.Stdout, e.Stderr = c.Stdin, c.Stdout, c.Stderr
		ctx, stop := context.WithCancel(context.WithoutCancel(c))
		defer stop()
		e.Control = func(ctl *incus.Control) { forward(ctx, stop, ctl) }
		code, err = d.door.Exec(ctx, inst.Name, e)
	}
	if err != nil {
		return silent(inst.Name, fmt.Errorf("exec in %s: %w", inst.Name, err))
	}
	if code != 0 {
		return cli.Exit(code)
	}
	return nil
}

func (x *containerExec) capture(c *cli.Context, d *desk, inst incus.Instance, e incus.Exec) error {
	out, errs, code, err := d.door.Output(c, inst.Name, e, maxCapture)
	if err != nil {
		return silent(inst.Name, fmt.Errorf("exec in %s: %w", inst.Name, err))
	}
	if x.Format == "raw" {
		if _, err := c.Stdout.Write(out); err != nil {
			return err
		}
		if code != 0 {
			return cli.Exit(code)
		}
		return nil
	}
	return c.PrintJSON(struct {
		Stdout string `json:"stdout"`
		Stderr string `json:"stderr"`
		Code   int    `json:"exit_code"`
	}{string(out), string(errs), code})
}

type containerExists struct{ named }

// Run says by its exit code whether there is such a container.
func (x *containerExists) Run(c *cli.Context, p *containerCmd) error {
	return p.silent(c, x.Name, false)
}

type containerRunning struct{ named }

// Run says by its exit code whether the container runs.
func (x *containerRunning) Run(c *cli.Context, p *containerCmd) error {
	return p.silent(c, x.Name, true)
}

func (p *containerCmd) silent(c *cli.Context, name string, running bool) error {
	_, inst, err := p.find(c, name)
	code := exitOf(err)
	switch {
	case err == nil && (!running || inst.Running()):
		return nil
	case err == nil || code == coi.ExitNoContainer || code == coi.ExitFailed && inst.Name != "":
		return cli.Exit(coi.ExitFailed)
	}
	return err
}

type containerMount struct {
	Shift    bool   `default:"true" negatable:"" help:"Map the owner."`
	ReadOnly bool   `name:"readonly" help:"Read-only inside."`
	Name     string `arg:"" help:"Container or alias."`
	Device   string `arg:"" help:"Name of the device."`
	Source   string `arg:"" help:"Directory or file on the host."`
	Path     string `arg:"" help:"Absolute path inside."`
}

// Run adds a disk device to a container.
func (m *containerMount) Run(c *cli.Context, p *containerCmd) error {
	if !path.IsAbs(m.Path) || path.Clean(m.Path) != m.Path || m.Path == "/" {
		return cli.Usage("the path inside must be absolute and clean: %s", cli.Escape(m.Path))
	}
	d, inst, err := p.find(c, m.Name)
	if err != nil {
		return err
	}
	abs, err := filepath.Abs(m.Source)
	if err != nil {
		return err
	}
	source, err := filepath.EvalSymlinks(abs)
	if err != nil {
		return cli.Fail(coi.ExitFailed, "%w", err)
	}
	if !inst.Running() { // its next start sets all devices anew
		return cli.Fail(coi.ExitFailed, "%s is not running, and its next start would drop the mount", inst.Name).Hint("coi container start %s, or [[mounts.default]] in the configuration for every start", inst.Name)
	}
	if _, taken := inst.Devices[m.Device]; taken {
		return cli.Fail(coi.ExitFailed, "%s has a device %s", inst.Name, cli.Escape(m.Device)).Hint("choose another name")
	}
	if why := d.forbidden(source); why != "" {
		return cli.Fail(coi.ExitConfig, "%s is never mounted: %s", cli.Escape(source), why)
	}
	dev := incus.Device{"type": "disk", "source": source, "path": m.Path}
	if m.ReadOnly {
		dev["readonly"] = "true"
	}
	if m.Shift && inst.Config["raw.idmap"] == "" {
		dev["shift"] = "true"
	}
	if inside := inst.Devices["workspace"]["path"]; dev["shift"] == "" && inside != "" && under(m.Path, inside) {
		// liblxc removes what is at the place of a disk that it plugs in.
		return cli.Fail(coi.ExitFailed, "a mount at %s would replace a file of the workspace", cli.Escape(m.Path)).Hint("choose a path outside of %s", cli.Escape(inside))
	}
	devices := maps.Clone(inst.Devices)
	devices[m.Device] = dev
	covers, err := d.covers(inst, dev)
	if err != nil {
		return err
	}
	maps.Copy(devices, covers)
	held, err := beneath.OpenAbs(source, unix.O_PATH)
	if err != nil {
		return cli.Fail(coi.ExitFailed, "%w", err)
	}
	defer func() { _ = held.Close() }()
	if err := d.door.Update(c, inst, inst.Config, devices); err != nil {
		err = fmt.Errorf("mount in %s: %w", inst.Name, err)
		if !m.Shift {
			// Newer kernels refuse liblxc to move it to its place (move_mount, EINVAL).
			return cli.Fail(coi.ExitFailed, "%w", err).Hint("leave --no-shift out: this kernel lets a running container have shifted mounts only")
		}
		return err
	}
	if err := same(held, source); err != nil {
		err = errors.Join(err, d.unmount(inst, m.Device, covers))
		return cli.Fail(coi.ExitFailed, "mount in %s: %w", inst.Name, err)
	}
	_, err = fmt.Fprintf(c.Stdout, "mounted %s at %s in %s\n", cli.Escape(source), cli.Escape(m.Path), inst.Name)
	return err
}

// covers are the devices that keep a mount from being a second way to what is
// locked or hidden: the workspace's own locks and masks at their places below
// the target, and the protected paths that the source itself has. Where the
// source lies in a locked path, the mount becomes read-only.
func (d *desk) covers(inst incus.Instance, dev incus.Device) (map[string]incus.Device, error) {
	source, target := dev["source"], dev["path"]
	out := map[string]incus.Device{}
	ws, inside := inst.Config[plan.KeyWorkspace], inst.Devices["workspace"]["path"]
	for name, lock := range inst.Devices {
		kind, _, _ := strings.Cut(name, "-")
		if kind != "protect" && kind != "gitc" && kind != "mask" || inside == "" || !under(lock["path"], inside) {
			continue
		}
		host := ws + strings.TrimPrefix(lock["path"], inside)
		switch {
		case under(lock["path"], target):
			return nil, cli.Fail(coi.ExitFailed, "a mount at %s would hide the locked path %s", cli.Escape(target), cli.Escape(lock["path"]))
		case under(source, host) && kind == "mask":
			return nil, cli.Fail(coi.ExitFailed, "%s is hidden by security.secret_paths", cli.Escape(source))
		case under(source, host):
			dev["readonly"] = "true"
		case under(host, source):
			place := path.Join(target, strings.TrimPrefix(host, source))
			name := mount.DeviceName("cover", place)
			if _, there := out[name]; !there || kind == "mask" { // what is hidden is hidden, locked or not
				out[name] = cover(lock["source"], place)
			}
		}
	}
	return out, d.ownLocks(source, target, out)
}

// cover is a read-only disk. It has shift whatever the others have: plugged in
// without, it would be mounted by liblxc, which removes the file at its place.
func cover(source, place string) incus.Device {
	return incus.Device{"type": "disk", "source": source, "path": place, "readonly": "true", "shift": "true"}
}

// ownLocks adds the protected paths of the source's own, which may be another
// repository.
func (d *desk) ownLocks(source, target string, out map[string]incus.Device) error {
	if st, err := os.Lstat(source); err != nil || !st.IsDir() || d.cfg.Security.DisableProtection {
		return err
	}
	root, err := beneath.Open(source)
	if err != nil {
		return cli.Fail(coi.ExitFailed, "%w", err)
	}
	defer func() { _ = root.Close() }()
	for _, rel := range d.cfg.Security.Protected() {
		rel, err := beneath.Clean(rel)
		if err != nil {
			continue
		}
		place := path.Join(target, rel)
		switch st, err := root.Stat(rel); {
		case err != nil:
		case st.Mode.IsDir() || st.Mode.IsRegular():
			if name := mount.DeviceName("cover", place); out[name] == nil {
				out[name] = cover(root.Abs(rel), place)
			}
		default:
			d.c.Warn(fmt.Sprintf("%s is no file or directory of its own and stays writable in %s", cli.Escape(rel), cli.Escape(target)))
		}
	}
	return nil
}

// same compares what a path leads to after the mount with what was checked
// before it: Incus follows links, and in a workspace the agent makes them.
func same(held *os.File, source string) error {
	was, err := beneath.StatFile(held)
	if err != nil {
		return err
	}
	again, err := beneath.OpenAbs(source, unix.O_PATH)
	if err != nil {
		return err
	}
	defer func() { _ = again.Close() }()
	now, err := beneath.StatFile(again)
	if err == nil && !now.Same(was) {
		err = fmt.Errorf("%s was replaced meanwhile", cli.Escape(source))
	}
	return err
}

// unmount takes devices out again.
func (d *desk) unmount(inst incus.Instance, device string, covers map[string]incus.Device) error {
	now, err := d.door.Instance(d.c, inst.Name)
	if err != nil {
		return err
	}
	devices := maps.Clone(now.Devices)
	delete(devices, device)
	for name := range covers {
		delete(devices, name)
	}
	return d.door.Update(d.c, now, now.Config, devices)
}

// forbidden are sources that no mount may have, in any scope.
func (d *desk) forbidden(source string) string {
	for _, dir := range []string{"/proc", "/sys", "/dev", filepath.Dir(d.door.Socket), "/var/lib/incus"} {
		if under(source, dir) || under(dir, source) {
			return "it is or holds " + dir
		}
	}
	for _, dir := range []string{d.home.Dir, d.home.User + "/.coi"} {
		if under(source, dir) || under(dir, source) {
			return "it is or holds " + dir
		}
	}
	return ""
}

type containerList struct{ cli.Format }

// Run lists what Incus says of our containers.
func (l *containerList) Run(c *cli.Context, p *containerCmd) error {
	d, err := openDesk(c, p.Workspace)
	if err != nil {
		return err
	}
	mine, err := d.mine()
	if err != nil {
		return err
	}
	if l.IsJSON() {
		out := []factContainer{}
		for _, i := range mine {
			out = append(out, factContainer{i.Name, i.Status, i.ExpandedConfig, i.ExpandedDevices, some(i.Profiles)})
		}
		return c.PrintJSON(out)
	}
	if len(mine) == 0 {
		c.Note("no containers")
		return nil
	}
	var rows [][]string
	for _, i := range mine {
		rows = append(rows, []string{i.Name, strings.ToLower(i.Status), i.Devices["eth0"]["ipv4.address"], i.Config[plan.KeyImage]})
	}
	return c.Table([]cli.Column{{Name: "NAME"}, {Name: "STATUS"}, {Name: "IPV4"}, {Name: "IMAGE", Flex: true}}, rows)
}

type containerInfo struct {
	named
	cli.Format
}

// Run shows config and devices of one container.
func (x *containerInfo) Run(c *cli.Context, p *containerCmd) error {
	_, inst, err := p.find(c, x.Name)
	if err != nil {
		return err
	}
	return c.PrintJSON(factContainer{inst.Name, inst.Status, inst.ExpandedConfig, inst.ExpandedDevices, some(inst.Profiles)})
}

type containerLaunch struct {
	Ephemeral bool   `help:"Delete it when it stops."`
	Storage   string `short:"s" placeholder:"POOL" help:"Storage pool."`
	Network   string `enum:",restricted,allowlist,open" default:"" placeholder:"MODE" help:"Network mode."`
	Image     string `arg:"" help:"Image alias."`
	Name      string `arg:"" help:"Name, with the prefix of coi's containers."`
}

// Run launches a container with the guards of a session and nothing in it.
func (l *containerLaunch) Run(c *cli.Context, p *containerCmd) error {
	h, err := c.Home()
	if err != nil {
		return err
	}
	if !strings.HasPrefix(l.Name, h.Prefix) || !coi.ValidContainer(l.Name) {
		return cli.Usage("the name must start with %s and hold letters, digits and hyphens", h.Prefix)
	}
	persistent := !l.Ephemeral
	b := &begin{
		c: c, kind: record.Launch, container: l.Name, storage: l.Storage,
		flags: &sessionFlags{workspaceFlag: p.workspaceFlag, Image: l.Image, Network: l.Network, Persistent: &persistent, Globals: p.Globals},
	}
	live, err := b.start()
	if err != nil {
		return err
	}
	live.Link.Close()
	_, err = fmt.Fprintln(c.Stdout, l.Name)
	return err
}

type containerStart struct{ named }

// Run starts a stopped container with everything checked anew.
func (s *containerStart) Run(c *cli.Context, p *containerCmd) error {
	_, inst, err := p.find(c, s.Name)
	if err != nil {
		return err
	}
	if inst.Running() {
		c.Note(inst.Name + " is running already")
		return nil
	}
	if !pick.Ours(inst) {
		return errors.New("not ours")
	}
	persistent := inst.Config[plan.KeyPersistent] == "true"
	b := &begin{
		c: c, kind: record.Launch, container: inst.Name, old: &inst,
		flags: &sessionFlags{workspaceFlag: workspaceFlag{inst.Config[plan.KeyWorkspace]}, Image: inst.Config[plan.KeyImage], Persistent: &persistent, Globals: p.Globals},
	}
	live, err := b.start()
	if err != nil {
		return err
	}
	live.Link.Close()
	_, err = fmt.Fprintf(c.Stdout, "started %s\n", inst.Name)
	return err
}
