// Package release reads the index of releases and proves an archive: its
// SHA-256 must be the one in the index, and the entry must carry a signature of
// the release key that the packager compiled in.
package release

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-update/internal/fetch"
)

// Key is the base64 Ed25519 public key of the releases. The linker of a
// packaged build sets it; without it no release is installed.
var Key = ""

// ErrNoKey says that this build cannot check a signature.
var ErrNoKey = errors.New("this build has no release key")

// Release is one entry of the index, index.json at the source.
type Release struct {
	Version   string `json:"version"` // 0.9.1
	OS        string `json:"os"`
	Arch      string `json:"arch"`
	Archive   string `json:"archive"` // file name beside the index
	SHA256    string `json:"sha256"`  // hex
	Signature string `json:"signature"`
	Notes     string `json:"notes"` // what a user must do when coming from an older version
}

// Index is the file index.json.
type Index struct {
	SchemaVersion int       `json:"schema_version"`
	Releases      []Release `json:"releases"`
}

// Signed is the text that the signature of an entry covers.
func (r Release) Signed() []byte {
	return []byte(strings.Join([]string{"coi", r.Version, r.OS, r.Arch, r.Archive, r.SHA256}, "\n") + "\n")
}

// Load reads the index at source.
func Load(ctx context.Context, source string) (Index, error) {
	var ix Index
	place, err := fetch.Join(source, "index.json")
	if err != nil {
		return ix, err
	}
	var b bytes.Buffer
	if err := fetch.Get(ctx, place, fetch.MaxIndex, &b); err != nil {
		return ix, err
	}
	if err := json.Unmarshal(b.Bytes(), &ix); err != nil {
		return ix, fmt.Errorf("%s: %w", place, err)
	}
	if ix.SchemaVersion != 1 {
		return ix, fmt.Errorf("%s: schema_version %d is not 1", place, ix.SchemaVersion)
	}
	return ix, nil
}

// Pick is the newest release for this machine, or the one of that version.
func (ix Index) Pick(version, os, arch string) (Release, error) {
	var fit []Release
	for _, r := range ix.Releases {
		if r.OS == os && r.Arch == arch && (version == "" || r.Version == version) {
			fit = append(fit, r)
		}
	}
	if len(fit) == 0 {
		return Release{}, fmt.Errorf("the index has no release %s for %s/%s", version, os, arch)
	}
	return slices.MaxFunc(fit, func(a, b Release) int { return Compare(a.Version, b.Version) }), nil
}

// Passed lists the notes of the versions after from up to to, oldest first.
func (ix Index) Passed(from string, to Release) []Release {
	var list []Release
	for _, r := range ix.Releases {
		if r.Notes != "" && r.OS == to.OS && r.Arch == to.Arch && Compare(r.Version, from) > 0 && Compare(r.Version, to.Version) <= 0 {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b Release) int { return Compare(a.Version, b.Version) })
	return list
}

// Compare orders versions of the form 1.2.3 by number.
func Compare(a, b string) int {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(x), len(y)) {
		if c := cmp.Compare(part(x, i), part(y, i)); c != 0 {
			return c
		}
	}
	return 0
}

func part(list []string, i int) int {
	if i >= len(list) {
		return 0
	}
	n, err := strconv.Atoi(list[i])
	if err != nil {
		return -1 // 1.2.3-rc1 comes before 1.2.3
	}
	return n
}

// Fetch downloads the archive of r into a temporary file in dir and proves it.
// The file is removed when it fails. R-OWN-05.
func Fetch(ctx context.Context, source string, r Release, dir string) (path string, err error) {
	if err := r.verifySignature(); err != nil {
		return "", err
	}
	place, err := fetch.Join(source, r.Archive)
	if err != nil {
		return "", err
	}
	f, err := os.CreateTemp(dir, ".coi-update-*")
	if err != nil {
		return "", err
	}
	defer func() {
		_ = f.Close()
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	sum := sha256.New()
	if err := fetch.Get(ctx, place, fetch.MaxArchive, io.MultiWriter(f, sum)); err != nil {
		return "", err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != strings.ToLower(r.SHA256) {
		return "", fmt.Errorf("%s: SHA-256 is %s, the index says %s", r.Archive, got, r.SHA256)
	}
	return f.Name(), f.Sync()
}

func (r Release) verifySignature() error {
	if Key == "" {
		return ErrNoKey
	}
	key, err := base64.StdEncoding.DecodeString(Key)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return errors.New("the release key of this build is damaged")
	}
	if r.SHA256 == "" || r.Signature == "" {
		return fmt.Errorf("release %s has no checksum or no signature", r.Version)
	}
	sig, err := base64.StdEncoding.DecodeString(r.Signature)
	if err != nil || !ed25519.Verify(key, r.Signed(), sig) {
		return fmt.Errorf("release %s: the signature does not match", r.Version)
	}
	return nil
}

// HandOverTime is how long one guard may take to end and its successor to show
// that it lives.
const HandOverTime = 15 * time.Second
