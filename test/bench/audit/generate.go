package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/coi"
)

const container = "coi-0a1b2c3d-1"

// generate writes a trail of about size bytes with records of about 400 bytes,
// half a percent of them high or critical, one each 100 ms up to now.
func generate(dir string, size int64) (path string, err error) {
	path = filepath.Join(dir, container+".jsonl")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return "", err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	const each = 400 // bytes a record, about
	start := time.Now().UTC().Add(-time.Duration(size/each) * 100 * time.Millisecond)
	hash := strings.Repeat("0", 64)
	var written int64
	var line []byte
	seq := 0
	for written < size {
		seq++
		r := sample(seq, start.Add(time.Duration(seq)*10*time.Millisecond))
		r.Prev = hash
		line = r.Encode(line[:0])
		sum := sha256.Sum256(line)
		hash = hex.EncodeToString(sum[:])
		n, err := w.Write(append(line, '\n'))
		if err != nil {
			return "", err
		}
		written += int64(n)
	}
	if err := w.Flush(); err != nil {
		return "", err
	}
	if err := f.Close(); err != nil {
		return "", err
	}
	head := fmt.Sprintf(`{"seq":%d,"hash":"%s","file":"%s.jsonl","size":%d}`+"\n", seq, hash, container, written)
	return path, os.WriteFile(filepath.Join(dir, container+".head"), []byte(head), 0o600)
}

var programs = []string{"/usr/bin/git", "/usr/bin/node", "/usr/bin/python3.12", "/usr/bin/curl", "/bin/bash"}

func sample(seq int, at time.Time) audit.Record {
	uid := 1000
	r := audit.Record{
		V: 1, Seq: seq, TS: at, Container: container, Source: audit.SourceWatch,
		Type: audit.TypeExec, Level: coi.Info, Category: audit.CategoryExecution, Title: "program run by the agent", Rule: "exec.seen",
		Action: audit.Logged, ID: audit.NewID(at), PID: 1000 + seq%30000, UID: &uid, Exe: programs[seq%len(programs)],
		Argv: []string{"git", "status", fmt.Sprint(seq)},
	}
	switch {
	case seq%400 == 0:
		r.Level, r.Title, r.Rule, r.Action = coi.High, "decoded text run as a program", "run.decode", audit.Paused
	case seq%1000 == 1:
		r.Level, r.Category, r.Title, r.Rule = coi.Critical, audit.CategoryShell, "shell connected to 198.51.100.7:4242", "shell.net-stdio"
		r.Action, r.Port, r.Peer = audit.Killed, 4242, "198.51.100.7"
	case seq%667 == 2:
		r.Level, r.Category, r.Rule, r.Type, r.Source = coi.High, audit.CategoryNetwork, "block.private", audit.TypeNet, audit.SourceGuard
		r.Action, r.Port, r.Peer, r.Proto = audit.Blocked, 5432, "10.0.0.5", "tcp"
	}
	return r
}
