package command

import (
	"slices"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
)

// wrapper handles programs whose work is to start another: their argument list
// is a command of its own. ok is false for all others.
func (e *eval) wrapper(s *Simple, f frame) (value, bool) {
	spec := program.SpecOf(s.Name)
	switch s.Name {
	case "sudo", "doas", "pkexec", "runuser", "su":
		return e.becomeRoot(s, spec, f)
	case "env":
		return e.envCmd(s, spec, f)
	case "nohup", "setsid", "time", "stdbuf", "nice", "ionice", "setpriv", "unbuffer", "rlwrap", "proot", "fakeroot",
		"faketime", "strace", "ltrace", "valgrind", "prlimit", "catchsegv", "systemd-inhibit", "dbus-run-session", "xvfb-run", "gosu", "su-exec", "torsocks", "proxychains", "proxychains4", "tsocks":
		p := program.Parse(spec, s.Argv, true)
		rest := p.Rest
		if (s.Name == "gosu" || s.Name == "su-exec") && len(rest) > 0 {
			rest = rest[1:]
		}
		return e.sub(s, rest, f), true
	case "npm", "npx", "pnpm", "yarn", "bunx", "uv", "uvx", "pipx", "poetry", "pipenv", "pdm", "rye", "hatch", "bundle", "mise", "asdf", "nix", "nix-shell", "conda", "mamba", "direnv", "doppler", "op", "sops", "aws-vault", "cross-env", "dotenv", "bun", "foreman", "rbenv", "pyenv", "guix", "devbox", "flox", "envdir", "infisical", "chamber", "dotenvx":
		return value{}, e.runner(s, f)
	case "tmux":
		if len(s.Argv) > 1 && slices.Contains(strings.Fields("new new-session neww new-window splitw split-window run run-shell respawn-pane respawn-window popup display-popup"), s.Argv[1]) {
			p := program.Parse(program.Spec{Short: "cFfLnstSxyehw"}, s.Argv[1:], false)
			return e.joined(s, p.Rest, f), true
		}
		return value{}, true
	case "screen":
		p := program.Parse(program.Spec{Short: "cehpsStT"}, s.Argv, true)
		rest := p.Rest
		if p.Has("d") && p.Has("m") || len(rest) > 0 && program.Known(rest[0]) {
			return e.sub(s, rest, f), true
		}
		return value{}, true
	case "logsave", "setarch", "linux32", "linux64", "aa-exec", "eatmydata", "chpst", "softlimit", "setlock", "choom", "cpulimit", "multitime", "pexec", "start-stop-daemon", "daemonize", "chronic", "ts-exec", "perf":
		p := program.Parse(spec, s.Argv, true)
		rest := p.Rest
		if v := p.Values("x", "exec", "startas", "a"); len(v) > 0 && s.Name == "start-stop-daemon" {
			i := dashes(s.Argv)
			if rest = v[:1]; i > 0 {
				rest = append(rest[:1:1], s.Argv[i+1:]...)
			}
			return e.sub(s, rest, f), true
		}
		if s.Name == "perf" && len(rest) > 0 {
			rest = rest[1:]
		}
		for len(rest) > 1 && !program.Known(rest[0]) { // its own operands: a lock file, an architecture, "stat"
			rest = rest[1:]
		}
		if len(rest) > 0 && program.Known(rest[0]) {
			return e.sub(s, rest, f), true
		}
	case "timeout", "chroot", "taskset", "chrt", "flock":
		p := program.Parse(spec, s.Argv, true)
		if v := p.Values("c", "command"); s.Name == "flock" && len(v) > 0 {
			return e.shell(s, v[0], f), true
		}
		if len(p.Rest) > 1 {
			rest := p.Rest[1:]
			if s.Name == "flock" && rest[0] == "-c" && len(rest) > 1 {
				return e.shell(s, rest[1], f), true
			}
			return e.sub(s, rest, f), true
		}
		return value{}, true
	case "exec", "builtin", "command":
		p := program.Parse(program.Spec{Short: "a"}, s.Argv, true)
		return e.sub(s, p.Rest, f), true
	case "script":
		p := program.Parse(spec, s.Argv, false)
		if v := p.Values("c", "command"); len(v) > 0 {
			return e.shell(s, v[0], f), true
		}
	case "watch":
		p := program.Parse(spec, s.Argv, true)
		return e.shell(s, strings.Join(p.Rest, " "), f), true
	case "xargs":
		p := program.Parse(spec, s.Argv, true)
		return e.xargs(s, p, f), true
	case "parallel":
		p := program.Parse(spec, s.Argv, true)
		rest := p.Rest
		for i, a := range rest {
			if strings.HasPrefix(a, ":::") {
				if i == 0 && a == ":::" { // its arguments are the commands
					for _, c := range rest[1:] {
						e.shell(s, c, f)
					}
					return value{}, true
				}
				rest = rest[:i]
				break
			}
		}
		if len(rest) == 0 && s.Fed {
			g := f
			g.stdin, g.piped = value{}, false
			return e.shell(s, s.Feed, g), true
		}
		return e.sub(s, rest, f), true
	case "find", "fd":
		e.findExec(s, f)
		return value{}, true
	case "ssh", "autossh":
		p := program.Parse(spec, s.Argv, true)
		for _, o := range p.Values("o") {
			if k, v, ok := strings.Cut(o, "="); ok && (strings.EqualFold(k, "ProxyCommand") || strings.EqualFold(k, "LocalCommand") || strings.EqualFold(k, "KnownHostsCommand")) {
				g := f
				g.stdin, g.piped, g.redirs = value{}, false, nil
				e.shell(s, v, g) // runs here
			}
		}
		if len(p.Rest) > 1 {
			g := f
			g.remote = true
			g.redirs = nil
			e.shell(s, strings.Join(p.Rest[1:], " "), g)
		} else if s.Fed && s.Feed != "" {
			g := f
			g.remote, g.stdin, g.piped = true, value{}, false
			e.shell(s, s.Feed, g)
		}
		return value{}, true
	case "sshpass":
		p := program.Parse(spec, s.Argv, true)
		return e.sub(s, p.Rest, f), true
	case "docker", "kubectl", "lxc", "crictl", "ctr", "runc", "machinectl", "toolbox", "distrobox", "lima", "limactl", "multipass", "vagrant":
		return e.container(s, spec, f)
	case "nsenter", "unshare", "bwrap", "firejail", "systemd-run", "systemd-nspawn", "capsh":
		return e.namespaces(s, spec, f)
	case "at", "batch":
		if s.Fed {
			g := f
			g.stdin, g.piped = value{}, false
			e.shell(s, s.Feed, g)
		}
		return value{}, true
	}
	return value{}, false
}

// runVerbs are the words after which runners of packages and environments take
// a command.
var runVerbs = map[string]bool{"run": true, "exec": true, "x": true, "dlx": true, "develop": true, "shell": true, "exec-env": true, "env": true, "tool": true, "create": false}

// runner follows programs that start another in an environment of theirs: npx,
// uv run, bundle exec, nix develop -c. It reports false for their other verbs.
func (e *eval) runner(s *Simple, f frame) bool {
	always := map[string]bool{"npx": true, "bunx": true, "uvx": true, "nix-shell": true, "cross-env": true, "dotenv": true, "envdir": true, "dotenvx": true}[s.Name]
	verb := always
	for i := 1; i < len(s.Argv); i++ {
		a := s.Argv[i]
		switch {
		case (a == "-c" || a == "--call" || a == "--run" || a == "--command") && verb && i+1 < len(s.Argv):
			if i+2 == len(s.Argv) && strings.Contains(s.Argv[i+1], " ") {
				e.shell(s, s.Argv[i+1], f)
			} else {
				e.sub(s, s.Argv[i+1:], f)
			}
			return true
		case strings.HasPrefix(a, "--call=") && verb:
			e.shell(s, strings.TrimPrefix(a, "--call="), f)
			return true
		case a == "--" && verb && i+1 < len(s.Argv):
			e.sub(s, s.Argv[i+1:], f)
			return true
		case strings.HasPrefix(a, "-") || isAssign(a):
		case !verb:
			if !runVerbs[a] {
				return false
			}
			verb = true
		case s.Name == "sops" && strings.Contains(a, " ") && i+1 == len(s.Argv):
			e.shell(s, a, f)
			return true
		case s.Name == "nix" || s.Name == "nix-shell": // names of packages
		case program.Known(a):
			e.sub(s, s.Argv[i:], f)
			return true
		case s.Name == "npm" || s.Name == "yarn" || s.Name == "pnpm" || s.Name == "bun":
			return false // a script of the project
		}
	}
	return false
}

// joined runs words as tmux does: one is shell text, several are a command.
func (e *eval) joined(s *Simple, words []string, f frame) value {
	if len(words) == 1 {
		return e.shell(s, words[0], f)
	}
	return e.sub(s, words, f)
}

// sub records argv as a command that s starts.
func (e *eval) sub(s *Simple, argv []string, f frame) value {
	if len(argv) == 0 {
		return value{}
	}
	g := f.inner(s)
	c := &Simple{From: s.From, started: true, Dynamic: strings.HasPrefix(argv[0], "$")}
	if n := len(s.Argv) - len(argv); n >= 0 && slices.Equal(s.Argv[n:], argv) {
		c.wordFrom, c.wordDec = s.wordFrom, s.wordDec // both are counted from the end
	}
	return e.simple(append([]string(nil), argv...), c, value{}, g)
}

func (e *eval) becomeRoot(s *Simple, spec program.Spec, f frame) (value, bool) {
	f.root = true
	if s.Name == "su" || s.Name == "runuser" {
		p := program.Parse(spec, s.Argv, false)
		if v := p.Values("c", "command", "session-command"); len(v) > 0 {
			return e.shell(s, v[0], f), true
		}
		if s.Name == "runuser" && p.Has("u", "user") {
			return e.sub(s, p.Rest, f), true
		}
		return value{}, true
	}
	p := program.Parse(spec, s.Argv, true)
	rest := p.Rest
	for len(rest) > 0 && isAssign(rest[0]) {
		f.env = append(f.env, split(rest[0]))
		rest = rest[1:]
	}
	if len(rest) == 0 && p.Has("s", "i", "shell", "login") {
		rest = []string{"bash"}
	}
	return e.sub(s, rest, f), true
}

func isAssign(a string) bool {
	name, _, ok := strings.Cut(a, "=")
	if !ok || name == "" {
		return false
	}
	for i, c := range name {
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return true
}

func split(a string) Assign {
	n, v, _ := strings.Cut(a, "=")
	return Assign{n, v}
}

func (e *eval) envCmd(s *Simple, spec program.Spec, f frame) (value, bool) {
	p := program.Parse(spec, s.Argv, true)
	if v := p.Values("S", "split-string"); len(v) > 0 {
		return e.shell(s, strings.Join(append(v, p.Rest...), " "), f), true
	}
	rest := p.Rest
	for len(rest) > 0 && isAssign(rest[0]) {
		f.env = append(f.env, split(rest[0]))
		rest = rest[1:]
	}
	if len(rest) == 0 {
		return value{}, true
	}
	return e.sub(s, rest, f), true
}

// xargs hands what it reads to the command it starts.
func (e *eval) xargs(s *Simple, p program.Parsed, f frame) value {
	rest := append([]string(nil), p.Rest...)
	if len(rest) == 0 {
		rest = []string{"echo"}
	}
	if s.Fed {
		words := quotedFields(s.Feed)
		if p.Has("0", "null") {
			words = strings.Split(strings.TrimRight(s.Feed, "\x00"), "\x00")
		} else if d := p.Values("d", "delimiter"); len(d) > 0 {
			words = strings.Split(strings.TrimRight(s.Feed, "\n"), strings.NewReplacer(`\n`, "\n", `\0`, "\x00", `\t`, "\t").Replace(d[0]))
		}
		words = words[:min(len(words), 64)]
		mark := "{}"
		if v := p.Values("I", "replace"); len(v) > 0 && v[0] != "" {
			mark = v[0]
		}
		if p.Has("I", "i", "replace") {
			for i := range rest {
				rest[i] = strings.ReplaceAll(rest[i], mark, strings.TrimSpace(s.Feed))
			}
		} else {
			rest = append(rest, words...)
		}
	}
	if v := p.Values("I", "replace"); !s.Fed && len(v) > 0 && v[0] != "" && len(v[0]) < 16 {
		for i := range rest {
			rest[i] = strings.ReplaceAll(rest[i], v[0], "{}")
		}
	}
	g := f
	g.stdin, g.piped = value{}, false
	before := len(e.cmd.Simples)
	out := e.sub(s, rest, g)
	for _, c := range e.cmd.Simples[before:] {
		c.From = merge(c.From, s.Stdin)
	}
	out.from = merge(out.from, s.Stdin)
	return out
}

// findExec walks -exec, -execdir, -ok and fd -x.
func (e *eval) findExec(s *Simple, f frame) {
	for i := 1; i < len(s.Argv); i++ {
		switch s.Argv[i] {
		case "-exec", "-execdir", "-ok", "-okdir", "-x", "-X", "--exec", "--exec-batch":
			if s.Name == "find" == (len(s.Argv[i]) == 2) {
				continue
			}
			j := i + 1
			for j < len(s.Argv) && s.Argv[j] != ";" && s.Argv[j] != "+" && s.Argv[j] != `\;` {
				j++
			}
			before := len(e.cmd.Simples)
			e.sub(s, s.Argv[i+1:j], f)
			for _, c := range e.cmd.Simples[before:] {
				c.From = merge(c.From, []*Simple{s})
			}
			i = j
		}
	}
}

// container finds the command that docker run, kubectl exec and the like start.
func (e *eval) container(s *Simple, spec program.Spec, f frame) (value, bool) {
	f.nested = true
	if i := dashes(s.Argv); i > 0 && s.Name != "docker" {
		return e.sub(s, s.Argv[i+1:], f), true
	}
	p := program.Parse(spec, s.Argv, true)
	rest := p.Rest
	if len(rest) > 0 && rest[0] == "compose" {
		q := program.Parse(spec, rest, true)
		rest = q.Rest
	}
	if len(rest) == 0 || rest[0] != "run" && rest[0] != "exec" && rest[0] != "create" {
		return value{}, s.Name != "kubectl" || len(rest) == 0 || true
	}
	q := program.Parse(spec, rest, true)
	if len(q.Rest) > 1 {
		return e.sub(s, q.Rest[1:], f), true
	}
	return value{}, true
}

// dashes is where "--" ends the options of a program; -1 if it does not.
func dashes(list []string) int { return slices.Index(list, "--") }

// namespaces finds the command of nsenter, unshare, bwrap and systemd-run.
func (e *eval) namespaces(s *Simple, spec program.Spec, f frame) (value, bool) {
	if i := dashes(s.Argv); i > 0 {
		return e.sub(s, s.Argv[i+1:], f), true
	}
	if s.Name == "capsh" {
		for i, a := range s.Argv {
			if a == "-c" && i+1 < len(s.Argv) {
				return e.shell(s, s.Argv[i+1], f), true
			}
		}
		return value{}, true
	}
	if s.Name == "bwrap" || s.Name == "firejail" || s.Name == "systemd-nspawn" {
		for i := 1; i < len(s.Argv); i++ {
			if !strings.HasPrefix(s.Argv[i], "-") && program.Known(s.Argv[i]) {
				return e.sub(s, s.Argv[i:], f), true
			}
		}
		return value{}, true
	}
	p := program.Parse(spec, s.Argv, true)
	return e.sub(s, p.Rest, f), true
}
