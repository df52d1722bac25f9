package config

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/code-on-incus/coi/pkg/dest"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/trust"
)

// casesOfWeakening is how many generated projects are held against generated users.
const casesOfWeakening = 100_000

// projectsOfUser is how many of them each generated user opens.
const projectsOfUser = 4

// No project, whatever its main file or profile holds, yields a policy weaker
// than the user's own. R-NET-13 R-MON-16 R-REG-01 R-REG-02 R-REG-25, S78-S81, S95-S98.
func TestNoProjectWeakensThePolicy(t *testing.T) {
	h, workspace := propertyWorld(t)
	var users, valid, tightened, failed atomic.Int64
	start := time.Now()
	defer debug.SetGCPercent(debug.SetGCPercent(800)) // the garbage is the work here
	var wg sync.WaitGroup
	var varied sync.Map // "file key" to the set of the values a loaded project gave it
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			source := rand.NewPCG(0, 0)
			g := &generator{rand.New(source), h, workspace, nil}
			for n := users.Add(1); n <= casesOfWeakening/projectsOfUser && failed.Load() < 5; n = users.Add(1) {
				source.Seed(uint64(n), 7) // a case that fails fails again
				user := g.user()
				var own [2]*Config // alone, and under a profile of the project's
				for range projectsOfUser {
					c := g.project(user)
					alone := &own[0]
					if c.profile != nil {
						alone = &own[1]
					}
					if *alone == nil {
						var err error
						if *alone, err = c.load(h, workspace, false); err != nil {
							break // the user's own files are wrong: nothing starts
						}
					}
					with, err := c.load(h, workspace, true)
					if err != nil {
						continue // the project's files are wrong: nothing starts
					}
					if valid.Add(1) <= casesOfWeakening/5 {
						noteValues(&varied, "main file", c.project)
						noteValues(&varied, "profile", c.profile)
					}
					if why := weakerThan(*alone, with, workspace); why != "" {
						failed.Add(1)
						t.Errorf("user %d: %s\nuser %v\nenv %v\ntrusted profile %v\nflags %v\nproject %v\nproject profile %v", n, why, c.user, c.env, c.own, c.flags, c.project, c.profile)
					}
					if !reflect.DeepEqual((*alone).Limits, with.Limits) || (*alone).Network.Mode != with.Network.Mode {
						tightened.Add(1)
					}
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d cases, %d valid, %d tightened, %s", casesOfWeakening, valid.Load(), tightened.Load(), time.Since(start).Round(time.Millisecond))
	// The generator must reach what it is about: most worlds load, and many
	// projects make a difference.
	if valid.Load() < casesOfWeakening/2 || tightened.Load() < casesOfWeakening/20 {
		t.Errorf("only %d valid and %d tightened of %d: the generator tests nothing", valid.Load(), tightened.Load(), casesOfWeakening)
	}
	for i := range Schema {
		for _, file := range []string{"main file", "profile"} {
			if n := countValues(&varied, file+" "+Schema[i].Key); n < 2 && (file == "main file" || !Schema[i].MainOnly) {
				t.Errorf("%s had %d values in a project's %s; want at least 2", Schema[i].Key, n, file)
			}
		}
	}
}

// noteValues remembers up to two different values of every key of a tree.
func noteValues(varied *sync.Map, file string, tree map[string]any) {
	for i := range Schema {
		name := file + " " + Schema[i].Key
		if countValues(varied, name) >= 2 {
			continue
		}
		var v any = tree
		for part := range strings.SplitSeq(Schema[i].Key, ".") {
			t, _ := v.(map[string]any)
			v = t[part]
		}
		if v == nil {
			continue
		}
		set, _ := varied.LoadOrStore(name, &sync.Map{})
		set.(*sync.Map).Store(fmt.Sprint(v), true)
	}
}

func countValues(varied *sync.Map, name string) (n int) {
	if set, ok := varied.Load(name); ok {
		set.(*sync.Map).Range(func(any, any) bool { n++; return n < 2 })
	}
	return n
}

// A key whose rule is lost shows: with every single refused, tightening or gated
// key made free, generated projects weaken some user's policy.
func TestLostRuleIsSeen(t *testing.T) {
	const enough = 4000
	h, workspace := propertyWorld(t)
	for i := range Schema {
		row := &Schema[i]
		if row.Scope == Free || row.Key == "network.use_sudo" {
			continue // the last one has no effect
		}
		was := row.Scope
		row.Scope = Free
		g := &generator{rand.New(rand.NewPCG(uint64(i), 11)), h, workspace, row}
		seen := false
		for n := 0; n < enough && !seen; n++ {
			c := g.project(g.user())
			alone, err := c.load(h, workspace, false)
			if err != nil {
				continue
			}
			with, err := c.load(h, workspace, true)
			seen = err == nil && weakerThan(alone, with, workspace) != ""
		}
		row.Scope = was
		if !seen {
			t.Errorf("%s (%s) made free: no project of %d weakens a policy", row.Key, was, enough)
		}
	}
}

// The comparison itself finds every kind of weakening, or the test above could not fail.
func TestWeakerThanSeesWeakening(t *testing.T) {
	h, workspace := propertyWorld(t)
	base, err := worldOf{}.load(h, workspace, false)
	if err != nil {
		t.Fatal(err)
	}
	for name, weaken := range map[string]func(c *Config){
		"mode":        func(c *Config) { c.Network.Mode = "open" },
		"private":     func(c *Config) { c.Network.BlockPrivateNetworks = false },
		"local":       func(c *Config) { c.Network.AllowLocalNetworkAccess = true },
		"kill":        func(c *Config) { c.Monitoring.AutoKillOnCritical = false },
		"unmonitored": func(c *Config) { off := false; c.Monitoring.Enabled = &off },
		"mount":       func(c *Config) { c.Mounts = append(c.Mounts, Mount{Host: "/etc"}) },
		"domain": func(c *Config) {
			c.Network.AllowedDomains = append(c.Network.AllowedDomains, Domain{Written: "x.example"})
		},
		"env command":  func(c *Config) { c.Defaults.EnvCommands = map[string]string{"A": "id"} },
		"forward":      func(c *Config) { c.Defaults.ForwardEnv = []string{"TOKEN"} },
		"protection":   func(c *Config) { c.Security.DisableProtection = true },
		"process null": func(c *Config) { c.Monitoring.ProcessCountThreshold = 0 },
		"steering":     func(c *Config) { c.Defaults.Environment = map[string]string{"https_proxy": "x"} },
	} {
		other := *base
		weaken(&other)
		if weakerThan(base, &other, workspace) == "" {
			t.Errorf("%s: not seen", name)
		}
	}
}

func propertyWorld(t testing.TB) (home.Home, string) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	workspace := filepath.Join(dir, "project")
	for _, d := range []string{"user/.coi", "user/.ssh", "project/.coi/profiles/p", "project/.git/hooks", "project/src"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"one.json", "two.json"} {
		if err := os.WriteFile(filepath.Join(dir, "user/.coi", f), []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(dir, "user/.ssh"), filepath.Join(workspace, "link")); err != nil {
		t.Fatal(err)
	}
	h, err := home.Find(func(n string) string { return map[string]string{"HOME": filepath.Join(dir, "user")}[n] })
	if err != nil {
		t.Fatal(err)
	}
	return h, workspace
}

// worldOf is one generated user with one generated project, as TOML trees.
type worldOf struct {
	user, env, own, flags, project, profile map[string]any
}

// load is Load without files.
func (w worldOf) load(h home.Home, workspace string, project bool) (*Config, error) {
	ld := newLoader(Options{Home: h, Getenv: func(string) string { return "" }})
	ld.workspace = workspace
	coiDir := filepath.Join(workspace, ".coi")
	layer := func(tree map[string]any, src *source) *layer {
		return decode(&document{src: src, tree: tree, pos: map[string]position{}}, h, &ld.ps)
	}
	user := layer(w.user, &source{kind: UserFile, file: h.Config(), trusted: true, hostDir: h.Dir, fileDir: h.Dir})
	env := layer(w.env, &source{kind: EnvFile, file: "/env", trusted: true, hostDir: "/", fileDir: "/"})
	flags := layer(w.flags, &source{kind: FlagValue, trusted: true, hostDir: "/", fileDir: "/"})
	ld.chain = chain{refs: []ProfileRef{{Name: "own"}}, layers: []*layerAlias{layer(w.own, &source{kind: ProfileFile, profile: "own", trusted: true, isProf: true, fileDir: "/", hostDir: "/"})}}
	var theirs *layerAlias
	if project {
		theirs = layer(w.project, &source{kind: ProjectFile, file: filepath.Join(coiDir, "config.toml"), hostDir: workspace, fileDir: coiDir, coiDir: coiDir})
		if w.profile != nil {
			// The project's profile, which inherits from the user's.
			ld.chain.unit = filepath.Join(coiDir, "profiles/p/config.toml")
			ld.chain.layers[0].untrust()
			ld.chain.layers = append(ld.chain.layers, layer(w.profile, &source{kind: ProfileFile, profile: "p", file: ld.chain.unit, isProf: true, hostDir: workspace, fileDir: filepath.Dir(ld.chain.unit), coiDir: coiDir}))
		}
	}
	if !project && w.profile != nil {
		ld.chain = chain{}
	}
	if err := ld.ps.err(); err != nil {
		return nil, err
	}
	vals := ld.combine(user, theirs, env, ld.chain.flatten(), flags)
	ld.check(vals)
	if err := ld.ps.err(); err != nil {
		return nil, err
	}
	return ld.finish(vals), nil
}

type layerAlias = layer

// untrust marks everything in a layer as an untrusted profile's inheritance.
func (l *layer) untrust() {
	l.src.trusted = false
}

type generator struct {
	*rand.Rand
	h         home.Home
	workspace string
	only      *Row // half of all keys are this one
}

func (g *generator) user() worldOf {
	w := worldOf{user: g.tree(false, 12), env: map[string]any{}, own: map[string]any{}, flags: map[string]any{}}
	if g.IntN(3) == 0 {
		w.env = g.tree(false, 6)
	}
	if g.IntN(3) == 0 {
		w.own = g.tree(true, 6)
	}
	if g.IntN(5) == 0 {
		w.flags = map[string]any{"network": map[string]any{"mode": pick(g, []any{"open", "restricted", "allowlist"})}}
	}
	return w
}

// project gives the user one project.
func (g *generator) project(w worldOf) worldOf {
	w.project = g.tree(false, 20)
	if g.IntN(3) == 0 {
		w.profile = g.tree(true, 12)
		if g.IntN(3) == 0 {
			w.profile["clear"] = []any{pick(g, clearable)}
		}
	}
	return w
}

func pick[T any](g *generator, list []T) T { return list[g.IntN(len(list))] }

// tree sets up to n keys.
func (g *generator) tree(profile bool, n int) map[string]any {
	root := map[string]any{}
	for range g.IntN(n + 1) {
		row := &Schema[g.IntN(len(Schema))]
		if g.only != nil && g.IntN(2) == 0 {
			row = g.only
		}
		if profile && row.MainOnly {
			continue
		}
		t := root
		parts := strings.Split(row.Key, ".")
		for _, part := range parts[:len(parts)-1] {
			sub, ok := t[part].(map[string]any)
			if !ok {
				sub = map[string]any{}
				t[part] = sub
			}
			t = sub
		}
		t[parts[len(parts)-1]] = g.value(row)
		if row.Key == "git.name" || row.Key == "git.email" { // these two go together
			t["name"], t["email"] = pick(g, []any{"A", "B"}), pick(g, []any{"a@example.com", "b@example.com"})
		}
	}
	return root
}

var pools = map[string][]any{
	"defaults.forward_env": {"TOKEN", "GH_TOKEN", "PATH"}, "network.allowed_domains": {"a.example.com", "*.example.com", "b.example.com:443", "192.0.2.7", "10.0.0.5", "*.github.io", "b.example.com"},
	"security.protected_paths": {"a", ".git/hooks"}, "limits.cpu.count": {"1", "2", "8", "0-3", "0,2", ""}, "limits.cpu.allowance": {"", "50%", "10%", "25ms/100ms", "10ms/100ms"},
	"limits.memory.limit": {"", "1GiB", "4GiB", "50%", "10%"}, "limits.memory.swap": {true, false, "1GiB", "2GiB"}, "limits.disk.size": {"", "10GiB", "20GiB"},
	"limits.disk.max": {"", "10GiB", "20GiB", "50MB/s", "10MB/s", "500iops"}, "limits.disk.read": {"", "5MB/s", "50MB/s", "100iops"}, "limits.disk.write": {"", "5MB/s", "50MB/s", "100iops"},
	"limits.disk.tmpfs_size": {"", "1GiB", "2GiB"}, "limits.runtime.max_duration": {"", "1h", "4h", "30h"}, "limits.runtime.warn_before": {"10m", "0s", "1m"},
	"git.protected_branches": {"main", "master", "release/*"}, "network.pool": {"10.1.0.0/16", "10.2.0.0/16"}, "network.pool6": {"fd00::/64", "fd01::/64"}, "network.dns_servers": {"192.0.2.1", "8.8.8.8"},
	"network.mark": {int64(1), int64(2)}, "network.veth_tag": {"", "abc"}, "network.uplinks": {"eth0", "eth1"}, "security.secret_paths": {"*.pem", ".env"}, "monitoring.notify": {"bell", "tmux"},
	"container.build.script": {"build.sh", "../x.sh", "/etc/passwd", "~/.ssh/id_rsa"}, "container.build.mirror": {"http://m.test", "http://n.test"}, "container.build.npm_registry": {"https://m.test", "https://n.test"},
	"tool.custom.config_dir": {".x", ".y"}, "tool.custom.files": {".y"}, "tool.custom.save": {".z"}, "tool.custom.domains": {"d.example.com"}, "tool.name": {"claude", "codex", "pi"},
	"update.source": {"https://u.test", "https://v.test"}, "timezone.name": {"", "Europe/Rome"}, "timezone.mode": {"host", "utc"}, "defaults.profile": {"", "x"}, "defaults.env_command_timeout": {"1s", "1m"},
	"detection.sigma_source": {"https://s.test", "https://t.test"}, "detection.gtfobins_source": {"https://s.test", "https://t.test"}, "container.alias": {"", "a1"}, "container.session_name": {"n1", "n2"},
}

func (g *generator) value(row *Row) any {
	pool := pools[row.Key]
	if row.Key == "tool.context_file" || row.Key == "tool.context_json_file" {
		pool = []any{filepath.Join(g.h.Dir, "one.json"), filepath.Join(g.h.Dir, "two.json"), ""}
	}
	one := func() any {
		switch {
		case len(pool) > 0:
			return pick(g, pool)
		case len(row.Rule.Enum) > 0:
			return pick(g, row.Rule.Enum)
		}
		return pick(g, []string{"a", "b", "c"})
	}
	switch row.Kind {
	case Bool:
		return g.IntN(2) == 0
	case Int:
		if len(pool) > 0 {
			return pick(g, pool)
		}
		lo, hi := int64(row.Rule.Min), int64(row.Rule.Max)
		if row.Rule.Check != nil {
			return pick(g, []int64{0, lo, hi, lo + g.Int64N(hi-lo+1)})
		}
		return pick(g, []int64{lo, hi, lo + g.Int64N(hi-lo+1), row.Default.(int64)})
	case Float:
		return pick(g, []float64{0.1, 1, 50, 10, 1e6, 1e5})
	case List, WordOrList:
		return g.list(one)
	case PortList:
		return g.list(func() any { return pick(g, []any{int64(443), int64(80), "8000-8100", "1-65535", "22"}) })
	case Map:
		if row.Key == "monitoring.levels" {
			return map[string]any{"x.y": pick(g, []any{"info", "high"})}
		}
		return map[string]any{pick(g, []string{"FOO", "HTTPS_PROXY", "ld_preload", "Path", "ANTHROPIC_BASE_URL", "MY_CA_BUNDLE"}): pick(g, []any{"x", "", "y"})}
	case Texts:
		return map[string]any{"p": pick(g, []any{"text", map[string]any{"file": "/etc/passwd"}})}
	case Rules:
		return map[string]any{pick(g, []string{"/src/a", "~/b", g.workspace}): map[string]any{"profile": pick(g, []any{"hardened", "x"})}}
	case Tables:
		return g.tables(row)
	}
	return one()
}

func (g *generator) list(one func() any) []any {
	out := []any{}
	for range g.IntN(4) {
		out = append(out, one())
	}
	return out
}

func (g *generator) tables(row *Row) []any {
	host := func() any {
		return pick(g, []any{"~/.ssh", "/etc", "link", "src", ".git/hooks", ".", "/nowhere/at/all", "../project/src", "../user/.ssh", "link/../.ssh"})
	}
	inside := func() any { return fmt.Sprintf("/mnt/%d", g.IntN(1000000)) }
	out := []any{}
	for range 1 + g.IntN(2) {
		var t map[string]any
		switch row.Key {
		case "mounts":
			t = map[string]any{"host": host(), "container": inside(), "readonly": g.IntN(2) == 0}
		case "sockets":
			t = map[string]any{"host": pick(g, []any{"/nowhere/s", "~/s"}), "container": inside()}
		case "credentials":
			t = map[string]any{"bundle": pick(g, agents)}
			if g.IntN(2) == 0 {
				t = map[string]any{"host": host(), "container": inside()}
			}
		case "ports.map":
			t = map[string]any{"name": fmt.Sprintf("n%d", g.IntN(1000000)), "container": int64(80)}
		default:
			t = map[string]any{"ip": pick(g, []any{"192.0.2.1", "192.0.2.2"}), "hostnames": []any{"h.example.com"}}
		}
		out = append(out, t)
	}
	return out
}

// weakerThan says in what respect b is weaker than a. It reads the typed
// fields and knows nothing of the schema's own rules.
func weakerThan(a, b *Config, workspace string) string {
	var why []string
	bad := func(cond bool, what string, x, y any) {
		if cond {
			why = append(why, fmt.Sprintf("%s: %v became %v", what, x, y))
		}
	}
	isOff := func(what string, x, y bool) { bad(x && !y, what, x, y) } // protection switched off
	isOn := func(what string, x, y bool) { bad(!x && y, what, x, y) }  // permission switched on
	more := func(what string, x, y float64) { bad(y > x, what, x, y) }
	rank := func(list []string, s string) int { return slices.Index(list, s) }

	n, m := a.Network, b.Network
	bad(rank([]string{"open", "restricted", "allowlist"}, m.Mode) < rank([]string{"open", "restricted", "allowlist"}, n.Mode), "mode", n.Mode, m.Mode)
	isOff("block_private", n.BlockPrivateNetworks, m.BlockPrivateNetworks)
	isOff("block_metadata", n.BlockMetadataEndpoint, m.BlockMetadataEndpoint)
	isOn("local", n.AllowLocalNetworkAccess, m.AllowLocalNetworkAccess)
	isOn("tool domains", n.AllowToolDomains, m.AllowToolDomains)
	isOn("registries", n.AllowHostRegistries, m.AllowHostRegistries)
	isOn("ipv6", n.IPv6, m.IPv6)
	more("refresh", float64(n.RefreshIntervalMinutes), float64(m.RefreshIntervalMinutes))
	more("dns rate", float64(n.DNSQueriesPerSecond), float64(m.DNSQueriesPerSecond))
	more("connections", float64(n.Connections), float64(m.Connections))
	bad(!dest.CoverPorts(n.AllowedPorts, m.AllowedPorts), "ports", n.AllowedPorts, m.AllowedPorts)
	for _, d := range m.AllowedDomains {
		bad(!slices.ContainsFunc(n.AllowedDomains, func(o Domain) bool { return o.Covers(d.Dest) }), "domain", n.AllowedDomains, d.Written)
	}
	// What a tool needs is the user's to give, so a tool that the project chose brings nothing.
	for _, d := range b.ToolDomains {
		bad(!slices.ContainsFunc(a.ToolDomains, func(o Domain) bool { return o.Covers(d.Dest) }), "tool domain", a.ToolDomains, d.Written)
	}
	bad(!slices.Equal(n.DNSServers, m.DNSServers) || n.Pool != m.Pool || n.Pool6 != m.Pool6 || n.Mark != m.Mark || n.VethTag != m.VethTag || n.SNI != m.SNI ||
		!slices.Equal(n.Uplinks, m.Uplinks) || n.Logging != m.Logging || n.ManageForeign != m.ManageForeign || !reflect.DeepEqual(n.Hosts, m.Hosts), "guard internals", n, m)

	weakerMonitoring(a.Monitoring, b.Monitoring, bad, isOff, more)
	weakerLimits(a.Limits, b.Limits, bad, isOff)

	s, r := a.Security, b.Security
	protected, watched := r.Protected(), r.Watched()
	for _, p := range s.Protected() {
		bad(!slices.Contains(protected, p), "protected path", p, nil)
	}
	for _, p := range s.Watched() {
		bad(!slices.Contains(watched, p), "watched path", p, nil)
	}
	for _, p := range s.SecretPaths {
		bad(!slices.Contains(r.SecretPaths, p), "secret path", p, nil)
	}
	isOff("immutable", s.HostImmutable, r.HostImmutable)
	isOff("strict", s.StrictProtection, r.StrictProtection)
	isOff("kernel surface", s.ReduceKernelSurface, r.ReduceKernelSurface)
	isOff("kernel surface strict", s.ReduceKernelSurfaceStrict, r.ReduceKernelSurfaceStrict)

	isOn("docker", a.Container.Docker, b.Container.Docker)
	bad(a.Container.SessionName != b.Container.SessionName, "session name", a.Container.SessionName, b.Container.SessionName)
	bad(a.Container.Build.Mirror != b.Container.Build.Mirror || a.Container.Build.NPMRegistry != b.Container.Build.NPMRegistry, "build source", nil, b.Container.Build)
	if p := b.Container.Build.Script; p != a.Container.Build.Script {
		bad(!trust.Within(p, filepath.Join(workspace, ".coi")), "build script", a.Container.Build.Script, p)
	}
	isOn("ssh agent", a.SSH.ForwardAgent, b.SSH.ForwardAgent)
	bad(a.Tool.PermissionMode == "interactive" && b.Tool.PermissionMode != "interactive", "permission mode", a.Tool.PermissionMode, b.Tool.PermissionMode)
	x, y := a.Tool, b.Tool
	bad(x.Binary != y.Binary || x.ContextFile != y.ContextFile || x.ContextJSONFile != y.ContextJSONFile || !slices.Equal(x.PreLaunch, y.PreLaunch) || !reflect.DeepEqual(x.Custom, y.Custom), "tool", x, y)
	isOn("host identity", a.Git.SeedHostIdentity, b.Git.SeedHostIdentity)
	isOff("git readonly", a.Git.ReadOnly, b.Git.ReadOnly)
	isOn("writable hooks", a.Git.WritableHooks, b.Git.WritableHooks)
	bad(a.Git.Name != b.Git.Name || a.Git.Email != b.Git.Email || a.Git.StripAttribution != b.Git.StripAttribution || !slices.Equal(a.Git.StripAttributionPatterns, b.Git.StripAttributionPatterns), "git", a.Git, b.Git)
	for _, br := range a.Git.ProtectedBranches {
		bad(!slices.Contains(b.Git.ProtectedBranches, br), "branch", br, nil)
	}
	bad(a.Paths != b.Paths || a.Incus != b.Incus || a.Update != b.Update || a.Detection != b.Detection, "host settings", a.Paths, b.Paths)
	return strings.Join(append(why, weakerDevices(a, b, workspace)...), "\n")
}

func weakerMonitoring(a, b Monitoring, bad func(bool, string, any, any), isOff func(string, bool, bool), more func(string, float64, float64)) {
	state := func(p *bool) int {
		switch {
		case p == nil:
			return 1
		case *p:
			return 2
		}
		return 0
	}
	count := func(n int) float64 {
		if n == 0 {
			return 1e18
		}
		return float64(n)
	}
	bad(state(b.Enabled) < state(a.Enabled), "monitoring", state(a.Enabled), state(b.Enabled))
	isOff("pause", a.AutoPauseOnHigh, b.AutoPauseOnHigh)
	isOff("kill", a.AutoKillOnCritical, b.AutoKillOnCritical)
	isOff("forensics", a.ForensicsOnKill, b.ForensicsOnKill)
	isOff("nft", a.NFT.Enabled, b.NFT.Enabled)
	isOff("dns log", a.NFT.LogDNSQueries, b.NFT.LogDNSQueries)
	more("poll", float64(a.PollIntervalSec), float64(b.PollIntervalSec))
	more("read", a.FileReadThresholdMB, b.FileReadThresholdMB)
	more("read rate", a.FileReadRateMBPerSec, b.FileReadRateMBPerSec)
	more("processes", count(a.ProcessCountThreshold), count(b.ProcessCountThreshold))
	more("spawn", count(a.ProcessSpawnRateThreshold), count(b.ProcessSpawnRateThreshold))
	more("upload warn", float64(a.UploadWarnMB), float64(b.UploadWarnMB))
	more("upload high", float64(a.UploadHighMB), float64(b.UploadHighMB))
	more("retention", float64(b.AuditLogRetentionDays), float64(a.AuditLogRetentionDays))
	more("nft rate", float64(b.NFT.RateLimitPerSecond), float64(a.NFT.RateLimitPerSecond))
	more("dns threshold", float64(a.NFT.DNSQueryThreshold), float64(b.NFT.DNSQueryThreshold))
	bad(a.OnLoss == "pause" && b.OnLoss != "pause", "on_loss", a.OnLoss, b.OnLoss)
	rank := map[string]int{"off": 0, "warn": 1, "critical": 2}
	bad(rank[b.ReverseShellOneLiners] < rank[a.ReverseShellOneLiners], "one-liners", a.ReverseShellOneLiners, b.ReverseShellOneLiners)
	bad(a.FileEvents != b.FileEvents || !slices.Equal(a.Notify, b.Notify) || !reflect.DeepEqual(a.Levels, b.Levels) || a.AuditMaxSizeMB != b.AuditMaxSizeMB, "monitor internals", a, b)
}

func weakerLimits(a, b Limits, bad func(bool, string, any, any), isOff func(string, bool, bool)) {
	limit := func(what, x, y string, value func(string) float64) {
		bad(x != y && x != "" && (y == "" || value(y) > value(x)), what, x, y)
	}
	size := func(s string) float64 { n, _ := ParseSize(s); return float64(n) }
	limit("memory", a.Memory.Limit, b.Memory.Limit, func(s string) float64 {
		if p, ok := ParsePercent(s); ok {
			return float64(p)
		}
		return size(s)
	})
	bad(strings.HasSuffix(a.Memory.Limit, "%") != strings.HasSuffix(b.Memory.Limit, "%") && a.Memory.Limit != "", "memory form", a.Memory.Limit, b.Memory.Limit)
	limit("tmpfs", a.Disk.TmpfsSize, b.Disk.TmpfsSize, size)
	limit("cpu", a.CPU.Count, b.CPU.Count, func(s string) float64 { c, _ := ParseCPUs(s); return float64(c.Count) })
	limit("cpu share", a.CPU.Allowance, b.CPU.Allowance, func(s string) float64 {
		var part, whole float64
		if n, _ := fmt.Sscanf(s, "%fms/%fms", &part, &whole); n == 2 {
			return part / whole
		}
		_, _ = fmt.Sscanf(s, "%f%%", &part)
		return part / 100
	})
	bad(b.Runtime.WarnBefore > a.Runtime.WarnBefore, "warning before the end", a.Runtime, b.Runtime)
	limit("duration", durText(a.Runtime.MaxDuration), durText(b.Runtime.MaxDuration), func(s string) float64 { d, _ := ParseDuration(s); return float64(d) })
	qa, qb := a.Disk.Quota(), b.Disk.Quota()
	bad(qa > 0 && (qb == 0 || qb > qa), "quota", a.Disk, b.Disk)
	for _, way := range []struct{ what, x, y string }{{"read", a.Disk.Read, b.Disk.Read}, {"write", a.Disk.Write, b.Disk.Write}} {
		ra, okA := rateOf(way.x, a.Disk)
		rb, okB := rateOf(way.y, b.Disk)
		bad(okA && (!okB || rb.Operations != ra.Operations || rb.PerSecond > ra.PerSecond), way.what, a.Disk, b.Disk)
	}
	bad(a.Memory.Enforce == "hard" && b.Memory.Enforce != "hard", "enforce", a.Memory, b.Memory)
	bad(a.Memory.Swap == "false" && b.Memory.Swap != "false" || a.Memory.Swap != "true" && b.Memory.Swap == "true", "swap", a.Memory, b.Memory)
	isOff("auto stop", a.Runtime.AutoStop, b.Runtime.AutoStop)
	p, q := a.Runtime.MaxProcesses, b.Runtime.MaxProcesses
	bad(p > 0 && (q == 0 || q > p), "processes", p, q)
	bad(b.CPU.Priority > a.CPU.Priority || b.Disk.Priority > a.Disk.Priority, "priority", a, b)
}

func durText(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

// rateOf is the cap that holds for one direction.
func rateOf(own string, d DiskLimits) (Rate, bool) {
	if r, ok := d.MaxRate(); ok {
		return r, true
	}
	r, err := ParseRate(own)
	return r, err == nil
}

func weakerDevices(a, b *Config, workspace string) []string {
	var why []string
	for _, m := range b.Mounts {
		inside := m.InWorkspace && trust.Within(m.Target.Path, workspace) && !m.Overlap
		if !inside && !slices.ContainsFunc(a.Mounts, func(o Mount) bool { return o.Host == m.Host && o.Container == m.Container }) {
			why = append(why, "mount of "+m.Host)
		}
	}
	for _, s := range b.Sockets {
		if !slices.ContainsFunc(a.Sockets, func(o Socket) bool { return o.Host == s.Host }) {
			why = append(why, "socket "+s.Host)
		}
	}
	for _, c := range b.Credentials {
		if c.Bundle != b.Tool.Name && !slices.ContainsFunc(a.Credentials, func(o Credential) bool { return o.Host == c.Host && o.Bundle == c.Bundle }) {
			why = append(why, "credential "+c.Host+c.Bundle)
		}
	}
	for _, p := range b.Ports.Map {
		if !slices.ContainsFunc(a.Ports.Map, func(o PortMap) bool { return o.Name == p.Name && o.Container == p.Container }) {
			why = append(why, "port "+p.Name)
		}
	}
	if b.Ports.Pool > a.Ports.Pool {
		why = append(why, "port pool")
	}
	for _, name := range b.Defaults.ForwardEnv {
		if !slices.Contains(a.Defaults.ForwardEnv, name) {
			why = append(why, "forwarded "+name)
		}
	}
	for name, value := range b.Defaults.Environment {
		if steers(name) && a.Defaults.Environment[name] != value {
			why = append(why, "variable "+name)
		}
	}
	for name, cmd := range b.Defaults.EnvCommands {
		if a.Defaults.EnvCommands[name] != cmd {
			why = append(why, "command for "+name)
		}
	}
	if b.Defaults.Profile != a.Defaults.Profile || !reflect.DeepEqual(a.Workspaces, b.Workspaces) {
		why = append(why, "choice of profile")
	}
	if b.Defaults.EnvCommandTimeout != a.Defaults.EnvCommandTimeout {
		why = append(why, "env command timeout")
	}
	for name, p := range b.Prompts {
		if a.Prompts[name] != p {
			why = append(why, "prompt "+name)
		}
	}
	return why
}
