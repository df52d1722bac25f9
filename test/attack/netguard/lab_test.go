//go:build attack

package netguard

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

const (
	public   = "198.51.100.10"
	private  = "10.9.9.9"
	metadata = "169.254.169.254"
	hostAddr = "192.0.2.2"
)

// netlab is a host, the internet behind it and the real guard program, in network
// and mount namespaces of their own.
type netlab struct {
	t     *testing.T
	dir   string
	bin   string
	at    home.Home
	guard *exec.Cmd
	as    []string // words before the guard's command line
}

// alone runs the test again in namespaces of its own; it reports whether this
// process is the one inside.
func alone(t *testing.T) bool {
	t.Helper()
	if os.Getenv("ATTACK_INSIDE") == t.Name() {
		return true
	}
	cmd := exec.Command("/proc/self/exe", "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "ATTACK_INSIDE="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	} else if !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("the test did not run inside:\n%s", out)
	}
	return false
}

func newNetlab(t *testing.T) *netlab {
	t.Helper()
	l := &netlab{t: t, dir: t.TempDir()}
	l.bin = filepath.Join(l.dir, "coi-netguard")
	l.run("go", "build", "-o", l.bin, "github.com/code-on-incus/coi/cmd/coi-netguard")
	l.run("mount", "--make-rprivate", "/")
	if err := os.MkdirAll("/run/netns", 0o755); err != nil {
		l.t.Fatal(err)
	}
	l.run("mount", "-t", "tmpfs", "none", "/run/netns")
	t.Setenv("HOME", l.dir)
	t.Setenv("COI_HOME", filepath.Join(l.dir, "coi"))
	var err error
	if l.at, err = home.Find(os.Getenv); err != nil {
		t.Fatal(err)
	}
	if _, err := l.at.Ensure(l.at.Run()); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"ip link set lo up", "ip netns add inet", "ip link add up0 type veth peer name eth0 netns inet", "ip addr add " + hostAddr + "/24 dev up0", "ip link set up0 up",
		"ip -n inet link set lo up", "ip -n inet addr add 192.0.2.1/24 dev eth0", "ip -n inet link set eth0 up", "ip route add default via 192.0.2.1",
		"ip -n inet addr add " + public + "/32 dev lo", "ip -n inet addr add " + private + "/32 dev lo", "ip -n inet addr add " + metadata + "/32 dev lo",
	} {
		l.run(strings.Fields(line)...)
	}
	l.serve("inet", "0.0.0.0", 80)
	t.Cleanup(func() {
		if l.guard != nil && l.guard.ProcessState == nil {
			_ = l.guard.Process.Kill()
			_ = l.guard.Wait()
		}
	})
	return l
}

func (l *netlab) run(args ...string) string {
	l.t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		l.t.Fatalf("%v: %v: %s", args, err, out)
	}
	return string(out)
}

// serve starts an HTTP server in a namespace; "" is the host.
func (l *netlab) serve(ns, addr string, port int) {
	l.t.Helper()
	args := []string{"python3", "-m", "http.server", fmt.Sprint(port), "--bind", addr, "--directory", l.at.Run()}
	if ns != "" {
		args = append([]string{"ip", "netns", "exec", ns}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
}

func (l *netlab) start() {
	l.t.Helper()
	args := append(append([]string{}, l.as...), l.bin, "run")
	l.guard = exec.Command(args[0], args[1:]...)
	l.guard.Stderr = os.Stderr
	if err := l.guard.Start(); err != nil {
		l.t.Fatal(err)
	}
}

// put writes a spec and waits for its answer.
func (l *netlab) put(name, phase, mode string, generation int) run.NetStatus {
	l.t.Helper()
	s := l.spec(name)
	s.Generation, s.Phase, s.Policy.Mode = generation, phase, mode
	if err := run.Write(l.at.Run(name+run.NetFile), &s); err != nil {
		l.t.Fatal(err)
	}
	var st run.NetStatus
	l.until(func() bool {
		return l.status(name, &st) && st.Generation >= generation && st.State != run.NetUnattended
	})
	return st
}

func (l *netlab) spec(name string) run.Net {
	return run.Net{
		SchemaVersion: 1, Generation: 1, Container: name, Project: "default", Veth: coi.VethName(l.at.VethTag(), "default", name), Phase: run.NetPolicy,
		Policy: run.Policy{Mode: "restricted", BlockPrivate: true, BlockMetadata: true, RefreshMinutes: 30, SNI: "off"},
	}
}

func (l *netlab) status(name string, st *run.NetStatus) bool {
	b, err := os.ReadFile(l.at.Run(name + run.NetStatusFile))
	*st = run.NetStatus{}
	return err == nil && json.Unmarshal(b, st) == nil
}

func (l *netlab) until(ok func() bool) {
	l.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(20 * time.Second); !ok(); {
		select {
		case <-tick.C:
		case <-end:
			l.t.Fatal("it did not come to be")
		}
	}
}

// attach connects a namespace as a routed nic does.
func (l *netlab) attach(ns, name, ipv4 string) {
	l.t.Helper()
	veth := coi.VethName(l.at.VethTag(), "default", name)
	for _, line := range []string{
		"ip netns add " + ns, "ip link add " + veth + " type veth peer name eth0 netns " + ns, "ip addr add 169.254.0.1/32 dev " + veth, "ip link set " + veth + " up", "ip route add " + ipv4 + "/32 dev " + veth,
		"ip -n " + ns + " addr add " + ipv4 + "/32 dev eth0", "ip -n " + ns + " link set lo up", "ip -n " + ns + " link set eth0 up", "ip -n " + ns + " route add 169.254.0.1 dev eth0 scope link", "ip -n " + ns + " route add default via 169.254.0.1",
	} {
		l.run(strings.Fields(line)...)
	}
}

// reaches reports whether a program in a namespace got an answer: curl by default.
func (l *netlab) reaches(ns, url string, program ...string) bool {
	l.t.Helper()
	if len(program) == 0 {
		program = []string{"curl", "-s", "-m", "2", "-o", "/dev/null", url}
	}
	err := exec.Command("ip", append([]string{"netns", "exec", ns}, program...)...).Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		l.t.Fatal(err)
	}
	return err == nil
}
