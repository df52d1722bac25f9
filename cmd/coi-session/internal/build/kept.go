package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/pkg/home"
)

// Properties of an image that is the base of a build and has no name: whose
// build container it is for, of what it was made, and by which home on which
// member of a cluster (empty without one), since all of them see it.
const (
	keyStep   = "coi.step"
	keyInputs = "coi.step.inputs"
	keyOwner  = "coi.step.owner"
	keyHome   = "coi.step.home"
	keyMember = "coi.step.member"
)

// KeptFor is how long the base of a build that failed is good for another try.
// After that its packages are too old to be called new.
const KeptFor = 24 * time.Hour

// Kept reports whether an image is the finished base of a build of this home that
// failed on this machine, whose name in the Incus cluster is member, empty without
// one. A base that does not say whose it is was made by an older coi: in a cluster
// it may be another machine's, at work there.
func Kept(img incus.LocalImage, h home.Home, member string) bool {
	p := img.Properties
	if p[keyStep] != buildName(h.Prefix) || len(img.Aliases) > 0 {
		return false
	}
	if p[keyHome] == "" {
		return member == ""
	}
	return p[keyHome] == h.Dir && p[keyOwner] == strconv.Itoa(h.UID) && (member == "" || p[keyMember] == member)
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
func (b *builder) kept(ctx context.Context, inputs, member string) (incus.Image, bool, error) {
	all, err := b.Images.Images(ctx)
	if err != nil {
		return incus.Image{}, false, err
	}
	var found incus.Image
	for _, img := range all {
		if !Kept(img, b.Home, member) {
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
func (b *builder) stepProperties(inputs, member string) map[string]string {
	return map[string]string{
		"description": "step of a build of coi", keyStep: b.container(), keyInputs: inputs,
		keyOwner: strconv.Itoa(b.Home.UID), keyHome: b.Home.Dir, keyMember: member,
	}
}

// keep says that the base stays, where it does. What failed is not in it.
func (b *builder) keep() {
	if len(b.made) > 0 {
		_, _ = io.WriteString(b.log, "the finished base is kept for the next try; coi clean removes it\n")
	}
}
