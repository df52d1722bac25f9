package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// cost of one run of a program.
type cost struct {
	wall, cpu time.Duration
	rss       int64 // KiB
	out       []byte
}

// spent is what counts: the processor's time where others compete for it, the
// wall clock where the program waited for its own second core.
func (c cost) spent() time.Duration { return min(c.wall, c.cpu) }

// time runs a program and gives the best of all rounds. Output is thrown away
// unless keep is set.
func (b *bench) time(keep bool, name string, args ...string) (cost, error) {
	best := cost{wall: time.Hour, cpu: time.Hour}
	for range b.rounds {
		c, err := b.once(keep, name, args...)
		if err != nil {
			return c, err
		}
		c.rss = max(c.rss, best.rss)
		if c.wall > best.wall {
			c.wall = best.wall
		}
		if c.cpu > best.cpu {
			c.cpu = best.cpu
		}
		best = c
	}
	return best, nil
}

func (b *bench) once(keep bool, name string, args ...string) (cost, error) {
	path := name
	if own := filepath.Join(b.bin, name); exists(own) {
		path = own
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "COI_HOME="+b.dir, "COI_CONTAINER=", "TZ=UTC")
	cmd.Dir = b.dir
	r, w, err := os.Pipe()
	if err != nil {
		return cost{}, err
	}
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = w, &stderr
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return cost{}, fmt.Errorf("%s (the bench needs it): %w", name, err)
	}
	_ = w.Close()
	peak := watchMemory(cmd.Process.Pid)
	if keep {
		_, err = io.Copy(&out, r)
	} else {
		_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, make([]byte, 1<<20))
	}
	rss := peak()
	werr := cmd.Wait()
	wall := time.Since(start)
	_ = r.Close()
	if err != nil || werr != nil {
		return cost{}, fmt.Errorf("%v: %w %w: %s", cmd.Args, err, werr, stderr.String())
	}
	c := cost{wall: wall, cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), out: out.Bytes()}
	c.rss = rss
	return c, nil
}

// watchMemory reads the peak of a process's memory until it is told to stop.
// The figure of wait4 will not do: it holds the memory of the bench, which the
// process shared before its exec.
func watchMemory(pid int) (peak func() int64) {
	stop, result := make(chan struct{}), make(chan int64)
	go func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		var kib int64
		for {
			if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)); err == nil {
				if _, rest, ok := bytes.Cut(b, []byte("VmHWM:")); ok {
					var n int64
					if _, err := fmt.Sscan(string(rest[:min(len(rest), 40)]), &n); err == nil {
						kib = n
					}
				}
			}
			select {
			case <-stop:
				result <- kib
				return
			case <-tick.C:
			}
		}
	}()
	return func() int64 { close(stop); return <-result }
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func rate(bytes int64, d time.Duration) float64 { return float64(bytes) / d.Seconds() / 1e6 }

// quantile of durations, which it sorts.
func quantile(d []time.Duration, q float64) time.Duration {
	slices.Sort(d)
	return d[min(int(float64(len(d))*q), len(d)-1)]
}
