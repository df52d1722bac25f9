package record

import (
	"os"
	"testing"
	"time"

	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// Records of long ago go, but not the one whose name a new session has taken
// meanwhile, and not its lock.
func TestPruneLeavesANewSession(t *testing.T) {
	h := home.Home{Dir: t.TempDir(), Prefix: "coi-"}
	if err := os.MkdirAll(h.Run(), 0o700); err != nil {
		t.Fatal(err)
	}
	const name = "coi-12345678-1"
	long := Record{Session: run.Session{Container: name, Phase: run.Ended, Ended: &run.End{At: time.Now().Add(-2 * KeepFor)}}}
	left := func() (record, lock bool) {
		_, err := os.Lstat(Path(h, name))
		_, lerr := os.Lstat(LockPath(h, name))
		return err == nil, lerr == nil
	}
	write := func(r Record) {
		t.Helper()
		if err := r.Write(h); err != nil {
			t.Fatal(err)
		}
	}
	write(long)
	lock, err := home.TryLock(LockPath(h, name))
	if err != nil {
		t.Fatal(err)
	}
	Prune(h, time.Now())
	if record, file := left(); !record || !file {
		t.Errorf("under the lock of a new session: record %v, lock %v", record, file)
	}
	lock.Unlock()
	write(Record{Session: run.Session{Container: name, Phase: run.Running}})
	prune(h, name, time.Now()) // as one that read the old record
	if record, file := left(); !record || !file {
		t.Errorf("of a new session: record %v, lock %v", record, file)
	}
	write(long)
	Prune(h, time.Now())
	if record, file := left(); record || file {
		t.Errorf("of long ago: record %v, lock %v", record, file)
	}
}
