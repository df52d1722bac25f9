package config_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/code-on-incus/coi/pkg/config"
)

// problem is the only problem of a load that must fail.
func (w *world) problems(change ...func(*config.Options)) []config.Problem {
	w.t.Helper()
	_, err := w.try(change...)
	var e *config.Error
	if !errors.As(err, &e) || e.ExitCode() != 5 {
		text, _ := os.ReadFile(w.home.Config())
		w.t.Fatalf("Load = %v; want a configuration error from %q", err, text)
	}
	return e.Problems
}

// Every wrong value is told with file, line, key, what is wrong and what is allowed.
func TestWrongValues(t *testing.T) {
	for _, c := range []struct {
		toml, key, hint string
		line            int
	}{
		{"[container]\nimagee = \"x\"\n", "container.imagee", "did you mean container.image?", 2},
		{"[contaner]\nimage = \"x\"\n", "contaner", "did you mean container?", 1},
		{"forward_evn = []\n", "forward_evn", "did you mean forward_env?", 1},
		{"inherits = \"x\"\n", "inherits", "only a profile has inherits", 1},
		{"[network]\nmode = \"closed\"\n", "network.mode", "restricted allowlist open", 2},
		{"[network]\nmode = 3\n", "network.mode", "restricted", 2},
		{"network = 3\n", "network", "write [network]", 1},
		{"[network]\nallowed_domains = [\"a.example.com\",\n  \"http://b.example.com/x\"]\n", "network.allowed_domains", "destinations", 3},
		{"[network]\nallowed_domains = [\"169.254.169.254\"]\n", "network.allowed_domains", "destinations", 2},
		{"[network]\nallowed_ports = [0]\n", "network.allowed_ports", "1-65535", 2},
		{"[network]\nsni = \"strict\"\n", "network.sni", "off log enforce", 2},
		{"[network]\npool = \"8.8.8.0/24\"\n", "network.pool", "private", 2},
		{"[network]\nmark = 3\n", "network.mark", "one bit", 2},
		{"[[network.hosts]]\nip = \"host\"\nhostnames = [\"h.example.com\"]\n", "network.hosts.ports", "ports", 1},
		{"[[network.hosts]]\nip = \"169.254.169.254\"\nhostnames = [\"h.example.com\"]\n", "network.hosts.ip", "address", 2},
		{"[tool]\nname = \"cluade\"\n", "tool.name", "claude", 2},
		{"[tool]\nname = \"custom\"\n", "tool.name", "tool.custom.command", 2},
		{"[timezone]\nmode = \"fixed\"\nname = \"Mars/X\"\n", "timezone.name", "IANA", 3},
		{"[timezone]\nmode = \"fixed\"\n", "timezone.mode", "timezone.name", 2},
		{"[git]\nname = \"A\"\n", "git.name", "git.email", 2},
		{"[limits.disk]\nmax = 20\n", "limits.disk.max", "rate", 2},
		{"[limits.disk]\nread = \"20\"\n", "limits.disk.read", "rate", 2},
		{"[limits.disk]\nmax = \"20GiB\"\nsize = \"10GiB\"\n", "limits.disk.max", "one of them", 2},
		{"[limits.disk]\nmax = \"20MB/s\"\nread = \"10MB/s\"\n", "limits.disk.read", "read and write", 3},
		{"[limits.runtime]\nmax_duration = \"30s\"\n", "limits.runtime.max_duration", "1m", 2},
		{"[limits.runtime]\nmax_duration = \"1h\"\nwarn_before = \"2h\"\n", "limits.runtime.warn_before", "max_duration", 3},
		{"[monitoring]\nprocess_count_threshold = 5\n", "monitoring.process_count_threshold", "0, or 10", 2},
		{"[monitoring]\nenabled = \"yes\"\n", "monitoring.enabled", "true or false", 2},
		{"[monitoring.levels]\n\"a.b\" = \"critical\"\n", "monitoring.levels.\"a.b\"", "high", 2},
		{"[security]\nprotected_paths = [\"/etc\"]\n", "security.protected_paths", "relative", 2},
		{"[security]\nadditional_protected_paths = [\"a/../b\"]\n", "security.additional_protected_paths", "relative", 2},
		{"[defaults.environment]\n\"A-B\" = \"x\"\n", "defaults.environment.A-B", "letters", 2},
		{"[defaults]\nenv_command_timeout = \"11m\"\n", "defaults.env_command_timeout", "1s-10m", 2},
		{"environment = { A = \"1\" }\n[defaults.environment]\nB = \"2\"\n", "environment", "keep one", 1},
		{"[workspaces.\"src\"]\nprofile = \"x\"\n", "workspaces.src", "[workspaces.", 1},
		{"[[mounts]]\nhost = \"~/x\"\ncontainer = \"mnt\"\n", "mounts.container", "absolute", 3},
		{"[[mounts]]\nhost = \"~/x\"\n", "mounts.container", "add container", 1},
		{"[[mounts]]\nhost = \"/proc\"\ncontainer = \"/mnt\"\n", "mounts.host", "below", 2},
		{"[[mounts]]\nhost = \"/var/lib\"\ncontainer = \"/mnt\"\n", "mounts.host", "below", 2},
		{"[[mounts]]\nhost = \"~/x\"\ncontainer = \"/proc/x\"\n", "mounts.container", "not /", 3},
		{"[[mounts]]\nhost = \"~/x\"\ncontainer = \"/a\"\n[[mounts]]\nhost = \"~/y\"\ncontainer = \"/a/\"\n", "mounts.container", "its own", 4},
		{"[[mounts]]\nhost = \"~/x\"\ncontainer = \"/workspace/.git\"\n", "mounts.container", "elsewhere", 1},
		{"[[mounts]]\nhost = \"~/x\"\ncontainer = \"/a\"\nreadnoly = true\n", "mounts.readnoly", "did you mean mounts.readonly?", 4},
		{"[[credentials]]\nbundle = \"codex\"\nhost = \"~/x\"\n", "credentials", "bundle, or host", 1},
		{"[[credentials]]\nhost = \"~/x\"\ncontainer = \"/a\"\nmode = \"999\"\n", "credentials.mode", "octal", 4},
		{"[[ports.map]]\nname = \"w\"\ncontainer = 80\n[[ports.map]]\nname = \"w\"\ncontainer = 81\n", "ports.map.name", "own name", 4},
		{"[container.build]\nagents = []\n", "container.build.agents", "claude", 2},
		{"[container]\nalias = \"coi-x\"\n", "container.alias", "does not start", 2},
		{"[container]\nalias = \"verify\"\n", "container.alias", "letter", 2},
		{"[defaults]\nprofile = \"nope\"\n", "defaults.profile", "coi profile list", 0},
	} {
		w := newWorld(t)
		w.user(c.toml)
		got := w.problems()
		p := got[len(got)-1]
		if len(got) != 1 || p.Key != c.key || p.Line != c.line && c.line > 0 || !strings.Contains(p.Hint, c.hint) {
			t.Errorf("%q: %+v; want line %d, key %s, hint with %q", c.toml, got, c.line, c.key, c.hint)
		}
	}
}

// Several problems of several files are all told in one run.
func TestAllProblemsAreTold(t *testing.T) {
	w := newWorld(t)
	w.user("[network]\nmode = \"x\"\nmdoe = 1\n[limits.disk]\nread = \"1\"\n")
	w.project("[container]\nimagee = \"x\"\n")
	if got := w.problems(); len(got) != 4 {
		t.Errorf("problems = %v; want 4", got)
	}
}

// What cannot be read as a configuration file stops every command, with a way out.
func TestUnreadableFiles(t *testing.T) {
	for name, c := range map[string]struct {
		make func(w *world)
		hint string
		line int
	}{
		"not TOML":       {func(w *world) { w.user("[network]\nmode = \n") }, "", 2},
		"twice":          {func(w *world) { w.user("[network]\nmode = \"open\"\nmode = \"open\"\n") }, "", 3},
		"not UTF-8":      {func(w *world) { w.user("# ok\n# \xff\n") }, "", 2},
		"too large":      {func(w *world) { w.user("#" + strings.Repeat("x", 1<<20)) }, "small", 0},
		"world-writable": {func(w *world) { w.user(""); chmod(w.t, w.home.Config(), 0o666) }, "chmod o-w", 0},
		"a directory":    {func(w *world) { mkdir(w.t, w.home.Config()) }, "regular", 0},
		"a link":         {func(w *world) { w.write("~/c.toml", ""); symlink(w.t, w.path("~/c.toml"), w.home.Config()) }, "COI_CONFIG", 0},
		"a project link": {func(w *world) { w.write("c.toml", ""); symlink(w.t, "../c.toml", w.path(".coi/config.toml")) }, "regular", 0},
		"a linked .coi": {func(w *world) {
			if err := os.Remove(w.path(".coi")); err != nil {
				w.t.Fatal(err)
			}
			mkdir(w.t, w.path("x"))
			w.write("x/config.toml", "")
			symlink(w.t, "x", w.path(".coi"))
		}, "regular", 0},
	} {
		w := newWorld(t)
		c.make(w)
		p := w.problems()[0]
		if !strings.Contains(p.Hint, c.hint) || p.Line != c.line {
			t.Errorf("%s: %+v; want line %d and a hint with %q", name, p, c.line, c.hint)
		}
	}
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
}

func symlink(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

// One directory that is both ~/.coi and the workspace's .coi is read once, as trusted.
func TestHomeAsWorkspace(t *testing.T) {
	w := newWorld(t)
	w.user("[network]\nmode = \"open\"\n[[mounts]]\nhost = \"~/x\"\ncontainer = \"/mnt\"\n")
	c := w.load(func(o *config.Options) { o.Workspace = w.home.User })
	if c.Network.Mode != "open" || len(c.Mounts) != 1 || len(c.Refused)+len(c.Gated) != 0 {
		t.Errorf("home as workspace: %+v", c)
	}
}

// The root spelling works for these four keys, in main files and profiles.
func TestRootSpelling(t *testing.T) {
	w := newWorld(t)
	w.user("forward_env = [\"A\"]\nenv_command_timeout = \"1m\"\n[environment]\nB = \"1\"\n[env_commands]\nC = \"id\"\n")
	w.write("~/.coi/profiles/p/config.toml", "forward_env = [\"D\"]\n[environment]\nE = \"1\"\n")
	c := w.load(withProfile("p")).Defaults
	if len(c.ForwardEnv) != 2 || c.EnvCommandTimeout.Minutes() != 1 || c.Environment["B"] != "1" || c.Environment["E"] != "1" || c.EnvCommands["C"] != "id" {
		t.Errorf("defaults = %+v", c)
	}
}

// Host paths: ~ is expanded, $NAME is not, relative ones belong to the file's
// directory, in a project to the workspace.
func TestPaths(t *testing.T) {
	w := newWorld(t)
	w.user("[[mounts]]\nhost = \"data\"\ncontainer = \"/mnt/1\"\n[[mounts]]\nhost = \"~/$X\"\ncontainer = \"/mnt/2\"\n[paths]\nlogs_dir = \"logs2\"\n")
	w.write("src/x", "")
	w.project("[[mounts]]\nhost = \"src\"\ncontainer = \"/mnt/3\"\n[container.build]\nscript = \"build.sh\"\n")
	w.write(".coi/build.sh", "")
	c := w.load()
	got := []string{c.Mounts[0].Host, c.Mounts[1].Host, c.Mounts[2].Host, c.Paths.LogsDir, c.Container.Build.Script}
	want := []string{w.home.Path("data"), w.path("~/$X"), w.path("src"), w.home.Path("logs2"), w.path(".coi/build.sh")}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("paths = %v; want %v", got, want)
	}
}
