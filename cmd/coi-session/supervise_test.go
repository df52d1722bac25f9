package main

import (
	"errors"
	"os"
	"testing"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/record"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// A supervisor waits for a lock that somebody has who only looks or cleans up,
// and does not for the lock of another supervisor.
func TestTakeOver(t *testing.T) {
	h := home.Home{Dir: t.TempDir(), Prefix: "coi-"}
	if err := os.MkdirAll(h.Run(), 0o700); err != nil {
		t.Fatal(err)
	}
	const name = "coi-12345678-1"
	rec := record.Record{Session: run.Session{Container: name, Phase: run.Running, Supervisor: &run.Process{PID: os.Getpid(), StartTime: 1}}}
	if err := rec.Write(h); err != nil {
		t.Fatal(err)
	}
	held, err := home.TryLock(record.LockPath(h, name))
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	go func() {
		l, err := takeOver(t.Context(), h, name)
		l.Unlock()
		got <- err
	}()
	held.Unlock()
	if err := <-got; err != nil {
		t.Errorf("takeOver of a lock that is let go: %v", err)
	}
	if held, err = home.TryLock(record.LockPath(h, name)); err != nil {
		t.Fatal(err)
	}
	defer held.Unlock()
	rec.Supervisor.StartTime = run.StartTime(os.Getpid())
	if err := rec.Write(h); err != nil {
		t.Fatal(err)
	}
	if _, err := takeOver(t.Context(), h, name); !errors.Is(err, home.ErrLocked) {
		t.Errorf("takeOver beside a living supervisor = %v", err)
	}
}
