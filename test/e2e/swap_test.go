//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/code-on-incus/coi/test/internal/house"
)

// swapped is a workspace whose project mounts a link. Two folders outside stand
// ready for it, each with a file that says which one it is.
type swapped struct {
	dir, link    string
	data, secret string
}

func swappable(t *testing.T) swapped {
	t.Helper()
	dir := workspace(t)
	s := swapped{dir, filepath.Join(dir, "link"), filepath.Join(the.Dir, t.Name()+"-data"), filepath.Join(the.Dir, t.Name()+"-secret")}
	for folder, text := range map[string]string{s.data: "data\n", s.secret: "secret\n"} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "f"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(folder, house.Owner, house.Owner); err != nil {
			t.Fatal(err)
		}
	}
	s.point(t, s.data)
	project(t, dir, "[[mounts]]\nhost = \"link\"\ncontainer = \"/mnt/data\"\nreadonly = true\n")
	return s
}

// point makes the link lead to a folder, at one moment.
func (s swapped) point(t *testing.T, to string) {
	t.Helper()
	next := s.link + ".next"
	if err := os.Symlink(to, next); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, s.link); err != nil {
		t.Fatal(err)
	}
}

// swap moves the link to and fro until it is told to stop, and says how often.
func (s swapped) swap(t *testing.T) (stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int)
	go func() {
		n := 0
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				done <- n
				return
			case <-tick.C:
			}
			n++
			s.point(t, map[bool]string{true: s.secret, false: s.data}[n%2 == 1])
		}
	}()
	return func() int { cancel(); return <-done }
}

func (s swapped) look(t *testing.T) house.Result {
	t.Helper()
	return do(t, s.dir, "run", "--", "sh", "-c", "cat /mnt/data/f 2>/dev/null || echo nothing")
}

// R-TRU-02, S84 S88: a link that moves on between approval, check and mount
// never brings another folder into the container than the one approved.
func TestSwapAfterApproval(t *testing.T) {
	s := swappable(t)
	must(t, s.dir, "trust", "--yes")
	if r := s.look(t); r.Code != 0 || r.Stdout != "data\n" {
		t.Fatalf("approved and not moved: %s", r)
	}
	stop := s.swap(t)
	for range 6 {
		if r := s.look(t); strings.Contains(r.Stdout, "secret") || r.Code == 0 && r.Stdout != "data\n" && r.Stdout != "nothing\n" {
			t.Errorf("while the link moves: %s", r)
		}
	}
	if n := stop(); n < 100 {
		t.Errorf("the link moved %d times only: nothing was tried", n)
	}
	s.point(t, s.secret)
	if r := s.look(t); r.Code != 0 || r.Stdout != "nothing\n" || !strings.Contains(r.Stderr, "target changed") {
		t.Errorf("the link leads elsewhere: %s", r)
	}
	s.point(t, s.data)
	if r := s.look(t); r.Code != 0 || r.Stdout != "data\n" {
		t.Errorf("the link leads back to what was approved: %s", r)
	}
}

// R-TRU-01 R-TRU-02: while the link moves, what is approved is what was shown,
// and only that is mounted.
func TestSwapDuringApproval(t *testing.T) {
	s := swappable(t)
	for range 3 {
		stop := s.swap(t)
		shown := must(t, s.dir, "trust", "--yes")
		stop()
		item := s.approved(t)
		approved := map[bool]string{true: s.secret, false: s.data}[strings.Contains(item, s.secret)]
		if !strings.Contains(shown.Stdout+shown.Stderr, approved) {
			t.Errorf("approved %q; shown was %s", item, shown)
		}
		for folder, text := range map[string]string{s.data: "data\n", s.secret: "secret\n"} {
			want := "nothing\n"
			if folder == approved {
				want = text
			}
			s.point(t, folder)
			if r := s.look(t); r.Code != 0 || r.Stdout != want {
				t.Errorf("approved %q, the link leads to %s: %s\nwant %q", item, folder, r, want)
			}
		}
		must(t, s.dir, "untrust")
	}
}

// approved is the one item that the store holds for this workspace.
func (s swapped) approved(t *testing.T) string {
	t.Helper()
	var list []struct {
		Path  string
		Items []string
	}
	text := must(t, s.dir, "trust", "--list", "--json").Stdout
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		t.Fatalf("coi trust --list --json: %v\n%s", err, text)
	}
	for _, a := range list {
		if strings.HasPrefix(a.Path, s.dir+"/") && len(a.Items) == 1 {
			return a.Items[0]
		}
	}
	t.Fatalf("nothing is approved for %s: %s", s.dir, text)
	return ""
}
