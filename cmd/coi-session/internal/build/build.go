// Package build makes the images that sessions start from: a root file system
// from a package mirror or an image of Incus, the contents every session
// expects, and the agents, installed in a container behind the same firewall as
// a session. A build that fails or is interrupted leaves the old image and
// nothing else.
package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/image"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/tool"
	"github.com/code-on-incus/coi/pkg/home"
)

// Images is what a build needs of Incus to read and make images.
type Images interface {
	Member(ctx context.Context) (string, error)
	Image(ctx context.Context, alias string) (incus.Image, error)
	Images(ctx context.Context) ([]incus.LocalImage, error)
	ImportImage(ctx context.Context, meta, rootfs io.Reader, properties map[string]string) (string, error)
	PublishImage(ctx context.Context, instance, compression string, properties map[string]string) (string, error)
	CopyImage(ctx context.Context, r incus.RemoteImage) (string, error)
	SetAlias(ctx context.Context, alias, fingerprint, description string) error
	DeleteImage(ctx context.Context, fingerprint string) error
}

// Request says which image to make and of what.
type Request struct {
	Alias       string
	Base        Base
	Mirror      string // URL of a package mirror, empty: the machine's
	Registry    string // URL of an npm registry, empty: the machine's
	Agents      []string
	CloudInit   bool
	Compression string
	Pool        string // storage pool of the build container, empty: Incus' default
	From        string // the file that asked for this build, for image-meta.json
	// Custom is a script that runs as root on the base, which is an image of
	// coi already; nil for an image of our own contents.
	Custom []byte
	// Remote resolves the Incus remote of a Remote base.
	Remote func(name string) (server, protocol string, err error)
}

// Deps are what a build works with.
type Deps struct {
	Images   Images
	Machines Machines
	Fence    Fence
	Home     home.Home
	// Step is told what begins; it is called from several goroutines.
	Step func(name string)
	Now  func() time.Time
}

// Result is what was made.
type Result struct {
	Alias, Versioned, Fingerprint string
	Versions                      map[string]string // agent to what it said of itself
	Size                          int64
}

// Error is a failed build with the end of its log.
type Error struct {
	Err  error
	Log  string // path of the whole log
	Tail []string
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

type builder struct {
	Deps
	req    Request
	agents []tool.Tool
	log    *Log
	made   []string // fingerprints of images that are only steps on the way
}

// LogPath is the log of the build of an alias.
func LogPath(h home.Home, alias string) string { return h.Path("logs", "build-"+alias+".log") }

// LockPath is locked while a build runs.
func LockPath(h home.Home) string { return h.Run("build.lock") }

// Run builds. On failure the error is an *Error, or the context's when it ended
// first; in both cases the image that had the alias still has it, and container,
// rules, files and half-made images are gone. A base that was finished stays as
// an image without a name (see Kept) until the next build or KeptFor.
func Run(ctx context.Context, d Deps, req Request) (Result, error) {
	b := &builder{Deps: d, req: req}
	var err error
	if b.agents, err = findAgents(req.Agents); err != nil {
		return Result{}, err
	}
	for _, dir := range []string{d.Home.Run(), d.Home.Path("logs")} {
		if _, err := d.Home.Ensure(dir); err != nil {
			return Result{}, err
		}
	}
	lock, err := home.TryLock(LockPath(d.Home))
	if errors.Is(err, home.ErrLocked) {
		return Result{}, fmt.Errorf("another build is running (pid %d)", home.Holder(LockPath(d.Home)))
	}
	if err != nil {
		return Result{}, err
	}
	defer lock.Unlock()
	path := LogPath(d.Home, req.Alias)
	if b.log, err = openLog(path, d.Step); err != nil {
		return Result{}, err
	}
	defer func() { _ = b.log.Close() }()
	res, err := b.build(ctx)
	if ctx.Err() != nil {
		return Result{}, ctx.Err()
	}
	if err != nil {
		return Result{}, &Error{Err: err, Log: path, Tail: b.log.Tail()}
	}
	return res, nil
}

func (b *builder) container() string { return buildName(b.Home.Prefix) }

func (b *builder) build(ctx context.Context) (res Result, err error) {
	defer func() {
		if err == nil {
			err = b.discard(ctx)
		} else {
			b.keep()
		}
	}()
	if err := b.elsewhere(ctx); err != nil {
		return res, err
	}
	base, err := b.base(ctx)
	if err != nil {
		return res, err
	}
	b.Step("build container")
	m, err := b.start(ctx, base.Fingerprint)
	if err != nil {
		return res, err
	}
	versions, err := b.furnish(ctx, m)
	if err == nil {
		res, err = b.publish(ctx, m, base, versions)
	}
	return res, errors.Join(err, b.end(ctx, m.name))
}

// base finds or makes the image that the build container starts from.
func (b *builder) base(ctx context.Context) (incus.Image, error) {
	switch b.req.Base.Kind {
	case Local:
		img, err := b.Images.Image(ctx, b.req.Base.Alias)
		if errors.Is(err, incus.ErrNotFound) {
			return img, fmt.Errorf("base %s: there is no such image", b.req.Base.Alias)
		}
		return img, err
	case Remote:
		b.Step("downloading " + b.req.Base.Ref)
		server, protocol, err := b.req.Remote(b.req.Base.Remote)
		if err != nil {
			return incus.Image{}, err
		}
		fp, err := b.Images.CopyImage(ctx, incus.RemoteImage{Server: server, Protocol: protocol, Alias: b.req.Base.Alias})
		return incus.Image{Fingerprint: fp}, err
	}
	return b.fromMirror(ctx)
}

func (b *builder) fromMirror(ctx context.Context) (img incus.Image, err error) {
	dir := workDir(b.Home.UID, b.req.Alias)
	if err := prepareDir(ctx, dir); err != nil {
		return img, err
	}
	defer func() { err = errors.Join(err, removeDir(context.WithoutCancel(ctx), dir)) }()
	overlay, err := os.OpenFile(filepath.Join(dir, "overlay.tar"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return img, err
	}
	err = errors.Join(writeOverlay(overlay, variables(b.agents, b.req.Registry, b.req.CloudInit)), overlay.Close())
	if err != nil {
		return img, err
	}
	distro, suite := "", ""
	if text, err := os.ReadFile("/etc/os-release"); err == nil {
		distro, suite = hostRelease(string(text))
	}
	lines := sources(b.req.Base, b.req.Mirror, machineTargets(ctx), distro, suite)
	made, err := inputs(bootstrapArgs(b.req.Base, lines, "", ""), overlay.Name())
	if err != nil {
		return img, err
	}
	member, err := b.Images.Member(ctx)
	if err != nil {
		return img, err
	}
	if img, found, err := b.kept(ctx, made, member); err != nil || found {
		if found {
			b.Step("base of the last try")
			b.made = append(b.made, img.Fingerprint)
		}
		return img, err
	}
	if err := bootstrap(ctx, b.req.Base, lines, dir, b.log); err != nil {
		if why := b.log.Failure(); why != "" {
			err = errors.New(why)
		}
		return img, fmt.Errorf("%s: %w%s", b.req.Base.Ref, err, mirrorHint(b.req.Mirror))
	}
	b.Step("importing")
	return b.importRootfs(ctx, dir, b.stepProperties(made, member))
}

// mirrorHint names the key to look at when a mirror may be the cause.
func mirrorHint(mirror string) string {
	if mirror == "" {
		return ""
	}
	return " (container.build.mirror is " + mirror + ")"
}

func (b *builder) importRootfs(ctx context.Context, dir string, properties map[string]string) (img incus.Image, err error) {
	meta, err := metadata(arch(), b.Now(), "coi build of "+b.req.Base.Ref, b.req.Base.Distro, b.req.Base.Suite)
	if err != nil {
		return img, err
	}
	f, err := os.Open(filepath.Join(dir, "rootfs.tar"))
	if err != nil {
		return img, err
	}
	defer func() { _ = f.Close() }()
	img.Fingerprint, err = b.Images.ImportImage(ctx, strings.NewReader(string(meta)), f, properties)
	if err == nil {
		b.made = append(b.made, img.Fingerprint)
	}
	return img, err
}

// arch is Incus' name of our architecture.
func arch() string {
	if a, ok := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]; ok {
		return a
	}
	return runtime.GOARCH
}

// scriptEnv lets the programs of a custom script trust what this machine trusts
// and use the registry that the build was told to use.
func (b *builder) scriptEnv() map[string]string {
	const authorities = "/etc/ssl/certs/ca-certificates.crt"
	env := map[string]string{"NODE_EXTRA_CA_CERTS": authorities, "npm_config_cafile": authorities, "DEBIAN_FRONTEND": "noninteractive"}
	if b.req.Registry != "" {
		env["npm_config_registry"] = b.req.Registry
	}
	return env
}

// furnish makes a base an image of coi and returns what each agent says of itself.
func (b *builder) furnish(ctx context.Context, m *machine) (map[string]string, error) {
	if b.req.Custom != nil {
		b.Step("script of " + b.req.From)
		const path = "/root/coi-custom.sh"
		if err := m.m.PushFile(ctx, m.name, path, incus.FileInfo{Type: "file", Mode: 0o700}, strings.NewReader(string(b.req.Custom))); err != nil {
			return nil, err
		}
		if err := m.run(ctx, b.scriptEnv(), "/bin/bash", "-e", path); err != nil {
			return nil, fmt.Errorf("build script of %s: %w", b.req.From, err)
		}
		return nil, m.run(ctx, nil, "/bin/rm", "-f", path)
	}
	parts := []string{"agents", "tidy"}
	if b.req.Base.Kind != Mirror {
		parts = []string{"base", "agents", "tidy"}
		r, w, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		go func() {
			_ = writeOverlay(w, variables(b.agents, b.req.Registry, b.req.CloudInit))
			_ = w.Close()
		}()
		err = m.unpack(ctx, r)
		_ = r.Close()
		if err != nil {
			return nil, err
		}
	}
	var versions map[string]string
	for _, part := range parts {
		if part == "tidy" {
			var err error
			if versions, err = b.versions(ctx, m); err != nil {
				return nil, err
			}
			b.Step("tidying")
		}
		if err := m.run(ctx, map[string]string{"HOME": "/root"}, "/bin/bash", scriptPath, part); err != nil {
			return nil, err
		}
	}
	return versions, nil
}

func (b *builder) publish(ctx context.Context, m *machine, base incus.Image, versions map[string]string) (Result, error) {
	b.Step("stopping")
	if err := m.m.Stop(ctx, m.name, false, stopTime); err != nil {
		if err := m.m.Stop(ctx, m.name, true, 0); err != nil {
			return Result{}, err
		}
	}
	b.Step("publishing")
	compression := b.req.Compression
	if compression == "" {
		compression = "zstd"
	}
	props, names := b.properties(base, versions)
	fp, err := b.Images.PublishImage(ctx, m.name, compression, props)
	if err != nil {
		return Result{}, err
	}
	versioned := ""
	if err = b.unpackOnce(ctx, m, fp); err == nil {
		versioned, err = b.name(ctx, fp)
	}
	if err != nil {
		return Result{}, errors.Join(err, b.Images.DeleteImage(context.WithoutCancel(ctx), fp))
	}
	img, err := b.Images.Image(ctx, b.req.Alias)
	if err != nil {
		return Result{}, err
	}
	fingerprint := base.Fingerprint
	if b.req.Base.Kind == Mirror {
		fingerprint = "" // a step of this build; nothing later can be older than it
	}
	return Result{Alias: b.req.Alias, Versioned: versioned, Fingerprint: fp, Versions: versions, Size: img.Size},
		image.Remember(b.Home, b.req.Alias, image.Meta{
			BuiltAt: b.Now().UTC().Truncate(time.Second), BuiltFrom: b.req.From,
			Base: b.req.Base.Ref, BaseFingerprint: fingerprint, Fingerprint: fp, Agents: names,
		})
}

// properties are what the image says of itself, and the names of its agents. An
// image made by a script holds the agents of its base.
func (b *builder) properties(base incus.Image, versions map[string]string) (props map[string]string, names []string) {
	props = map[string]string{
		"description": "coi " + b.req.Alias + " on " + b.req.Base.Ref, "coi.version": "1", "coi.boot": "1",
		"coi.base": b.req.Base.Ref, "os": b.req.Base.Distro, "release": b.req.Base.Suite,
	}
	names = []string{}
	if b.req.Custom != nil {
		for _, key := range []string{"coi.agents", "os", "release"} {
			props[key] = base.Properties[key]
		}
		for word := range strings.FieldsSeq(props["coi.agents"]) {
			name, _, _ := strings.Cut(word, "=")
			names = append(names, name)
		}
		return props, names
	}
	words := make([]string, 0, len(b.agents))
	for _, a := range b.agents {
		names = append(names, a.Name)
		words = append(words, a.Name+"="+strings.ReplaceAll(versions[a.Name], " ", "_"))
	}
	props["coi.agents"] = strings.Join(words, " ")
	return props, names
}

// unpackOnce lets the storage pool unpack the new image now, so that the first
// session does not wait for it.
func (b *builder) unpackOnce(ctx context.Context, m *machine, fp string) error {
	b.Step("unpacking")
	if err := m.m.Delete(ctx, m.name); err != nil {
		return err
	}
	return m.m.Create(ctx, incus.Request{
		Name: m.name, Source: incus.Source{Fingerprint: fp}, Config: map[string]string{"user.coi.version": "1", "boot.autostart": "false"},
		Devices: map[string]incus.Device{"root": {"type": "disk", "path": "/", "pool": m.pool}},
	})
}

// name gives the new image its dated alias and then the plain one. Nothing can
// interrupt it in between.
func (b *builder) name(ctx context.Context, fp string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	ctx = context.WithoutCancel(ctx)
	versioned, err := image.FreeAlias(b.req.Alias, b.Now(), func(alias string) (bool, error) {
		_, err := b.Images.Image(ctx, alias)
		if errors.Is(err, incus.ErrNotFound) {
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		return "", err
	}
	if err := b.Images.SetAlias(ctx, versioned, fp, "made by coi build"); err != nil {
		return "", err
	}
	return versioned, b.Images.SetAlias(ctx, b.req.Alias, fp, "newest build")
}

// discard deletes images that were steps on the way.
func (b *builder) discard(ctx context.Context) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer stop()
	var all error
	for _, fp := range b.made {
		all = errors.Join(all, b.Images.DeleteImage(ctx, fp))
	}
	return all
}

func validURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return fmt.Errorf("%q is no http or https URL", s)
	}
	return nil
}
