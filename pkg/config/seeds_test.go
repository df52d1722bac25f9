package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/code-on-incus/coi/pkg/config"
	"github.com/code-on-incus/coi/pkg/trust"
)

// want is one statement about what holds.
type want struct {
	what string
	ok   bool
}

func check(t *testing.T, wants ...want) {
	t.Helper()
	for _, w := range wants {
		if !w.ok {
			t.Errorf("not so: %s", w.what)
		}
	}
}

// warned reports whether a warning holds every one of the words, and has the hint.
func warned(list []config.Warning, hint string, words ...string) bool {
	return slices.ContainsFunc(list, func(w config.Warning) bool {
		for _, word := range words {
			if !strings.Contains(w.Text, word) {
				return false
			}
		}
		return hint == "" || slices.ContainsFunc(w.Hints, func(h string) bool { return strings.Contains(h, hint) })
	})
}

// S27 S41 S50 S52 S101 S103 S104: what holds with no file at all.
func TestSeedsDefaults(t *testing.T) {
	c := newWorld(t).load()
	p := c.Security.Protected()
	check(t,
		want{"S27 ephemeral", !c.Container.Persistent},
		want{"S41 restricted", c.Network.Mode == "restricted" && c.Network.BlockPrivateNetworks && !c.Network.AllowLocalNetworkAccess},
		want{"S44 monitoring is on by default", c.Monitored() && !c.MustMonitor()},
		want{"S50 50 MB", c.Monitoring.FileReadThresholdMB == 50},
		want{"S52 auto pause", c.Monitoring.AutoPauseOnHigh && c.Monitoring.AutoKillOnCritical},
		want{"S110 IPv6 is off", !c.Network.IPv6},
	)
	for _, path := range []string{".coi", ".git/config.worktree", ".git/info/attributes", ".git/hooks", ".git/config", ".husky", ".vscode"} {
		check(t, want{"S101 S103 S104 protected " + path, slices.Contains(p, path)})
	}
}

// S42 S43 S44 S45 S46 S47 S51 S57 S59 S60 S61 S62 S63 S64 S99: settings of the user's own.
func TestSeedsUserSettings(t *testing.T) {
	w := newWorld(t)
	w.user(`
[network]
mode = "allowlist"
allowed_domains = ["registry.example.com", "*.example.org:443"]
[monitoring]
enabled = true
file_read_threshold_mb = 500
`)
	c := w.load()
	check(t,
		want{"S42 S45 allowlist with a registry", c.Network.Mode == "allowlist" && len(c.Network.AllowedDomains) == 2 && c.Network.AllowedDomains[0].Name == "registry.example.com"},
		want{"S46 monitoring for every workspace", c.MustMonitor()},
		want{"S51 higher threshold", c.Monitoring.FileReadThresholdMB == 500},
	)
	w.user("[network]\nallow_local_network_access = true\n")
	check(t, want{"S43", w.load().Network.AllowLocalNetworkAccess})
	w.user("[network]\nmode = \"open\"\nblock_private_networks = false\nblock_metadata_endpoint = false\nallow_local_network_access = true\n")
	c = w.load()
	check(t,
		want{"S44 open keeps monitoring", c.Network.Mode == "open" && c.Monitored()},
		want{"S99 the same values in a trusted file", !c.Network.BlockPrivateNetworks && !c.Network.BlockMetadataEndpoint && len(c.Refused) == 0},
	)
}

// S47: monitoring off for one project, by a profile of the user's.
func TestSeedsMonitoringOffForOneProject(t *testing.T) {
	w := newWorld(t)
	w.user("[monitoring]\nenabled = true\n[workspaces.\"" + w.workspace + "\"]\nprofile = \"big-files\"\n")
	w.write("~/.coi/profiles/big-files/config.toml", "[monitoring]\nenabled = false\n")
	here := w.load()
	elsewhere := w.load(func(o *config.Options) { o.Workspace = filepath.Dir(w.workspace) })
	check(t,
		want{"off here", !here.Monitored() && here.Profile.Name == "big-files" && here.Profile.By == "workspaces"},
		want{"on elsewhere", elsewhere.Monitored() && elsewhere.Profile.Name == ""},
	)
	// A project cannot name itself into that.
	w.user("[monitoring]\nenabled = true\n")
	w.project("[workspaces.\"" + w.workspace + "\"]\nprofile = \"big-files\"\n")
	c := w.load()
	check(t, want{"refused from a project", c.Monitored() && len(c.Refused) == 1})
}

// S57 S59-S64: a shared profile of a repository works in a fresh clone, at once.
func TestSeedsSharedProfile(t *testing.T) {
	w := newWorld(t)
	w.write(".coi/profiles/research/config.toml", `
[container]
image = "coi-myproject-v1.2"
[limits.cpu]
count = "4"
[limits.memory]
limit = "8GiB"
[limits.disk]
max = "20GiB"
[limits.runtime]
max_duration = "8h"
`)
	c := w.load(withProfile("research"))
	check(t,
		want{"S59 S61", c.Profile.Name == "research" && !c.Profile.Trusted && len(c.Warnings) == 0},
		want{"S60", c.Container.Image == "coi-myproject-v1.2"},
		want{"S62", c.Limits.Memory.Limit == "8GiB"},
		want{"S63", c.Limits.Disk.Quota() == 20<<30},
		want{"S64", c.Limits.CPU.Count == "4"},
		want{"S57", c.Limits.Runtime.MaxDuration.Hours() == 8},
	)
	w.user("[limits.memory]\nlimit = \"4GiB\"\n")
	c = w.load(withProfile("research"))
	check(t, want{"not above the user's", c.Limits.Memory.Limit == "4GiB" && len(c.Refused) == 1})
}

// S77 S80 S81 S95 S96 S97 S98 S119: what a project may not do, with a warning
// that names file, line, key and where to put it.
func TestSeedsRefused(t *testing.T) {
	for _, c := range []struct{ id, toml, key string }{
		{"S95", "[network]\nmode = \"open\"\n", "network.mode"},
		{"S96", "[network]\nblock_private_networks = false\n", "network.block_private_networks"},
		{"S97", "[network]\nblock_metadata_endpoint = false\n", "network.block_metadata_endpoint"},
		{"S98", "[network]\nallow_local_network_access = true\n", "network.allow_local_network_access"},
		{"S80 S119", "[defaults.env_commands]\nTOKEN = \"id\"\n", "defaults.env_commands.TOKEN"},
	} {
		for _, file := range []string{".coi/config.toml", ".coi/profiles/p/config.toml"} {
			w := newWorld(t)
			path := w.write(file, c.toml)
			var profile []func(*config.Options)
			if strings.Contains(file, "profiles") {
				profile = append(profile, withProfile("p"))
			}
			got := w.load(profile...)
			plain := newWorld(t).load()
			check(t,
				want{c.id + " dropped from " + file, got.Network.Mode == plain.Network.Mode && got.Network.BlockPrivateNetworks && got.Network.BlockMetadataEndpoint && !got.Network.AllowLocalNetworkAccess && len(got.Defaults.EnvCommands) == 0},
				want{c.id + " warned", warned(got.Warnings, "put it in ~/.coi/config.toml", fmt.Sprintf("%s:2: %s", path, c.key), "refused")},
			)
		}
	}
}

// S100: what makes the sandbox stricter is honoured.
func TestSeedsStrengthening(t *testing.T) {
	w := newWorld(t)
	w.project("[network]\nmode = \"allowlist\"\n[security]\nadditional_protected_paths = [\"deploy\"]\nsecret_paths = [\".env\"]\n[git]\nreadonly = true\nwritable_hooks = true\n")
	c := w.load()
	check(t,
		want{"mode", c.Network.Mode == "allowlist"},
		want{"paths", slices.Contains(c.Security.Protected(), "deploy") && slices.Contains(c.Security.SecretPaths, ".env")},
		want{"git", c.Git.ReadOnly && !c.Git.WritableHooks && len(c.Refused) == 1},
	)
}

// S78 S79 S83 S117: mounts and sockets wait. S90: those of trusted files do not.
// S82: nothing of the user's own is affected.
func TestSeedsGated(t *testing.T) {
	for _, file := range []string{".coi/config.toml", ".coi/profiles/p/config.toml", "~/.coi/config.toml", "~/.coi/profiles/p/config.toml"} {
		w := newWorld(t)
		w.write("~/.ssh/id", "secret")
		w.write(file, "[[mounts]]\nhost = \"~/.ssh\"\ncontainer = \"/home/code/.ssh\"\n[[sockets]]\nhost = \"/nowhere.sock\"\ncontainer = \"/tmp/s\"\n")
		var opts []func(*config.Options)
		if strings.Contains(file, "profiles") {
			opts = append(opts, withProfile("p"))
		}
		c := w.load(opts...)
		trusted := strings.HasPrefix(file, "~")
		check(t,
			want{file + ": mounts", len(c.Mounts) == map[bool]int{true: 1}[trusted]},
			want{file + ": sockets", len(c.Sockets) == map[bool]int{true: 1}[trusted]},
			want{file + ": waiting", len(c.Gated) == map[bool]int{false: 2}[trusted]},
			want{file + ": warned", trusted || warned(c.Warnings, "coi trust", ":1: mount ~/.ssh → /home/code/.ssh", "ignored until approved")},
		)
	}
}

// approve stands for a yes to coi trust.
func (w *world) approve() {
	w.t.Helper()
	units, _, err := config.Units(config.Options{Home: w.home, Getenv: w.getenv, Workspace: w.workspace})
	if err != nil {
		w.t.Fatal(err)
	}
	err = trust.Update(w.home, func(s *trust.Store) error {
		for _, u := range units {
			a := trust.Approval{Fingerprint: trust.Fingerprint(u.Items)}
			for _, i := range u.Items {
				a.Items = append(a.Items, i.String())
			}
			s.Approvals[u.File] = a
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// S84 S88, R-TRU-02: outside is judged on the resolved path, and an approval is pinned to it.
func TestSeedsPinned(t *testing.T) {
	w := newWorld(t)
	w.write("~/data/x", "")
	w.write("~/.ssh/id", "")
	link := w.path("link")
	if err := os.Symlink(w.path("~/data"), link); err != nil {
		t.Fatal(err)
	}
	w.project("[[mounts.default]]\nhost = \"link\"\ncontainer = \"/mnt\"\n")
	check(t, want{"S84 a link out of the workspace waits", len(w.load().Mounts) == 0})
	w.approve()
	c := w.load()
	check(t, want{"S88 approved", len(c.Mounts) == 1 && c.Mounts[0].Target.Path == w.path("~/data") && len(c.Warnings) == 0})
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(w.path("~/.ssh"), link); err != nil {
		t.Fatal(err)
	}
	c = w.load()
	check(t,
		want{"S88 another target takes another approval", len(c.Mounts) == 0},
		want{"and it says so", warned(c.Warnings, "coi trust", "target changed")},
	)
}

// S88: any change of an item takes a new approval for the whole file; edits of
// something else do not.
func TestSeedsRearmed(t *testing.T) {
	base := "[[mounts]]\nhost = \"~/a\"\ncontainer = \"/mnt/a\"\n[[mounts]]\nhost = \"~/b\"\ncontainer = \"/mnt/b\"\n"
	for name, c := range map[string]struct {
		text string
		n    int
	}{
		"nothing":       {base, 2},
		"unrelated":     {"# a comment\n[container]\nimage = \"other\"\n" + base, 2},
		"read-only":     {strings.Replace(base, "/mnt/b\"", "/mnt/b\"\nreadonly = true", 1), 0},
		"another place": {strings.Replace(base, "/mnt/b", "/mnt/c", 1), 0},
		"one more":      {base + "[[mounts]]\nhost = \"~/c\"\ncontainer = \"/mnt/c\"\n", 0},
		"one less":      {base[:strings.LastIndex(base, "[[")], 0},
	} {
		w := newWorld(t)
		w.write("~/a/x", "")
		w.write("~/b/x", "")
		w.write("~/c/x", "")
		w.project(base)
		w.approve()
		w.project(c.text)
		if got := len(w.load().Mounts); got != c.n {
			t.Errorf("%s changed: %d mounts; want %d", name, got, c.n)
		}
	}
}

// A directory that was replaced is another one, even under the same name.
func TestReplacedDirectoryTakesANewApproval(t *testing.T) {
	w := newWorld(t)
	w.write("~/a/x", "")
	w.project("[[mounts]]\nhost = \"~/a\"\ncontainer = \"/mnt/a\"\n")
	w.approve()
	if n := len(w.load().Mounts); n != 1 {
		t.Fatalf("approved: %d mounts", n)
	}
	if err := os.Rename(w.path("~/a"), w.path("~/b")); err != nil {
		t.Fatal(err)
	}
	w.write("~/a/x", "")
	if n := len(w.load().Mounts); n != 0 {
		t.Errorf("replaced: %d mounts", n)
	}
}

// S89, R-TRU-03: a mount inside the workspace always happens; only a writable
// overlap with a protected path waits.
func TestSeedsInsideTheWorkspace(t *testing.T) {
	w := newWorld(t)
	w.write("src/x", "")
	w.write(".git/hooks/pre-commit", "")
	w.project("[[mounts]]\nhost = \"src\"\ncontainer = \"/mnt/src\"\n[[mounts]]\nhost = \".git/hooks\"\ncontainer = \"/mnt/hooks\"\n[[mounts]]\nhost = \".git\"\ncontainer = \"/mnt/git\"\nreadonly = true\n")
	c := w.load()
	if len(c.Mounts) != 3 {
		t.Fatalf("mounts = %+v", c.Mounts)
	}
	check(t,
		want{"plain", c.Mounts[0].InWorkspace && !c.Mounts[0].Overlap},
		want{"the writable overlap waits", c.Mounts[1].InWorkspace && !c.Mounts[1].Overlap && len(c.Gated) == 1 && c.Gated[0].Kind == "overlap"},
		want{"it is told", warned(c.Warnings, "coi trust", "overlap", "stays read-only until approved")},
	)
	w.approve()
	c = w.load()
	check(t, want{"approved", c.Mounts[1].Overlap && len(c.Warnings) == 0})
}

// S91 S92: COI_TRUST_ALL of the caller opens the gate and stores nothing; a typo does not.
func TestSeedsTrustAll(t *testing.T) {
	w := newWorld(t)
	w.write("~/a/x", "")
	w.project("[[mounts]]\nhost = \"~/a\"\ncontainer = \"/mnt/a\"\n[defaults.environment]\n" + "COI_TRUST_ALL = \"1\"\n")
	check(t, want{"S92 a project's variable opens nothing", len(w.load().Mounts) == 0})
	name := "COI_TRUST" + "_ALL"
	for value, open := range map[string]bool{"1": true, "true": true, "YES": true, "": false} {
		w.env[name] = value
		c := w.load()
		check(t, want{"S91 " + value, (len(c.Mounts) == 1) == open && c.TrustAll == open && (len(c.Notes) > 0) == open})
	}
	w.env[name] = "maybe"
	if _, err := w.try(); err == nil {
		t.Error("another value is accepted")
	}
	if _, err := os.Lstat(w.home.Trust()); err == nil {
		t.Error("something was stored")
	}
	delete(w.env, name)
	c := w.load(func(o *config.Options) { o.Environ = []string{"COI_TRUST_AL=1", "COI_PORT_WEB=1", "OTHER=1"} })
	check(t, want{"a misspelt variable is named", warned(c.Warnings, "", "COI_TRUST_AL ", "did you mean COI_TRUST_ALL?") && len(c.Mounts) == 0})
}

// S82 S93 S94: the file of COI_CONFIG is trusted wherever it is, above the project's.
func TestSeedsEnvFile(t *testing.T) {
	w := newWorld(t)
	w.project("[container]\nimage = \"theirs\"\n[limits.memory]\nlimit = \"1GiB\"\n")
	w.user("[limits.memory]\nlimit = \"4GiB\"\n")
	dir := t.TempDir()
	file := w.write(filepath.Join(dir, "ci.toml"), "[network]\nmode = \"open\"\n[container]\nimage = \"ci\"\n[limits.memory]\nlimit = \"2GiB\"\n")
	w.write(filepath.Join(dir, "profiles/own/config.toml"), "[network]\nblock_private_networks = false\n")
	w.env["COI_CONFIG"] = file
	c := w.load()
	check(t,
		want{"S93 trusted", c.Network.Mode == "open" && len(c.Refused) == 0},
		want{"above the project", c.Container.Image == "ci" && c.Limits.Memory.Limit == "2GiB" && c.Origin("limits.memory.limit").String() == file+":6"},
		want{"no warning outside", len(c.Warnings) == 0},
	)
	c = w.load(withProfile("own"))
	check(t, want{"its profiles are trusted", !c.Network.BlockPrivateNetworks && c.Profile.Source == "env"})

	w.env["COI_CONFIG"] = w.write(".coi/ci.toml", "[network]\nmode = \"open\"\n")
	c = w.load()
	check(t, want{"S94 inside the workspace: used, with a warning", c.Network.Mode == "open" && warned(c.Warnings, "", "inside the workspace")})
	w.env["COI_CONFIG"] = filepath.Join(dir, "missing.toml")
	if _, err := w.try(); err == nil {
		t.Error("a missing COI_CONFIG is skipped")
	}
}

// S118: env_commands reach the session from trusted scope.
func TestSeedsEnvCommands(t *testing.T) {
	w := newWorld(t)
	w.user("[defaults]\nenv_command_timeout = \"5s\"\n[defaults.env_commands]\nTOKEN = \"printf abc\"\n")
	c := w.load()
	check(t, want{"S118", c.Defaults.EnvCommands["TOKEN"] == "printf abc" && c.Defaults.EnvCommandTimeout.Seconds() == 5})
}

// S132 S133 S134 S135 S136: old places are told with the commands that move them.
func TestSeedsOldLayout(t *testing.T) {
	w := newWorld(t)
	if err := os.Remove(w.path(".coi")); err != nil {
		t.Fatal(err)
	}
	w.write(".coi.toml", "[network]\nmode = \"open\"\n")
	w.write(".gitignore", ".coi.toml\n.coi/\n")
	c := w.load()
	check(t,
		want{"S136 told", warned(c.Warnings, "mv .coi.toml .coi/config.toml", ".coi.toml is not applied")},
		want{"S133 both commands", warned(c.Warnings, "mkdir -p .coi", ".coi.toml")},
		want{"S132 not read", c.Network.Mode == "restricted" && len(c.Refused) == 0},
	)
	if err := os.Mkdir(w.path(".coi"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(w.path(".coi.toml"), w.path(".coi/config.toml")); err != nil {
		t.Fatal(err)
	}
	c = w.load()
	check(t, want{"S133 after the commands no warning of it", !warned(c.Warnings, "", ".coi.toml is not") && len(c.Refused) == 1})
	w.write(".coi.toml", "")
	c = w.load()
	check(t, want{"both: a note", warned(c.Notes, "", ".coi.toml is unused") && !warned(c.Warnings, "", ".coi.toml is not")})

	w.write("~/.coi-profiles/old/config.toml", "")
	w.write(".coi-profiles/old/config.toml", "")
	c = w.load()
	check(t,
		want{"S135 user", warned(c.Warnings, "mv ~/.coi-profiles ~/.coi/profiles", w.path("~/.coi-profiles"))},
		want{"S135 project", warned(c.Warnings, "mv .coi-profiles .coi/profiles", w.path(".coi-profiles"))},
	)
}

// S131: keys of earlier versions are named with their new place.
func TestSeedsOldKeys(t *testing.T) {
	for text, now := range map[string]string{
		"[defaults]\nimage = \"x\"\n": "container.image", "[defaults]\npersistent = true\n": "container.persistent", "image = \"x\"\n": "container.image", "persistent = true\n": "container.persistent",
		"[build]\nbase = \"x\"\n": "container.build", "[defaults]\nmodel = \"x\"\n": "tool.claude.model", "model = \"x\"\n": "tool.claude.model",
		"[mounts]\nhost = \"~/x\"\n": "[[mounts]]",
	} {
		for _, file := range []string{"~/.coi/config.toml", "~/.coi/profiles/p/config.toml"} {
			w := newWorld(t)
			path := w.write(file, text)
			_, err := w.try(withProfile(map[bool]string{true: "p"}[strings.Contains(file, "profiles")]))
			var e *config.Error
			if !errors.As(err, &e) || e.ExitCode() != 5 || e.Problems[0].File != path || e.Problems[0].Line == 0 || !strings.Contains(e.Problems[0].String()+e.Problems[0].Hint, now) {
				t.Errorf("%q in %s: %v; want exit 5 that names %s", text, file, err, now)
			}
		}
	}
}

// S137 S138 S139 S140: both spellings of mounts work in both places.
func TestSeedsMounts(t *testing.T) {
	for _, file := range []string{"~/.coi/config.toml", ".coi/config.toml", "~/.coi/profiles/p/config.toml"} {
		for _, form := range []string{"mounts", "mounts.default"} {
			w := newWorld(t)
			w.write("src/x", "")
			w.write(file, fmt.Sprintf("[[%s]]\nhost = %q\ncontainer = \"/mnt/src\"\n", form, w.path("src")))
			c := w.load(withProfile(map[bool]string{true: "p"}[strings.Contains(file, "profiles")]))
			check(t, want{file + " " + form, len(c.Mounts) == 1 && !c.Mounts[0].ReadOnly})
		}
	}
	// Both in one file, in both orders: added together.
	for _, forms := range [][2]string{{"mounts", "mounts.default"}, {"mounts.default", "mounts"}} {
		w := newWorld(t)
		w.user(fmt.Sprintf("[[%s]]\nhost = \"~/a\"\ncontainer = \"/mnt/a\"\n[[%s]]\nhost = \"~/b\"\ncontainer = \"/mnt/b\"\nreadonly = true\n", forms[0], forms[1]))
		c := w.load()
		check(t, want{fmt.Sprint(forms), len(c.Mounts) == 2 && c.Mounts[0].Host == w.path("~/a") && c.Mounts[1].ReadOnly && c.Mounts[1].Origin.Line == 4})
	}
	// In the main file and in a profile: both are in the container.
	w := newWorld(t)
	w.user("[[mounts]]\nhost = \"~/a\"\ncontainer = \"/mnt/a\"\n")
	w.write("~/.coi/profiles/p/config.toml", "[[mounts.default]]\nhost = \"~/b\"\ncontainer = \"/mnt/b\"\n")
	check(t, want{"main and profile", len(w.load(withProfile("p")).Mounts) == 2})
}

// S141: a boolean that a higher layer leaves out never changes a lower one.
func TestSeedsTriState(t *testing.T) {
	for _, key := range []string{"network.block_private_networks", "monitoring.auto_pause_on_high", "monitoring.auto_kill_on_critical", "git.seed_host_identity"} {
		table, name, _ := strings.Cut(key, ".")
		for _, value := range []string{"true", "false"} {
			w := newWorld(t)
			w.user(fmt.Sprintf("[%s]\n%s = %s\n", table, name, value))
			w.project(fmt.Sprintf("[%s]\n", table))
			w.write("~/.coi/profiles/p/config.toml", fmt.Sprintf("[%s]\n", table))
			c := w.load(withProfile("p"))
			e, _, _ := config.Select(c.Entries(), []string{key})
			check(t, want{key + " stays " + value, fmt.Sprint(e[0].Value) == value && e[0].Origin.File == w.home.Config() && e[0].Origin.Line == 2})
		}
	}
}

// S142: global, project, COI_CONFIG, profile, command line.
func TestSeedsOrder(t *testing.T) {
	w := newWorld(t)
	layers := []struct {
		what string
		set  func()
	}{
		{"user", func() { w.user("[container]\nimage = \"user\"\n") }},
		{"project", func() { w.project("[container]\nimage = \"project\"\n") }},
		{"env-file", func() {
			w.env["COI_CONFIG"] = w.write("~/elsewhere/c.toml", "[container]\nimage = \"env-file\"\n")
		}},
		{"profile", func() {
			w.write("~/.coi/profiles/p/config.toml", "[container]\nimage = \"profile\"\n")
			w.user("[container]\nimage = \"user\"\n[defaults]\nprofile = \"p\"\n")
		}},
	}
	for n, l := range layers {
		l.set()
		c := w.load()
		e, _, _ := config.Select(c.Entries(), []string{"container.image"})
		check(t, want{l.what, c.Container.Image == l.what && string(e[0].Origin.Kind) == l.what && len(e[0].Overridden) == n})
	}
	c := w.load(func(o *config.Options) {
		o.Flags = []config.Flag{{Key: "container.image", Value: "flag", Name: "--image"}}
	})
	check(t, want{"flag", c.Container.Image == "flag" && c.Origin("container.image").String() == "flag --image"})
}

// S102: what is read is the project's own file, never one behind a link.
func TestProjectFileBehindALink(t *testing.T) {
	w := newWorld(t)
	w.write("elsewhere.toml", "[container]\nimage = \"x\"\n")
	if err := os.Symlink("../elsewhere.toml", w.path(".coi/config.toml")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.try(); err == nil {
		t.Error("a link in place of the project's file is followed")
	}
}
