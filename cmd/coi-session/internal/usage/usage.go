// Package usage reads what containers use from the host: control groups of
// either version, the host side of the network interface, and /proc. Nothing
// runs inside and Incus is not asked.
package usage

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Counters are the totals of one container at one moment.
type Counters struct {
	At                  time.Time
	CPU                 time.Duration // over all cores
	Memory, MemoryLimit uint64        // bytes, page cache that can go not counted; limit 0 is none
	Read, Written       uint64        // bytes to and from disks
	Received, Sent      uint64        // bytes, as the container sees them
	Processes           int
}

// Host is where the kernel's files are; tests put a directory of their own.
type Host struct{ Root string }

// group is the payload cgroup of a container; Incus puts the project in front
// of the name unless it is the default one.
func group(project, name string) string {
	if project != "" && project != "default" {
		name = project + "_" + name
	}
	return "lxc.payload." + name
}

// Container reads the totals of a running container. ok is false when its
// control group is gone.
func (h Host) Container(project, name, veth string) (c Counters, ok bool) {
	g := group(project, name)
	c.At = time.Now()
	if dir := h.path("sys/fs/cgroup", g); exists(filepath.Join(dir, "cpu.stat")) {
		ok = true
		h.unified(dir, &c)
	} else if dir := h.path("sys/fs/cgroup/cpuacct", g); exists(dir) {
		ok = true
		h.split(g, &c)
	}
	stats := h.path("sys/class/net", veth, "statistics")
	// What the host's end receives is what the container sends.
	c.Sent, c.Received = number(stats, "rx_bytes"), number(stats, "tx_bytes")
	return c, ok
}

func (h Host) path(parts ...string) string {
	return filepath.Join(append([]string{"/", h.Root}, parts...)...)
}

func (h Host) unified(dir string, c *Counters) {
	c.CPU = time.Duration(field(dir, "cpu.stat", "usage_usec")) * time.Microsecond
	c.Memory = less(number(dir, "memory.current"), field(dir, "memory.stat", "inactive_file"))
	c.MemoryLimit = number(dir, "memory.max")
	c.Processes = int(number(dir, "pids.current")) //nolint:gosec // far below the limit of an int
	for line := range bytes.Lines(read(dir, "io.stat")) {
		for f := range strings.FieldsSeq(string(line)) {
			switch k, v, _ := strings.Cut(f, "="); k {
			case "rbytes":
				c.Read += parse(v)
			case "wbytes":
				c.Written += parse(v)
			}
		}
	}
}

// split reads the controllers of version 1, one hierarchy each.
func (h Host) split(g string, c *Counters) {
	at := func(controller string) string { return h.path("sys/fs/cgroup", controller, g) }
	c.CPU = time.Duration(number(at("cpuacct"), "cpuacct.usage")) //nolint:gosec // nanoseconds of 292 years fit
	c.Memory = less(number(at("memory"), "memory.usage_in_bytes"), field(at("memory"), "memory.stat", "total_inactive_file"))
	if limit := number(at("memory"), "memory.limit_in_bytes"); limit < 1<<60 { // the kernel's word for none is above
		c.MemoryLimit = limit
	}
	c.Processes = int(number(at("pids"), "pids.current")) //nolint:gosec // far below the limit of an int
	for line := range bytes.Lines(read(at("blkio"), "blkio.throttle.io_service_bytes_recursive")) {
		f := strings.Fields(string(line))
		if len(f) == 3 && f[1] == "Read" {
			c.Read += parse(f[2])
		} else if len(f) == 3 && f[1] == "Write" {
			c.Written += parse(f[2])
		}
	}
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

// cap of one file of the kernel; none that is read here comes near it.
const maxFile = 128 << 10

func read(dir, name string) []byte {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil
	}
	return b
}

func parse(s string) uint64 {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 64)
	if err != nil {
		return 0 // "max" and what the kernel may say tomorrow
	}
	return n
}

func number(dir, name string) uint64 { return parse(string(read(dir, name))) }

func field(dir, name, key string) uint64 {
	s := bufio.NewScanner(bytes.NewReader(read(dir, name)))
	for s.Scan() {
		if k, v, ok := strings.Cut(s.Text(), " "); ok && k == key {
			return parse(v)
		}
	}
	return 0
}

func less(a, b uint64) uint64 {
	if b > a {
		return 0
	}
	return a - b
}
