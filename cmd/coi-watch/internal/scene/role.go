package scene

import (
	"path"
	"strconv"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/wiring"
)

// roles decides whose connections are expected.
type roles struct {
	tool []string
	root int // pid of the tool
	exe  string
	file string // the script it runs, for tools that are scripts
}

// relays are programs whose business is to carry terminals and streams; they
// are trusted only where init, or somebody outside, started them.
var relays = map[string]bool{
	"systemd": true, "init": true, "sshd": true, "tmux": true, "dockerd": true, "containerd": true, "containerd-shim": true,
	"containerd-shim-runc-v2": true, "runc": true, "conmon": true, "podman": true,
}

// of is the role of a process. A process cannot claim one by its name: the
// tool is the process that coi entered from outside with the command of the
// tool, an agent runs the very same file below it.
func (r *roles) of(t *Table, p *Proc, init int) wiring.Role {
	parent := t.Parent(p)
	switch {
	case p.PID == init && init != 0:
		return wiring.Relay
	case p.Outside && p.PPID != 0 && r.isTool(p):
		r.root, r.exe, r.file = p.PID, p.Exe, scriptOf(p.Argv)
		return wiring.Tool
	case p.Outside:
		return wiring.Relay
	}
	name := path.Base(p.Exe)
	rooted := strings.HasPrefix(p.Exe, "/usr/") || strings.HasPrefix(p.Exe, "/bin/") || strings.HasPrefix(p.Exe, "/sbin/") || strings.HasPrefix(p.Exe, "/lib/")
	if relays[name] && rooted && (p.PPID == init || parent != nil && parent.Role == wiring.Relay) {
		return wiring.Relay
	}
	if r.isTool(p) && parent != nil && (parent.Role == wiring.Relay || r.shellOf(t, parent)) {
		if r.root == 0 || t.Get(r.root) == nil || t.Get(r.root).Gone {
			r.root, r.exe, r.file = p.PID, p.Exe, scriptOf(p.Argv)
		}
		return wiring.Tool
	}
	if r.exe != "" && p.Exe == r.exe && scriptOf(p.Argv) == r.file && r.below(t, p) {
		return wiring.Agent
	}
	return wiring.Plain
}

// isTool compares the command with the one coi was told to start.
func (r *roles) isTool(p *Proc) bool {
	if len(r.tool) == 0 || len(p.Argv) == 0 {
		return false
	}
	want := path.Base(r.tool[0])
	if path.Base(p.Argv[0]) == want || path.Base(p.Exe) == want {
		return true
	}
	return path.Base(scriptOf(p.Argv)) == want
}

// shellOf reports whether a parent is the shell in which tmux starts the tool.
func (r *roles) shellOf(t *Table, p *Proc) bool {
	up := t.Parent(p)
	return p.Class == "shell" && up != nil && up.Role == wiring.Relay
}

func (r *roles) below(t *Table, p *Proc) bool {
	for range 32 {
		if p = t.Parent(p); p == nil {
			return false
		}
		if p.PID == r.root {
			return true
		}
	}
	return false
}

// scriptOf is the script an interpreter was given, empty for other programs.
func scriptOf(argv []string) string {
	if len(argv) < 2 || strings.HasPrefix(argv[1], "-") {
		return ""
	}
	return argv[1]
}

func itoa(n int) string { return strconv.Itoa(n) }
