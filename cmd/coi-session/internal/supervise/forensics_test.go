package supervise

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/record"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/study"
	"github.com/code-on-incus/coi/pkg/run"
)

// killedByMonitor plays a session that the monitor kills, and gives its end.
func killedByMonitor(t *testing.T, door *fakeDoor, wanted bool) Report {
	t.Helper()
	rec := running(record.Run, false)
	rec.Plan.Forensics = wanted
	s := play(t, door, rec, true)
	s.until(OpReady)
	now := time.Now().UTC()
	if err := run.Write(s.home.Run(container+run.WatchStatusFile), run.WatchStatus{SchemaVersion: run.Schema, Container: container, FrozenTitle: "x", FrozenLevel: "critical", Killed: &run.Mark{Event: "01", At: now}}); err != nil {
		t.Fatal(err)
	}
	if err := door.init.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	done := s.until(OpDone)
	s.finish()
	return done
}

// Watch §14: with forensics_on_kill a stopped copy that can do nothing is kept of
// a container that the monitor killed, the newest three of a name.
func TestForensics(t *testing.T) {
	door := newDoor(t, map[string]string{"user.coi.version": "1", "user.coi.identity": "a", "user.coi.persistent": "false", "limits.cpu": "2", "boot.autostart": "true"})
	door.inst.Devices["root"] = incus.Device{"type": "disk", "path": "/", "pool": "default"}
	door.inst.Devices["eth0"] = incus.Device{"type": "nic", "nictype": "routed"}
	for _, n := range []string{"-forensics-100", "-forensics-99", "-forensics-101", "-forensics-mine"} {
		door.copies[container+n] = &incus.Instance{Name: container + n}
	}
	done := killedByMonitor(t, door, true)
	if done.Outcome != "deleted" || done.Reason != "monitor" {
		t.Fatalf("done = %+v", done)
	}
	calls := door.seen()
	if c, d := slices.Index(calls, "copy"), slices.Index(calls, "delete"); c < 0 || d < c {
		t.Errorf("calls = %q; want a copy before the container goes", calls)
	}
	var names []string
	var kept *incus.Instance
	for n, i := range door.copies {
		names = append(names, strings.TrimPrefix(n, container))
		if len(i.Config) > 0 {
			kept = i
		}
	}
	slices.Sort(names)
	if kept == nil || len(names) != 4 || !slices.Contains(names, "-forensics-mine") || !slices.Contains(names, "-forensics-101") || !slices.Contains(names, "-forensics-100") {
		t.Fatalf("copies = %q; want the new one, 101 and 100, and what is not a copy of coi", names)
	}
	if fmt.Sprint(kept.Devices) != "map[root:map[path:/ pool:default type:disk]]" {
		t.Errorf("devices of the copy = %v; want its disk", kept.Devices)
	}
	if kept.Config["limits.cpu"] != "2" || kept.Config["boot.autostart"] != "false" || kept.Config["user.copy-of"] != container {
		t.Errorf("the copy is %v", kept.Config)
	}
	for k := range kept.Config {
		if strings.HasPrefix(k, "user.coi.") {
			t.Errorf("the copy counts as a session: %s", k)
		}
	}
}

// Without the key nothing is copied; a copy that fails keeps the container.
func TestForensicsOffAndFailing(t *testing.T) {
	door := newDoor(t, map[string]string{})
	if done := killedByMonitor(t, door, false); done.Outcome != "deleted" || slices.Contains(door.seen(), "copy") {
		t.Errorf("done = %+v after %q; want no copy", done, door.seen())
	}
	door = newDoor(t, map[string]string{})
	door.createErr = errors.New("the pool is full")
	done := killedByMonitor(t, door, true)
	if done.Outcome != "kept" || !strings.Contains(done.Text, "the pool is full") || slices.Contains(door.seen(), "delete") {
		t.Errorf("done = %+v after %q; want the container kept", done, door.seen())
	}
}

// Watch §14: copies for study go with the age at which the audit trail of a gone
// container goes, at the end of any session; those of somebody else stay.
func TestForensicsExpire(t *testing.T) {
	door := newDoor(t, map[string]string{})
	rec := running(record.Run, false)
	rec.Plan.KeepDays = 30
	s := play(t, door, rec, true)
	s.until(OpReady)
	old, young := time.Now().Add(-31*24*time.Hour).Unix(), time.Now().Add(-29*24*time.Hour).Unix()
	other := s.home
	other.Dir += "-other"
	put := func(name string, keys map[string]string, status string) {
		door.mu.Lock()
		defer door.mu.Unlock()
		door.copies[name] = &incus.Instance{Name: name, Config: keys, Status: status}
	}
	gone := fmt.Sprintf("coi-other-1%s%d", study.Mark, old)
	put(gone, study.Keys("coi-other-1", s.home), "Stopped")
	stay := []string{fmt.Sprintf("coi-other-1%s%d", study.Mark, young), fmt.Sprintf("coi-other-2%s%d", study.Mark, old), fmt.Sprintf("coi-other-3%s%d", study.Mark, old), fmt.Sprintf("coi-other-4%s%d", study.Mark, old), fmt.Sprintf("coi-other-5%s%d", study.Mark, old)}
	put(stay[0], study.Keys("coi-other-1", s.home), "Stopped")
	put(stay[1], study.Keys("coi-other-2", other), "Stopped")
	put(stay[2], map[string]string{"user.kind": "mine"}, "Stopped")
	put(stay[3], study.Keys("coi-other-4", s.home), "Running") // somebody looks into it
	put(stay[4], study.Keys("coi-other-5", s.home), "Stopped")
	door.mu.Lock()
	door.copies[stay[4]].Away = "node2" // of the same user and path, on another machine of the cluster
	door.mu.Unlock()
	if err := door.init.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s.until(OpDone)
	s.finish()
	door.mu.Lock()
	defer door.mu.Unlock()
	if door.copies[gone] != nil {
		t.Errorf("%s is still there", gone)
	}
	for _, n := range stay {
		if door.copies[n] == nil {
			t.Errorf("%s is gone; want it kept", n)
		}
	}
}
