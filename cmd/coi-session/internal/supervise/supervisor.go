package supervise

import (
	"context"
	"io"
	"os"
	"sync"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/record"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/logs"
	"github.com/code-on-incus/coi/pkg/run"
)

// Door is what a supervisor asks of Incus.
type Door interface {
	Instance(ctx context.Context, name string) (incus.Instance, error)
	State(ctx context.Context, name string) (incus.State, error)
	Update(ctx context.Context, i incus.Instance, config map[string]string, devices map[string]incus.Device) error
	Exec(ctx context.Context, name string, e incus.Exec) (int, error)
	Stop(ctx context.Context, name string, force bool, timeout time.Duration) error
	Freeze(ctx context.Context, name string) error
	Thaw(ctx context.Context, name string) error
	Delete(ctx context.Context, name string) error
	Create(ctx context.Context, r incus.Request) error
	Names(ctx context.Context, prefix string) ([]string, error)
	Settle(ctx context.Context, name string) error
	Snapshots(ctx context.Context, name string) ([]incus.Snapshot, error)
	Files(ctx context.Context, name string) (*incus.Files, error)
}

// Supervisor is the life of one session seen from behind.
type Supervisor struct {
	Home    home.Home
	Connect func(ctx context.Context, socket, project string) (Door, error)
	Orders  io.Reader // nil when it was started again without its command
	Reports io.Writer // nil likewise
	Log     *logs.Log

	file *record.File
	door Door
	init <-chan struct{} // closed when the container's init is gone
	// process is that init, nil until it is known.
	process *Process
	tool    chan toolEnd // how the tool in tmux ended

	watching bool // the end of the tmux session is being waited for
	goesOn   bool // with an end that another supervisor had begun
	saving   sync.Mutex
	beside   *beside
}

// Run supervises a container until its session has ended. The caller holds the
// lock of the container.
func (s *Supervisor) Run(ctx context.Context, container string) error {
	rec, err := record.Read(s.Home, container)
	if err != nil {
		return err
	}
	// The one that asked for a supervisor looked before it had the lock; the
	// session may have come to its end meanwhile, its container to be kept.
	if rec.Ended != nil {
		return nil
	}
	self := &run.Process{PID: os.Getpid(), StartTime: run.StartTime(os.Getpid())}
	s.file = record.Open(s.Home, rec)
	beat := func(r *record.Record) { self.HeartbeatAt = time.Now().UTC(); p := *self; r.Supervisor = &p }
	if err := s.file.Change(beat); err != nil {
		return err
	}
	s.tool = make(chan toolEnd, 1)
	s.report(Report{Op: OpReady})
	next := s.wait(ctx, beat)
	if next.abort {
		return s.undo(ctx)
	}
	return s.end(ctx, next)
}

// ending is why and how a session ends.
type ending struct {
	record.Ending
	abort bool
	lines string // of a tool that failed at once
}

func (s *Supervisor) report(r Report) {
	if s.Reports != nil {
		_ = send(s.Reports, r)
	}
}

// connect opens the door to Incus, trying again for as long as ctx lasts.
func (s *Supervisor) connect(ctx context.Context) error {
	p := s.file.Get()
	for {
		d, err := s.Connect(ctx, p.Plan.Socket, p.Project)
		if err == nil {
			s.door = d
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Second):
		}
	}
}

func dead(reason, detail string, status int) ending {
	return ending{Ending: record.Ending{End: run.End{Reason: reason, Detail: detail, Status: status}}}
}
