//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
	"github.com/code-on-incus/coi/test/internal/house"
)

// Cli §5.1 --container: a session in a container that exists, in the workspace
// that it has; one that has a session is shown, one that runs without is not
// taken over.
func TestShellInAContainer(t *testing.T) {
	dir, name := workspace(t), the.Prefix+"own"
	must(t, dir, "container", "launch", house.Image, name)
	discard(t, dir, name)
	asRoot(t, dir, name, "touch", "/etc/mine")
	in := []string{"shell", "--background", "--debug", "--container", name}
	if r := do(t, dir, in...); r.Code != 1 || !strings.Contains(r.Stderr, "coi container stop "+name) {
		t.Errorf("%s\nwant exit 1 for a container that runs without a session", r)
	}
	must(t, dir, "container", "stop", "--force", name)
	elsewhere := workspace(t) + "-2"
	if err := os.Mkdir(elsewhere, 0o755); err != nil {
		t.Fatal(err)
	}
	if r := do(t, elsewhere, append(in, "-w", elsewhere)...); r.Code != 2 {
		t.Errorf("%s\nwant exit 2 for another workspace", r)
	}
	if r := must(t, elsewhere, in...); strings.TrimSpace(r.Stdout) != name {
		t.Errorf("%s\nwant %s", r, name)
	}
	must(t, dir, "tmux", "send", name, "ls /etc/mine; touch here; echo do''ne")
	screen(t, dir, name, "done")
	if _, err := os.Stat(filepath.Join(dir, "here")); err != nil {
		t.Errorf("the session is not in the container's workspace: %v", err)
	}
	if r := must(t, elsewhere, in...); strings.TrimSpace(r.Stdout) != name || !strings.Contains(r.Stderr, "runs in "+name) {
		t.Errorf("%s\nwant the session that runs", r)
	}
	if r := do(t, dir, "shell", "--background", "--container", the.Prefix+"nosuch"); r.Code != 4 {
		t.Errorf("%s\nwant exit 4", r)
	}
	must(t, dir, "shutdown", name)
	if s := list(t, dir, "--stopped").status(name); s != "stopped" {
		t.Errorf("after the session %s is %q; want it kept", name, s)
	}
}

// Session §2 session_name: one identity for two directories. What runs stays
// where it is; what is stopped gets the new directory.
func TestSessionNameMoves(t *testing.T) {
	configure(t, "[container]\nsession_name = \"moving\"\n")
	one, two := workspace(t), workspace(t)+"-2"
	if err := errors.Join(os.Mkdir(two, 0o755), os.Chown(two, house.Owner, house.Owner), os.WriteFile(filepath.Join(two, "second"), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	c := shell(t, one, "--persistent")
	if r := do(t, two, "shell", "--background", "--debug", "--persistent"); r.Code != 1 || !strings.Contains(r.Stderr, "runs in "+one) {
		t.Fatalf("%s\nwant exit 1 naming %s", r, one)
	}
	must(t, two, "shutdown", c)
	if again := shell(t, two, "--persistent"); again != c {
		t.Errorf("the container in the second directory is %s; want %s", again, c)
	}
	if got := asRoot(t, two, c, "ls", "/workspace"); !strings.Contains(got, "second") {
		t.Errorf("/workspace holds %q; want the second directory", got)
	}
}

// Config §5.2 stale_base_check: an image that was made from another image than
// the one its base is now.
func TestStaleBase(t *testing.T) {
	fp := strings.Trim(fingerprint(t, house.Image), `",`)
	write := func(base string) {
		t.Helper()
		meta := map[string]any{"schema_version": 1, "images": map[string]any{house.Image: map[string]any{
			"built_at": "2026-01-02T03:04:05Z", "fingerprint": fp, "base": house.Image, "base_fingerprint": base,
		}}}
		if err := home.WriteJSON(the.Home.Path("image-meta.json"), meta, true); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = os.Remove(the.Home.Path("image-meta.json")) })
	dir := workspace(t)
	for _, c := range []struct {
		base, check string
		code        int
		told        bool
	}{{fp, "error", 0, false}, {"older", "warn", 0, true}, {"older", "off", 0, false}, {"older", "error", 1, true}} {
		write(c.base)
		configure(t, "[container]\nstale_base_check = \""+c.check+"\"\n")
		r := do(t, dir, "run", "--", "true")
		if told := strings.Contains(r.Stderr, "older than its base"); r.Code != c.code || told != c.told {
			t.Errorf("base %.8s, check %s: %s\nwant exit %d, told %v", c.base, c.check, r, c.code, c.told)
		}
	}
}

// Config §5.4, session §4: without a guard restricted does not start, and open
// does, with a warning, on the default network of Incus with its own filters.
func TestOpenWithoutAGuard(t *testing.T) {
	const project, bridge = "coi-e2e-open", "coie2eopen"
	incus := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("incus", args...)
		if args[1] == "delete" { // asks for a project
			cmd.Stdin = strings.NewReader("yes\n")
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("incus %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	// Incus looks through all interfaces of the host while it makes a bridge, and
	// gives up when one of another session goes away meanwhile.
	err := house.Eventually(t.Context(), 30*time.Second, func() error {
		out, err := exec.Command("incus", "network", "create", bridge, "ipv4.address=10.219.77.1/24", "ipv4.nat=false", "ipv6.address=none").CombinedOutput()
		if err != nil {
			_ = exec.Command("incus", "network", "delete", bridge).Run()
			err = fmt.Errorf("incus network create: %w: %s", err, out)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { incus("network", "delete", bridge) })
	incus("project", "create", project, "-c", "features.images=false", "-c", "features.storage.volumes=false", "-c", "features.networks=false")
	t.Cleanup(func() { incus("project", "delete", "--force", project) })
	pool := strings.TrimSpace(incus("profile", "device", "get", "default", "root", "pool"))
	incus("--project", project, "profile", "device", "add", "default", "root", "disk", "path=/", "pool="+pool)
	incus("--project", project, "profile", "device", "add", "default", "eth0", "nic", "network="+bridge, "name=eth0")

	// A guard that never answers: its lock is held, and nobody listens.
	h := filepath.Join(the.Dir, "coi-open")
	if err := errors.Join(os.MkdirAll(filepath.Join(h, "run"), 0o700), os.WriteFile(filepath.Join(h, "config.toml"), []byte("[incus]\nproject = \""+project+"\"\n[monitoring]\nenabled = false\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	lock, err := os.OpenFile(filepath.Join(h, "run", run.NetguardLock), os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		err = unix.Flock(int(lock.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Close() }()
	dir := workspace(t)
	call := func(args ...string) house.Result {
		return doIn(t, house.Call{Dir: dir, Env: []string{"COI_HOME=" + h}, Args: args})
	}
	if r := call("run", "--", "true"); r.Code != 1 || !strings.Contains(r.Stderr, "network mode restricted") || !strings.Contains(r.Stderr, "hint:") {
		t.Errorf("%s\nwant restricted to refuse", r)
	}
	r := call("shell", "--background", "--debug", "--network", "open")
	c := strings.TrimSpace(r.Stdout)
	if r.Code != 0 || !strings.Contains(r.Stderr, "warning: this session has no network guard") {
		t.Fatalf("%s\nwant a start with a warning", r)
	}
	if got := call("list").Stdout; !strings.Contains(got, "unguarded") {
		t.Errorf("coi list:\n%s\nwant it to say unguarded", got)
	}
	var facts struct {
		Devices map[string]map[string]string `json:"devices"`
	}
	got := call("container", "info", c)
	if err := json.Unmarshal([]byte(got.Stdout), &facts); err != nil {
		t.Fatalf("%s: %v", got, err)
	}
	for key, want := range map[string]string{"network": bridge, "security.mac_filtering": "true", "security.ipv4_filtering": "true", "security.port_isolation": "true"} {
		if v := facts.Devices["eth0"][key]; v != want {
			t.Errorf("eth0 %s = %q; want %q", key, v, want)
		}
	}
	ip := call("container", "exec", c, "--capture", "--format", "raw", "--", "sh", "-c", "ip -4 -o addr show eth0; cat /etc/resolv.conf")
	if !strings.Contains(ip.Stdout, "10.219.77.") || !strings.Contains(ip.Stdout, "nameserver 10.219.77.1") {
		t.Errorf("%s\nwant an address and a resolver of the default network", ip)
	}
	if r := call("shutdown", c); r.Code != 0 {
		t.Errorf("%s", r)
	}
}
