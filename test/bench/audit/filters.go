package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// start measures how long the programs take to do nothing.
func (b *bench) start() error {
	rounds := b.rounds
	b.rounds = 20
	defer func() { b.rounds = rounds }()
	jq, err := b.time(false, "jq", "-n", "1")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(b.dir, "logs", container+".stdout.log"), []byte("x\n"), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(b.dir, "audit", container+".jsonl"), []byte("{}\n"), 0o600); err != nil {
		return err
	}
	for _, p := range []string{"coi-audit", "coi-logs"} {
		c, err := b.time(false, p, container)
		if err != nil {
			return err
		}
		b.row("start "+p, c.wall.Round(100*time.Microsecond).String(), "1.5 x jq", c.wall <= jq.wall*3/2, "jq -n 1: "+jq.wall.Round(100*time.Microsecond).String())
		if p == "coi-logs" {
			b.row("start "+p, c.wall.Round(100*time.Microsecond).String(), "< 10ms", c.wall < 10*time.Millisecond, "")
		}
	}
	return nil
}

// filters measures printing on a large trail, and compares with rg and jq.
func (b *bench) filters() error {
	path, err := generate(filepath.Join(b.dir, "audit"), b.size)
	if err != nil {
		return err
	}
	sample, err := generate(b.dir, b.sample)
	if err != nil {
		return err
	}
	// Once, so that the page cache is warm for all.
	if _, err := b.once(false, "cat", path); err != nil {
		return err
	}
	for _, f := range []struct {
		name    string
		args    []string
		rg      []string
		jq      string
		atLeast float64 // MB/s
		timesJQ float64
	}{
		{"--level high", []string{"--level", "high"}, []string{`"level":"high"`, `"level":"critical"`}, `select(.level == "high" or .level == "critical")`, 1000, 25},
		{"--category network", []string{"--category", "network"}, []string{`"category":"network"`}, `select(.category == "network")`, 1000, 25},
		{"--rule 'block.*'", []string{"--rule", "block.*"}, nil, `select(.rule | startswith("block."))`, 0, 0},
		{"--where on two fields", []string{"--where", `port == 5432 && pid > 20000`}, nil, `select(.port == 5432 and .pid > 20000)`, 300, 15},
	} {
		if err := b.filter(f.name, f.args, f.rg, f.jq, f.atLeast, f.timesJQ, path, sample); err != nil {
			return err
		}
	}
	return b.wholes(path)
}

func (b *bench) filter(name string, args, rg []string, jq string, atLeast, timesJQ float64, path, sample string) error {
	ours, err := b.time(false, "coi-audit", append([]string{container}, args...)...)
	if err != nil {
		return err
	}
	got := rate(b.size, ours.spent())
	b.row(name, fmt.Sprintf("%.0f MB/s", got), fmt.Sprintf(">= %.0f", atLeast), got >= atLeast, fmt.Sprintf("wall %v, cpu %v", ours.wall.Round(time.Millisecond), ours.cpu.Round(time.Millisecond)))
	b.row(name+", memory", fmt.Sprintf("%d MiB", ours.rss/1024), "< 20", ours.rss < 20*1024, "")
	if len(rg) > 0 {
		rgArgs := []string{"-j1", "-N", "--no-mmap", "-F"}
		for _, p := range rg {
			rgArgs = append(rgArgs, "-e", p)
		}
		theirs, err := b.time(false, "rg", append(rgArgs, path)...)
		if err != nil {
			return err
		}
		mapped, err := b.time(false, "rg", append(append([]string{"-j1", "-N", "-F"}, rgArgs[4:]...), path)...)
		if err != nil {
			return err
		}
		best := min(theirs.spent(), mapped.spent())
		b.row(name+" / rg -F", fmt.Sprintf("%.2f", ours.spent().Seconds()/best.Seconds()), "<= 2", ours.spent() <= 2*best, fmt.Sprintf("rg %v", best.Round(time.Millisecond)))
	}
	return b.compare(name, args, jq, timesJQ, rate(b.size, ours.spent()), sample)
}

// compare runs jq on the sample: the answers must be the same bytes.
func (b *bench) compare(name string, args []string, jq string, timesJQ, ours float64, sample string) error {
	theirs, err := b.once(true, "jq", "-c", jq, sample)
	if err != nil {
		return err
	}
	mine, err := b.once(true, "coi-audit", append([]string{"--file", sample}, args...)...)
	if err != nil {
		return err
	}
	same := bytes.Equal(mine.out, theirs.out) && len(mine.out) > 0
	if !same {
		b.wrong++
	}
	b.row(name+", answer", fmt.Sprintf("%d lines", bytes.Count(mine.out, []byte("\n"))), "as jq", same, "")
	ratio := ours / rate(b.sample, theirs.spent())
	b.row(name+" / jq", fmt.Sprintf("%.0f x", ratio), fmt.Sprintf(">= %.0f", timesJQ), ratio >= timesJQ, "")
	return nil
}

// wholes are the runs that end soon or read everything.
func (b *bench) wholes(path string) error {
	for _, f := range []struct {
		name    string
		args    []string
		atLeast float64
		atMost  time.Duration
	}{
		{"--since 1h", []string{container, "--since", "1h", "--level", "critical"}, 0, 50 * time.Millisecond},
		{"-n 20", []string{container, "-n", "20"}, 0, 20 * time.Millisecond},
		{"--table to a pipe", []string{container, "--table"}, 150, 0},
		{"verify", []string{"verify", container}, 800, 0},
		{"all lines", []string{container}, 0, 0},
	} {
		c, err := b.time(false, "coi-audit", f.args...)
		if err != nil {
			return err
		}
		if f.atMost > 0 {
			b.row(f.name, c.wall.Round(100*time.Microsecond).String(), "< "+f.atMost.String(), c.spent() < f.atMost, "")
			continue
		}
		got := rate(b.size, c.spent())
		b.row(f.name, fmt.Sprintf("%.0f MB/s", got), fmt.Sprintf(">= %.0f", f.atLeast), got >= f.atLeast, fmt.Sprintf("wall %v, cpu %v", c.wall.Round(time.Millisecond), c.cpu.Round(time.Millisecond)))
		b.row(f.name+", memory", fmt.Sprintf("%d MiB", c.rss/1024), "< 20", c.rss < 20*1024, "")
		if f.name == "verify" {
			peer := b.hashing()
			b.row("verify / SHA-256 of the records", fmt.Sprintf("%.2f", got/peer), "", true, fmt.Sprintf("the hashes alone: %.0f MB/s on this machine", peer))
		}
	}
	return os.Remove(path)
}

// hashing is the rate in MB/s at which one core hashes records of the trail's
// length: what verify cannot be faster than.
func (b *bench) hashing() float64 {
	line := make([]byte, 400)
	best := time.Hour
	for range b.rounds {
		before := ownCPU()
		for range 64 << 20 / len(line) {
			line[0] = sha256.Sum256(line)[0]
		}
		best = min(best, ownCPU()-before)
	}
	return rate(64<<20, best)
}

// ownCPU is the processor's time this program has used.
func ownCPU() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
