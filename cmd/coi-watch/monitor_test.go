package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/monitor"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/view"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// A live view goes on when its container ends: it says so, and shows what was
// seen last, in whatever order the files of the container go.
func TestLiveViewOfOneThatEnds(t *testing.T) {
	dir := t.TempDir()
	h, err := home.Find(func(k string) string { return map[string]string{"HOME": dir, "COI_HOME": filepath.Join(dir, "coi")}[k] })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Ensure(h.Run()); err != nil {
		t.Fatal(err)
	}
	const name = "coi-12345678-1"
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	put := func(file string, v any) {
		t.Helper()
		if err := run.Write(h.Run(file), v); err != nil {
			t.Fatal(err)
		}
	}
	s := screen{h: h, name: name, last: view.New(name)}
	shown := func() string {
		t.Helper()
		v, err := s.next(now)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(monitor.Render(v, 80, 24), "\n")
	}
	has := func(text string, words ...string) {
		t.Helper()
		for _, w := range words {
			if !strings.Contains(text, w) {
				t.Errorf("no %q in\n%s", w, text)
			}
		}
	}

	put(run.WatchDaemonFile, run.Daemon{SchemaVersion: run.Schema, PID: os.Getpid(), StartTime: run.StartTime(os.Getpid()), HeartbeatAt: now})
	put(name+run.WatchFile, run.Watch{SchemaVersion: run.Schema, Container: name})
	has(shown(), "--:--:--", "has not looked yet")

	v := view.New(name)
	v.Timestamp = now.Add(-8 * time.Second)
	v.Watcher.Sources = []string{"exec:ebpf"}
	v.Processes.Total, v.Processes.List = 1, []view.Process{{PID: 7, User: "code", Command: view.Command{"make", "all"}, Flags: []string{}}}
	put(name+run.WatchViewFile, v)
	has(shown(), now.Local().Format("15:04:05"), "watched by exec:ebpf", "make all")

	for _, gone := range []string{run.WatchViewFile, run.WatchFile} {
		if err := os.Remove(h.Run(name + gone)); err != nil {
			t.Fatal(err)
		}
		has(shown(), "make all")
	}
	has(shown(), "ENDED", "make all")
	if strings.Contains(shown(), "watched by") {
		t.Errorf("an ended container is watched:\n%s", shown())
	}

	put(name+run.WatchFile, run.Watch{SchemaVersion: run.Schema, Container: name})
	put(name+run.WatchViewFile, v)
	if text := shown(); strings.Contains(text, "ENDED") {
		t.Errorf("one that began under that name counts as ended:\n%s", text)
	}
}
