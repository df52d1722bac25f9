package run

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestWaitSeesGeneration(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c"+NetStatusFile)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	go func() { _ = Write(path, NetStatus{SchemaVersion: Schema, Generation: 2, State: NetEnforcing}) }()
	err := Wait(ctx, path, func(b []byte) bool {
		var s NetStatus
		return json.Unmarshal(b, &s) == nil && s.Generation >= 2
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Every kind of change is told of by the watch alone, without the look that is
// the net under it, and what happens to other files is not told of.
func TestChangesAreTold(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "c"+NetStatusFile)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c := watchFile(path)
	defer c.close()
	write := func(p string) func() error { return func() error { return Write(p, NetStatus{SchemaVersion: Schema}) } }
	again := func() error { return errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700)) }
	for i, change := range []func() error{write(path), write(path), write(path), func() error { return os.Remove(path) }, again, write(path), write(path)} {
		c.arm()
		c.tick.Stop()
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if err := c.next(ctx); err != nil {
			t.Fatalf("change %d was not told: %v", i, err)
		}
	}
	c.arm()
	for quiet := false; !quiet; { // a replacement is more than one event
		c.tick.Reset(50 * time.Millisecond)
		select {
		case <-c.events:
			c.arm()
		case <-c.tick.C:
			quiet = true
		}
	}
	c.tick.Stop()
	if err := write(filepath.Join(dir, "d"+NetStatusFile))(); err != nil {
		t.Fatal(err)
	}
	short, stop := context.WithTimeout(ctx, 100*time.Millisecond)
	defer stop()
	if err := c.next(short); err == nil {
		t.Error("the change of another file was told")
	}
}

func TestWaitEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := Wait(ctx, filepath.Join(t.TempDir(), "x"), func([]byte) bool { return false }); err == nil {
		t.Error("Wait returned without the file")
	}
}

func TestNames(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []string{"coi-1-1.net.json", "coi-1-1.net.status.json", "netguard.json", "a b.net.json", "..net.json"} {
		if err := os.WriteFile(filepath.Join(dir, n), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Names(dir, NetFile)
	if err != nil || len(got) != 1 || got[0] != "coi-1-1" {
		t.Errorf("Names = %v, %v; want [coi-1-1]", got, err)
	}
}

func TestAlive(t *testing.T) {
	d := Daemon{PID: os.Getpid(), StartTime: StartTime(os.Getpid()), HeartbeatAt: time.Now()}
	if !d.Alive(time.Now()) || d.Alive(time.Now().Add(StaleAfter)) {
		t.Error("Alive does not follow the heartbeat")
	}
	d.StartTime++
	if d.Alive(time.Now()) {
		t.Error("a reused pid counts as the daemon")
	}
}
