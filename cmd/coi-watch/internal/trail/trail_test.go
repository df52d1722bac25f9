package trail

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

// T-A-05, audit-and-logs §4: parts that are older than the session keeps them go,
// and say so; trails of containers that are gone go as a whole.
func TestOldTrailsGo(t *testing.T) {
	h := home.Home{Dir: t.TempDir(), UID: os.Geteuid()}
	const own, gone, recent, stopped = "coi-aaaaaaaa-1", "coi-bbbbbbbb-1", "coi-cccccccc-1", "coi-dddddddd-1"
	past := time.Now().AddDate(0, 0, -31)
	for _, name := range []string{own, gone, recent, stopped} {
		a, err := audit.Open(h, name, audit.Options{Source: audit.SourceWatch, MaxSize: 1})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := a.Append(audit.Record{Type: audit.TypeAudit, Level: coi.Info, Category: audit.CategoryLifecycle, Rule: "life.watched", Action: audit.Logged, Title: "x"}); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}
	files, _ := filepath.Glob(h.Audit("*"))
	for _, p := range files {
		if !strings.HasPrefix(filepath.Base(p), recent) {
			if err := os.Chtimes(p, past, past); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := run.Write(h.Run(stopped+run.SessionFile), run.Session{Container: stopped}); err != nil {
		t.Fatal(err)
	}
	parts, err := audit.Parts(h, own)
	if err != nil || len(parts) == 0 {
		t.Fatalf("parts %v, %v; want old ones", parts, err)
	}
	tr := New(h, testWriter{t})
	tr.Watch(run.Watch{Container: own, Settings: run.WatchSettings{AuditRetentionDays: 30, AuditMaxSizeMB: 64}})
	tr.Put(own, audit.Record{Type: audit.TypeAudit, Level: coi.Info, Category: audit.CategoryLifecycle, Rule: "life.watched", Action: audit.Logged, Title: "y"})
	tr.Close()
	for _, p := range parts {
		if _, err := os.Lstat(p.Path); !os.IsNotExist(err) {
			t.Errorf("%s: %v; want it gone", p.Name, err)
		}
	}
	if b, err := os.ReadFile(h.Audit(own + ".jsonl")); err != nil || !strings.Contains(string(b), `"chain.pruned"`) {
		t.Errorf("%s, %v; want it to say what was pruned", b, err)
	}
	for name, want := range map[string]bool{gone: false, recent: true, stopped: true} {
		left, _ := filepath.Glob(h.Audit(name + ".jsonl"))
		if (len(left) > 0) != want {
			t.Errorf("trail of %s: %v; want there: %t", name, left, want)
		}
	}
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Errorf("%s", p)
	return len(p), nil
}
