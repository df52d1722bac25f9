//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/run"
	"github.com/code-on-incus/coi/test/internal/house"
)

// incusConfig is what Incus has in force for a container.
func incusConfig(t *testing.T, dir, container string) (config map[string]string, root map[string]string) {
	t.Helper()
	var facts struct {
		Config  map[string]string            `json:"config"`
		Devices map[string]map[string]string `json:"devices"`
	}
	r := must(t, dir, "container", "info", container)
	if err := json.Unmarshal([]byte(r.Stdout), &facts); err != nil {
		t.Fatalf("%s: %v", r, err)
	}
	return facts.Config, facts.Devices["root"]
}

// S62, S64, session §17: limits are in force in a new container,
// and in one that is used again the new ones are and the removed ones are not.
func TestLimits(t *testing.T) {
	configure(t, `[limits.cpu]
count = 1
[limits.memory]
limit = "512MiB"
enforce = "hard"
[limits.disk]
tmpfs_size = "32MiB"
[limits.runtime]
max_processes = 200
`)
	dir := workspace(t)
	c := shell(t, dir, "--persistent")
	got := asRoot(t, dir, c, "sh", "-c", "nproc; cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes; df -B1 --output=size,fstype /tmp | tail -1")
	if want := fmt.Sprintf("1 %d %d tmpfs", 512<<20, 32<<20); strings.Join(strings.Fields(got), " ") != want {
		t.Errorf("inside: %q; want %q", got, want)
	}
	config, _ := incusConfig(t, dir, c)
	if config["limits.processes"] != "200" {
		t.Errorf("limits.processes %q", config["limits.processes"])
	}
	must(t, dir, "shutdown", c)
	configure(t, "[limits.memory]\nlimit = \"600MiB\"\n[limits.disk]\nmax = \"50MB/s\"\n")
	if again := shell(t, dir, "--persistent"); again != c {
		t.Fatalf("the session is in %s; want %s", again, c)
	}
	config, root := incusConfig(t, dir, c)
	if config["limits.memory"] != "629145600B" || config["limits.cpu"] != "" || config["limits.processes"] != "" || root["size"] != "" || root["limits.max"] == "" {
		t.Errorf("after the change: config %v, root %v", config, root)
	}
}

// S63, config §5.7 accept: a size bounds the disk, and where the file system has
// lost count, as a busy btrfs does, nothing starts that believes in the bound.
func TestDiskLimit(t *testing.T) {
	configure(t, "[limits.disk]\nmax = \"3GiB\"\n")
	r := do(t, workspace(t), "run", "--", "sh", "-c", "echo started; dd if=/dev/zero of=$HOME/big bs=1M count=4096 status=none")
	full := strings.Contains(r.Stderr, "quota exceeded") || strings.Contains(r.Stderr, "No space left")
	switch started := strings.Contains(r.Stdout, "started"); {
	case started && (r.Code == 0 || !full):
		t.Errorf("%s\nwant 4 GiB not to fit into 3 GiB", r)
	case !started && (r.Code != 1 || !strings.Contains(r.Stderr, "btrfs quota rescan")):
		t.Errorf("%s\nwant a start, or to be told why there is no limit", r)
	}
	configure(t, "[limits.disk]\nmax = \"100MiB\"\n")
	if r := do(t, workspace(t), "run", "--", "true"); r.Code != 1 || !strings.Contains(r.Stderr, "limits.disk") {
		t.Errorf("%s\nwant a size below that of the image to be refused", r)
	}
}

// Session §17 accept, config §5.7: bad limits are all named and nothing is made;
// one that cannot be enforced is an error, and of a project a warning that list
// repeats.
func TestLimitsThatCannotBe(t *testing.T) {
	dir := workspace(t)
	configure(t, "[limits.cpu]\ncount = \"x\"\n[limits.memory]\nlimit = \"8Gb\"\n")
	r := do(t, dir, "run", "--", "true")
	if r.Code != 5 || !strings.Contains(r.Stderr, "limits.cpu.count") || !strings.Contains(r.Stderr, "limits.memory.limit") {
		t.Errorf("%s\nwant exit 5 naming both", r)
	}
	gone(t, time.Second, coi.Hash8(dir)) // others of this run may be on their way out

	const pool = "coi-e2e-dir"
	if out, err := exec.Command("incus", "storage", "create", pool, "dir").CombinedOutput(); err != nil {
		t.Fatalf("incus storage create: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		err := house.Eventually(context.Background(), 30*time.Second, func() error {
			out, err := exec.Command("incus", "storage", "delete", pool).CombinedOutput()
			if err != nil {
				err = fmt.Errorf("%w: %s", err, out)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
	configure(t, "[container]\nstorage_pool = \""+pool+"\"\n[limits.disk]\nsize = \"20GiB\"\n")
	if r := do(t, dir, "run", "--", "true"); r.Code != 1 || !strings.Contains(r.Stderr, pool) || !strings.Contains(r.Stderr, "dir") {
		t.Errorf("%s\nwant exit 1 naming pool and driver", r)
	}
	configure(t, "[container]\nstorage_pool = \""+pool+"\"\n")
	give(t, dir, ".coi/config.toml", "[limits.disk]\nsize = \"20GiB\"\n")
	r = must(t, dir, "shell", "--background", "--debug")
	c := strings.TrimSpace(r.Stdout)
	if !strings.Contains(r.Stderr, "limits.disk.size cannot be enforced") {
		t.Errorf("%s\nwant a warning", r)
	}
	if r := must(t, dir, "list"); !strings.Contains(r.Stdout, "limits.disk.size cannot be enforced") {
		t.Errorf("%s\nwant list to repeat it", r)
	}
	discard(t, dir, c)
}

// S23, S57, session §17: a detached session is told twice that its
// time ends, then it is stopped, also when nobody but a new supervisor is left
// to do so, and list says why.
func TestTimeLimit(t *testing.T) {
	dir := workspace(t)
	give(t, dir, ".coi/config.toml", "[limits.runtime]\nmax_duration = \"1m30s\"\nwarn_before = \"80s\"\n")
	start := time.Now()
	c := shell(t, dir)
	logged := func(limit time.Duration, want string) {
		t.Helper()
		err := house.Eventually(t.Context(), limit, func() error {
			list(t, dir) // a command that uses Incus gives a session that lost its supervisor another one
			if r := do(t, dir, "logs", c); !regexp.MustCompile(want).MatchString(r.Stdout) {
				return fmt.Errorf("%s\nwant %q", r, want)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if s := list(t, dir).status(c); !strings.HasPrefix(s, "running (ends ") {
		t.Errorf("status = %q; want when it ends", s)
	}
	if got := asRoot(t, dir, c, "cat", "/run/coi/deadline"); len(got) < 20 {
		t.Errorf("/run/coi/deadline = %q", got)
	}
	logged(30*time.Second, "the session ends in 1m(20|1[0-9])s")
	var rec run.Session
	if err := run.Read(the.Home.Run(c+run.SessionFile), &rec); err != nil || rec.Supervisor == nil {
		t.Fatalf("the record of %s: %v, %+v", c, err, rec)
	}
	if err := unix.Kill(rec.Supervisor.PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	logged(60*time.Second, `the session ends in (1m0s|5\ds)`)
	err := house.Eventually(t.Context(), 2*time.Minute, func() error {
		if s := list(t, dir).status(c); s != "" {
			return fmt.Errorf("%s is still %s", c, s)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took < 85*time.Second || took > 150*time.Second {
		t.Errorf("ended after %s; want 1m30s", took)
	}
	l := list(t, dir)
	for _, e := range l.Ended {
		if e.Name == c && e.Reason == "max_duration" {
			return
		}
	}
	t.Errorf("recently ended: %+v; want %s, max_duration", l.Ended, c)
}
