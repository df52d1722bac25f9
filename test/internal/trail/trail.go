// Package trail checks audit trails that tests have left: every chain must
// hold and every record must be what the published schema says.
package trail

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/home"
)

// Schema compiles the schema that coi schema audit prints.
func Schema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(audit.Schema()))
	if err != nil {
		t.Fatalf("the schema is no JSON: %v", err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("record.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("record.json")
	if err != nil {
		t.Fatalf("the schema does not compile: %v", err)
	}
	return s
}

// Check fails the test for every trail below the coi home dir whose chain is
// broken and every record that the schema refuses. It returns how many records
// it saw.
func Check(t testing.TB, dir string) (records int) {
	t.Helper()
	schema := Schema(t)
	h := home.Home{Dir: dir, UID: os.Geteuid()}
	names, err := audit.Containers(h)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		rep, err := audit.Verify(h, name, nil)
		if err != nil || rep.Fault != nil {
			t.Errorf("trail of %s: %+v, %v", name, rep.Fault, err)
		}
		files, err := audit.Files(h, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			n, err := file(schema, f.Path)
			records += n
			if err != nil {
				t.Error(err)
			}
		}
	}
	return records
}

// file returns the first records that do not fit.
func file(schema *jsonschema.Schema, path string) (records int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	in := bufio.NewScanner(f)
	in.Buffer(nil, audit.MaxLine+1)
	var bad []string
	for in.Scan() {
		records++
		if err := Record(schema, in.Bytes()); err != nil && len(bad) < 10 {
			bad = append(bad, fmt.Sprintf("%s:%d: %v", filepath.Base(path), records, err))
		}
	}
	if len(bad) > 0 {
		return records, fmt.Errorf("records the schema refuses:\n%s", strings.Join(bad, "\n"))
	}
	return records, in.Err()
}

// Record checks one line.
func Record(schema *jsonschema.Schema, line []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(line))
	if err != nil {
		return err
	}
	return schema.Validate(v)
}
