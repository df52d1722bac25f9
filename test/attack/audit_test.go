//go:build attack

package attack

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/test/internal/trail"
)

const trailName = "coi-1a2b3c4d-1"

func buildWriter(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "auditwriter")
	cmd := exec.Command("go", "build", "-o", bin, "github.com/code-on-incus/coi/test/internal/auditwriter")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	return bin
}

// T-A-03 R-MON-17: two writers are killed 1,000 times, by SIGKILL at a random
// moment or by the kernel in the middle of a write at a random byte. Every
// record that was acknowledged is there and the chain holds.
func TestAuditTrailSurvivesKills(t *testing.T) {
	bin := buildWriter(t)
	dir := filepath.Join(t.TempDir(), "coi")
	const kills = 1000
	var mu sync.Mutex
	acked := map[string]bool{}
	cuts := 0
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(w), 42))
			for i := range kills / 2 {
				cut := 0
				if i%2 == 1 {
					cut = 1 + rnd.IntN(3000)
				}
				ids, err := writeAndDie(bin, dir, cut, time.Duration(rnd.IntN(12_000))*time.Microsecond)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for _, id := range ids {
					acked[id] = true
				}
				if cut > 0 {
					cuts++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	h := home.Home{Dir: dir, UID: os.Geteuid()}
	// The last writer may have left a torn line; the next one puts it aside.
	a, err := audit.Open(h, trailName, audit.Options{Source: audit.SourceWatch, Journal: "-"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Append(audit.Record{Type: audit.TypeAudit, Category: audit.CategoryLifecycle, Title: "end", Rule: "life.end"}); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	records := trail.Check(t, dir)
	ids, torn := recorded(t, h)
	missing := 0
	for id := range acked {
		if !ids[id] {
			missing++
		}
	}
	t.Logf("%d kills (%d in a write), %d records, %d acknowledged, %d torn lines, %d lost", kills, cuts, records, len(acked), torn, missing)
	if missing > 0 {
		t.Errorf("%d acknowledged records are missing", missing)
	}
	if torn > kills || torn == 0 {
		t.Errorf("%d torn lines after %d kills; want some and at most one each", torn, kills)
	}
	if len(acked) < kills {
		t.Errorf("only %d records were acknowledged; the writers hardly wrote", len(acked))
	}
}

// writeAndDie runs a writer, kills it some time after its first record, and
// returns the ids it saw acknowledged.
func writeAndDie(bin, dir string, cut int, after time.Duration) ([]string, error) {
	cmd := exec.Command(bin, dir, trailName, "300000", strconv.Itoa(cut))
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	in := bufio.NewReader(out)
	first, err := in.ReadString('\n')
	if err == nil {
		timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
		if cut > 0 {
			// It dies by itself, unless the other writer has begun a new part.
			timer.Reset(100 * time.Millisecond)
		}
	} else {
		_ = cmd.Process.Kill()
	}
	rest, rerr := io.ReadAll(in)
	_ = cmd.Wait()
	if rerr != nil {
		return nil, rerr
	}
	text := first + string(rest)
	text = text[:strings.LastIndexByte(text, '\n')+1]
	return strings.Fields(text), nil
}

func recorded(t *testing.T, h home.Home) (ids map[string]bool, torn int) {
	t.Helper()
	ids = map[string]bool{}
	files, err := audit.Files(h, trailName)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f.Path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(b) {
			r, err := audit.Decode(line)
			if err != nil {
				t.Fatalf("%s: %v", f.Name, err)
			}
			ids[r.ID] = true
			if r.Rule == "chain.torn" {
				torn++
			}
		}
	}
	return ids, torn
}

// onTmpfs mounts a small file system of its own on a new folder.
func onTmpfs(t *testing.T, size string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", dir, "tmpfs", 0, "size="+size+",mode=0700"); err != nil {
		t.Fatalf("mount a tmpfs (this test needs root): %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// T-A-04: a disk that is really full. Nobody waits, critical records find the
// space that was kept for them, the others come when there is room, what was
// lost is told.
func TestAuditDiskFull(t *testing.T) {
	disk := onTmpfs(t, "4m")
	h := home.Home{Dir: filepath.Join(disk, "coi"), UID: os.Geteuid()}
	a, err := audit.Open(h, trailName, audit.Options{Source: audit.SourceWatch, Journal: "-"})
	if err != nil {
		t.Fatal(err)
	}
	add := func(level coi.Level, title string) error {
		start := time.Now()
		_, err := a.Append(audit.Record{Type: audit.TypeExec, Level: level, Category: audit.CategoryExecution, Title: title, Rule: "exec.seen"})
		if took := time.Since(start); took > audit.MaxWait+300*time.Millisecond {
			t.Errorf("Append took %v", took)
		}
		return err
	}
	if err := add(coi.Info, "before"); err != nil {
		t.Fatal(err)
	}
	filler := filepath.Join(disk, "filler")
	fillDisk(t, filler)
	var full error
	for range 200 {
		if full = add(coi.Info, strings.Repeat("x", 100)); full != nil {
			break
		}
	}
	if !errors.Is(full, audit.ErrQueued) || !errors.Is(full, unix.ENOSPC) {
		t.Fatalf("the disk is not full: %v", full)
	}
	for range 1500 {
		_ = add(coi.Info, "kept or counted")
	}
	_ = add(coi.Critical, "important")
	waitFor(t, "the critical record", func() bool {
		b, err := os.ReadFile(h.Audit(trailName + ".jsonl"))
		return err == nil && bytes.Contains(b, []byte(`"title":"important"`))
	})
	if _, lost := a.Waiting(); lost == 0 && !bytes.Contains(read(t, h), []byte("chain.lost")) {
		t.Error("more records than memory holds, and none counted")
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the late records", func() bool { queued, lost := a.Waiting(); return queued+lost == 0 })
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	trail.Check(t, h.Dir)
	if !bytes.Contains(read(t, h), []byte(`"rule":"chain.lost"`)) {
		t.Error("no chain.lost record")
	}
}

func read(t *testing.T, h home.Home) []byte {
	t.Helper()
	b, err := os.ReadFile(h.Audit(trailName + ".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func fillDisk(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for _, size := range []int{64 << 10, 4 << 10, 1} {
		for {
			if _, err := f.Write(make([]byte, size)); err != nil {
				break
			}
		}
	}
}

// T-A-04: the file system becomes read-only and writable again.
func TestAuditReadOnly(t *testing.T) {
	disk := onTmpfs(t, "8m")
	h := home.Home{Dir: filepath.Join(disk, "coi"), UID: os.Geteuid()}
	a, err := audit.Open(h, trailName, audit.Options{Source: audit.SourceWatch, Journal: "-"})
	if err != nil {
		t.Fatal(err)
	}
	rec := audit.Record{Type: audit.TypeExec, Level: coi.High, Category: audit.CategoryExecution, Title: "x", Rule: "exec.seen"}
	if _, err := a.Append(rec); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", disk, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if a, err = audit.Open(h, trailName, audit.Options{Source: audit.SourceWatch, Journal: "-"}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Append(rec); !errors.Is(err, audit.ErrQueued) || !errors.Is(err, unix.EROFS) {
		t.Errorf("Append = %v; want %v", err, unix.EROFS)
	}
	if err := unix.Mount("none", disk, "", unix.MS_REMOUNT, ""); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the late record", func() bool { queued, _ := a.Waiting(); return queued == 0 })
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if n := trail.Check(t, h.Dir); n != 3 {
		t.Errorf("%d records; want 3", n)
	}
}

// T-A-04: a stopped process holds the lock. The response is as fast as ever.
func TestAuditLockHeldByStoppedProcess(t *testing.T) {
	h := home.Home{Dir: filepath.Join(t.TempDir(), "coi"), UID: os.Geteuid()}
	a, err := audit.Open(h, trailName, audit.Options{Source: audit.SourceWatch, Journal: "-"})
	if err != nil {
		t.Fatal(err)
	}
	rec := audit.Record{Type: audit.TypeExec, Level: coi.Critical, Category: audit.CategoryExecution, Title: "x", Rule: "exec.seen"}
	if _, err := a.Append(rec); err != nil {
		t.Fatal(err)
	}
	holder := exec.Command("flock", "--no-fork", h.Audit(trailName+".jsonl.lock"), "sh", "-c", "echo held; exec sleep 60")
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = holder.Process.Kill(); _ = holder.Wait() })
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if err := holder.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		start := time.Now()
		_, err := a.Append(rec)
		took := time.Since(start)
		if !errors.Is(err, audit.ErrQueued) || took > audit.MaxWait+100*time.Millisecond {
			t.Errorf("Append %d = %v after %v", i, err, took)
		}
		if i > 0 && took > 20*time.Millisecond {
			t.Errorf("Append %d took %v though the trouble was known", i, took)
		}
	}
	_ = holder.Process.Kill()
	waitFor(t, "the late records", func() bool { queued, _ := a.Waiting(); return queued == 0 })
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if n := trail.Check(t, h.Dir); n != 22 {
		t.Errorf("%d records; want 22", n)
	}
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	end := time.Now().Add(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(end) {
			t.Fatalf("%s did not come", what)
		}
		<-tick.C
	}
}
