package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/config"
)

// clustered is an Incus that says where it is and nothing else.
func clustered(t *testing.T, name string) *incus.Client {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "unix.socket")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { //nolint:gosec // no stranger comes to a socket of the test
		_, _ = fmt.Fprintf(w, `{"type":"sync","status":"Success","status_code":200,"metadata":{"auth":"trusted","environment":{"server_version":"6.0.4","server_clustered":%t,"server_name":"%s"}}}`, name != "", name)
	})}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	door, err := incus.Connect(t.Context(), socket, "")
	if err != nil {
		t.Fatal(err)
	}
	return door
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
	names := func(all []incus.Instance) (out []string) {
		for _, i := range all {
			out = append(out, i.Name)
		}
		return out
	}
	c := &cli.Context{Context: t.Context()}
	for _, tt := range []struct {
		here string
		all  []incus.Instance
		want []string
	}{
		{"node1", []incus.Instance{{Name: "a", Location: "node1"}, {Name: "b", Location: "node2"}}, []string{"a"}},
		{"", []incus.Instance{{Name: "a", Location: "none"}, {Name: "b"}}, []string{"a", "b"}},
	} {
		got, err := onThisMember(c, &desk{c: c, door: clustered(t, tt.here)}, tt.all)
		if err != nil || !slices.Equal(names(got), tt.want) {
			t.Errorf("onThisMember(here %q) = %v, %v; want %v", tt.here, names(got), err, tt.want)
		}
	}
}
