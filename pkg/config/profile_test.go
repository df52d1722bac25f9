package config_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/code-on-incus/coi/pkg/config"
)

func (w *world) profile(name, text string) {
	w.t.Helper()
	w.write("~/.coi/profiles/"+name+"/config.toml", text)
}

// Lists of every merge code, over layers and in inheritance.
func TestMergeCodes(t *testing.T) {
	w := newWorld(t)
	w.user(`
[defaults]
forward_env = ["A", "B"]
[defaults.environment]
X = "1"
Y = "1"
[network]
allowed_domains = ["a.example.com"]
[security]
additional_protected_paths = ["a"]
[[mounts]]
host = "~/u"
container = "/mnt/u"
[[ports.map]]
name = "web"
container = 80
`)
	w.profile("parent", `
forward_env = ["C"]
[security]
additional_protected_paths = ["b"]
[[mounts]]
host = "~/p"
container = "/mnt/p"
[[ports.map]]
name = "web"
container = 81
[environment]
Y = ""
`)
	w.profile("child", `
inherits = "parent"
forward_env = ["B", "D"]
[network]
allowed_domains = []
[security]
additional_protected_paths = ["c"]
[[mounts]]
host = "~/c"
container = "/mnt/c"
[[ports.map]]
name = "db"
container = 5432
`)
	c := w.load(withProfile("child"))
	var mounts []string
	for _, m := range c.Mounts {
		mounts = append(mounts, m.Container)
	}
	check(t,
		want{"S, L: the last wins, even if empty", len(c.Network.AllowedDomains) == 0},
		want{"U: union, a child's list replaces its parent's", slices.Equal(c.Defaults.ForwardEnv, []string{"A", "B", "D"})},
		want{"UU: union in inheritance too", slices.Equal(c.Security.AdditionalProtectedPaths, []string{"a", "b", "c"})},
		want{"M: per key, an empty text removes", len(c.Defaults.Environment) == 1 && c.Defaults.Environment["X"] == "1"},
		want{"P: appended, a child's list replaces its parent's", slices.Equal(mounts, []string{"/mnt/u", "/mnt/c"})},
		want{"N: by name", len(c.Ports.Map) == 2 && c.Ports.Map[0].Container == 81 && c.Ports.Map[1].Name == "db"},
	)
}

// R-LIM-06: a preset can remove what it inherits, forwarded variables too.
func TestClear(t *testing.T) {
	w := newWorld(t)
	w.user("forward_env = [\"A\"]\n[environment]\nX = \"1\"\n[[mounts]]\nhost = \"~/u\"\ncontainer = \"/mnt/u\"\n[security]\nsecret_paths = [\".env\"]\n[ports]\npool = 3\n")
	all := "clear = [\"forward_env\", \"environment\", \"mounts\", \"ports\", \"secret_paths\"]\nforward_env = [\"B\"]\n"
	w.profile("p", all)
	c := w.load(withProfile("p"))
	check(t, want{"a trusted profile clears all", slices.Equal(c.Defaults.ForwardEnv, []string{"B"}) && len(c.Defaults.Environment)+len(c.Mounts)+len(c.Security.SecretPaths)+c.Ports.Pool == 0})
	w.write(".coi/profiles/q/config.toml", all)
	c = w.load(withProfile("q"))
	check(t, want{"a project's does not clear secret_paths", slices.Equal(c.Security.SecretPaths, []string{".env"}) && len(c.Mounts) == 0 && warned(c.Warnings, "", "clear", "secret_paths", "refused")})
}

func TestInheritanceErrors(t *testing.T) {
	w := newWorld(t)
	w.profile("a", "inherits = \"b\"\n")
	w.profile("b", "inherits = \"a\"\n")
	w.profile("lost", "inherits = \"nowhere\"\n")
	for i := range 13 {
		w.profile(fmt.Sprintf("d%d", i), fmt.Sprintf("inherits = \"d%d\"\n", i+1))
	}
	w.profile("d13", "")
	for name, word := range map[string]string{"a": "itself", "lost": "nowhere", "d0": "more than 10 parents"} {
		if p := w.problems(withProfile(name)); !strings.Contains(p[0].Problem, word) || p[0].Line != 1 {
			t.Errorf("%s: %v; want %q", name, p, word)
		}
	}
	if c := w.load(withProfile("d3")); c.Profile.Name != "d3" {
		t.Errorf("ten parents: %+v", c.Profile)
	}
	c := w.load()
	check(t,
		want{"a profile that can be used does not warn", !warned(c.Warnings, "", "d3")},
		want{"one that inherits from nowhere warns", warned(c.Warnings, "coi validate", "profile lost cannot be used", "nowhere")},
		want{"one that inherits from itself warns", warned(c.Warnings, "coi validate", "profile a cannot be used", "itself")},
	)
	w.profile("broken", "[network\n")
	w.profile("bad", "[network]\nmode = 1\n")
	c = w.load()
	check(t,
		want{"broken ones warn", warned(c.Warnings, "coi validate", "profile broken cannot be used") && warned(c.Warnings, "coi validate", "profile bad cannot be used")},
	)
	w.problems(withProfile("bad"))
}

func TestProfileNames(t *testing.T) {
	w := newWorld(t)
	w.profile("dup", "[container]\nimage = \"user\"\n")
	w.write(".coi/profiles/dup/config.toml", "[container]\nimage = \"project\"\n")
	w.write(".coi/profiles/hardened/config.toml", "[container]\nimage = \"project\"\n")
	w.load() // a name that is not used breaks nothing
	p := w.problems(withProfile("dup"))[0]
	check(t,
		want{"both are named", strings.Contains(p.Problem, w.path("~/.coi/profiles/dup")) && strings.Contains(p.Problem, w.path(".coi/profiles/dup")) && strings.Contains(p.Hint, "user:dup or project:dup")},
		want{"user:", w.load(withProfile("user:dup")).Container.Image == "user"},
		want{"project:", w.load(withProfile("project:dup")).Container.Image == "project"},
	)
	c := w.load(withProfile("hardened"))
	check(t, want{"a project cannot take a built-in name", c.Profile.Source == "built-in" && warned(c.Warnings, "", "hardened is ignored")})
	w.profile("hardened", "[container]\nimage = \"mine\"\n")
	check(t, want{"a user can", w.load(withProfile("hardened")).Container.Image == "mine"})
	p = w.problems(withProfile("hardned"))[0]
	check(t, want{"near names", strings.Contains(p.Hint, "hardened")})
	c = w.load(func(o *config.Options) { o.Profile, o.Lenient = "hardned", true })
	check(t, want{"lenient commands warn and go on", c.Profile.Name == "" && warned(c.Warnings, "hardened", "unknown profile")})
	for _, text := range []string{"[workspaces.\"/x\"]\nprofile = \"p\"\n", "[detection]\nsigma_dir = \"/x\"\n", "[update]\nsource = \"https://x.test\"\n", "[defaults]\nprofile = \"x\"\n"} {
		w.profile("main", text)
		if p := w.problems(withProfile("main")); !strings.Contains(p[0].Problem, "not allowed in a profile") {
			t.Errorf("%q in a profile: %v", text, p)
		}
	}
}

// hardened only tightens: what is stricter below it stays.
func TestHardened(t *testing.T) {
	w := newWorld(t)
	c := w.load(withProfile("hardened"))
	check(t,
		want{"restricted", c.Network.Mode == "restricted" && c.Security.StrictProtection && c.Security.ReduceKernelSurface && c.MustMonitor()},
		want{"branches", slices.Equal(c.Git.ProtectedBranches, []string{"main", "master"})},
		want{"4h", c.Limits.Runtime.MaxDuration.Hours() == 4},
		want{"masks", slices.Contains(c.Security.SecretPaths, "secrets/**")},
	)
	w.user("forward_env = [\"A\"]\n[network]\nmode = \"allowlist\"\nipv6 = true\n[git]\nprotected_branches = [\"release\"]\n[limits.runtime]\nmax_duration = \"1h\"\n")
	c = w.load(withProfile("hardened"))
	check(t,
		want{"stays allowlist", c.Network.Mode == "allowlist" && !c.Network.IPv6},
		want{"branches joined", slices.Equal(c.Git.ProtectedBranches, []string{"release", "main", "master"})},
		want{"1h stays", c.Limits.Runtime.MaxDuration.Hours() == 1},
		want{"nothing forwarded", len(c.Defaults.ForwardEnv) == 0},
	)
	w.write(".coi/profiles/strict/config.toml", "inherits = \"hardened\"\n[container]\nimage = \"x\"\n")
	c = w.load(withProfile("strict"))
	check(t, want{"a project may inherit it", c.Security.StrictProtection && c.Container.Image == "x" && c.Network.Mode == "allowlist"})
}

// A value of a trusted parent that comes through a project's profile is the project's.
func TestTrustDoesNotPassThroughAProject(t *testing.T) {
	w := newWorld(t)
	w.profile("wide", "[network]\nmode = \"open\"\n[[mounts]]\nhost = \"~/.ssh\"\ncontainer = \"/mnt\"\n")
	w.write(".coi/profiles/theirs/config.toml", "inherits = \"wide\"\n")
	c := w.load(withProfile("theirs"))
	check(t, want{"through a project", c.Network.Mode == "restricted" && len(c.Mounts) == 0 && len(c.Refused) == 1 && len(c.Gated) == 1})
	c = w.load(withProfile("wide"))
	check(t, want{"chosen by the user", c.Network.Mode == "open" && len(c.Mounts) == 1})
	w.profile("mine", "inherits = \"project:base\"\n[network]\nipv6 = true\n")
	w.write(".coi/profiles/base/config.toml", "[network]\nmode = \"open\"\n[container]\nimage = \"x\"\n")
	c = w.load(withProfile("mine"))
	check(t, want{"from a project into the user's", c.Network.Mode == "restricted" && c.Network.IPv6 && c.Container.Image == "x" && len(c.Refused) == 1})
}

// R-REG-25: no key of a project's profile reads a file of the host.
func TestProjectProfileReadsNoHostFile(t *testing.T) {
	w := newWorld(t)
	secret := w.write("~/secret.md", "SECRET")
	symlink(t, secret, w.path(".coi-link"))
	mkdir(t, w.path(".coi/profiles/p"))
	symlink(t, secret, w.path(".coi/profiles/p/link.md"))
	w.write(".coi/profiles/p/own.md", "own")
	for _, path := range []string{secret, "~/secret.md", "../../../.coi-link", "../../../../user/secret.md", "link.md"} {
		w.write(".coi/profiles/p/config.toml", fmt.Sprintf("context = %q\n", path))
		c := w.load(withProfile("p"))
		check(t, want{"context " + path, c.Context.Text == "" && warned(c.Warnings, "", "context", "refused")})
	}
	w.write(".coi/profiles/p/config.toml", "context = \"own.md\"\n")
	check(t, want{"its own", w.load(withProfile("p")).Context.Text == "own"})
	w.write(".coi/profiles/p/config.toml", "context = \"missing.md\"\n")
	if p := w.problems(withProfile("p")); p[0].Key != "context" {
		t.Errorf("missing context: %v", p)
	}
	for _, text := range []string{"[tool]\ncontext_file = %q\n", "[tool]\ncontext_json_file = %q\n", "[prompts]\nx = { file = %q }\n", "[container.build]\nscript = %q\n", "[tool.custom]\nfiles = [\"x\"]\n#%q\n", "[tool.custom]\nconfig_dir = \"x\"\n#%q\n"} {
		w.write(".coi/profiles/p/config.toml", fmt.Sprintf(text, secret))
		c := w.load(withProfile("p"))
		if len(c.Refused) != 1 || c.Tool.ContextFile != "" || len(c.Prompts) != 0 || c.Container.Build.Script != "" || len(c.Tool.Custom.Files) != 0 {
			t.Errorf("%q: refused %v, %+v", text, c.Refused, c.Tool)
		}
	}
	for _, text := range []string{"[[mounts]]\nhost = %q\ncontainer = \"/mnt\"\n", "[[credentials]]\nhost = %q\ncontainer = \"/mnt\"\n"} {
		w.write(".coi/profiles/p/config.toml", fmt.Sprintf(text, secret))
		c := w.load(withProfile("p"))
		if len(c.Gated) != 1 || len(c.Mounts)+len(c.Credentials) != 0 {
			t.Errorf("%q: gated %v", text, c.Gated)
		}
	}
}

// A project's effective allowlist is its list cut to the user's, plus approved extras.
func TestAllowedDomainsOfAProject(t *testing.T) {
	w := newWorld(t)
	w.user("[network]\nmode = \"allowlist\"\nallowed_domains = [\"*.example.com\", \"10.0.0.5\", \"b.example.org\"]\n")
	w.project("[network]\nallowed_domains = [\"a.example.com:443\", \"10.0.0.5\", \"other.example.net\"]\n")
	names := func(c *config.Config) (out []string) {
		for _, d := range c.Network.AllowedDomains {
			out = append(out, fmt.Sprintf("%s %v", d.Written, d.Trusted))
		}
		return out
	}
	c := w.load()
	if got := names(c); !slices.Equal(got, []string{"a.example.com:443 true", "10.0.0.5 true"}) || len(c.Gated) != 1 {
		t.Errorf("before: %v, gated %v", got, c.Gated)
	}
	w.approve()
	if got := names(w.load()); !slices.Equal(got, []string{"a.example.com:443 true", "10.0.0.5 true", "other.example.net false"}) {
		t.Errorf("after: %v", got)
	}
	for _, entry := range []string{"10.0.0.6", "*.github.io"} {
		w.project(fmt.Sprintf("[network]\nallowed_domains = [%q]\n", entry))
		if p := w.problems(); !strings.Contains(p[0].Problem, "a project may not name") {
			t.Errorf("%s: %v", entry, p)
		}
	}
}

// Names that redirect traffic or code wait, in any case; others are free.
func TestSteeringVariables(t *testing.T) {
	w := newWorld(t)
	w.project("[environment]\nEDITOR = \"vim\"\nhttps_proxy = \"http://x.test\"\nANTHROPIC_BASE_URL = \"http://x.test\"\nMY_CA_BUNDLE = \"x\"\nLD_PRELOAD = \"x\"\nNODE_OPTIONS = \"x\"\nGIT_SSH = \"x\"\nPath = \"x\"\nOPENAI_API_BASE = \"x\"\n")
	c := w.load()
	if len(c.Defaults.Environment) != 1 || len(c.Gated) != 8 {
		t.Errorf("environment %v, gated %v", c.Defaults.Environment, c.Gated)
	}
}

// The domains of a tool that only the project chose wait; a bundle of the tool in use is free.
func TestToolOfAProject(t *testing.T) {
	w := newWorld(t)
	w.project("[tool]\nname = \"codex\"\n[[credentials]]\nbundle = \"codex\"\n[[credentials]]\nbundle = \"claude\"\n")
	c := w.load()
	check(t, want{"codex", c.Tool.Name == "codex" && len(c.ToolDomains) == 0 && len(c.Credentials) == 1 && len(c.Gated) == 4})
	w.approve()
	c = w.load()
	check(t, want{"approved", len(c.ToolDomains) == 3 && len(c.Credentials) == 2})
	w.user("[tool]\nname = \"codex\"\n")
	w.project("")
	check(t, want{"the user's own", len(w.load().ToolDomains) == 3})
}

// The first profile that is named wins: typed, workspace, defaults.
func TestChoiceOfProfile(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"typed", "place", "usual"} {
		w.profile(name, "")
	}
	w.user("[defaults]\nprofile = \"usual\"\n")
	check(t, want{"defaults.profile", w.load().Profile.By == "defaults.profile"})
	w.user("[defaults]\nprofile = \"usual\"\n[workspaces.\"~/../project\"]\nprofile = \"place\"\n")
	check(t,
		want{"workspaces", w.load().Profile.Name == "place"},
		want{"typed", w.load(withProfile("typed")).Profile.By == "--profile"},
	)
	w.write(".coi/profiles/theirs/config.toml", "")
	w.user("[workspaces.\"" + w.workspace + "\"]\nprofile = \"theirs\"\n")
	if p := w.problems(); !strings.Contains(p[0].Problem, "project's own") {
		t.Errorf("workspaces may not name a project's profile: %v", p)
	}
}

// A bad trust store trusts nothing, with one warning.
func TestBadStore(t *testing.T) {
	w := newWorld(t)
	w.write("~/a/x", "")
	w.project("[[mounts]]\nhost = \"~/a\"\ncontainer = \"/mnt/a\"\n")
	w.approve()
	good, err := os.ReadFile(w.home.Trust())
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(){
		"writable by others": func() { chmod(t, w.home.Trust(), 0o666) },
		"writable by group":  func() { chmod(t, w.home.Trust(), 0o620) },
		"bad syntax":         func() { w.write("~/.coi/trust.toml", "[") },
		"newer": func() {
			w.write("~/.coi/trust.toml", strings.Replace(string(good), "schema_version = 1", "schema_version = 2", 1))
		},
	} {
		w.write("~/.coi/trust.toml", string(good))
		chmod(t, w.home.Trust(), 0o600)
		check(t, want{name + ": the good one first", len(w.load().Mounts) == 1})
		spoil()
		c := w.load()
		check(t, want{name, len(c.Mounts) == 0 && warned(c.Warnings, "", "nothing is trusted")})
		if err := os.Remove(w.home.Trust()); err != nil {
			t.Fatal(err)
		}
	}
}

// A workspace keeps its alias under every profile.
func TestAliasOfAProjectStays(t *testing.T) {
	w := newWorld(t)
	w.project("[container]\nalias = \"web\"\n")
	w.profile("p", "[container]\nalias = \"other\"\n")
	check(t, want{"the project's", w.load(withProfile("p")).Container.Alias == "web"})
	w.project("")
	check(t, want{"the profile's", w.load(withProfile("p")).Container.Alias == "other"})
}

// The Incus socket is not mounted, wherever the caller's environment says it is.
func TestIncusSocketElsewhere(t *testing.T) {
	w := newWorld(t)
	w.user("[[mounts]]\nhost = \"/srv/incus/x\"\ncontainer = \"/mnt\"\n")
	check(t, want{"an ordinary directory", len(w.load().Mounts) == 1})
	w.env["INCUS_SOCKET"] = "/srv/incus/unix.socket"
	if p := w.problems(); p[0].Key != "mounts.host" || p[0].Line != 1 {
		t.Errorf("beside INCUS_SOCKET: %v", p)
	}
}

// Entries that another makes needless are noted, not refused.
func TestCoveredDomains(t *testing.T) {
	w := newWorld(t)
	w.user("[network]\nallowed_domains = [\"*.example.com\", \"a.example.com\", \"b.example.org\", \"b.example.org\"]\n")
	c := w.load()
	check(t,
		want{"covered", warned(c.Notes, "", `"a.example.com" is covered by "*.example.com"`)},
		want{"twice, told once", warned(c.Notes, "", `"b.example.org" is covered by`) && len(c.Notes) == 2},
		want{"all stay", len(c.Network.AllowedDomains) == 4},
	)
}

// A project's quota tightens the user's, in whichever of the two keys each wrote it.
func TestDiskQuotaOfAProject(t *testing.T) {
	for _, user := range []string{"size", "max"} {
		for _, project := range []string{"size", "max"} {
			w := newWorld(t)
			w.user(fmt.Sprintf("[limits.disk]\n%s = \"20GiB\"\n", user))
			w.project(fmt.Sprintf("[limits.disk]\n%s = \"10GiB\"\n", project))
			c := w.load()
			check(t, want{user + " and " + project + ": stricter", c.Limits.Disk.Quota() == 10<<30 && len(c.Refused) == 0})
			w.project(fmt.Sprintf("[limits.disk]\n%s = \"30GiB\"\n", project))
			c = w.load()
			check(t, want{user + " and " + project + ": looser", c.Limits.Disk.Quota() == 20<<30 && len(c.Refused) == 1})
		}
	}
}

// R-TRU-03: an approval of other items does not uncover what a mount inside the
// workspace leads to.
func TestApprovalUncoversOnlyWhatItNames(t *testing.T) {
	w := newWorld(t)
	w.write("src/.env", "")
	w.write("~/a/x", "")
	w.user("[security]\nsecret_paths = [\".env\"]\n")
	w.project("[[mounts]]\nhost = \"src\"\ncontainer = \"/mnt/src\"\n[[mounts]]\nhost = \"~/a\"\ncontainer = \"/mnt/a\"\n")
	w.approve()
	c := w.load()
	check(t, want{"mounted, still covered", len(c.Mounts) == 2 && c.Mounts[0].InWorkspace && !c.Mounts[0].Overlap})
}
