package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/mount"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/pick"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/plan"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/config"
	"github.com/code-on-incus/coi/pkg/home"
)

// answer is a good answer of Incus.
func answer(w http.ResponseWriter, metadata any) {
	_ = json.NewEncoder(w).Encode(map[string]any{"type": "sync", "status": "Success", "status_code": 200, "metadata": metadata})
}

// pretended is an Incus on the member of this name, empty without a cluster, that
// knows what the handlers say.
func pretended(t *testing.T, name string, handlers map[string]http.HandlerFunc) *incus.Client {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "unix.socket")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/1.0", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"auth": "trusted", "environment": map[string]any{"server_version": "6.0.4", "server_clustered": name != "", "server_name": name}})
	})
	for path, h := range handlers {
		mux.HandleFunc(path, h)
	}
	srv := &http.Server{Handler: mux} //nolint:gosec // no stranger comes to a socket of the test
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	door, err := incus.Connect(t.Context(), socket, "")
	if err != nil {
		t.Fatal(err)
	}
	return door
}

// clustered is an Incus that says where it is and where its containers are: a
// name, and the member that it is on.
func clustered(t *testing.T, name string, containers ...[2]string) *incus.Client {
	t.Helper()
	one := func(c [2]string) map[string]any {
		return map[string]any{"name": c[0], "location": c[1], "status": "Stopped", "config": map[string]string{plan.KeyVersion: "1", plan.KeyPersistent: "true"}}
	}
	return pretended(t, name, map[string]http.HandlerFunc{
		"/1.0/instances": func(w http.ResponseWriter, r *http.Request) {
			all := []any{}
			for _, c := range containers {
				if r.FormValue("recursion") == "" {
					all = append(all, "/1.0/instances/"+c[0])
				} else {
					all = append(all, one(c))
				}
			}
			answer(w, all)
		},
		"/1.0/instances/{name}": func(w http.ResponseWriter, r *http.Request) {
			for _, c := range containers {
				if c[0] == r.PathValue("name") {
					answer(w, one(c))
					return
				}
			}
			w.WriteHeader(http.StatusNotFound)
			_ = json.NewEncoder(w).Encode(map[string]any{"type": "error", "error": "Instance not found", "error_code": 404})
		},
	})
}

// A session runs where its guards are: on no other member of a cluster.
func TestOnlyThisMember(t *testing.T) {
	for _, c := range []struct{ here, want, hint string }{
		{"node1", "", ""},
		{"node1", "node1", ""},
		{"", "", ""},
		{"node1", "node2", "log in on node2"},
		{"", "node1", "take incus.member out"},
	} {
		err := ownMember(context.Background(), clustered(t, c.here), c.want)
		var e *cli.Error
		switch {
		case c.hint == "":
			if err != nil {
				t.Errorf("ownMember(here %q, wanted %q) = %v; want nil", c.here, c.want, err)
			}
		case !errors.As(err, &e) || e.Code != coi.ExitFailed || !strings.Contains(strings.Join(e.Hints, " "), c.hint):
			t.Errorf("ownMember(here %q, wanted %q) = %v; want exit 1 and a hint with %q", c.here, c.want, err, c.hint)
		}
	}
}

// A remote's guards cannot be asked: nothing is made there.
func TestRemoteIsRefused(t *testing.T) {
	_, err := openDoor(&cli.Context{Context: context.Background(), Streams: cli.Streams{Getenv: func(string) string { return "" }}}, &config.Config{Incus: config.Incus{Remote: "elsewhere"}})
	var e *cli.Error
	if !errors.As(err, &e) || e.Code != coi.ExitFailed || len(e.Hints) == 0 || !strings.Contains(e.Text, "elsewhere") {
		t.Errorf("openDoor with incus.remote = %v; want exit 1 that names it, and a hint", err)
	}
}

// Without --all-members a list is of this machine; outside a cluster it is whole.
func TestListOfThisMember(t *testing.T) {
	for _, tt := range []struct {
		here string
		all  [][2]string
		want []string
	}{
		{"node1", [][2]string{{"a", "node1"}, {"b", "node2"}}, []string{"a"}},
		{"", [][2]string{{"a", "none"}, {"b", ""}}, []string{"a", "b"}},
	} {
		all, err := clustered(t, tt.here, tt.all...).Instances(t.Context())
		var got []string
		for _, i := range pick.Here(all) {
			got = append(got, i.Name)
		}
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("containers here (%q) = %v, %v; want %v", tt.here, got, err, tt.want)
		}
	}
}

// What guards of another machine do is not known here, so it is not said.
func TestViewOfAnotherMember(t *testing.T) {
	d := &desk{home: home.Home{Dir: t.TempDir()}}
	far := d.view(incus.Instance{Name: "coi-aaaaaaaa-1", Status: "Running", Location: "node2", Away: "node2"})
	if far.Guarded != nil || far.Watched != nil || far.Status != "running (on node2)" || far.Member != "node2" {
		t.Errorf("view of one on another machine = %+v", far)
	}
	near := d.view(incus.Instance{Name: "coi-aaaaaaaa-1", Status: "Running", Location: "node1"})
	if near.Guarded == nil || *near.Guarded || near.Status != "running (unguarded)" {
		t.Errorf("view of one here without a guard = %+v", near)
	}
}

// A stopped persistent container on another machine of the cluster is not used
// again from here, where its guards would not be asked: its slot is taken.
func TestSlotOfAnotherMember(t *testing.T) {
	h := home.Home{Dir: t.TempDir(), Prefix: "coi-"}
	if _, err := h.Ensure(h.Run()); err != nil {
		t.Fatal(err)
	}
	slot1 := coi.ContainerName(h.Prefix, "/ws", 1)
	for at, want := range map[string]int{"node1": 1, "node2": 2} {
		b := &begin{
			c: &cli.Context{Context: t.Context(), Verb: "run"}, home: h, identity: "/ws", flags: &sessionFlags{}, ws: &mount.Workspace{Path: "/ws"},
			cfg: &config.Config{Container: config.Container{Persistent: true}}, door: clustered(t, "node1", [2]string{slot1, at}),
		}
		lock, err := b.chooseSlot()
		if err != nil || b.slot != want || (b.old != nil) != (want == 1) {
			t.Errorf("slot when the stopped container is on %s = %d, used again %v, %v; want %d", at, b.slot, b.old != nil, err, want)
		}
		lock.Unlock()
	}
	b := &begin{c: &cli.Context{Context: t.Context(), Verb: "container"}, home: h, container: slot1, door: clustered(t, "node1", [2]string{slot1, "node2"})}
	if _, err := b.takeName(); exitOf(err) != coi.ExitFailed || !strings.Contains(err.Error(), "node2") {
		t.Errorf("takeName of one on node2 = %v; want exit 1 that names it", err)
	}
}
