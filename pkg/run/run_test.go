package run

import (
	"context"
	"encoding/json"
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
