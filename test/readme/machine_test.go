//go:build readme

// Containers with security.nesting stand for clean machines: their own systemd,
// packages, Incus and kernel namespaces, and nothing of coi's.
package readme

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/code-on-incus/coi/test/internal/house"
)

// machine is one of them.
type machine struct {
	t    *testing.T
	name string
}

// packages a bare server has, with git and make, which the README asks for, and
// something that listens.
const packages = "systemd,systemd-sysv,dbus,udev,libpam-systemd,iproute2,iputils-ping,ca-certificates,git,make,sudo,login,passwd,procps,netcat-openbsd"

// boot makes a machine with a release of Debian and waits until it is up.
func boot(t *testing.T, release string, host int) *machine {
	t.Helper()
	m := &machine{t, fmt.Sprintf("clean-%s-%d", release, os.Getpid())}
	image := m.image(release)
	t.Cleanup(func() {
		if out, err := exec.Command("incus", "delete", "-f", m.name).CombinedOutput(); err != nil && !strings.Contains(string(out), "not found") {
			t.Errorf("%v: %s", err, out)
		}
		if out, err := exec.Command("incus", "image", "delete", image).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	addr := fmt.Sprintf("10.99.7.%d", host)
	m.host("incus", "init", image, m.name, "-c", "security.nesting=true", "-d", "root,size=20GiB")
	m.host("incus", "config", "device", "add", m.name, "eth0", "nic", "nictype=routed", "name=eth0", fmt.Sprintf("host_name=clean%d", host), "ipv4.address="+addr)
	m.host("incus", "start", m.name)
	if err := house.Eventually(t.Context(), time.Minute, func() error {
		out, err := m.try("systemctl is-system-running")
		if strings.HasPrefix(out, "running") || strings.HasPrefix(out, "degraded") {
			return nil
		}
		return fmt.Errorf("%w: %s", err, out)
	}); err != nil {
		t.Fatal(err)
	}
	m.prepare()
	return m
}

// image is a minimal system from the machine's own mirror.
func (m *machine) image(release string) string {
	dir := m.t.TempDir()
	root, meta := filepath.Join(dir, "root.tar"), filepath.Join(dir, "meta.tar")
	m.host("mmdebstrap", "--quiet", "--variant=minbase", `--aptopt=Acquire::Languages "none"`, "--include="+packages, release, root)
	arch := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
	text := fmt.Sprintf("architecture: %s\ncreation_date: %d\nproperties: {os: debian, release: %s}\n", arch, time.Now().Unix(), release)
	if err := os.WriteFile(filepath.Join(dir, "metadata.yaml"), []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
	m.host("tar", "-C", dir, "-cf", meta, "metadata.yaml")
	alias := m.name
	m.host("incus", "image", "import", meta, root, "--alias", alias)
	return alias
}

// prepare gives the machine what every machine here has: a name server, the
// certificates of this network, a Go toolchain, the sources.
func (m *machine) prepare() {
	m.t.Helper()
	conf, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		m.t.Fatal(err)
	}
	m.feed(bytes.NewReader(conf), "rm -f /etc/resolv.conf && cat > /etc/resolv.conf")
	m.tar("/usr/local/share", "ca-certificates")
	m.must("update-ca-certificates > /dev/null")
	goroot := runtime.GOROOT() //nolint:staticcheck // the toolchain that runs this test
	m.tar(filepath.Dir(goroot), filepath.Base(goroot), "--transform=s,^"+filepath.Base(goroot)+",go,")
	m.feed(sources(m.t), "mkdir -p /root/coi && tar -C /root/coi -xf -")
	m.must(hierarchies)
}

// hierarchies undoes what systemd makes of version 1 control groups inside a
// container: it joins cpu and cpuacct by name although the kernel keeps them
// apart, and then no container can be started in it. With version 2 it does nothing.
const hierarchies = `[ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ] && exit 0
mount -o remount,rw /sys/fs/cgroup
for c in cpu cpuacct; do
	[ ! -L /sys/fs/cgroup/$c ] && continue
	rm /sys/fs/cgroup/$c && mkdir /sys/fs/cgroup/$c && mount -t cgroup -o $c $c /sys/fs/cgroup/$c || exit 1
done`

// sources are the files that git knows, as they are now.
func sources(t *testing.T) io.Reader {
	t.Helper()
	top := filepath.Join("..", "..")
	list, err := exec.Command("git", "-C", top, "ls-files", "-co", "--exclude-standard").Output()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("tar", "-C", top, "-cf", "-", "-T", "-")
	cmd.Stdin = bytes.NewReader(list)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(out)
}

func (m *machine) tar(dir, name string, more ...string) {
	m.t.Helper()
	cmd := exec.Command("tar", append(append([]string{"-C", dir, "-cf", "-"}, more...), name)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.feed(out, "tar -C "+map[bool]string{true: "/usr/local", false: dir}[len(more) > 0]+" -xf -")
	if err := cmd.Wait(); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) host(argv ...string) {
	m.t.Helper()
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		m.t.Fatalf("%s: %v: %s", strings.Join(argv, " "), err, out)
	}
}

func (m *machine) command(ctx context.Context, line string) *exec.Cmd {
	return exec.CommandContext(ctx, "incus", "exec", m.name, "--cwd", "/root/coi", "--env", "HOME=/root",
		"--env", "PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "--", "/bin/bash", "-e", "-o", "pipefail", "-c", line)
}

func (m *machine) feed(in io.Reader, line string) {
	m.t.Helper()
	cmd := exec.Command("incus", "exec", m.name, "--", "/bin/bash", "-e", "-c", line)
	cmd.Stdin = in
	if out, err := cmd.CombinedOutput(); err != nil {
		m.t.Fatalf("%s: %v: %s", line, err, out)
	}
}

func (m *machine) try(line string) (string, error) {
	out, err := exec.Command("incus", "exec", m.name, "--", "/bin/bash", "-c", line).CombinedOutput()
	return string(out), err
}

// must runs a line in the sources' directory, up to half an hour.
func (m *machine) must(line string) string {
	m.t.Helper()
	ctx, stop := context.WithTimeout(m.t.Context(), 30*time.Minute)
	defer stop()
	var out, all bytes.Buffer
	cmd := m.command(ctx, line)
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&out, &all), &all
	if err := cmd.Run(); err != nil {
		m.t.Fatalf("%s: %v\n%s", strings.TrimSpace(line), err, all.String())
	}
	return out.String()
}
