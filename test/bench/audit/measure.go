package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
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
	if keep {
		_, err = io.Copy(&out, r)
	} else {
		_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, make([]byte, 1<<20))
	}
	werr := cmd.Wait()
	wall := time.Since(start)
	_ = r.Close()
	if err != nil || werr != nil {
		return cost{}, fmt.Errorf("%v: %w %w: %s", cmd.Args, err, werr, stderr.String())
	}
	c := cost{wall: wall, cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), out: out.Bytes()}
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		c.rss = u.Maxrss
	}
	return c, nil
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
