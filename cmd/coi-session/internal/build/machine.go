package build

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
)

// Machines is what a build needs of Incus to work inside a container.
type Machines interface {
	Instance(ctx context.Context, name string) (incus.Instance, error)
	Create(ctx context.Context, r incus.Request) error
	Start(ctx context.Context, name string) error
	StartLog(ctx context.Context, name string) string
	Stop(ctx context.Context, name string, force bool, timeout time.Duration) error
	Delete(ctx context.Context, name string) error
	Exec(ctx context.Context, name string, e incus.Exec) (int, error)
	PushFile(ctx context.Context, name, path string, info incus.FileInfo, content io.Reader) error
	DefaultDevices(ctx context.Context) (map[string]incus.Device, error)
}

// Fence is the network of the build container: what a session has.
type Fence interface {
	// Raise is called before the container exists and answers with its nic.
	Raise(ctx context.Context, container string) (incus.Device, error)
	// Open lets through what the policy allows; called when it runs.
	Open(ctx context.Context) error
	// Drop ends it; called when the container is gone.
	Drop() error
}

// Times a container may take to stop by itself, and to be taken away after a
// failure or Ctrl-C.
const (
	stopTime    = 10 * time.Second
	cleanupTime = time.Minute
)

// machine is a running build container.
type machine struct {
	m    Machines
	name string
	pool string
	log  *Log
}

// start makes the build container of an image and lets it run behind the fence.
func (b *builder) start(ctx context.Context, fingerprint string) (*machine, error) {
	name, pool := b.container(), b.req.Pool
	if err := b.elsewhere(ctx); err != nil {
		return nil, err
	}
	if err := b.wreck(ctx, name); err != nil {
		return nil, fmt.Errorf("remove what a failed build left: %w", err)
	}
	if pool == "" {
		devices, err := b.Machines.DefaultDevices(ctx)
		if err != nil {
			return nil, err
		}
		if pool = devices["root"]["pool"]; pool == "" {
			return nil, errors.New("the default Incus profile has no root disk (make setup, or incus admin init --minimal)")
		}
	}
	nic, err := b.Fence.Raise(ctx, name)
	if err != nil {
		return nil, err
	}
	m := &machine{b.Machines, name, pool, b.log}
	err = b.Machines.Create(ctx, incus.Request{
		Name: name, Source: incus.Source{Fingerprint: fingerprint},
		Config: map[string]string{
			"user.coi.version": "1", "user.coi.kind": "build", "boot.autostart": "false", "cluster.evacuate": "stop", "security.privileged": "false",
			"security.nesting": "false", "security.guestapi": "false", "security.idmap.isolated": "true",
		},
		Devices: map[string]incus.Device{"root": {"type": "disk", "path": "/", "pool": pool}, "eth0": nic},
	})
	if err == nil {
		if err = b.Machines.Start(ctx, name); err != nil {
			// What Incus answers names a command; why it failed is in the log of the start.
			_, _ = io.WriteString(b.log, b.Machines.StartLog(ctx, name))
		}
	}
	if err == nil {
		err = b.Fence.Open(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, b.end(ctx, name))
	}
	return m, nil
}

// elsewhere refuses a build while its container is on another machine of the
// cluster, where a build may be at work in it: wreck would take it away.
func (b *builder) elsewhere(ctx context.Context) error {
	inst, err := b.Machines.Instance(ctx, b.container())
	switch {
	case errors.Is(err, incus.ErrNotFound):
		return nil
	case err != nil:
		return err
	case inst.Away != "":
		return fmt.Errorf("%s is on the cluster member %s: wait for the build there, or run coi build there again", inst.Name, inst.Away)
	}
	return nil
}

// wreck removes a build container. One that ends by itself at that moment is
// stopped for Stop and still running for Delete: then both are asked again.
func (b *builder) wreck(ctx context.Context, name string) error {
	for try := 1; ; try++ {
		err := b.Machines.Stop(ctx, name, true, 0)
		if err != nil && !errors.Is(err, incus.ErrNotFound) {
			return err
		}
		err = b.Machines.Delete(ctx, name)
		if err == nil || try == 3 || !strings.Contains(err.Error(), "is running") {
			return err
		}
	}
}

// end is wreck that works after Ctrl-C as well.
func (b *builder) end(ctx context.Context, name string) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer stop()
	if err := b.wreck(ctx, name); err != nil {
		return fmt.Errorf("container %s is left: %w", name, err)
	}
	return b.Fence.Drop()
}

// run executes a command as root in the container; its output goes to the log.
func (m *machine) run(ctx context.Context, env map[string]string, argv ...string) error {
	code, err := m.m.Exec(ctx, m.name, incus.Exec{Argv: argv, Env: env, Cwd: "/root", Stdout: m.log, Stderr: m.log})
	if err != nil {
		return err
	}
	if code != 0 {
		if why := m.log.Failure(); why != "" {
			return errors.New(why)
		}
		return fmt.Errorf("%s ended with %d", argv[0], code)
	}
	return nil
}

// unpack puts a tar archive over the root file system of the container.
func (m *machine) unpack(ctx context.Context, archive io.Reader) error {
	code, err := m.m.Exec(ctx, m.name, incus.Exec{Argv: []string{"tar", "-x", "--no-overwrite-dir", "-C", "/"}, Stdin: archive, Stdout: m.log, Stderr: m.log})
	if err == nil && code != 0 {
		err = fmt.Errorf("tar ended with %d", code)
	}
	return err
}

// outputCap bounds what is kept of a command, in bytes; the log gets all of it.
const outputCap = 256 << 10

// output is what a command of the code user prints on stdout, and on stderr if
// both are wanted.
func (m *machine) output(ctx context.Context, both bool, argv ...string) (string, error) {
	var out bytes.Buffer
	keep := io.MultiWriter(m.log, &limited{w: &out, left: outputCap})
	var stderr io.Writer = m.log
	if both {
		stderr = keep
	}
	code, err := m.m.Exec(ctx, m.name, incus.Exec{
		Argv: argv, UID: 1000, GID: 1000, Cwd: "/home/code",
		Env:    map[string]string{"HOME": "/home/code", "USER": "code", "PATH": "/usr/local/bin:/usr/bin:/bin", "TERM": "dumb", "CI": "1"},
		Stdout: keep, Stderr: stderr,
	})
	if err == nil && code != 0 {
		err = fmt.Errorf("%s ended with %d", strings.Join(argv, " "), code)
	}
	return strings.TrimSpace(out.String()), err
}

// limited passes on the first bytes and swallows the rest. Its lock is there
// because two streams of one command may write at once.
type limited struct {
	mu   sync.Mutex
	w    io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(p), l.left)
	l.left -= n
	if _, err := l.w.Write(p[:n]); err != nil {
		return 0, err
	}
	return len(p), nil
}

// metadata is the metadata archive of an image that Incus imports.
func metadata(arch string, created time.Time, description, os, release string) ([]byte, error) {
	files := map[string]string{
		"metadata.yaml": fmt.Sprintf("architecture: %s\ncreation_date: %d\nproperties:\n  description: %q\n  os: %q\n  release: %q\n"+
			"templates:\n  /etc/hostname: {when: [create, copy], template: hostname.tpl}\n  /etc/hosts: {when: [create, copy], template: hosts.tpl}\n",
			arch, created.Unix(), description, os, release),
		"templates/hostname.tpl": "{{ container.name }}\n",
		"templates/hosts.tpl":    "127.0.0.1 localhost\n127.0.1.1 {{ container.name }}\n::1 localhost ip6-localhost ip6-loopback\n",
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range []string{"metadata.yaml", "templates/hostname.tpl", "templates/hosts.tpl"} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name])), ModTime: created}); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(w, files[name]); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return b.Bytes(), err
}
