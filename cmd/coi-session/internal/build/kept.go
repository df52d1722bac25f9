package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
)

// Properties of an image that is the base of a build and has no name: whose
// build container it is for, and of what it was made.
const (
	keyStep   = "coi.step"
	keyInputs = "coi.step.inputs"
)

// KeptFor is how long the base of a build that failed is good for another try.
// After that its packages are too old to be called new.
const KeptFor = 24 * time.Hour

// Kept reports whether an image is the finished base of a build that failed, of
// the house with this prefix.
func Kept(img incus.LocalImage, prefix string) bool {
	return img.Properties[keyStep] == buildName(prefix) && len(img.Aliases) == 0
}

func buildName(prefix string) string { return prefix + "build" }

// inputs is a hash of everything that decides what the base of a mirror becomes,
// besides the state of the mirror itself.
func inputs(args []string, overlay string) (string, error) {
	f, err := os.Open(overlay)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	sum := sha256.New()
	_, _ = fmt.Fprintf(sum, "%s\n%q\n", arch(), args)
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// kept finds the base that a build of the same inputs left when it failed, and
// deletes those of other inputs and those that are too old: at most one is left.
func (b *builder) kept(ctx context.Context, inputs string) (incus.Image, bool, error) {
	all, err := b.Images.Images(ctx)
	if err != nil {
		return incus.Image{}, false, err
	}
	var found incus.Image
	for _, img := range all {
		if !Kept(img, b.Home.Prefix) {
			continue
		}
		age := b.Now().Sub(img.Created)
		if found.Fingerprint == "" && img.Properties[keyInputs] == inputs && age >= 0 && age < KeptFor {
			found = incus.Image{Fingerprint: img.Fingerprint, Properties: img.Properties}
			continue
		}
		if err := b.Images.DeleteImage(ctx, img.Fingerprint); err != nil {
			return incus.Image{}, false, fmt.Errorf("delete the base of an earlier build: %w", err)
		}
	}
	return found, found.Fingerprint != "", nil
}

// stepProperties are those of a base that the next try may start from.
func (b *builder) stepProperties(inputs string) map[string]string {
	return map[string]string{"description": "step of a build of coi", keyStep: b.container(), keyInputs: inputs}
}

// keep says that the base stays, where it does. What failed is not in it.
func (b *builder) keep() {
	if len(b.made) > 0 {
		_, _ = io.WriteString(b.log, "the finished base is kept for the next try; coi clean removes it\n")
	}
}
