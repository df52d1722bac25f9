package protect

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/code-on-incus/coi/pkg/home"
)

// A manifest outlives its workspace after a crash: it must not stop the next start.
func TestPlaceholdersOfAWorkspaceThatIsGone(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "coi-x-1.placeholders.json")
	m := manifest{SchemaVersion: schema, Workspace: filepath.Join(dir, "gone"), Created: []createdFile{{Path: ".coi", Type: "dir"}}}
	if err := home.WriteJSON(file, m, false); err != nil {
		t.Fatal(err)
	}
	if left, err := RemovePlaceholders(file, nil); err != nil || len(left) != 0 {
		t.Errorf("RemovePlaceholders = %v, %v; want nothing left", left, err)
	}
	if _, err := os.Lstat(file); !os.IsNotExist(err) {
		t.Errorf("the manifest is still there: %v", err)
	}
}
