package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// The test's own binary is a program like any other.
func TestRun(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var a, b bytes.Buffer
	if err := run([]string{self}, &a); err != nil {
		t.Fatal(err)
	}
	if err := run([]string{self}, &b); err != nil || !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Errorf("two runs differ, %v", err)
	}
	var doc bom
	if err := json.Unmarshal(a.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Format != "CycloneDX" || len(doc.Dependencies) != 1 || doc.Dependencies[0].Ref != filepath.Base(self) {
		t.Errorf("document is about %+v; want the program alone", doc.Dependencies)
	}
	if err := run([]string{filepath.Join(t.TempDir(), "none")}, &b); err == nil {
		t.Error("run(missing file) = nil; want an error")
	}
}
