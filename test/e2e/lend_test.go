//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/code-on-incus/coi/test/internal/house"
)

// greet serves a Unix socket that says a word to everybody who connects.
func greet(t *testing.T, name, word string) string {
	t.Helper()
	path := filepath.Join(the.Dir, name)
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, word+"\n")
			_ = c.Close()
		}
	}()
	return path
}

// hear is a command inside that prints what a socket says.
func hear(variable string) string {
	return fmt.Sprintf(`python3 -c 'import os, socket; s = socket.socket(socket.AF_UNIX); s.connect(os.environ["%s"]); print("heard", s.recv(99).decode())'`, variable)
}

// S116, session §12: a socket of the host is there inside, for the
// code user alone; one that is not configured is not, and a missing one is a
// warning.
func TestSockets(t *testing.T) {
	host := greet(t, "greet.sock", "hello from the host")
	dir := workspace(t)
	configure(t, fmt.Sprintf("[[sockets]]\nhost = %q\ncontainer = \"/tmp/greet.sock\"\nenv = \"GREET\"\n[[sockets]]\nhost = \"/nonexistent.sock\"\ncontainer = \"/tmp/none.sock\"\n", host))
	r := must(t, dir, "run", "--", "sh", "-c", hear("GREET")+"; stat -c '%U %a' $GREET")
	if r.Stdout != "heard hello from the host\n\ncode 600\n" || !strings.Contains(r.Stderr, "/nonexistent.sock is skipped") {
		t.Errorf("%s\nwant the greeting, private, and a warning for the other", r)
	}
	configure(t, "")
	if r := do(t, dir, "run", "--", "sh", "-c", "GREET=/tmp/greet.sock "+hear("GREET")); r.Code == 0 || strings.Contains(r.Stdout, "hello") {
		t.Errorf("%s\nwant no socket that was not asked for", r)
	}
}

// S56, session §12: the ssh agent works inside, and goes on working when a new login
// with an agent of its own attaches. Without an agent there is a warning.
func TestAgentOfTheNextLogin(t *testing.T) {
	first, second := greet(t, "agent-1", "first login"), greet(t, "agent-2", "second login")
	configure(t, "[ssh]\nforward_agent = true\n")
	dir := workspace(t)
	r := doIn(t, house.Call{Dir: dir, Env: []string{"SSH_AUTH_SOCK=" + first}, Args: []string{"shell", "--background", "--debug"}})
	c := strings.TrimSpace(r.Stdout)
	if r.Code != 0 {
		t.Fatalf("%s", r)
	}
	discard(t, dir, c)
	must(t, dir, "tmux", "send", c, hear("SSH_AUTH_SOCK"))
	screen(t, dir, c, "heard first login")
	// A terminal, in which C-b d detaches again.
	cmd := the.Command(t.Context(), house.Call{Dir: dir, Env: []string{"SSH_AUTH_SOCK=" + second}, Args: []string{"attach", c}})
	script := exec.CommandContext(t.Context(), "script", "-qec", strings.Join(append([]string{cmd.Path}, cmd.Args[1:]...), " "), "/dev/null")
	script.Env, script.Dir = cmd.Env, dir
	keys, err := script.StdinPipe()
	if err == nil {
		err = script.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	err = house.Eventually(t.Context(), 20*time.Second, func() error {
		// The client in control mode is the one that waits for the end of the session.
		if got := asRoot(t, dir, c, "su", "code", "-c", "tmux list-clients -F 'control #{client_control_mode}'"); !strings.Contains(got, "control 0") {
			return fmt.Errorf("no terminal is attached: %q", got)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(keys, "\x02d"); err != nil {
		t.Fatal(err)
	}
	if err := script.Wait(); err != nil {
		t.Errorf("attach: %v", err)
	}
	must(t, dir, "tmux", "send", c, hear("SSH_AUTH_SOCK"))
	screen(t, dir, c, "heard second login")
	must(t, dir, "kill", c)
	if r := do(t, dir, "run", "--", "sh", "-c", "echo agent $SSH_AUTH_SOCK"); r.Stdout != "agent\n" || !strings.Contains(r.Stderr, "ssh agent is not forwarded") {
		t.Errorf("%s\nwant a warning and no variable", r)
	}
}

// Session §12 accept: a server inside is reached at the port that list shows,
// on the loopback of the host only, and a second slot has another port.
func TestPorts(t *testing.T) {
	configure(t, "[ports]\npool = 1\n[[ports.map]]\nname = \"web\"\ncontainer = 8080\n")
	dir := workspace(t)
	var seen []int
	for range 2 {
		c := shell(t, dir)
		must(t, dir, "tmux", "send", c, "cd $(mktemp -d); echo in $COI_PORT_WEB of $COI_PORTS >index.html; python3 -m http.server --bind 127.0.0.1 8080")
		port, pool := published(t, dir, c)
		seen = append(seen, port)
		want := fmt.Sprintf("in %d of %d\n", port, pool)
		err := house.Eventually(t.Context(), 20*time.Second, func() error {
			r, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", port))
			if err != nil {
				return err
			}
			defer func() { _ = r.Body.Close() }()
			b, err := io.ReadAll(r.Body)
			if err == nil && string(b) != want {
				err = fmt.Errorf("%q; want %q", b, want)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		addrs, err := net.InterfaceAddrs()
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range addrs {
			n, ok := a.(*net.IPNet)
			if !ok || n.IP.IsLoopback() || n.IP.To4() == nil {
				continue
			}
			if conn, err := net.DialTimeout("tcp", net.JoinHostPort(n.IP.String(), fmt.Sprint(port)), time.Second); err == nil {
				_ = conn.Close()
				t.Errorf("port %d answers on %s too", port, n.IP)
			}
		}
	}
	if seen[0] == seen[1] {
		t.Errorf("both slots have port %d", seen[0])
	}
}

// published gives the named port and the one of the pool as list shows them.
func published(t *testing.T, dir, container string) (web, pool int) {
	t.Helper()
	var l struct {
		Active []struct {
			Name  string   `json:"name"`
			Ports []string `json:"published_ports"`
		} `json:"active_containers"`
	}
	r := must(t, dir, "list", "--json")
	if err := json.Unmarshal([]byte(r.Stdout), &l); err != nil {
		t.Fatalf("%s: %v", r, err)
	}
	for _, c := range l.Active {
		for _, p := range c.Ports {
			if c.Name != container {
				continue
			}
			if _, err := fmt.Sscanf(p, "web:%d->8080", &web); err != nil {
				_, _ = fmt.Sscanf(p, "%d", &pool)
			}
		}
	}
	if web == 0 || pool == 0 {
		t.Fatalf("%s\nwant two published ports of %s", r, container)
	}
	return web, pool
}
