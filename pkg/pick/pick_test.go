package pick

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// T-L-04: none, one, several, ended, alias, literal, from files alone.
func TestFind(t *testing.T) {
	base := t.TempDir()
	h := home.Home{Dir: filepath.Join(base, "coi"), User: base, UID: os.Geteuid(), Prefix: "coi-"}
	ws := filepath.Join(base, "ws")
	for _, d := range []string{h.Run(), h.Logs(), ws, filepath.Join(base, "empty")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	name := func(slot int) string { return coi.ContainerName("coi-", ws, slot) }
	session := func(slot int, phase run.Phase) {
		t.Helper()
		s := run.Session{SchemaVersion: 1, Container: name(slot), Identity: ws, Workspace: ws, Slot: slot, Alias: "box", Tool: "claude", Phase: phase}
		if err := run.Write(h.Run(name(slot)+run.SessionFile), s); err != nil {
			t.Fatal(err)
		}
	}
	logOf := func(container string, age time.Duration) {
		t.Helper()
		p := filepath.Join(h.Logs(), container+".stdout.log")
		if err := os.WriteFile(p, []byte("x\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-age)
		if err := os.Chtimes(p, at, at); err != nil {
			t.Fatal(err)
		}
	}
	find := func(f Flags, arg, env string) (string, int, string) {
		t.Helper()
		c := &cli.Context{Verb: "logs", Streams: cli.Streams{Stdout: io.Discard, Stderr: io.Discard, Getenv: func(k string) string {
			return map[string]string{"HOME": base, "COI_HOME": h.Dir, "COI_CONTAINER": env}[k]
		}}}
		got, err := f.Find(c, arg, h.Logs())
		var e *cli.Error
		if errors.As(err, &e) {
			return got, e.Code, e.Text + "\n" + strings.Join(e.Lines, "\n") + "\n" + strings.Join(e.Hints, "\n")
		}
		return got, 0, ""
	}
	want := func(what string, f Flags, arg, env, container string, code int, words ...string) {
		t.Helper()
		got, gotCode, text := find(f, arg, env)
		if got != container || gotCode != code {
			t.Errorf("%s: %q, code %d (%s); want %q, code %d", what, got, gotCode, text, container, code)
		}
		for _, w := range words {
			if !strings.Contains(text, w) {
				t.Errorf("%s: %q lacks %q", what, text, w)
			}
		}
	}
	here := Flags{Workspace: ws}
	want("nothing yet", here, "", "", "", coi.ExitNoContainer, "coi list --all")
	want("literal", here, "coi-any-1", "", "coi-any-1", 0)
	want("no such alias", here, "nobody", "", "", coi.ExitNoContainer)
	logOf(name(1), time.Hour)
	logOf(name(2), time.Minute)
	want("ended, records gone: the newest file", here, "", "", name(2), 0)
	want("slot", Flags{Workspace: ws, Slot: 1}, "", "", name(1), 0)
	session(1, run.Running)
	want("one running", here, "", "", name(1), 0)
	want("alias of a running one", here, "box", "", name(1), 0)
	want("environment", Flags{Workspace: filepath.Join(base, "empty")}, "", "box", name(1), 0)
	want("--container", Flags{Container: "box"}, "", "coi-other-1", name(1), 0)
	want("argument first", here, "coi-arg-1", "coi-env-1", "coi-arg-1", 0)
	session(2, run.Running)
	want("several running", here, "", "", "", coi.ExitUsage, name(1)+": slot 1, claude", name(2)+": slot 2, claude", "coi logs "+name(1))
	want("alias of several", here, "box", "", "", coi.ExitUsage, "box-N")
	want("alias with slot", here, "box-2", "", name(2), 0)
	session(1, run.Ended)
	want("the other one ended", here, "", "", name(2), 0)
	session(2, run.Ended)
	if err := home.WriteJSON(h.Path("aliases.json"), Aliases{SchemaVersion: 1, Aliases: map[string]Alias{"box": {Workspace: ws}}}, true); err != nil {
		t.Fatal(err)
	}
	want("all ended: the newest", here, "", "", name(2), 0)
	want("alias of the registry", Flags{}, "box", "", name(2), 0)
	want("alias of the registry with slot", Flags{}, "box-1", "", name(1), 0)
	logOf("odd", time.Hour)
	want("a name without the prefix that has files", here, "odd", "", "odd", 0)
	want("bad slot", Flags{Slot: 11}, "", "", "", coi.ExitUsage)
	want("bad name", here, "coi-../x", "", "", coi.ExitUsage)
}
