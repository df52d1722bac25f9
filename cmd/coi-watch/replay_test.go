package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/code-on-incus/coi/pkg/cli"
)

// watch runs the verb with a coi folder of its own.
func watch(t *testing.T, args ...string) (out, errs string, code int) {
	t.Helper()
	return watchIn(t, t.TempDir(), args...)
}

// watchIn is watch with a coi folder that is there.
func watchIn(t *testing.T, dir string, args ...string) (out, errs string, code int) {
	t.Helper()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	var o, e bytes.Buffer
	s := cli.Streams{Stdin: strings.NewReader(""), Stdout: &o, Stderr: &e, Getenv: func(k string) string {
		if k == "COI_HOME" {
			return dir
		}
		return os.Getenv(k)
	}}
	code = cli.Run(context.Background(), append([]string{"coi-watch"}, args...), s, watchCommand(), monitorCommand())
	return o.String(), e.String(), code
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestReplayScore checks the keys that scripts read, and the exit codes.
func TestReplayScore(t *testing.T) {
	good := `{"cmd":"cat /etc/shadow","expect":"must","category":"credential_access"}
{"cmd":"ls","expect":"context","category":"discovery"}
{"cmd":"go build ./...","hard_negative":[]}
{"cmd":"nc -z localhost 80","hard_negative":["portcheck"]}
`
	out, errs, code := watch(t, "replay", "--score", "--json", write(t, "a.jsonl", good))
	if code != 0 {
		t.Fatalf("exit %d: %s", code, errs)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"schema_version", "must", "should", "easy", "hard_warn", "hard_pause", "hard_kill", "by_category", "missed", "false_alarms"} {
		if _, ok := got[k]; !ok {
			t.Errorf("no key %s in %s", k, out)
		}
	}
	if len(got) != 10 || got["must"] != 1.0 || got["easy"] != 0.0 {
		t.Errorf("score = %s", out)
	}
	bad := `{"cmd":"true","expect":"must","category":"x"}` + "\n"
	if _, _, code := watch(t, "replay", "--score", write(t, "b.jsonl", bad)); code != 1 {
		t.Errorf("below the bars: exit %d; want 1", code)
	}
	if _, _, code := watch(t, "replay", "--score", write(t, "c.jsonl", "plain\n")); code != 1 {
		t.Errorf("nothing to score: exit %d; want 1", code)
	}
}

// TestReplayEvents: a recording gives the verdicts of the live run (T-W-18).
func TestReplayEvents(t *testing.T) {
	rec := `{"v":1,"type":"exec","pid":5,"ppid":1,"start":1,"exe":"/usr/bin/bash","argv":["bash","x.sh"]}
{"v":1,"type":"exec","pid":6,"ppid":5,"start":2,"exe":"/usr/bin/cat","argv":["cat","/home/code/.aws/credentials"]}
{"v":1,"type":"connect","pid":5,"ppid":1,"start":1,"peer":"203.0.113.9","port":443,"dir":"out"}
`
	out, errs, code := watch(t, "replay", write(t, "r.jsonl", rec))
	if code != 0 || !strings.Contains(out, "cred.cloud") || !strings.Contains(out, "exfil.chain") {
		t.Errorf("exit %d, %s%s; want cred.cloud and then exfil.chain", code, out, errs)
	}
	if _, errs, code := watch(t, "replay", write(t, "n.jsonl", `{"v":9,"type":"exec"}`)); code != 1 || !strings.Contains(errs, "line 1") {
		t.Errorf("newer recording: exit %d, %s; want 1 and the line", code, errs)
	}
}

// TestReplayEscapes: control characters of a line reach no terminal (T-W-17).
func TestReplayEscapes(t *testing.T) {
	out, _, _ := watch(t, "replay", write(t, "l.txt", "cat /etc/shadow \x1b[31m\u202e\n"))
	if strings.ContainsAny(out, "\x1b\u202e") {
		t.Errorf("raw control characters in %q", out)
	}
}

func TestRules(t *testing.T) {
	out, _, code := watch(t, "rules", "list")
	if code != 0 || !strings.Contains(out, "shell.net-stdio") {
		t.Errorf("rules list: exit %d, %.80s", code, out)
	}
	p := write(t, "x.toml", "[[pattern]]\nid=\"a.b\"\ntitle=\"t\"\nlevel=\"warning\"\nexec={name=\"ls\"}\nfire=[\"ls\"]\nquiet=[\"ls\"]\n")
	out, _, code = watch(t, "rules", "list", "--unsupported", "--patterns", filepath.Dir(p))
	if code != 0 || !strings.Contains(out, "a.b") || !strings.Contains(out, "quiet") {
		t.Errorf("rules list --unsupported: exit %d, %s; want the pattern and why", code, out)
	}
	if out, _, code := watch(t, "rules", "test", p); code != 1 {
		t.Errorf("rules test of a failing pattern: exit %d, %s; want 1", code, out)
	}
	if out, _, code := watch(t, "rules", "test", "cred.shadow"); code != 0 {
		t.Errorf("rules test cred.shadow: exit %d, %s; want 0", code, out)
	}
	if _, _, code := watch(t, "rules", "test", "no.such"); code != 2 {
		t.Errorf("rules test of an unknown rule: exit %d; want 2", code)
	}
}
