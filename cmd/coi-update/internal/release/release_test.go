package release

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// shop is a release source on disk, signed with a key of its own.
func shop(t *testing.T, content string, change func(*Release)) (source string, r Release) {
	t.Helper()
	pub, priv, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	old := Key
	Key = base64.StdEncoding.EncodeToString(pub)
	t.Cleanup(func() { Key = old })
	sum := sha256.Sum256([]byte(content))
	r = Release{Version: "1.2.0", OS: "linux", Arch: "amd64", Archive: "coi.tar.gz", SHA256: hex.EncodeToString(sum[:])}
	r.Signature = base64.StdEncoding.EncodeToString(ed25519.Sign(priv, r.Signed()))
	if change != nil {
		change(&r)
	}
	source = t.TempDir()
	index, err := json.Marshal(Index{SchemaVersion: 1, Releases: []Release{r}})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"index.json": index, "coi.tar.gz": []byte(content)} {
		if err := os.WriteFile(filepath.Join(source, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return source, r
}

func TestFetchProves(t *testing.T) {
	source, _ := shop(t, "archive", nil)
	ix, err := Load(context.Background(), source)
	if err != nil {
		t.Fatal(err)
	}
	r, err := ix.Pick("", "linux", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	path, err := Fetch(context.Background(), source, r, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "archive" {
		t.Errorf("fetched %q, %v", b, err)
	}
}

// R-OWN-05: whatever is tampered with, nothing is kept.
func TestFetchRefuses(t *testing.T) {
	for name, change := range map[string]func(*Release){
		"hash":         func(r *Release) { r.SHA256 = hex.EncodeToString(make([]byte, 32)) },
		"no hash":      func(r *Release) { r.SHA256 = "" },
		"no signature": func(r *Release) { r.Signature = "" },
		"signature":    func(r *Release) { r.Signature = base64.StdEncoding.EncodeToString(make([]byte, 64)) },
		"version":      func(r *Release) { r.Version = "9.9.9" },
		"name":         func(r *Release) { r.Archive = "../coi.tar.gz" },
	} {
		source, r := shop(t, "archive", change)
		dir := t.TempDir()
		if _, err := Fetch(context.Background(), source, r, dir); err == nil {
			t.Errorf("%s: taken", name)
		}
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Errorf("%s: %v left behind", name, left)
		}
	}
	source, r := shop(t, "archive", nil)
	if err := os.WriteFile(filepath.Join(source, "coi.tar.gz"), []byte("archivE"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Fetch(context.Background(), source, r, t.TempDir()); err == nil {
		t.Error("a changed archive was taken")
	}
	Key = ""
	if _, err := Fetch(context.Background(), source, r, t.TempDir()); err == nil {
		t.Error("taken without a release key")
	}
}

func TestCompareAndNotes(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"0.9.10", "0.9.9", 1}, {"1.0", "1.0.0", 0}, {"1.0.0-rc1", "1.0.0", -1}, {"0.9.0", "1.0.0", -1}} {
		if got := Compare(c.a, c.b); got != c.want {
			t.Errorf("Compare(%s, %s) = %d; want %d", c.a, c.b, got, c.want)
		}
	}
	ix := Index{Releases: []Release{{Version: "0.9.1", Notes: "a"}, {Version: "1.0.0", Notes: "b"}, {Version: "0.9.0", Notes: "old"}}}
	if got := ix.Passed("0.9.0", Release{Version: "1.0.0"}); len(got) != 2 || got[0].Notes != "a" {
		t.Errorf("Passed = %v", got)
	}
}
