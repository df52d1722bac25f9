package pick

import (
	"context"
	"errors"
	"strconv"
	"testing"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/alias"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/plan"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/home"
)

func slots(states ...State) Slots {
	s := Slots{}
	for i, st := range states {
		e := s[i+1]
		e.State = st
		s[i+1] = e
	}
	return s
}

// Session §2: automatic = lowest free; persistent reuses the lowest stopped one
// first; a busy slot gives the next one to a shell and an error to a run.
func TestChoose(t *testing.T) {
	full := make([]State, 10)
	for i := range full {
		full[i] = Busy
	}
	for _, x := range []struct {
		name          string
		slots         Slots
		wish          Wish
		slot, skipped int
		fails         bool
	}{
		{"first", slots(), Wish{}, 1, 0, false},
		{"after busy", slots(Busy, Busy), Wish{}, 3, 0, false},
		{"stopped is not free", slots(Stopped), Wish{}, 2, 0, false},
		{"leftover is used", slots(Busy, Leftover), Wish{}, 2, 0, false},
		{"persistent reuses", slots(Free, Stopped), Wish{Persistent: true}, 2, 0, false},
		{"wish", slots(), Wish{Slot: 7}, 7, 0, false},
		{"busy wish, shell", slots(Busy, Busy), Wish{Slot: 1, Next: true}, 3, 1, false},
		{"busy wish, run", slots(Busy), Wish{Slot: 1}, 0, 0, true},
		{"all taken", slots(full...), Wish{}, 0, 0, true},
		{"nothing above", slots(full...), Wish{Slot: 9, Next: true}, 0, 0, true},
	} {
		slot, skipped, err := Choose(x.slots, x.wish)
		if slot != x.slot || skipped != x.skipped || (err != nil) != x.fails {
			t.Errorf("%s: Choose = %d, %d, %v; want %d, %d, error %v", x.name, slot, skipped, err, x.slot, x.skipped, x.fails)
		}
	}
}

type fake []incus.Instance

func (f fake) Instances(context.Context) ([]incus.Instance, error) { return f, nil }

func (f fake) Instance(_ context.Context, name string) (incus.Instance, error) {
	for _, i := range f {
		if i.Name == name {
			return i, nil
		}
	}
	return incus.Instance{}, incus.ErrNotFound
}

func instance(h home.Home, name, status, identity, alias string, slot int) incus.Instance {
	return incus.Instance{Name: name, Status: status, Config: map[string]string{
		plan.KeyVersion: "1", plan.KeyOwner: strconv.Itoa(h.UID), plan.KeyHome: h.Dir,
		plan.KeyIdentity: identity, plan.KeyWorkspace: identity, plan.KeyAlias: alias, plan.KeySlot: strconv.Itoa(slot), plan.KeyTool: "claude",
	}}
}

// Cli §4: name, alias, workspace; what is not ours or not there has its code.
func TestFind(t *testing.T) {
	h := home.Home{Dir: t.TempDir(), Prefix: "coi-", UID: 1000}
	other := h
	other.Dir = "/elsewhere"
	door := fake{
		instance(h, "coi-aaaaaaaa-1", "Running", "/a", "web", 1),
		instance(h, "coi-aaaaaaaa-2", "Stopped", "/a", "web", 2),
		instance(h, "coi-bbbbbbbb-1", "Running", "/b", "", 1),
		instance(h, "coi-bbbbbbbb-2", "Running", "/b", "", 2),
		instance(h, "coi-cccccccc-1", "Stopped", "/c", "", 1),
		instance(other, "coi-dddddddd-1", "Running", "/d", "", 1),
		{Name: "coi-foreign", Status: "Running", Config: map[string]string{}},
		{Name: "plain", Status: "Running", Config: map[string]string{}},
	}
	// The same ~/.coi and user on another machine of a cluster: never found in the
	// place of one here, and when nothing here is meant, refused by its name.
	for _, i := range []incus.Instance{
		instance(h, "coi-aaaaaaaa-3", "Running", "/a", "web", 3),
		instance(h, "coi-cccccccc-2", "Running", "/c", "", 2),
		instance(h, "coi-eeeeeeee-1", "Running", "/e", "far", 1),
	} {
		i.Away = "node2"
		door = append(door, i)
	}
	if err := alias.Set(h, "see", alias.Entry{Workspace: "/c"}); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		q    Query
		name string
		code int
	}{
		{Query{Name: "coi-aaaaaaaa-2"}, "coi-aaaaaaaa-2", 0},
		{Query{Name: "web"}, "coi-aaaaaaaa-1", 0},
		{Query{Name: "web-2"}, "coi-aaaaaaaa-2", 0},
		{Query{Name: "see"}, "coi-cccccccc-1", 0},
		{Query{Env: "coi-bbbbbbbb-2"}, "coi-bbbbbbbb-2", 0},
		{Query{Identity: "/a"}, "coi-aaaaaaaa-1", 0},
		{Query{Identity: "/a", Slot: 2}, "coi-aaaaaaaa-2", 0},
		{Query{Identity: "/c"}, "coi-cccccccc-1", 0},
		{Query{Identity: "/b"}, "", 2},
		{Query{Identity: "/d"}, "", 4},
		{Query{Identity: "/none"}, "", 4},
		{Query{Name: "nosuch"}, "", 4},
		{Query{Name: "coi-nosuch"}, "", 4},
		{Query{Name: "coi-../../x"}, "", 4},
		{Query{Name: "coi-foreign"}, "", 1},
		{Query{Name: "plain"}, "", 1},
		{Query{Name: "coi-aaaaaaaa-3"}, "", 1},
		{Query{Name: "web-3"}, "", 1},
		{Query{Name: "far"}, "", 1},
		{Query{Identity: "/e"}, "", 1},
		{Query{Identity: "/a", Slot: 3}, "", 1},
	} {
		x.q.Home, x.q.Verb = h, "logs"
		got, err := Find(t.Context(), door, x.q)
		var e *cli.Error
		code := 0
		if errors.As(err, &e) {
			code = e.Code
		}
		if code != x.code || code == 0 && got.Name != x.name {
			t.Errorf("Find(%+v) = %s, %v; want %s, exit %d", x.q, got.Name, err, x.name, x.code)
		}
	}
}

// The error of a container on another machine says where to go.
func TestAway(t *testing.T) {
	var e *cli.Error
	err := Away(incus.Instance{Name: "coi-x-1", Away: "node2"})
	if !errors.As(err, &e) || e.Code != 1 || len(e.Hints) != 1 || e.Hints[0] != "log in on node2 and run the same command there" {
		t.Errorf("Away = %v; want exit 1 and the way there", err)
	}
	if err := Away(incus.Instance{Name: "coi-x-1"}); err != nil {
		t.Errorf("Away of one here = %v", err)
	}
}

// Homes are apart: a mass action of one never touches containers of another.
func TestMine(t *testing.T) {
	h := home.Home{Dir: "/home/u/.coi", UID: 1000}
	i := instance(h, "coi-aaaaaaaa-1", "Running", "/a", "", 1)
	if !Mine(i, h) {
		t.Error("our own container is not ours")
	}
	for _, x := range []home.Home{{Dir: "/tmp/other", UID: 1000}, {Dir: "/home/u/.coi", UID: 1001}} {
		if Mine(i, x) {
			t.Errorf("Mine with %+v = true", x)
		}
	}
}
