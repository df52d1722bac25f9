package mount

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/beneath"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/run"
)

// Mount is one configured mount that the trust gate let through.
type Mount struct {
	Host      string // absolute; ~ is expanded
	Container string // absolute
	ReadOnly  bool
	Shift     *bool
	Resolved  string // what the trust gate resolved Host to; "" when it did not look
	// Approved opens the object that was approved, comparing device and inode;
	// nil when nothing had to be approved.
	Approved func() (*os.File, error)
	// Overlap is set when a writable way to locked paths was approved or the
	// mount is written in a trusted file.
	Overlap bool
	Origin  string // file and line, for messages
}

// Source is a mounted file or directory and the descriptor that identifies it.
type Source struct {
	Device string // name of the device; "" for sources nested in another one
	Path   string // on the host
	Inside string // in the container
	Rel    string // path below the workspace when it lies there
	Info   beneath.Info
	file   *os.File
	mount  Mount
	inWS   bool
}

// Plan is the outcome of Build.
type Plan struct {
	Devices    map[string]map[string]string
	Sources    []Source
	Warnings   []string
	OwnShift   map[string]bool // devices whose shift was written in the configuration
	InWS       []string        // devices with a source inside the workspace, the workspace itself left out
	workspace  *Workspace
	insidePath string
}

// DeviceName is prefix, a hyphen and the first 16 hex digits of SHA-256 of a path.
func DeviceName(prefix, p string) string {
	sum := sha256.Sum256([]byte(p))
	return prefix + "-" + hex.EncodeToString(sum[:8])
}

// Build resolves every source and makes the devices of workspace, mounts,
// worktree and coi-home. home is the code user's home inside. The error lists
// all bad mounts (exit code 5 for forbidden sources and targets, else 1);
// descriptors are closed then.
func Build(w *Workspace, inside, home string, wt *Worktree, mounts []Mount, env Env) (*Plan, error) {
	p := &Plan{Devices: map[string]map[string]string{}, OwnShift: map[string]bool{}, workspace: w, insidePath: inside}
	p.Devices["workspace"] = map[string]string{"type": "disk", "source": w.Path, "path": inside}
	p.Sources = append(p.Sources, Source{Device: "workspace", Path: w.Path, Inside: inside, Info: w.Info, file: w.Root.File(), inWS: true})
	p.Devices["coi-home"] = map[string]string{"type": "disk", "source": filepath.Join(env.Masks, "empty-dir"), "path": path.Join(home, ".coi"), "readonly": "true"}
	if wt != nil && !beneath.Below(wt.Common, w.Path) {
		p.Devices["git-common"] = wt.device()
		p.Sources = append(p.Sources, Source{Device: "git-common", Path: wt.Common, Inside: wt.Common, Info: wt.Info, file: wt.File})
	}
	var problems []*cli.Error
	for i, m := range mounts {
		if e := p.add(fmt.Sprintf("mount-%d", i+1), m, home, env); e != nil {
			problems = append(problems, e)
		}
	}
	if len(problems) > 0 {
		p.Close()
		return nil, join(problems)
	}
	for _, s := range p.Sources {
		p.coverCoi(s, env)
	}
	return p, nil
}

func join(problems []*cli.Error) error {
	first := problems[0]
	for _, e := range problems[1:] {
		first.Lines = append(first.Lines, e.Text)
		first.Code = max(first.Code, e.Code)
	}
	return first
}

func (p *Plan) add(name string, m Mount, home string, env Env) *cli.Error {
	bad := func(code int, format string, a ...any) *cli.Error {
		return cli.Fail(code, "%smount %s: %s", m.Origin, cli.Escape(m.Host), fmt.Sprintf(format, a...))
	}
	if why := p.badTarget(m.Container, home); why != "" {
		return bad(coi.ExitConfig, "target %s %s", cli.Escape(m.Container), why)
	}
	src, file, st, err := resolveSource(m.Host)
	if errors.Is(err, fs.ErrNotExist) && !m.ReadOnly {
		if err = makeSource(m.Host, env); err == nil {
			src, file, st, err = resolveSource(m.Host)
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		p.Warnings = append(p.Warnings, fmt.Sprintf("mount %s skipped: it does not exist", cli.Escape(m.Host)))
		return nil
	}
	if err != nil {
		return bad(coi.ExitFailed, "%s", cli.Escape(err.Error()))
	}
	s := Source{Device: name, Path: src, Inside: m.Container, Info: st, file: file, mount: m}
	if e := p.refuse(&s, env, bad); e != nil {
		_ = file.Close()
		return e
	}
	p.device(s, env)
	return nil
}

func (p *Plan) device(s Source, env Env) {
	dev := map[string]string{"type": "disk", "source": s.Path, "path": s.Inside}
	if s.mount.ReadOnly || inAny(s.Path, env.Coi) {
		dev["readonly"] = "true"
	}
	if s.mount.Shift != nil {
		dev["shift"] = fmt.Sprint(*s.mount.Shift)
		p.OwnShift[s.Device] = true
	}
	if s.inWS {
		p.InWS = append(p.InWS, s.Device)
	}
	p.Devices[s.Device] = dev
	p.Sources = append(p.Sources, s)
}

func (p *Plan) refuse(s *Source, env Env, bad func(int, string, ...any) *cli.Error) *cli.Error {
	if s.mount.Resolved != "" && s.mount.Resolved != s.Path {
		return bad(coi.ExitFailed, "it led to %s when it was approved and now leads to %s", cli.Escape(s.mount.Resolved), cli.Escape(s.Path))
	}
	if e := s.approved(bad); e != nil {
		return e
	}
	if t := s.Info.Mode.Type(); t != 0 && t != fs.ModeDir {
		return bad(coi.ExitFailed, "neither a file nor a directory")
	}
	if s.Path == "/" || inAny(s.Path, []string{"/proc", "/sys", "/dev"}) {
		return bad(coi.ExitConfig, "%s is never mounted", cli.Escape(s.Path))
	}
	for _, d := range env.Incus {
		if beneath.Below(s.Path, d) || beneath.Below(d, s.Path) {
			return bad(coi.ExitConfig, "it would hand over Incus (%s)", d)
		}
	}
	if beneath.Below(s.Path, p.workspace.Path) {
		s.inWS, s.Rel = true, strings.TrimPrefix(strings.TrimPrefix(s.Path, p.workspace.Path), "/")
		return p.sameBeneath(s, bad)
	}
	for _, d := range env.Writable {
		if beneath.Below(s.Path, d) {
			return bad(coi.ExitFailed, "%s can be written by another running container", cli.Escape(d))
		}
	}
	return nil
}

// approved compares the source with the object that the trust gate looked at.
func (s *Source) approved(bad func(int, string, ...any) *cli.Error) *cli.Error {
	if s.mount.Approved == nil {
		return nil
	}
	f, err := s.mount.Approved()
	if err != nil {
		return bad(coi.ExitFailed, "%s", cli.Escape(err.Error()))
	}
	defer func() { _ = f.Close() }()
	if st, err := beneath.StatFile(f); err != nil || !st.Same(s.Info) {
		return bad(coi.ExitFailed, "replaced since it was approved")
	}
	return nil
}

// sameBeneath resolves an in-workspace source again from the workspace's own
// descriptor: a container of another slot may be moving things about.
func (p *Plan) sameBeneath(s *Source, bad func(int, string, ...any) *cli.Error) *cli.Error {
	if s.Rel == "" {
		return nil
	}
	f, err := p.workspace.Root.Handle(s.Rel)
	if err != nil {
		return bad(coi.ExitFailed, "%s", cli.Escape(err.Error()))
	}
	defer func() { _ = f.Close() }()
	st, err := beneath.StatFile(f)
	if err != nil || !st.Same(s.Info) {
		return bad(coi.ExitFailed, "replaced while it was checked")
	}
	return nil
}

func inAny(p string, dirs []string) bool {
	return slices.ContainsFunc(dirs, func(d string) bool { return beneath.Below(p, d) })
}

func (p *Plan) badTarget(t, home string) string {
	if !path.IsAbs(t) || path.Clean(t) != t || t == "/" {
		return "is not an absolute path below /"
	}
	for _, d := range []string{"/proc", "/sys", "/dev", "/run/coi", "/etc/coi", path.Join(home, ".coi")} {
		if beneath.Below(t, d) || beneath.Below(d, t) && d != path.Join(home, ".coi") {
			return "is coi's or the system's own"
		}
	}
	if beneath.Below(home, t) || beneath.Below(p.insidePath, t) {
		return "would hide " + cli.Escape(p.insidePath) + " or the home"
	}
	for _, s := range p.Sources {
		if s.Inside == t {
			return "is used twice"
		}
	}
	return ""
}

// makeSource makes a missing writable source as a directory of the owner.
func makeSource(host string, env Env) error {
	dir, rest := filepath.Clean(host), ""
	for {
		if _, err := os.Lstat(dir); err == nil {
			break
		}
		rest = filepath.Join(filepath.Base(dir), rest)
		dir = filepath.Dir(dir)
	}
	parent, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	root, err := beneath.Open(parent)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	made, err := root.MkdirAll(rest, 0o755)
	for _, d := range made {
		st, serr := root.Stat(d)
		if serr == nil && st.UID != env.Owner {
			serr = root.Chown(d, st, env.Owner, env.Group)
		}
		err = errors.Join(err, serr)
	}
	return err
}

// coverCoi puts ~/.coi read-only over itself where a source holds it.
func (p *Plan) coverCoi(s Source, env Env) {
	for _, c := range env.Coi {
		rel, ok := strings.CutPrefix(c, s.Path+"/")
		if !ok {
			continue
		}
		target := path.Join(s.Inside, rel)
		p.Devices[DeviceName("protect", target)] = map[string]string{"type": "disk", "source": c, "path": target, "readonly": "true"}
	}
}

// Verify opens every source again and compares it with the kept descriptor. It
// is for hosts without a watcher, which compares from inside the container's
// mounts; the error has exit code 1 and names the path.
func (p *Plan) Verify() error {
	for _, s := range p.Sources {
		st, err := reopen(s.Path)
		if err != nil || !st.Same(s.Info) {
			return cli.Fail(coi.ExitFailed, "%s was replaced between the check and the start", cli.Escape(s.Path))
		}
	}
	return nil
}

// Watch is what the watcher compares after the start.
func (p *Plan) Watch() []run.WatchMount {
	out := make([]run.WatchMount, 0, len(p.Sources))
	for _, s := range p.Sources {
		out = append(out, run.WatchMount{Path: s.Inside, Source: s.Path, Dev: s.Info.Dev, Ino: s.Info.Ino})
	}
	return out
}

// SourcePaths are the host paths of all sources, for the probe of package uidmap.
func (p *Plan) SourcePaths() []string {
	out := make([]string, 0, len(p.Sources))
	for _, s := range p.Sources {
		out = append(out, s.Path)
	}
	return out
}

// Close lets go of the descriptors; the workspace stays open.
func (p *Plan) Close() {
	for _, s := range p.Sources {
		if s.Device != "workspace" {
			_ = s.file.Close()
		}
	}
}
