package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/pkg/home"
)

// shelf is an Incus of images and one container, whose agents may fail.
type shelf struct {
	images   map[string]incus.LocalImage // by fingerprint
	imported int
	from     []string // fingerprints that containers were made of
	fails    bool
	member   string // of the cluster; empty: none
	away     string // member that has the build container, when it is another one
	removed  int    // containers
	now      time.Time
}

func (s *shelf) Member(context.Context) (string, error) { return s.member, nil }

func (s *shelf) Image(_ context.Context, alias string) (incus.Image, error) {
	for _, img := range s.images {
		if slices.Contains(img.Aliases, alias) {
			return incus.Image{Fingerprint: img.Fingerprint, Alias: alias, Properties: img.Properties}, nil
		}
	}
	return incus.Image{}, incus.ErrNotFound
}

func (s *shelf) Images(context.Context) ([]incus.LocalImage, error) {
	return slices.Collect(maps.Values(s.images)), nil
}

func (s *shelf) put(name string, properties map[string]string) string {
	s.images[name] = incus.LocalImage{Fingerprint: name, Created: s.now, Properties: properties}
	return name
}

func (s *shelf) ImportImage(_ context.Context, meta, rootfs io.Reader, properties map[string]string) (string, error) {
	for _, r := range []io.Reader{meta, rootfs} {
		if _, err := io.Copy(io.Discard, r); err != nil {
			return "", err
		}
	}
	s.imported++
	return s.put(fmt.Sprintf("base-%d", s.imported), properties), nil
}

func (s *shelf) PublishImage(_ context.Context, _, _ string, properties map[string]string) (string, error) {
	return s.put("published", properties), nil
}

func (s *shelf) CopyImage(context.Context, incus.RemoteImage) (string, error) {
	return "", errors.New("no remote is asked for")
}

func (s *shelf) SetAlias(_ context.Context, alias, fingerprint, _ string) error {
	img := s.images[fingerprint]
	img.Aliases = append(img.Aliases, alias)
	s.images[fingerprint] = img
	return nil
}

func (s *shelf) DeleteImage(_ context.Context, fingerprint string) error {
	delete(s.images, fingerprint)
	return nil
}

func (s *shelf) Create(_ context.Context, r incus.Request) error {
	s.from = append(s.from, r.Source.Fingerprint)
	return nil
}

func (s *shelf) Exec(_ context.Context, _ string, e incus.Exec) (int, error) {
	if slices.Contains(e.Argv, "agents") && s.fails {
		_, _ = io.WriteString(e.Stdout, "coi-fail: no registry\n")
		return 1, nil
	}
	return 0, nil
}

func (s *shelf) PushFile(context.Context, string, string, incus.FileInfo, io.Reader) error {
	return nil
}

func (s *shelf) DefaultDevices(context.Context) (map[string]incus.Device, error) {
	return map[string]incus.Device{"root": {"pool": "p"}}, nil
}
func (s *shelf) Start(context.Context, string) error                     { return nil }
func (s *shelf) StartLog(context.Context, string) string                 { return "" }
func (s *shelf) Stop(context.Context, string, bool, time.Duration) error { return nil }
func (s *shelf) Delete(context.Context, string) error                    { s.removed++; return nil }
func (s *shelf) Instance(_ context.Context, name string) (incus.Instance, error) {
	if s.away == "" {
		return incus.Instance{}, incus.ErrNotFound
	}
	return incus.Instance{Name: name, Away: s.away}, nil
}

type openGround struct{}

func (openGround) Raise(context.Context, string) (incus.Device, error) { return incus.Device{}, nil }
func (openGround) Open(context.Context) error                          { return nil }
func (openGround) Drop() error                                         { return nil }

// steps are the images that have no name.
func (s *shelf) nameless() (list []string) {
	for _, img := range s.images {
		if len(img.Aliases) == 0 {
			list = append(list, img.Fingerprint)
		}
	}
	slices.Sort(list)
	return list
}

// A build that fails after its base was finished keeps the base, once, out of
// sight; the next one with the same inputs starts from it and takes it away when
// it is done. Other inputs, a day later or another house make a base of their own.
func TestFailedBuildKeepsItsBase(t *testing.T) {
	dir := t.TempDir()
	calls := filepath.Join(dir, "calls")
	// A mmdebstrap that makes an empty root file system and is counted.
	program := "#!/bin/sh\necho x >>" + calls + "\necho 'I: creating tarball' >&2\n"
	if err := os.WriteFile(filepath.Join(dir, "mmdebstrap"), []byte(program), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	s := &shelf{images: map[string]incus.LocalImage{}, now: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC), fails: true, member: "node1"}
	s.put("foreign", map[string]string{"description": "of somebody else"})
	s.put("other-house", map[string]string{keyStep: "other-build", keyInputs: "x"})
	uid := strconv.Itoa(os.Getuid())
	s.put("other-machine", map[string]string{keyStep: "coi-build", keyInputs: "x", keyOwner: uid, keyHome: filepath.Join(dir, ".coi"), keyMember: "node2"})
	h := home.Home{Dir: filepath.Join(dir, ".coi"), User: dir, UID: os.Getuid(), Prefix: "coi-"}
	base, err := ParseBase("debian:13")
	if err != nil {
		t.Fatal(err)
	}
	alias := fmt.Sprintf("kept-%d", os.Getpid())
	try := func(mirror string) error {
		_, err := Run(t.Context(), Deps{
			Images: s, Machines: s, Fence: openGround{}, Home: h, Step: func(string) {}, Now: func() time.Time { return s.now },
		}, Request{Alias: alias, Base: base, Mirror: mirror, Agents: []string{}})
		return err
	}
	made := func() int {
		text, err := os.ReadFile(calls)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(text), "x")
	}
	expect := func(what string, bases int, nameless ...string) {
		t.Helper()
		nameless = append(nameless, "foreign", "other-house", "other-machine")
		slices.Sort(nameless)
		if made() != bases || !slices.Equal(s.nameless(), nameless) {
			t.Errorf("%s: %d bases were made, nameless images %v; want %d and %v", what, made(), s.nameless(), bases, nameless)
		}
	}

	err = try("http://m.test/d")
	var failed *Error
	if !errors.As(err, &failed) || !strings.Contains(strings.Join(failed.Tail, "\n"), "coi clean removes it") {
		t.Fatalf("first try = %v; want a failure that says what is kept", err)
	}
	expect("after the failure", 1, "base-1")
	other := h
	other.Prefix = "x-"
	if got := s.images["base-1"]; !Kept(got, h, "node1") || Kept(got, other, "node1") || Kept(s.images["foreign"], h, "node1") {
		t.Errorf("Kept does not tell whose %+v is", got)
	}

	if err = try("http://m.test/d"); err == nil {
		t.Fatal("the second try went well; want a failure as before")
	}
	expect("a second failure", 1, "base-1")
	if err = try("http://other.test/d"); err == nil {
		t.Fatal("another mirror went well; want a failure as before")
	}
	expect("another mirror", 2, "base-2")
	s.now = s.now.Add(KeptFor)
	if err = try("http://other.test/d"); err == nil {
		t.Fatal("a day later it went well; want a failure as before")
	}
	expect("a day later", 3, "base-3")

	s.fails = false
	if err = try("http://other.test/d"); err != nil {
		t.Fatal(err)
	}
	expect("done", 3)
	if !slices.Equal(s.from, []string{"base-1", "base-1", "base-2", "base-3", "base-3", "published"}) {
		t.Errorf("containers were made of %v", s.from)
	}
}

// A base belongs to the home that made it, on the machine that made it; one of an
// older coi, which does not say, only where there is no other machine.
func TestKeptIsOfThisHomeAndMachine(t *testing.T) {
	here := home.Home{Dir: "/home/u/.coi", UID: 1000, Prefix: "coi-"}
	made := func(h home.Home, member string) map[string]string {
		return (&builder{Deps: Deps{Home: h}}).stepProperties("x", member)
	}
	elsewhere, root := here, here
	elsewhere.Dir, root.UID = "/srv/coi", 0
	old := map[string]string{keyStep: "coi-build", keyInputs: "x"}
	for name, c := range map[string]struct {
		properties map[string]string
		member     string
		want       bool
	}{
		"own, no cluster":                 {made(here, ""), "", true},
		"own, this member":                {made(here, "node1"), "node1", true},
		"own, before it was a cluster":    {made(here, ""), "node1", false},
		"own, after it was a cluster":     {made(here, "node1"), "", true},
		"same path, another member":       {made(here, "node2"), "node1", false},
		"another home, this member":       {made(elsewhere, "node1"), "node1", false},
		"another home, no cluster":        {made(elsewhere, ""), "", false},
		"another user with the same path": {made(root, ""), "", false},
		"old, no cluster":                 {old, "", true},
		"old, in a cluster":               {old, "node1", false},
		"no base":                         {map[string]string{keyHome: here.Dir, keyOwner: "1000"}, "", false},
	} {
		img := incus.LocalImage{Fingerprint: "f", Properties: c.properties}
		if got := Kept(img, here, c.member); got != c.want {
			t.Errorf("%s: Kept = %v; want %v", name, got, c.want)
		}
		if img.Aliases = []string{"name"}; Kept(img, here, c.member) {
			t.Errorf("%s: an image with a name counts as a base", name)
		}
	}
}

// A build on another machine of the cluster has the same container: it is not
// taken away, neither before nor after the base is made, and nothing is made here.
func TestBuildOfAnotherMemberIsLeft(t *testing.T) {
	s := &shelf{images: map[string]incus.LocalImage{}, member: "node1", away: "node2"}
	dir := t.TempDir()
	b := &builder{Deps: Deps{
		Images: s, Machines: s, Fence: openGround{}, Home: home.Home{Dir: filepath.Join(dir, ".coi"), User: dir, UID: os.Getuid(), Prefix: "coi-"},
		Step: func(string) {}, Now: time.Now,
	}, req: Request{Base: Base{Kind: Local, Alias: "b"}}}
	s.put("f", nil)
	if err := s.SetAlias(t.Context(), "b", "f", ""); err != nil {
		t.Fatal(err)
	}
	_, whole := b.build(t.Context())
	_, late := b.start(t.Context(), "f")
	for what, err := range map[string]error{"build": whole, "start": late} {
		if err == nil || !strings.Contains(err.Error(), "coi-build is on the cluster member node2") {
			t.Errorf("%s = %v; want a word of node2", what, err)
		}
	}
	if s.removed > 0 || len(s.from) > 0 {
		t.Errorf("%d containers were removed, made of %v; want none", s.removed, s.from)
	}
}
