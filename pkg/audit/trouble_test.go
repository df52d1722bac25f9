package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
)

// sick is a disk that fails as it is told.
type sick struct {
	err  atomic.Pointer[error]
	part atomic.Int64 // bytes that still arrive
}

func (s *sick) push(fd int, b []byte) (int, error) {
	err := s.err.Load()
	if err == nil || *err == nil {
		return unix.Write(fd, b)
	}
	if n := s.part.Swap(0); n > 0 && int(n) < len(b) {
		return unix.Write(fd, b[:n])
	}
	return 0, *err
}

func (s *sick) set(err error) { s.err.Store(&err) }

// eventually waits for a condition that the worker brings about within its
// retry of a second.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	end := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(end) {
			t.Fatalf("%s did not happen", what)
		}
		<-tick.C
	}
}

// T-A-04: a disk that fails keeps nobody waiting; the records come later, with
// half-written ones cut back first.
func TestDiskFails(t *testing.T) {
	for _, errno := range []error{unix.EIO, unix.EROFS, unix.ENOSPC} {
		t.Run(errno.Error(), func(t *testing.T) {
			h := testHome(t)
			disk := &sick{}
			var reports atomic.Int64
			a := open(t, h, Options{Report: func(error) { reports.Add(1) }})
			a.store.push = disk.push
			mustAppend(t, a, finding(coi.Info, "before"))
			disk.set(errno)
			disk.part.Store(40)
			start := time.Now()
			got, err := a.Append(finding(coi.Warning, "during"))
			if took := time.Since(start); took > MaxWait+50*time.Millisecond {
				t.Errorf("Append took %v", took)
			}
			if !errors.Is(err, ErrQueued) || !errors.Is(err, errno) || got[0].Seq != 0 || !ValidID(got[0].ID) {
				t.Errorf("Append = %+v, %v; want a queued record with an id", got, err)
			}
			if a.Problem() == nil || reports.Load() != 1 {
				t.Errorf("Problem = %v after %d reports", a.Problem(), reports.Load())
			}
			if rep := verifyOK(t, h); rep.Records != 2 {
				t.Errorf("%d records; the half one must be gone", rep.Records)
			}
			disk.set(nil)
			eventually(t, "the late record", func() bool { queued, _ := a.Waiting(); return queued == 0 })
			if r := rules(t, h); len(r) != 3 || reports.Load() != 2 {
				t.Errorf("records %v after %d reports", r, reports.Load())
			}
			verifyOK(t, h)
		})
	}
}

// What memory cannot hold is counted, the least important first, and told of
// when the trail can be written again.
func TestQueueOverflows(t *testing.T) {
	h := testHome(t)
	disk := &sick{}
	a := open(t, h, Options{})
	a.store.push = disk.push
	mustAppend(t, a, finding(coi.Info, "before"))
	disk.set(unix.EIO)
	const more = 100
	for i := range MaxQueue + more - 10 {
		if _, err := a.Append(finding(coi.Info, fmt.Sprint(i))); !errors.Is(err, ErrQueued) {
			t.Fatalf("Append = %v", err)
		}
	}
	for range 10 {
		_, _ = a.Append(finding(coi.Critical, "important"))
	}
	if queued, lost := a.Waiting(); queued != MaxQueue || lost != more {
		t.Fatalf("Waiting = %d, %d; want %d, %d", queued, lost, MaxQueue, more)
	}
	disk.set(nil)
	eventually(t, "writing", func() bool { queued, lost := a.Waiting(); return queued+lost == 0 })
	verifyOK(t, h)
	important, lost := 0, 0.0
	for _, l := range lines(t, h) {
		r, _ := Decode(l)
		if r.Level == coi.Critical {
			important++
		}
		if r.Rule == "chain.lost" {
			lost += r.N.Value
		}
	}
	if important != 10 || lost != more {
		t.Errorf("%d critical records, %v told lost; want 10 and %d", important, lost, more)
	}
}

// T-A-04: somebody stopped holds the lock.
func TestLockHeld(t *testing.T) {
	h := testHome(t)
	fill(t, h, 1, Options{})
	lock, err := home.TryLock(h.Audit(testContainer + ".jsonl.lock"))
	if err != nil {
		t.Fatal(err)
	}
	a := open(t, h, Options{})
	for i := range 5 {
		start := time.Now()
		_, err := a.Append(finding(coi.Critical, "x"))
		if took := time.Since(start); !errors.Is(err, ErrQueued) || took > MaxWait+100*time.Millisecond {
			t.Errorf("Append %d = %v after %v", i, err, took)
		}
	}
	lock.Unlock()
	eventually(t, "writing", func() bool { queued, _ := a.Waiting(); return queued == 0 })
	if rep := verifyOK(t, h); rep.Records != 7 {
		t.Errorf("%d records; want 7", rep.Records)
	}
}

// On a full disk the reserve goes to high and critical records.
func TestReserve(t *testing.T) {
	h := testHome(t)
	disk := &sick{}
	a := open(t, h, Options{})
	a.store.push = func(fd int, b []byte) (int, error) {
		st, err := os.Stat(h.Audit(".reserve"))
		if err == nil && st.Size() > 0 {
			return 0, unix.ENOSPC
		}
		return disk.push(fd, b)
	}
	if _, err := a.Append(finding(coi.Info, "small")); !errors.Is(err, ErrQueued) {
		t.Errorf("an info record was written to a full disk: %v", err)
	}
	if st, err := os.Stat(h.Audit(".reserve")); err != nil || st.Size() == 0 {
		t.Errorf("the reserve went to an info record: %v", err)
	}
	_, _ = a.Append(finding(coi.Critical, "important"))
	eventually(t, "the important record", func() bool {
		b, err := os.ReadFile(h.Audit(testContainer + ".jsonl"))
		return err == nil && strings.Contains(string(b), "important")
	})
	verifyOK(t, h)
}

func TestCloseSaysWhatIsLost(t *testing.T) {
	h := testHome(t)
	disk := &sick{}
	a := open(t, h, Options{})
	a.store.push = disk.push
	disk.set(unix.EIO)
	_, _ = a.Append(finding(coi.High, "x"))
	if err := a.Close(); err == nil || !strings.Contains(err.Error(), "1 records were not written") {
		t.Errorf("Close = %v", err)
	}
	if _, err := a.Append(finding(coi.High, "x")); err == nil {
		t.Error("Append works after Close")
	}
}

func TestPrune(t *testing.T) {
	h := testHome(t)
	fill(t, h, 60, Options{MaxSize: 2000})
	parts, err := Parts(h, testContainer)
	if err != nil || len(parts) < 5 {
		t.Fatalf("Parts = %v, %v", parts, err)
	}
	old := time.Now().AddDate(0, 0, -10)
	for _, p := range parts[:3] {
		if err := os.Chtimes(p.Path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	a := open(t, h, Options{MaxSize: 2000})
	if names, err := a.Prune(30, 0); err != nil || len(names) != 0 {
		t.Fatalf("Prune(30 days) = %v, %v; want nothing", names, err)
	}
	names, err := a.Prune(7, 0)
	if err != nil || len(names) != 3 || names[0] != parts[0].Name {
		t.Fatalf("Prune(7 days) = %v, %v; want the first three parts", names, err)
	}
	rep := verifyOK(t, h)
	if rep.First != parts[3].First || rep.PrunedBy == 0 {
		t.Errorf("Verify = %+v; want a start at %d, told by a record", rep, parts[3].First)
	}
	if names, err = a.Prune(0, 1); err != nil || len(names) == 0 {
		t.Fatalf("Prune(1 byte) = %v, %v; want all parts", names, err)
	}
	verifyOK(t, h)
	// Positive control: parts that vanish untold are a fault.
	files, _ := Files(h, testContainer)
	if len(files) > 1 {
		if err := os.Remove(files[0].Path); err != nil {
			t.Fatal(err)
		}
	} else if err := os.Rename(files[0].Path, filepath.Join(t.TempDir(), "x")); err != nil {
		t.Fatal(err)
	}
	if rep, _ := Verify(h, testContainer, nil); rep.Fault == nil {
		t.Error("Verify does not miss a part")
	}
}

func TestPruneGone(t *testing.T) {
	h := testHome(t)
	fill(t, h, 3, Options{})
	now := time.Now()
	gone := func(string) bool { return false }
	if names, err := PruneGone(h, gone, 7, now); err != nil || len(names) != 0 {
		t.Errorf("PruneGone of a young trail = %v, %v", names, err)
	}
	later := now.AddDate(0, 0, 8)
	if names, err := PruneGone(h, func(string) bool { return true }, 7, later); err != nil || len(names) != 0 {
		t.Errorf("PruneGone of a living container = %v, %v", names, err)
	}
	if names, err := PruneGone(h, gone, 7, later); err != nil || len(names) != 1 {
		t.Errorf("PruneGone = %v, %v; want the trail", names, err)
	}
	if files, err := os.ReadDir(h.Audit()); err != nil || len(files) != 1 { // the reserve
		t.Errorf("left over: %v, %v", files, err)
	}
}
