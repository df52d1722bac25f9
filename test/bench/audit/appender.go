package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/logs"
)

func (b *bench) open(name string) (*audit.Appender, error) {
	return audit.Open(home.Home{Dir: b.dir, UID: os.Geteuid()}, name, audit.Options{Source: audit.SourceWatch, Journal: "-"})
}

func plainRecord(level coi.Level) audit.Record {
	r := sample(1, time.Now())
	return audit.Record{Type: r.Type, Level: level, Category: r.Category, Title: r.Title, Rule: r.Rule, PID: r.PID, UID: r.UID, Exe: r.Exe, Argv: r.Argv}
}

// appender measures one call, many records in a call, and calls with sync.
func (b *bench) appender() error {
	a, err := b.open("coi-append-1")
	if err != nil {
		return err
	}
	defer func() { _ = a.Close() }()
	r := plainRecord(coi.Info)
	var took []time.Duration
	for range 20_000 {
		start := time.Now()
		if _, err := a.Append(r); err != nil && !errors.Is(err, audit.ErrQueued) {
			return err
		}
		took = append(took, time.Since(start))
	}
	p50, p99 := quantile(took, 0.5), quantile(took, 0.99)
	b.row("append, p50", p50.String(), "< 60us", p50 < 60*time.Microsecond, "")
	b.row("append, p99", p99.String(), "< 2ms", p99 < 2*time.Millisecond, "")
	many := make([]audit.Record, 500)
	for i := range many {
		many[i] = r
	}
	start := time.Now()
	const calls = 100
	for range calls {
		if _, err := a.Append(many...); err != nil && !errors.Is(err, audit.ErrQueued) {
			return err
		}
	}
	per := float64(calls*len(many)) / time.Since(start).Seconds()
	b.row("append, 500 in a call", fmt.Sprintf("%.0f/s", per), ">= 50000/s", per >= 50_000, "")
	urgent := plainRecord(coi.High)
	start = time.Now()
	n := 0
	for ; time.Since(start) < 2*time.Second; n++ {
		if _, err := a.Append(urgent); err != nil && !errors.Is(err, audit.ErrQueued) {
			return err
		}
	}
	per = float64(n) / time.Since(start).Seconds()
	b.row("append with sync", fmt.Sprintf("%.0f/s", per), ">= 500/s", per >= 500, "")
	return nil
}

// follow measures from the write to the line that is printed.
func (b *bench) follow() error {
	a, err := b.open("coi-follow-1")
	if err != nil {
		return err
	}
	defer func() { _ = a.Close() }()
	r := plainRecord(coi.Info)
	if _, err := a.Append(r); err != nil {
		return err
	}
	err = b.latency("coi-audit", []string{"coi-follow-1", "-f"}, func(i int) (string, error) {
		r.Title = fmt.Sprintf("mark %d.", i)
		_, err := a.Append(r)
		return r.Title, err
	})
	if err != nil {
		return err
	}
	l, err := logs.Open(filepath.Join(b.dir, "logs"), "coi-follow-1", nil)
	if err != nil {
		return err
	}
	defer l.Close()
	l.Info(logs.Setup, "first")
	return b.latency("coi-logs", []string{"coi-follow-1", "-f", "-n", "1"}, func(i int) (string, error) {
		l.Info(logs.Setup, "mark %d.", i)
		return fmt.Sprintf("mark %d.", i), nil
	})
}

func (b *bench) latency(program string, args []string, write func(i int) (string, error)) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(b.bin, program), args...)
	cmd.Env = append(os.Environ(), "COI_HOME="+b.dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() { cancel(); _ = cmd.Wait() }()
	in := bufio.NewReaderSize(out, 1<<16)
	if _, err := in.ReadString('\n'); err != nil {
		return err
	}
	var took []time.Duration
	for i := range 300 {
		start := time.Now()
		mark, err := write(i)
		if err != nil {
			return err
		}
		if err := until(in, mark); err != nil {
			return err
		}
		took = append(took, time.Since(start))
	}
	p95, p99 := quantile(took, 0.95), quantile(took, 0.99)
	b.row(program+" -f, p95", p95.Round(10*time.Microsecond).String(), "<= 10ms", p95 <= 10*time.Millisecond, "")
	b.row(program+" -f, p99", p99.Round(10*time.Microsecond).String(), "< 50ms", p99 < 50*time.Millisecond, "")
	return nil
}

func until(in *bufio.Reader, mark string) error {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		if strings.Contains(line, mark) {
			return nil
		}
	}
}

// logs measures printing a large log.
func (b *bench) logs() error {
	var total int64
	for _, suffix := range []string{logs.StdoutSuffix, logs.StderrSuffix} {
		n, err := fillLog(filepath.Join(b.dir, "logs", "coi-large-1"+suffix), b.size/2)
		if err != nil {
			return err
		}
		total += n
	}
	c, err := b.time(false, "coi-logs", "coi-large-1")
	if err != nil {
		return err
	}
	got := rate(total, c.spent())
	b.row("coi-logs to a pipe", fmt.Sprintf("%.0f MB/s", got), ">= 500", got >= 500, fmt.Sprintf("wall %v, cpu %v", c.wall.Round(time.Millisecond), c.cpu.Round(time.Millisecond)))
	b.row("coi-logs, memory", fmt.Sprintf("%d MiB", c.rss/1024), "< 10", c.rss < 10*1024, "")
	return nil
}

func fillLog(path string, size int64) (written int64, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	at := time.Date(2026, 5, 22, 0, 0, 0, 0, time.Local)
	for i := 0; written < size; i++ {
		line := logs.Line(at.Add(time.Duration(i)*time.Second/50), logs.Network, "allowlist refresh: 12 addresses added, 3 expired, next in 30 minutes")
		n, err := w.Write(line)
		if err != nil {
			return 0, err
		}
		written += int64(n)
	}
	if err := w.Flush(); err != nil {
		return 0, err
	}
	return written, f.Close()
}
