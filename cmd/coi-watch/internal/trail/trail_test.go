package trail

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/logs"
	"github.com/code-on-incus/coi/pkg/run"
)

// S24 S25: what the monitor found stands among the messages of the session,
// what keeps it from its work among the errors, and neither can steer a terminal.
func TestSessionLog(t *testing.T) {
	h := home.Home{Dir: t.TempDir(), UID: os.Geteuid()}
	const name = "coi-aaaaaaaa-1"
	tr := New(h, testWriter{t})
	tr.Watch(run.Watch{Container: name})
	put := func(level coi.Level, rule, category, action, title string) string {
		return tr.Put(name, audit.Record{Type: audit.TypeProcess, Level: level, Category: category, Rule: rule, Action: action, Title: title, Exe: "/tmp/\x1b[2Jx"})
	}
	found := put(coi.High, "shell.reverse", audit.CategoryShell, audit.Paused, "shell on a socket")
	lost := put(coi.Warning, "sensor.lost", audit.CategorySensor, audit.Logged, "events were lost")
	quiet := put(coi.Info, "life.watched", audit.CategoryLifecycle, audit.Logged, "container is watched")
	passed := put(coi.High, "shell.reverse", audit.CategoryShell, audit.Allowed, "shell on a socket")
	tr.Close()
	read := func(suffix string) string {
		b, err := os.ReadFile(filepath.Join(h.Logs(), name+suffix))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	out, errs := read(logs.StdoutSuffix), read(logs.StderrSuffix)
	if !strings.Contains(out, "[security] high: shell on a socket (shell.reverse /tmp/") || !strings.Contains(out, "paused; audit "+found) || strings.Contains(out, lost) {
		t.Errorf("messages: %q", out)
	}
	if !strings.Contains(errs, "[monitor] warning: events were lost (sensor.lost") || strings.Contains(errs, found) {
		t.Errorf("errors: %q", errs)
	}
	for _, id := range []string{quiet, passed} {
		if strings.Contains(out+errs, id) {
			t.Errorf("record %s is no news for a person: %q", id, out+errs)
		}
	}
	if strings.ContainsRune(out+errs, 0x1b) {
		t.Errorf("control characters of a container: %q", out)
	}
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Errorf("%s", p)
	return len(p), nil
}
