package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/record"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/supervise"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/logs"
	"github.com/code-on-incus/coi/pkg/run"
)

type superviseCmd struct {
	Container string `arg:"" help:"Container to stay with."`
	Inherit   bool   `hidden:"" help:"Descriptors 3 to 5 are the lock and two pipes."`
}

// superviseCommand is internal: coi-session starts itself with it.
func superviseCommand() cli.Command {
	return cli.Command{Verb: supervise.Verb, Summary: "stay with a container until its session has ended (internal)", Grammar: &superviseCmd{}}
}

// Run supervises. With inherited descriptors it has a lock and a command to
// talk to; without, it takes the lock itself and goes on from the record.
func (s *superviseCmd) Run(c *cli.Context) error {
	// A closed terminal or a Ctrl-C in it is nothing to a supervisor.
	signal.Ignore(unix.SIGHUP, unix.SIGINT, unix.SIGTERM, unix.SIGPIPE)
	h, err := c.Home()
	if err != nil {
		return err
	}
	sup := &supervise.Supervisor{Home: h, Connect: connectDoor}
	if s.Inherit {
		sup.Orders, sup.Reports = supervise.Inherited()
	} else {
		lock, err := takeOver(c, h, s.Container)
		if err != nil {
			return err
		}
		defer lock.Unlock()
	}
	rec, err := record.Read(h, s.Container)
	if err != nil {
		return err
	}
	log, err := logs.Open(rec.Plan.LogsDir, s.Container, nil)
	if err == nil {
		defer log.Close()
	}
	sup.Log = log
	return sup.Run(context.WithoutCancel(c), s.Container)
}

// takeOverTime is how long a lock is waited for that no supervisor holds: a
// command that cleans up or looks has it for a while.
const takeOverTime = 30 * time.Second

// takeOver takes the lock of a session that lost its supervisor. One that has
// another by now needs no second.
func takeOver(ctx context.Context, h home.Home, container string) (*home.Lock, error) {
	ctx, stop := context.WithTimeout(ctx, takeOverTime)
	defer stop()
	for {
		lock, err := home.TryLock(record.LockPath(h, container))
		if !errors.Is(err, home.ErrLocked) {
			return lock, err
		}
		r, rerr := record.Read(h, container)
		if rerr != nil {
			return nil, rerr
		}
		if r.Ended != nil || r.Supervisor != nil && run.StartTime(r.Supervisor.PID) == r.Supervisor.StartTime {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func connectDoor(ctx context.Context, socket, project string) (supervise.Door, error) {
	if socket == "" {
		socket = incus.SocketPath(os.Getenv)
	}
	return incus.Connect(ctx, socket, project)
}
