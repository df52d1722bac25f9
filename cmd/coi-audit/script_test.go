package main

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"coi-audit": main, "trail": func() {
		if err := makeTrail(os.Args[1:]); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, err)
			os.Exit(1) //nolint:forbidigo // this is the main of a helper program
		}
	}})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("COI_HOME", e.WorkDir+"/coi")
			e.Setenv("TZ", "UTC")
			return os.Mkdir(e.WorkDir+"/coi", 0o700)
		},
	})
}

// makeTrail is the command trail CONTAINER N [MAXSIZE]: the container's trail
// gets N records of a day in May, one a minute: every fifth is a blocked
// attempt with the record that names its process, every seventh critical.
func makeTrail(args []string) error {
	h, err := home.Find(os.Getenv)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	var size int64
	if len(args) > 2 {
		if size, err = strconv.ParseInt(args[2], 10, 64); err != nil {
			return err
		}
	}
	at := time.Date(2026, 5, 22, 10, 0, 0, 0, time.UTC)
	a, err := audit.Open(h, args[0], audit.Options{Source: audit.SourceWatch, Journal: "-", MaxSize: size, Now: func() time.Time { return at }})
	if err != nil {
		return err
	}
	for i := 1; i <= n; i++ {
		at = at.Add(time.Minute)
		recs, err := a.Append(sample(i))
		if err == nil && i%5 == 0 {
			_, err = a.Append(audit.Record{Type: audit.TypeNet, Category: audit.CategoryNetwork, Title: "who: psql", Rule: "net.who", Ref: []int{recs[0].Seq}, PID: 90, UID: new(1000), Exe: "/usr/bin/psql"})
		}
		if err != nil {
			return err
		}
	}
	return a.Close()
}

func sample(i int) audit.Record {
	switch {
	case i%5 == 0:
		return audit.Record{
			Source: audit.SourceGuard, Type: audit.TypeNet, Level: coi.Warning, Category: audit.CategoryNetwork, Title: "blocked: private address 10.0.0.5:5432",
			Rule: "block.private", Action: audit.Blocked, Count: 31, Proto: "tcp", Peer: "10.0.0.5", Port: 5432,
		}
	case i%7 == 0:
		return audit.Record{
			Type: audit.TypeProcess, Level: coi.Critical, Category: audit.CategoryShell, Title: "shell connected to 198.51.100.7:4242", Rule: "shell.net-stdio",
			Action: audit.Killed, PID: 100 + i, UID: new(0), Exe: "/tmp/x\x1b[31m", Argv: []string{"x", "-i", "\u202eevil"}, Peer: "198.51.100.7", Port: 4242,
			Chain: []audit.Parent{{PID: 1, Exe: "/usr/bin/node"}}, Evidence: map[string]any{"fds": []string{"0:socket"}},
		}
	}
	return audit.Record{Type: audit.TypeExec, Category: audit.CategoryExecution, Title: fmt.Sprintf("run %d", i), Rule: "exec.seen", PID: 100 + i, UID: new(1000), Exe: "/usr/bin/git", N: &audit.Numbers{Value: float64(i) * 1.5}}
}
