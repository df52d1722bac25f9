package bpf

import (
	"os"
	"strings"
	"testing"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/bpf/source"
)

// The object in the repository was made from the sources in the repository.
func TestObjectIsUpToDate(t *testing.T) {
	want, err := source.Sum("c")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("watch.sum")
	if err != nil {
		t.Fatal(err)
	}
	if strings.TrimSpace(string(got)) != want {
		t.Error("watch.o is older than its sources: go generate ./cmd/coi-watch/internal/bpf")
	}
}

// No path of the machine that compiled it is in the object.
func TestObjectNamesNoPlace(t *testing.T) {
	for _, prefix := range []string{"/home/", "/root/", "/tmp/", "/usr/"} {
		if strings.Contains(string(object), prefix) {
			t.Errorf("watch.o contains %q", prefix)
		}
	}
}
