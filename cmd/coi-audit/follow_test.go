package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/home"
)

// T-A-05: a follower that starts before the trail sees every record once and in
// order, through many rotations, and ends with exit 0.
func TestFollowThroughRotations(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "coi")
	h := home.Home{Dir: dir, UID: os.Geteuid()}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r, w := io.Pipe()
	s := cli.Streams{Stdout: w, Stderr: io.Discard, Getenv: func(k string) string {
		return map[string]string{"HOME": filepath.Dir(dir), "COI_HOME": dir}[k]
	}}
	code := make(chan int, 1)
	go func() {
		code <- cli.Run(ctx, []string{"coi-audit", "coi-1a2b3c4d-1", "-f"}, s, command())
		_ = w.Close()
	}()
	lines := make(chan string, 1000)
	go func() {
		defer close(lines)
		for in := bufio.NewScanner(r); in.Scan(); {
			lines <- in.Text()
		}
	}()
	a, err := audit.Open(h, "coi-1a2b3c4d-1", audit.Options{Source: audit.SourceWatch, Journal: "-", MaxSize: 20_000})
	if err != nil {
		t.Fatal(err)
	}
	const n = 2000
	go func() {
		for i := range n {
			_, err := a.Append(audit.Record{Type: audit.TypeExec, Category: audit.CategoryExecution, Title: fmt.Sprint(i), Rule: "exec.seen"})
			if err != nil && !errors.Is(err, audit.ErrQueued) {
				t.Error(err)
			}
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}()
	timeout := time.After(60 * time.Second)
	parts, seen := 0, 0
	for want := 1; seen < n; want++ {
		select {
		case line := <-lines:
			rec, err := audit.Decode([]byte(line))
			if err != nil || rec.Seq != want {
				t.Fatalf("record %d, %v; want %d", rec.Seq, err, want)
			}
			switch rec.Rule {
			case "chain.part":
				parts++
			case "exec.seen":
				seen++
			}
		case <-timeout:
			t.Fatalf("%d records came; want %d", seen, n)
		}
	}
	if parts < 10 {
		t.Errorf("only %d rotations", parts)
	}
	cancel()
	if c := <-code; c != 0 {
		t.Errorf("exit code %d after Ctrl+C; want 0", c)
	}
}
