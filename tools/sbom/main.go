// Command sbom lists what is linked into programs as a CycloneDX 1.5 document:
// sbom PROGRAM... The list comes from the programs themselves, where the Go
// linker wrote it, so it cannot differ from what is shipped.
package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/code-on-incus/coi/pkg/cli/version"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "sbom: error: "+err.Error())
		os.Exit(1)
	}
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type hash struct {
	Alg     string `json:"alg"`
	Content string `json:"content"`
}

type component struct {
	Type       string     `json:"type"`
	Ref        string     `json:"bom-ref"`
	Name       string     `json:"name"`
	Version    string     `json:"version"`
	PURL       string     `json:"purl,omitempty"`
	Hashes     []hash     `json:"hashes,omitempty"`
	Properties []property `json:"properties,omitempty"`
}

type dependency struct {
	Ref       string   `json:"ref"`
	DependsOn []string `json:"dependsOn"`
}

type bom struct {
	Format       string       `json:"bomFormat"`
	Spec         string       `json:"specVersion"`
	Version      int          `json:"version"`
	Metadata     metadata     `json:"metadata"`
	Components   []component  `json:"components"`
	Dependencies []dependency `json:"dependencies"`
}

type metadata struct {
	Component component `json:"component"`
}

func run(programs []string, out io.Writer) error {
	if len(programs) == 0 {
		return fmt.Errorf("name the programs to list")
	}
	doc := bom{
		Format: "CycloneDX", Spec: "1.5", Version: 1,
		Metadata: metadata{component{Type: "application", Ref: "coi", Name: "coi", Version: version.Number}},
	}
	modules := map[string]component{}
	for _, path := range programs {
		program, deps, err := read(path)
		if err != nil {
			return err
		}
		refs := []string{}
		for _, m := range deps {
			modules[m.Ref] = m
			refs = append(refs, m.Ref)
		}
		doc.Components = append(doc.Components, program)
		doc.Dependencies = append(doc.Dependencies, dependency{program.Ref, refs})
	}
	for _, m := range modules {
		doc.Components = append(doc.Components, m)
	}
	slices.SortFunc(doc.Components, func(a, b component) int { return strings.Compare(a.Ref, b.Ref) })
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(doc)
}

// read is one program and the modules linked into it. Modules of this house
// have no version of their own and are left out.
func read(path string) (component, []component, error) {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return component{}, nil, fmt.Errorf("%s: %w", path, err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return component{}, nil, err
	}
	sum := sha256.Sum256(data)
	name := filepath.Base(path)
	program := component{
		Type: "application", Ref: name, Name: name, Version: version.Number,
		Hashes: []hash{{"SHA-256", hex.EncodeToString(sum[:])}}, Properties: []property{{"go", info.GoVersion}},
	}
	deps := []component{{Type: "library", Ref: "pkg:golang/stdlib@" + info.GoVersion, Name: "stdlib", Version: info.GoVersion, PURL: "pkg:golang/stdlib@" + info.GoVersion}}
	for _, d := range info.Deps {
		if d.Replace != nil {
			d = d.Replace
		}
		if d.Version == "" || d.Version == "(devel)" || strings.HasPrefix(d.Path, ".") {
			continue
		}
		purl := "pkg:golang/" + d.Path + "@" + d.Version
		deps = append(deps, component{Type: "library", Ref: purl, Name: d.Path, Version: d.Version, PURL: purl, Properties: []property{{"go.sum", d.Sum}}})
	}
	return program, deps, nil
}
