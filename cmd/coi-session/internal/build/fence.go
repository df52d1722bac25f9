package build

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/guard"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// GuardFence puts the build container behind the firewall of sessions.
type GuardFence struct {
	Home    home.Home
	Getenv  func(string) string
	Project string
	Policy  run.Policy
	Events  run.NetEvents
	net     *guard.Net
}

// Raise makes the firewall hold everything that the container will send, and
// answers with a nic that has the address it leased.
func (f *GuardFence) Raise(ctx context.Context, container string) (incus.Device, error) {
	daemon, err := guard.Ensure(f.Home, guard.Netguard, f.Getenv)
	if err != nil {
		return nil, err
	}
	f.net = guard.OpenNet(f.Home, container)
	f.net.Daemon = daemon
	w := &f.net.Want
	w.Project, w.Veth = f.Project, coi.VethName(f.Home.VethTag(), f.Project, container)
	w.Policy, w.Events = f.Policy, f.Events
	st, err := f.ask(ctx, run.NetHold)
	if err != nil {
		_ = f.net.Remove()
		return nil, err
	}
	nic := incus.Device{"type": "nic", "nictype": "routed", "name": "eth0", "host_name": w.Veth, "ipv4.address": st.IPv4}
	if st.IPv6 != "" {
		nic["ipv6.address"] = st.IPv6
	}
	return nic, nil
}

// Open puts the policy in force.
func (f *GuardFence) Open(ctx context.Context) error {
	_, err := f.ask(ctx, run.NetPolicy)
	return err
}

func (f *GuardFence) ask(ctx context.Context, phase string) (run.NetStatus, error) {
	if err := f.net.Ask(phase); err != nil {
		return run.NetStatus{}, err
	}
	st, err := f.net.Answer(ctx)
	if err != nil {
		return st, fmt.Errorf("coi-netguard: %w", err)
	}
	return st, nil
}

// Drop lets the firewall forget the container.
func (f *GuardFence) Drop() error {
	if f.net == nil {
		return nil
	}
	return f.net.Remove()
}

// Reach is the destinations of URLs that a build was told to use, which are
// open even where the policy would close them. key says who told.
func Reach(key, rawURL string) []run.Dest {
	u, err := url.Parse(rawURL)
	if err != nil || u.Hostname() == "" {
		return nil
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	host := strings.ToLower(u.Hostname())
	if ip := net.ParseIP(host); ip != nil {
		host = ip.String()
	}
	return []run.Dest{{Dest: host, Ports: []string{port}, Origin: key, Trusted: true}}
}
