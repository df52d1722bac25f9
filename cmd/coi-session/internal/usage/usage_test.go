package usage

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func tree(t *testing.T, files map[string]string) Host {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Host{Root: root}
}

func TestUnified(t *testing.T) {
	g := "sys/fs/cgroup/lxc.payload.work_c/"
	h := tree(t, map[string]string{
		g + "cpu.stat": "usage_usec 1500000\nuser_usec 1\n", g + "memory.current": "1000\n", g + "memory.stat": "anon 1\ninactive_file 300\n",
		g + "memory.max": "max\n", g + "pids.current": "7\n", g + "io.stat": "8:0 rbytes=10 wbytes=20 rios=1\n8:16 rbytes=1 wbytes=2\n",
		"sys/class/net/v/statistics/rx_bytes": "5\n", "sys/class/net/v/statistics/tx_bytes": "6\n",
	})
	c, ok := h.Container("work", "c", "v")
	c.At = time.Time{}
	want := Counters{CPU: 1500 * time.Millisecond, Memory: 700, Read: 11, Written: 22, Sent: 5, Received: 6, Processes: 7}
	if !ok || c != want {
		t.Errorf("Container = %+v, %v; want %+v", c, ok, want)
	}
}

func TestSplit(t *testing.T) {
	g := "/lxc.payload.c/"
	h := tree(t, map[string]string{
		"sys/fs/cgroup/cpuacct" + g + "cpuacct.usage": "2000000000\n", "sys/fs/cgroup/memory" + g + "memory.usage_in_bytes": "900\n",
		"sys/fs/cgroup/memory" + g + "memory.stat": "total_inactive_file 100\n", "sys/fs/cgroup/memory" + g + "memory.limit_in_bytes": "9223372036854771712\n",
		"sys/fs/cgroup/pids" + g + "pids.current":                               "3\n",
		"sys/fs/cgroup/blkio" + g + "blkio.throttle.io_service_bytes_recursive": "8:0 Read 4\n8:0 Write 5\nTotal 9\n",
	})
	c, ok := h.Container("default", "c", "none")
	c.At = time.Time{}
	want := Counters{CPU: 2 * time.Second, Memory: 800, Read: 4, Written: 5, Processes: 3}
	if !ok || c != want {
		t.Errorf("Container = %+v, %v; want %+v", c, ok, want)
	}
	if _, ok := h.Container("default", "gone", "none"); ok {
		t.Error("a container without a control group was read")
	}
}

// R-MON-14: names with parentheses and newlines do not confuse the reader.
func TestProcesses(t *testing.T) {
	h := tree(t, map[string]string{
		"proc/12/cgroup": "5:pids:/lxc.payload.c/user.slice\n0::/x\n", "proc/12/cmdline": "ev\x1b[31mil\x00-x\x00",
		"proc/12/stat":   "12 (a) b\n (c) S 1 1 1 0 -1 0 0 0 0 0 30 20 0 0 20 0 1 0 777 1000 3 0 0",
		"proc/12/status": "Name:\ta\nUid:\t1000000\t0\t0\t0\n",
		"proc/13/cgroup": "5:pids:/lxc.payload.cc\n", "proc/13/stat": "13 (x) S", "proc/14/cgroup": "0::/lxc.payload.c\n",
	})
	got := h.Processes("default", "c")
	if len(got) != 1 {
		t.Fatalf("Processes = %+v", got)
	}
	want := Process{PID: 12, UID: 1000000, Start: 777, CPU: 500 * time.Millisecond, Memory: 3 * uint64(os.Getpagesize()), Command: "ev\x1b[31mil -x"} //nolint:gosec // positive
	if got[0] != want {
		t.Errorf("process = %+v; want %+v", got[0], want)
	}
}
