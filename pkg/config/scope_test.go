package config

import (
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/code-on-incus/coi/pkg/home"
)

// Every key says what it may do from a project, and a key that may tighten says
// what tighter is. A new key without a rule fails here.
func TestEveryKeyHasARule(t *testing.T) {
	seen := map[string]bool{}
	for _, row := range Schema {
		if !slices.Contains([]Scope{Free, Tighten, Refuse, Gate}, row.Scope) {
			t.Errorf("%s has scope %q", row.Key, row.Scope)
		}
		if row.Scope == Tighten && (row.Tighter.OK == nil || row.Tighter.Words == "") {
			t.Errorf("%s may tighten but does not say what tighter is", row.Key)
		}
		if !slices.Contains([]Merge{Last, LastList, Union, UnionAll, PerKey, Append, ByName}, row.Merge) {
			t.Errorf("%s has merge code %q", row.Key, row.Merge)
		}
		if row.Doc == "" || row.Kind == "" {
			t.Errorf("%s lacks a kind or a meaning", row.Key)
		}
		if seen[row.Key] {
			t.Errorf("%s is there twice", row.Key)
		}
		seen[row.Key] = true
	}
}

// Every key has a typed field, but for the tables that are filled by hand.
func TestEveryKeyHasAField(t *testing.T) {
	byHand := []string{"workspaces", "prompts", "mounts", "sockets", "credentials", "ports.map", "network.hosts", "network.allowed_domains"}
	var bound []string
	for _, s := range slots() {
		bound = append(bound, s.row.Key)
	}
	for _, row := range Schema {
		if slices.Contains(bound, row.Key) == slices.Contains(byHand, row.Key) {
			t.Errorf("%s: typed field %v, by hand %v", row.Key, slices.Contains(bound, row.Key), slices.Contains(byHand, row.Key))
		}
	}
	known := map[string]bool{}
	for _, key := range Keys() {
		for part := range strings.SplitSeq(key, ".") {
			known[part] = true
		}
	}
	var tags []string
	tagsOf(reflect.TypeFor[Config](), &tags)
	for _, tag := range tags {
		if !known[tag] {
			t.Errorf("a field is tagged %q, which is part of no key", tag)
		}
	}
}

func tagsOf(t reflect.Type, out *[]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		if tag := f.Tag.Get("key"); tag != "" {
			*out = append(*out, tag)
			if f.Type.Kind() == reflect.Struct && f.Type.PkgPath() == t.PkgPath() {
				tagsOf(f.Type, out)
			}
		}
	}
}

// Every default satisfies its own rule.
func TestDefaultsAreValid(t *testing.T) {
	h, workspace := propertyWorld(t)
	doc, p := parse(&source{kind: UserFile, file: "defaults.toml", trusted: true}, []byte(DefaultsTOML()))
	if p != nil {
		t.Fatal(p)
	}
	var ps problems
	l := decode(doc, h, &ps)
	if len(ps) > 0 {
		t.Fatal(ps.err())
	}
	bottom := builtin(h, h.Dir)
	for key, v := range bottom {
		got, ok := l.vals[key]
		if !ok || !equal(got.v, v.v) {
			t.Errorf("%s: the embedded file says %v, the schema %v", key, bareValue(got.v), bareValue(v.v))
		}
	}
	if len(l.vals) != len(bottom) {
		t.Errorf("the embedded file sets %d keys, the schema has %d defaults", len(l.vals), len(bottom))
	}
	if _, err := (worldOf{}).load(h, workspace, true); err != nil {
		t.Errorf("the defaults do not load: %v", err)
	}
}

// Files made from the schema are what the schema makes now.
func TestGeneratedFilesAreCurrent(t *testing.T) {
	for path, want := range map[string]string{"defaults.toml": WriteDefaults(), "../../docs/configuration.md": Manual()} {
		got, err := os.ReadFile(path)
		if err != nil || string(got) != want {
			t.Errorf("%s is stale (%v): run go generate ./pkg/config", path, err)
		}
	}
}

func treeOf(key string, v any) map[string]any {
	parts := strings.Split(key, ".")
	for _, part := range slices.Backward(parts) {
		v = map[string]any{part: v}
	}
	return v.(map[string]any)
}

// T-W-15, R-MON-16, R-NET-13: every refused key is refused from a project's
// main file and profile, with a line that names it; the same value works in a
// trusted file. S80 S99 S119.
func TestEveryRefusedKeyIsRefused(t *testing.T) {
	h, workspace := propertyWorld(t)
	g := &generator{rand.New(rand.NewPCG(1, 2)), h, workspace, nil}
	for i := range Schema {
		row := &Schema[i]
		if row.Scope != Refuse {
			continue
		}
		v := g.sample(row)
		tree := treeOf(row.Key, v)
		forProfile := tree
		if row.MainOnly {
			forProfile = map[string]any{}
		}
		for name, w := range map[string]worldOf{"main file": {project: tree}, "profile": {profile: forProfile}} {
			if name == "profile" && row.MainOnly {
				continue
			}
			c, err := w.load(h, workspace, true)
			if err != nil {
				t.Errorf("%s: %v", row.Key, err)
				continue
			}
			if !slices.ContainsFunc(c.Refused, func(r Refusal) bool { return r.Key == row.Key || strings.HasPrefix(r.Key, row.Key+".") }) {
				t.Errorf("%s = %v from a project's %s is not refused: %v", row.Key, v, name, c.Refused)
			}
			if c.IsSet(row.Key) {
				t.Errorf("%s from a project's %s holds: %v", row.Key, name, c.values[row.Key].v)
			}
		}
		own, err := worldOf{user: tree}.load(h, workspace, true)
		if err != nil {
			t.Errorf("%s in a trusted file: %v", row.Key, err)
		} else if !own.sets(row.Key) || len(own.Refused) > 0 {
			t.Errorf("%s = %v in a trusted file does not hold", row.Key, v)
		}
	}
}

func (c *Config) sets(key string) bool {
	for k, v := range c.values {
		if (k == key || strings.HasPrefix(k, key+".")) && v.src.kind == UserFile {
			return true
		}
	}
	return false
}

// sample is a value that is not empty and passes on its own.
func (g *generator) sample(row *Row) any {
	for range 200 {
		v := g.value(row)
		switch t := v.(type) {
		case []any:
			if len(t) == 0 {
				continue
			}
		case string:
			if t == "" {
				continue
			}
		case map[string]any:
			if slices.ContainsFunc(mapValues(t), func(x any) bool { return x == "" }) {
				continue
			}
		}
		if row.Key == "workspaces" {
			return map[string]any{"/src": map[string]any{"profile": "p"}}
		}
		if row.Key == "git.name" || row.Key == "git.email" || strings.HasSuffix(row.Key, "_file") {
			return "" // cannot stand alone; an empty text is set all the same
		}
		return v
	}
	return nil
}

func mapValues(m map[string]any) []any {
	var out []any
	for _, v := range m {
		out = append(out, v)
	}
	return out
}

// S95-S98 S100, R-REG-02: for every tightening key, a looser value is refused and the user's stands;
// a stricter one is honoured.
func TestEveryTighteningKey(t *testing.T) {
	h, workspace := propertyWorld(t)
	var covered []string
	for _, c := range []struct {
		key                   string
		base, looser, tighter any
	}{
		{"container.docker", false, true, false},
		{"network.mode", "restricted", "open", "allowlist"},
		{"network.block_private_networks", true, false, true},
		{"network.block_metadata_endpoint", true, false, true},
		{"network.allow_local_network_access", false, true, false},
		{"network.allow_tool_domains", false, true, false},
		{"network.allow_host_registries", false, true, false},
		{"network.refresh_interval_minutes", int64(30), int64(31), int64(0)},
		{"network.ipv6", false, true, false},
		{"network.dns_queries_per_second", int64(50), int64(51), int64(1)},
		{"network.connections", int64(8192), int64(8193), int64(64)},
		{"network.allowed_ports", []any{int64(443), int64(80)}, []any{}, []any{int64(443)}},
		{"tool.permission_mode", "interactive", "bypass", "interactive"},
		{"limits.cpu.count", "2", "4", "1"},
		{"limits.cpu.allowance", "50%", "60%", "10%"},
		{"limits.cpu.priority", int64(5), int64(6), int64(1)},
		{"limits.memory.limit", "4GiB", "4097MiB", "4096MiB"},
		{"limits.memory.enforce", "hard", "soft", "hard"},
		{"limits.memory.swap", "1GiB", true, false},
		{"limits.disk.size", "20GiB", "21GiB", "1GiB"},
		{"limits.disk.max", "20GiB", "50MB/s", "10GiB"},
		{"limits.disk.read", "10MB/s", "11MB/s", "1MB/s"},
		{"limits.disk.write", "500iops", "10MB/s", "100iops"},
		{"limits.disk.priority", int64(5), int64(6), int64(0)},
		{"limits.disk.tmpfs_size", "2GiB", "", "1GiB"},
		{"limits.runtime.max_duration", "4h", "241m", "1h"},
		{"limits.runtime.warn_before", "5m", "6m", "1m"},
		{"limits.runtime.max_processes", int64(100), int64(0), int64(50)},
		{"limits.runtime.auto_stop", true, false, true},
		{"git.seed_host_identity", false, true, false},
		{"git.readonly", true, false, true},
		{"git.protected_branches", []any{"main"}, []any{"dev"}, []any{"main", "dev"}},
		{"git.writable_hooks", false, true, false},
		{"security.disable_protection", false, true, false},
		{"security.host_immutable", true, false, true},
		{"security.strict_protection", true, false, true},
		{"security.reduce_kernel_surface", true, false, true},
		{"security.reduce_kernel_surface_strict", true, false, true},
		{"monitoring.enabled", nil, false, true},
		{"monitoring.auto_pause_on_high", true, false, true},
		{"monitoring.auto_kill_on_critical", true, false, true},
		{"monitoring.poll_interval_sec", int64(2), int64(3), int64(1)},
		{"monitoring.file_read_threshold_mb", 50.0, 50.1, 1.0},
		{"monitoring.file_read_rate_mb_per_sec", 10.0, 11.0, 1.0},
		{"monitoring.process_count_threshold", int64(100), int64(0), int64(10)},
		{"monitoring.process_spawn_rate_threshold", int64(100), int64(101), int64(10)},
		{"monitoring.upload_warn_mb", int64(100), int64(101), int64(1)},
		{"monitoring.upload_high_mb", int64(100), int64(101), int64(1)},
		{"monitoring.on_loss", "pause", "warn", "pause"},
		{"monitoring.reverse_shell_one_liners", "warn", "off", "critical"},
		{"monitoring.audit_log_retention_days", int64(30), int64(29), int64(60)},
		{"monitoring.forensics_on_kill", true, false, true},
		{"monitoring.nft.enabled", true, false, true},
		{"monitoring.nft.rate_limit_per_second", int64(100), int64(99), int64(200)},
		{"monitoring.nft.dns_query_threshold", int64(100), int64(101), int64(1)},
		{"monitoring.nft.log_dns_queries", true, false, true},
	} {
		covered = append(covered, c.key)
		var user map[string]any
		if c.base != nil {
			user = treeOf(c.key, c.base)
		}
		own := mustLoad(t, h, workspace, worldOf{user: user})
		loose := mustLoad(t, h, workspace, worldOf{user: user, project: treeOf(c.key, c.looser)})
		if len(loose.Refused) != 1 || loose.Refused[0].Key != c.key || !equal(loose.values[c.key].v, own.values[c.key].v) {
			t.Errorf("%s = %v over %v: refused %v, holds %v", c.key, c.looser, c.base, loose.Refused, bareValue(loose.values[c.key].v))
		}
		tight := mustLoad(t, h, workspace, worldOf{user: user, project: treeOf(c.key, c.tighter)})
		if len(tight.Refused) != 0 || tight.values[c.key].src.kind != ProjectFile {
			t.Errorf("%s = %v over %v: refused %v, holds %v", c.key, c.tighter, c.base, tight.Refused, bareValue(tight.values[c.key].v))
		}
	}
	for _, row := range Schema {
		if row.Scope == Tighten && !slices.Contains(covered, row.Key) {
			t.Errorf("%s may tighten and is not in this table", row.Key)
		}
	}
}

func mustLoad(t *testing.T, h home.Home, workspace string, w worldOf) *Config {
	t.Helper()
	c, err := w.load(h, workspace, true)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
