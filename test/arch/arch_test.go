package arch

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"
)

const module = "github.com/code-on-incus/coi/"

func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func output(t *testing.T, dir string, argv ...string) []byte {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s in %s: %v\n%s", strings.Join(argv, " "), dir, err, &errs)
	}
	return out
}

type goPackage struct {
	ImportPath, Dir, Name, Doc string
	Imports                    []string
	Module                     *struct{ Path string }
}

func packages(t *testing.T, dir string, args ...string) []goPackage {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(output(t, dir, append([]string{"go", "list", "-json=ImportPath,Dir,Name,Doc,Imports,Module"}, args...)...)))
	var list []goPackage
	for {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

func tools(t *testing.T) []string {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(root(t), "cmd", "*"))
	if err != nil || len(dirs) < 10 {
		t.Fatalf("tools = %v, %v", dirs, err)
	}
	return dirs
}

// A tool never imports another tool, and pkg imports no tool.
func TestNoToolImportsAnother(t *testing.T) {
	for _, p := range packages(t, root(t), "work") {
		own := owner(p.ImportPath)
		for _, imp := range p.Imports {
			if other := owner(imp); strings.HasPrefix(other, "cmd/") && other != own {
				t.Errorf("%s imports %s", p.ImportPath, imp)
			}
		}
	}
}

// owner is the module folder of one of our packages, empty for others.
func owner(importPath string) string {
	rest, ours := strings.CutPrefix(importPath, module)
	if !ours {
		return ""
	}
	parts := strings.SplitN(rest, "/", 3)
	if parts[0] == "cmd" && len(parts) > 1 {
		return "cmd/" + parts[1]
	}
	return parts[0]
}

// links.txt says which modules each binary may link. A new one is a decision.
func TestEachBinaryLinksOnlyWhatItMay(t *testing.T) {
	allowed := map[string][]string{}
	f, err := os.Open("links.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for s := bufio.NewScanner(f); s.Scan(); {
		line, _, _ := strings.Cut(s.Text(), "#")
		if name, list, ok := strings.Cut(line, ":"); ok {
			allowed[strings.TrimSpace(name)] = strings.Fields(list)
		}
	}
	for _, dir := range tools(t) {
		name := filepath.Base(dir)
		seen := map[string]bool{}
		for _, p := range packages(t, dir, "-deps", ".") {
			if p.Module != nil && !strings.HasPrefix(p.Module.Path+"/", module) {
				seen[p.Module.Path] = true
			}
		}
		for m := range seen {
			if !slices.Contains(allowed[name], m) {
				t.Errorf("%s links %s, which links.txt does not list", name, m)
			}
		}
		for _, m := range allowed[name] {
			if !seen[m] {
				t.Errorf("links.txt lists %s for %s, which does not link it", m, name)
			}
		}
	}
}

// Every module builds without the workspace, so that it can be audited alone.
func TestEachModuleBuildsAlone(t *testing.T) {
	for _, dir := range append(tools(t), filepath.Join(root(t), "pkg")) {
		cmd := exec.Command("go", "build", "-o", os.DevNull, "./...")
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0", "GOFLAGS=-mod=readonly")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s alone: %v\n%s", filepath.Base(dir), err, out)
		}
	}
}

func TestOneVersionOfEachDependency(t *testing.T) {
	versions := map[string]map[string][]string{}
	mods, err := filepath.Glob(filepath.Join(root(t), "cmd", "*", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	mods = append(mods, filepath.Join(root(t), "pkg", "go.mod"), filepath.Join(root(t), "test", "go.mod"))
	for _, file := range mods {
		var mod struct {
			Require []struct{ Path, Version string }
		}
		if err := json.Unmarshal(output(t, filepath.Dir(file), "go", "mod", "edit", "-json"), &mod); err != nil {
			t.Fatal(err)
		}
		for _, r := range mod.Require {
			if strings.HasPrefix(r.Path+"/", module) {
				continue // always the folder beside
			}
			if versions[r.Path] == nil {
				versions[r.Path] = map[string][]string{}
			}
			versions[r.Path][r.Version] = append(versions[r.Path][r.Version], filepath.Base(filepath.Dir(file)))
		}
	}
	for path, byVersion := range versions {
		if len(byVersion) > 1 {
			t.Errorf("%s has %d versions: %v", path, len(byVersion), byVersion)
		}
	}
}

func TestEachPackageHasOneComment(t *testing.T) {
	for _, p := range packages(t, root(t), "work") {
		if p.Doc == "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

// Words that no file of the repository may hold: hosts of registries and
// mirrors (they are taken from the machine), and paths of a build machine.
func TestNoForeignHostsOrPaths(t *testing.T) {
	parts := [][]string{
		{"deb", ".", "debian.org"},
		{"security", ".", "debian.org"},
		{"ftp", ".", "debian.org"},
		{"archive", ".", "ubuntu.com"},
		{"ports", ".", "ubuntu.com"},
		{"security", ".", "ubuntu.com"},
		{"registry", ".", "npmjs.org"},
		{"registry", ".", "yarnpkg.com"},
		{"proxy", ".", "golang.org"},
		{"sum", ".", "golang.org"},
		{"pypi", ".", "org"},
		{"files", ".", "pythonhosted.org"},
		{"deb", ".", "nodesource.com"},
		{"index", ".", "crates.io"},
		{"static", ".", "crates.io"},
		{"/wo", "rk/"},
		{"../sha", "red"},
	}
	var bad []string
	for _, p := range parts {
		bad = append(bad, strings.Join(p, ""))
	}
	for _, file := range tracked(t) {
		if strings.HasSuffix(file, "go.sum") || strings.HasSuffix(file, "go.work.sum") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(root(t), file))
		if err != nil {
			continue // deleted but not yet committed
		}
		for _, word := range bad {
			if i := bytes.Index(b, []byte(word)); i >= 0 && !insideWord(b, i, word) {
				t.Errorf("%s holds %q", file, word)
			}
		}
	}
}

// insideWord is true for a path such as /tmp/x/work/y, where the word is no root.
func insideWord(b []byte, i int, word string) bool {
	return strings.HasPrefix(word, "/") && i > 0 && regexp.MustCompile(`[A-Za-z0-9_.$}]`).Match(b[i-1:i])
}

func tracked(t *testing.T) []string {
	t.Helper()
	list := strings.Fields(string(output(t, root(t), "git", "ls-files")))
	sort.Strings(list)
	return list
}
