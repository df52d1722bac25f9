// Package config is the configuration of coi: one schema, the layers that
// fill it, what an untrusted project may say, and where every value came from.
// Every program reads the files itself through Load.
package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/trust"
)

// Flag is a typed flag that sets a key; it beats every file.
type Flag struct {
	Key   string // "network.mode"
	Value any    // bool, int, float64, string, []string, map[string]string, or a list of map[string]any
	Name  string // "--network", for origins and messages
}

// Options say whose configuration is loaded.
type Options struct {
	Home   home.Home
	Getenv func(string) string // reads COI_CONFIG and COI_TRUST_ALL; nil is os.Getenv
	// Environ lists NAME=VALUE; unknown COI_ variables in it give a warning.
	Environ   []string
	Workspace string // directory; empty for none
	// Profile is the profile to apply. By says who chose it: "--profile", or
	// "alias" or "session" for one that was remembered. Empty: the files decide.
	Profile string
	By      string
	// Lenient turns an unknown profile into a warning, for commands that only look.
	Lenient bool
	Flags   []Flag
}

// loader carries one Load.
type loader struct {
	Options
	home      home.Home
	workspace string // resolved
	places    []place
	cfg       *Config
	ps        problems
	store     trust.Store
	bottom    values // the built-in layer
	chain     chain
	toolName  string // the tool that will be in use
	// toolAllowed is false while the domains of the project's tool wait.
	toolAllowed bool
}

func (ld *loader) warn(w Warning) { ld.cfg.Warnings = append(ld.cfg.Warnings, w) }

// Load reads every layer, filters and gates the project's part and gives what
// holds. Errors are of type *Error and list all problems that were found.
func Load(o Options) (*Config, error) {
	ld := newLoader(o)
	ld.environment()
	ld.resolveWorkspace()
	if err := ld.ps.err(); err != nil {
		return nil, err
	}
	user, project, env := ld.mainLayers()
	if err := ld.ps.err(); err != nil {
		return nil, err
	}
	flags := ld.flagLayer()
	ld.chooseProfile(stack(ld.bottom, user, env, flags))
	ld.otherProfiles()
	if err := ld.ps.err(); err != nil {
		return nil, err
	}
	vals := ld.combine(user, project, env, ld.chain.flatten(), flags)
	ld.context()
	ld.check(vals)
	if err := ld.ps.err(); err != nil {
		return nil, err
	}
	return ld.finish(vals), nil
}

func newLoader(o Options) *loader {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	return &loader{Options: o, home: o.Home, cfg: &Config{Home: o.Home}, bottom: builtin(o.Home, o.Home.Dir), toolAllowed: true}
}

func (ld *loader) resolveWorkspace() {
	if ld.Workspace == "" {
		return
	}
	abs, err := filepath.Abs(ld.Workspace)
	if err == nil {
		ld.workspace, err = filepath.EvalSymlinks(abs)
	}
	if err != nil {
		ld.ps.add(Problem{File: ld.Workspace, Problem: "no such workspace: " + trimPath(err, ld.Workspace)})
	}
	ld.cfg.Workspace = ld.workspace
}

// mainLayers reads the three main files; each may be nil.
func (ld *loader) mainLayers() (user, project, env *layer) {
	user = ld.readMain(&source{kind: UserFile, file: ld.home.Config(), trusted: true}, readTrusted)
	ld.places = append(ld.places, place{"user", ld.home.Profiles(), true})
	envFile := ld.Getenv("COI_CONFIG")
	if envFile != "" {
		if abs, err := filepath.Abs(ld.home.Expand(envFile)); err == nil {
			envFile = abs
		}
	}
	coiDir := filepath.Join(ld.workspace, ".coi")
	if ld.workspace != "" && !sameDir(coiDir, ld.home.Dir) {
		rel := filepath.Join(".coi", "config.toml")
		if !sameFile(filepath.Join(coiDir, "config.toml"), envFile) {
			src := &source{kind: ProjectFile, file: filepath.Join(coiDir, "config.toml"), hostDir: ld.workspace, coiDir: coiDir}
			project = ld.readMain(src, func(string) ([]byte, bool, *Problem) { return readProject(ld.workspace, rel) })
		}
		ld.places = append(ld.places, place{"project", filepath.Join(coiDir, "profiles"), false})
	}
	if envFile != "" {
		env = ld.readEnv(envFile)
	}
	warn, note := oldLayout(ld.home, ld.workspace)
	ld.cfg.Warnings = append(ld.cfg.Warnings, warn...)
	ld.cfg.Notes = append(ld.cfg.Notes, note...)
	return user, project, env
}

func (ld *loader) readMain(src *source, read func(string) ([]byte, bool, *Problem)) *layer {
	data, ok, p := read(src.file)
	if p != nil {
		ld.ps.add(*p)
	}
	if !ok {
		return nil
	}
	src.fileDir = filepath.Dir(src.file)
	if src.hostDir == "" {
		src.hostDir = src.fileDir
	}
	ld.cfg.files = append(ld.cfg.files, src.file)
	return ld.decode(src, data, &ld.ps)
}

func (ld *loader) readEnv(file string) *layer {
	l := ld.readMain(&source{kind: EnvFile, file: file, trusted: true}, func(path string) ([]byte, bool, *Problem) {
		data, ok, p := readTrusted(path)
		if p == nil && !ok {
			p = &Problem{File: path, Problem: "no such file", Hint: "COI_CONFIG names it; unset COI_CONFIG or write the file"}
		}
		return data, ok, p
	})
	if ld.workspace != "" && trust.Within(file, ld.workspace) {
		ld.warn(Warning{Text: "COI_CONFIG is inside the workspace, so the agent may be able to write it: " + file, Hints: []string{"keep it outside"}})
	}
	dir := filepath.Join(filepath.Dir(file), "profiles")
	if sameDir(filepath.Dir(file), ld.home.Dir) {
		return l
	}
	ld.places = slices.DeleteFunc(ld.places, func(p place) bool { return p.dir == dir })
	ld.places = append(ld.places, place{"env", dir, true})
	return l
}

func sameDir(a, b string) bool { return sameFile(a, b) }

func sameFile(a, b string) bool {
	if a == "" || b == "" {
		return false
	}
	sa, err := os.Stat(a)
	sb, err2 := os.Stat(b)
	return err == nil && err2 == nil && os.SameFile(sa, sb)
}

func (ld *loader) flagLayer() *layer {
	out := &layer{vals: values{}}
	for _, f := range ld.Flags {
		src := &source{kind: FlagValue, profile: f.Name, trusted: true, hostDir: cwd(), fileDir: cwd()}
		tree := flagValue(f.Value)
		parts := strings.Split(f.Key, ".")
		for _, part := range slices.Backward(parts) {
			tree = map[string]any{part: tree}
		}
		var ps problems
		l := decode(&document{src: src, tree: tree.(map[string]any), pos: map[string]position{}}, ld.home, &ps)
		for _, p := range ps {
			ld.ps.add(Problem{Key: f.Name, Problem: p.Problem, Hint: p.Hint})
		}
		merge(out.vals, l, true)
	}
	return out
}

func cwd() string { d, _ := os.Getwd(); return d }

// flagValue gives a value the types that TOML gives.
func flagValue(v any) any {
	switch t := v.(type) {
	case int:
		return int64(t)
	case []string:
		out := make([]any, len(t))
		for i, s := range t {
			out[i] = s
		}
		return out
	case map[string]string:
		out := map[string]any{}
		for k, s := range t {
			out[k] = s
		}
		return out
	case []map[string]any:
		out := make([]any, len(t))
		for i, m := range t {
			out[i] = m
		}
		return out
	}
	return v
}

// chooseProfile finds and reads the profile in force.
func (ld *loader) chooseProfile(trusted values) {
	name, by := ld.Profile, ld.By
	if name == "" {
		name, by = ld.workspaceProfile(trusted), "workspaces"
	}
	if name == "" {
		name, _ = trusted["defaults.profile"].v.(string)
		by = "defaults.profile"
	}
	if name == "" {
		return
	}
	if by == "" {
		by = "--profile"
	}
	ref, p := ld.find(name)
	if p == nil && by == "workspaces" && !ref.Trusted {
		p = &Problem{Problem: fmt.Sprintf("profile %q is the project's own", name), Hint: "write user:" + name + ", or choose it with --profile"}
	}
	if p != nil {
		p.Key = by
		if ld.Lenient {
			ld.warn(Warning{Text: p.String(), Hints: []string{p.Hint}})
		} else {
			ld.ps.add(*p)
		}
		return
	}
	ld.chain = ld.load(ref, &ld.ps)
	ld.cfg.Profile = ProfileChoice{ref.Name, ref.Source, ref.File, ref.Trusted, by}
	for _, r := range ld.chain.refs {
		if r.File != "" {
			ld.cfg.files = append(ld.cfg.files, r.File)
		}
	}
}

// workspaceProfile is the profile of [workspaces] for this workspace.
func (ld *loader) workspaceProfile(vals values) string {
	if ld.workspace == "" {
		return ""
	}
	for key, v := range vals {
		if v.row.Key != "workspaces" {
			continue
		}
		dir := ld.home.Expand(workspaceDir(key))
		if real, err := filepath.EvalSymlinks(dir); err == nil && real == ld.workspace {
			return v.v.(string)
		}
	}
	return ""
}

func workspaceDir(key string) string {
	return unquote(strings.TrimSuffix(strings.TrimPrefix(key, "workspaces."), ".profile"))
}

// otherProfiles warns of broken profiles that are not in use. Reading them side
// by side was measured: waking threads costs more than it saves.
func (ld *loader) otherProfiles() {
	for _, ref := range ld.all() {
		if ref.File == "" || slices.Contains(ld.chain.refs, ref) {
			continue
		}
		var ps problems
		if ld.checkProfile(ref, &ps); len(ps) > 0 {
			ld.warn(Warning{Text: "profile " + ref.Name + " cannot be used: " + ps[0].String(), Hints: []string{"coi validate"}})
		}
	}
}
