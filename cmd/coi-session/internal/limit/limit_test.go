package limit

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/code-on-incus/coi/pkg/cli"
)

// S62, S63, S64, config §5.7: each key becomes the Incus key it is applied as.
func TestParse(t *testing.T) {
	r, err := Parse(Limits{
		CPUCount: "0-3", CPUAllowance: "25ms/100ms", CPUPriority: 5, Memory: "8GiB", Swap: "false", DiskMax: "20GiB",
		DiskRead: "50MB/s", DiskWrite: "500iops", DiskPriority: 3, Tmpfs: "2GiB", MaxProcesses: 4000,
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{
		"limits.cpu": "0-3", "limits.cpu.allowance": "25ms/100ms", "limits.cpu.priority": "5", "limits.memory": "8589934592B",
		"limits.memory.enforce": "soft", "limits.memory.swap": "false", "limits.processes": "4000", "limits.disk.priority": "3",
	}, r.Config); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"size": "21474836480B", "limits.read": "50000000B", "limits.write": "500iops"}, r.Root); diff != "" {
		t.Error(diff)
	}
	if r.Tmpfs != 2<<30 {
		t.Errorf("Tmpfs = %d", r.Tmpfs)
	}
	if r, err := Parse(Limits{DiskMax: "50MB/s", Memory: "50%", MemoryEnforce: "hard", Swap: "1.5GiB", DiskSize: ""}); err != nil || r.Root["limits.max"] != "50000000B" || r.Root["size"] != "" ||
		r.Config["limits.memory"] != "50%" || r.Config["limits.memory.enforce"] != "hard" || r.Config["limits.memory.swap"] != "1610612736B" {
		t.Errorf("a rate in disk.max: %+v, %v", r, err)
	}
	if r, err := Parse(Limits{Swap: "true"}); err != nil || len(r.Config)+len(r.Root) != 0 {
		t.Errorf("defaults set %+v, %v", r, err)
	}
	if r, err := Parse(Limits{DiskMax: "20GiB", DiskSize: "20480MiB"}); err != nil || r.Root["size"] != "21474836480B" {
		t.Errorf("the same size twice: %+v, %v", r, err)
	}
}

func TestParseNamesEveryBadField(t *testing.T) {
	_, err := Parse(Limits{
		CPUCount: "x", CPUAllowance: "200%", CPUPriority: 11, Memory: "8Gb", MemoryEnforce: "firm", Swap: "maybe", DiskSize: "20",
		DiskMax: "fast", DiskRead: "50MB", DiskWrite: "0iops", DiskPriority: -1, Tmpfs: "2G", MaxProcesses: 2_000_000,
	})
	var e *cli.Error
	if !errors.As(err, &e) || e.Code != 5 {
		t.Fatalf("Parse = %v; want exit 5", err)
	}
	all := strings.Join(append(e.Lines, e.Text), "\n")
	for _, key := range []string{
		"cpu.count", "cpu.allowance", "cpu.priority", "memory.limit", "memory.enforce", "memory.swap", "disk.size", "disk.max",
		"disk.read", "disk.write", "disk.priority", "disk.tmpfs_size", "runtime.max_processes",
	} {
		if !strings.Contains(all, "limits."+key+":") {
			t.Errorf("%s is not named in\n%s", key, all)
		}
	}
	if len(e.Hints) != 1 || !strings.Contains(e.Hints[0], "20GiB") {
		t.Errorf("hints = %q", e.Hints)
	}
	for name, l := range map[string]Limits{
		"two sizes": {DiskSize: "10GiB", DiskMax: "20GiB"}, "rate and read": {DiskMax: "50MB/s", DiskRead: "1MB/s"}, "falling range": {CPUCount: "3-1"}, "zero": {CPUCount: "0"},
	} {
		if _, err := Parse(l); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func full() Host {
	return Host{CPUs: 4, SwapControl: true, Pool: "p", Driver: "btrfs", Controllers: map[string]bool{"cpu": true, "cpuset": true, "memory": true, "pids": true, "io": true}}
}

func TestCheck(t *testing.T) {
	all := Limits{CPUCount: "2", Memory: "1GiB", Swap: "false", DiskMax: "20GiB", DiskRead: "1MB/s", MaxProcesses: 10}
	for name, tt := range map[string]struct {
		with func(*Host, *Limits)
		want string
	}{
		"fits":       {func(*Host, *Limits) {}, ""},
		"cpus":       {func(_ *Host, l *Limits) { l.CPUCount = "8" }, "has 4 CPUs"},
		"cpu set":    {func(_ *Host, l *Limits) { l.CPUCount = "0,4" }, "has 4 CPUs"},
		"no quota":   {func(h *Host, _ *Limits) { h.Driver = "dir" }, "driver dir"},
		"no rates":   {func(h *Host, _ *Limits) { h.Driver = "zfs" }, "driver zfs"},
		"no pids":    {func(h *Host, _ *Limits) { delete(h.Controllers, "pids") }, "controller pids"},
		"no swap":    {func(h *Host, _ *Limits) { h.SwapControl = false }, "swap"},
		"small":      {func(h *Host, _ *Limits) { h.ImageBytes = 30 << 30 }, "32212254720"},
		"small used": {func(h *Host, _ *Limits) { h.UsedBytes = 30 << 30 }, "container holds"},
	} {
		h, l := full(), all
		tt.with(&h, &l)
		r, err := Parse(l)
		if err != nil {
			t.Fatal(err)
		}
		warnings, err := r.Check(h)
		var e *cli.Error
		if tt.want == "" && (err != nil || len(warnings) != 0) || tt.want != "" && (!errors.As(err, &e) || e.Code != 1 || !strings.Contains(e.Text, tt.want)) {
			t.Errorf("%s: Check = %q, %v; want %q", name, warnings, err, tt.want)
		}
	}
}

// What only a project asks for is a warning, and nothing pretends to limit.
func TestCheckProjectLimit(t *testing.T) {
	h := full()
	h.Driver = "dir"
	r, err := Parse(Limits{DiskMax: "20GiB", Memory: "1GiB", Trusted: func(key string) bool { return key != "disk.max" }})
	if err != nil {
		t.Fatal(err)
	}
	warnings, err := r.Check(h)
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "disk.max") || r.Root["size"] != "" || r.Config["limits.memory"] == "" {
		t.Errorf("Check = %q, %v; root %v", warnings, err, r.Root)
	}
}

func TestProbe(t *testing.T) {
	if h := Probe(); h.CPUs < 1 || !h.Controllers["memory"] {
		t.Errorf("Probe = %+v", h)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"cgroups": "#subsys_name hierarchy num_cgroups enabled\ncpu 1 1 1\nblkio 2 1 1\npids 0 1 1\nmemory 3 1 0\n",
		"swaps":   "Filename Type Size\n/dev/x partition 1\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h := probe(dir, dir)
	if !h.Controllers["cpu"] || !h.Controllers["io"] || h.Controllers["pids"] || h.Controllers["memory"] || h.SwapControl {
		t.Errorf("probe of a v1 host = %+v", h)
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup.controllers"), []byte("cpu memory\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if h := probe(dir, dir); !h.Controllers["memory"] || h.Controllers["io"] || !h.SwapControl {
		t.Errorf("probe of a v2 host = %+v", h)
	}
}

// R-OWN-02.
func FuzzParse(f *testing.F) {
	f.Add("0-3", "8GiB", "50MB/s")
	f.Fuzz(func(t *testing.T, cpu, size, rate string) {
		r, err := Parse(Limits{CPUCount: cpu, Memory: size, DiskMax: rate, Tmpfs: size})
		if err == nil && (r.Tmpfs < 0 || strings.ContainsAny(r.Config["limits.cpu"], " \n")) {
			t.Fatalf("Parse(%q, %q, %q) = %+v", cpu, size, rate, r)
		}
		if err == nil {
			_, _ = r.Check(full())
		}
	})
}

// A btrfs that lost count enforces nothing: a size is refused, and a project's
// is left out with a warning; a rate is another matter.
func TestBtrfsThatLostCount(t *testing.T) {
	sys := t.TempDir()
	dir := filepath.Join(sys, "1234", "qgroups")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{"0\n": "", "1\n": "1234"} {
		if err := os.WriteFile(filepath.Join(dir, "inconsistent"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := lostCount(sys); got != want {
			t.Errorf("lostCount with %q = %q; want %q", text, got, want)
		}
	}
	host := Host{CPUs: 1, Driver: "btrfs", Pool: "p", LostCount: "1234", Controllers: map[string]bool{"io": true}}
	for _, c := range []struct {
		max     string
		trusted bool
		bad     bool
		warned  int
	}{{"3GiB", true, true, 0}, {"3GiB", false, false, 1}, {"50MB/s", true, false, 0}} {
		r, err := Parse(Limits{DiskMax: c.max, Trusted: func(string) bool { return c.trusted }})
		if err != nil {
			t.Fatal(err)
		}
		warnings, err := r.Check(host)
		if (err != nil) != c.bad || len(warnings) != c.warned || c.warned > 0 && r.Root["size"] != "" {
			t.Errorf("%s, trusted %v: %v, %v, root %v", c.max, c.trusted, warnings, err, r.Root)
		}
	}
}
