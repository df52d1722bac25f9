package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
	filesOf "github.com/code-on-incus/coi/pkg/run"
)

const (
	public = "198.51.100.10"
	ticks  = 100 // of /proc/PID/stat a second (USER_HZ, fixed by the kernel's ABI)
)

type lab struct {
	dir, home, bin, self string
	at                   home.Home
	guard                *exec.Cmd
	servers              []*exec.Cmd
	specs                map[string]filesOf.Net
	sni                  string // of the specs that are written next
}

func newLab(dir string) *lab {
	self, err := os.Executable()
	check(err)
	l := &lab{dir: dir, home: filepath.Join(dir, "coi"), bin: filepath.Join(dir, "coi-netguard"), self: self, specs: map[string]filesOf.Net{}}
	run("go", "build", "-o", l.bin, "github.com/code-on-incus/coi/cmd/coi-netguard")
	check(os.MkdirAll(filepath.Join(l.home, "run"), 0o700))
	check(os.Setenv("HOME", dir))
	check(os.Setenv("COI_HOME", l.home))
	l.at, err = home.Find(os.Getenv)
	check(err)
	run("mount", "--make-rprivate", "/")
	check(os.MkdirAll("/run/netns", 0o755))
	run("mount", "-t", "tmpfs", "none", "/run/netns")
	run("mount", "-t", "sysfs", "none", "/sys")
	conf := filepath.Join(dir, "resolv.conf")
	check(os.WriteFile(conf, []byte("nameserver "+public+"\n"), 0o644))
	real, err := filepath.EvalSymlinks("/etc/resolv.conf")
	check(err)
	run("mount", "--bind", conf, real)
	run("ip", "link", "set", "lo", "up")
	run("ip", "netns", "add", "inet")
	run("ip", "link", "add", "up0", "type", "veth", "peer", "name", "eth0", "netns", "inet")
	run("ip", "addr", "add", "192.0.2.2/24", "dev", "up0")
	run("ip", "link", "set", "up0", "up")
	run("ip", "-n", "inet", "link", "set", "lo", "up")
	run("ip", "-n", "inet", "addr", "add", "192.0.2.1/24", "dev", "eth0")
	run("ip", "-n", "inet", "addr", "add", public+"/32", "dev", "lo")
	run("ip", "-n", "inet", "addr", "add", "203.0.113.10/32", "dev", "lo")
	run("ip", "-n", "inet", "link", "set", "eth0", "up")
	run("ip", "-n", "inet", "route", "add", "10.213.0.0/16", "via", "192.0.2.2")
	run("ip", "route", "add", "default", "via", "192.0.2.1")
	l.servers = append(l.servers, l.in("inet", "serve"))
	return l
}

// in starts this program in a namespace, in a role.
func (l *lab) in(ns string, args ...string) *exec.Cmd {
	cmd := exec.Command("ip", append([]string{"netns", "exec", ns, l.self, "as"}, args...)...)
	cmd.Stderr, cmd.SysProcAttr = os.Stderr, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	check(cmd.Start())
	return cmd
}

// ask runs this program in a namespace and gives what it prints.
func (l *lab) ask(ns string, args ...string) string {
	out, err := exec.Command("ip", append([]string{"netns", "exec", ns, l.self, "as"}, args...)...).Output()
	check(err)
	return strings.TrimSpace(string(out))
}

func (l *lab) spawn() {
	l.guard = exec.Command(l.bin, "run")
	l.guard.Stderr, l.guard.SysProcAttr = os.Stderr, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	check(l.guard.Start())
}

func (l *lab) start() {
	l.spawn()
	l.until(func() bool { _, err := os.Stat(l.at.Run(filesOf.NetguardFile)); return err == nil })
}

func (l *lab) stop() {
	check(l.guard.Process.Signal(syscall.SIGTERM))
	check(l.guard.Wait())
}

func (l *lab) close() {
	l.stop()
	for _, s := range l.servers {
		_ = s.Process.Kill()
		_ = s.Wait()
	}
}

func (l *lab) until(ok func() bool) {
	for end := time.Now().Add(20 * time.Second); !ok(); <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			check(fmt.Errorf("it did not come to be"))
		}
	}
}

func (l *lab) write(name, mode string, generation int) {
	s := filesOf.Net{
		SchemaVersion: 1, Generation: generation, Container: name, Project: "default", Veth: coi.VethName(l.at.VethTag(), "default", name), Phase: "policy",
		Policy: filesOf.Policy{
			Mode: mode, BlockPrivate: true, BlockMetadata: true, DNSQPS: 1000, RefreshMinutes: 30, Connections: 100000, SNI: l.sni,
			Allowed: []filesOf.Dest{{Dest: "*.example.com", Ports: []string{"80", "443"}, Trusted: true}, {Dest: public, Trusted: true}},
		},
	}
	l.specs[name] = s
	check(filesOf.Write(l.at.Run(name+filesOf.NetFile), &s))
}

// put writes a spec and gives the time until the guard has answered it.
func (l *lab) put(name, mode string) time.Duration {
	g := l.specs[name].Generation + 1
	begin := time.Now()
	l.write(name, mode, g)
	var st filesOf.NetStatus
	path := l.at.Run(name + filesOf.NetStatusFile)
	for st.Generation < g {
		if b, err := os.ReadFile(path); err == nil {
			_ = json.Unmarshal(b, &st)
		}
		if time.Since(begin) > 10*time.Second {
			check(fmt.Errorf("%s: no answer", name))
		}
	}
	if st.State != filesOf.NetEnforcing {
		check(fmt.Errorf("%s: %s %s", name, st.State, st.Error))
	}
	return time.Since(begin)
}

func (l *lab) client(args ...string) {
	run(append([]string{l.bin}, args...)...)
}

// container makes a spec and a namespace connected as a routed nic is.
func (l *lab) container(i int) {
	name, ns := fmt.Sprintf("coi-bench-%d", i), fmt.Sprintf("c%d", i)
	l.put(name, "allowlist")
	var st filesOf.NetStatus
	check(filesOf.Read(l.at.Run(name+filesOf.NetStatusFile), &st))
	veth := l.specs[name].Veth
	run("ip", "netns", "add", ns)
	run("ip", "link", "add", veth, "type", "veth", "peer", "name", "eth0", "netns", ns)
	run("ip", "addr", "add", "169.254.0.1/32", "dev", veth)
	run("ip", "link", "set", veth, "up")
	run("ip", "route", "add", st.IPv4+"/32", "dev", veth)
	run("ip", "-n", ns, "addr", "add", st.IPv4+"/32", "dev", "eth0")
	run("ip", "-n", ns, "link", "set", "lo", "up")
	run("ip", "-n", ns, "link", "set", "eth0", "up")
	run("ip", "-n", ns, "route", "add", "169.254.0.1", "dev", "eth0", "scope", "link")
	run("ip", "-n", ns, "route", "add", "default", "via", "169.254.0.1")
}

func (l *lab) procStat(field int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", l.guard.Process.Pid))
	check(err)
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	n, err := strconv.Atoi(fields[field-3])
	check(err)
	return n
}

func (l *lab) cpu() int { return l.procStat(14) + l.procStat(15) }

func (l *lab) rss() float64 { return float64(l.procStat(24)*os.Getpagesize()) / 1e6 }

func stats(d []time.Duration) string {
	slices.Sort(d)
	at := func(p float64) time.Duration {
		return d[min(len(d)-1, int(p*float64(len(d))))].Round(10 * time.Microsecond)
	}
	return fmt.Sprintf("p50 %s p95 %s p99 %s", at(.5), at(.95), at(.99))
}
