package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/redact"
)

// redaction measures how fast texts are searched for secrets, and, with a
// corpus, how many of its command lines are changed though nothing in them is secret.
func (b *bench) redaction() error {
	h := home.Home{Dir: b.dir, UID: os.Geteuid()}
	if _, err := h.Ensure(h.Run()); err != nil {
		return err
	}
	r, err := redact.New(h)
	if err != nil {
		return err
	}
	r = r.Values([]string{"one-secret-value", "another-secret", "third secret here"})
	text := strings.Repeat("git -C /workspace/src commit -m 'fix the parser' --author=Bob && curl https://host.example/path?x=1 | tar -xz; ", 1000)
	best := time.Hour
	for range 20 * b.rounds {
		start := time.Now()
		if r.Text(text) != text {
			return fmt.Errorf("an ordinary text was changed")
		}
		best = min(best, time.Since(start))
	}
	speed := float64(len(text)) / best.Seconds() / 1e6
	b.row("redaction", fmt.Sprintf("%.0f MB/s", speed), ">= 100 MB/s", speed >= 100, "")
	if b.corpus == "" {
		return nil
	}
	changed, all, err := changes(r, b.corpus)
	if err != nil {
		return err
	}
	share := float64(changed) / float64(max(all, 1))
	b.row("redaction, lines of the corpus", fmt.Sprintf("%.2f %%", 100*share), "< 0.5 %", share < 0.005, fmt.Sprintf("%d of %d changed", changed, all))
	return nil
}

func changes(r *redact.Redactor, path string) (changed, all int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = f.Close() }()
	in := bufio.NewScanner(f)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var line struct{ Cmd string }
		if err := json.Unmarshal(in.Bytes(), &line); err != nil {
			return 0, 0, fmt.Errorf("%s: %w", path, err)
		}
		all++
		if r.Text(line.Cmd) != line.Cmd {
			changed++
		}
	}
	return changed, all, in.Err()
}
