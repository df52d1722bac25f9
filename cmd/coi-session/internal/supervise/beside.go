package supervise

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/beneath"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/mask"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/protect"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/save"
	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/run"
)

// autosaveEvery bounds what a crash of the host costs of a conversation.
const autosaveEvery = time.Minute

// Bounds of the pause between two looks for new secrets. It is fifty times what
// a look takes, so that a large workspace is not read all the time.
const (
	maskSoon  = time.Second
	maskLate  = time.Minute
	maskShare = 50
)

// beside runs what goes on while the session lives, until cease.
type beside struct {
	stop context.CancelFunc
	wg   sync.WaitGroup
}

func (s *Supervisor) goBeside(ctx context.Context) {
	if s.beside != nil {
		return
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.beside = &beside{stop: stop}
	r := s.file.Get()
	s.beside.wg.Go(func() { s.keepGuards(ctx) })
	if len(r.Plan.Secrets) > 0 {
		s.beside.wg.Go(func() { s.watchMasks(ctx) })
	}
	if r.Plan.Watched {
		s.beside.wg.Go(func() { s.followMonitor(ctx) })
	}
	if r.Plan.Saves && len(r.Plan.Save) > 0 {
		s.beside.wg.Go(func() { s.autosave(ctx) })
	}
}

// cease ends what runs beside and waits for it, so that nothing changes the
// container or the save while the session is brought to its end.
func (s *Supervisor) cease() {
	if s.beside != nil {
		s.beside.stop()
		s.beside.wg.Wait()
	}
}

// pause waits; false says that the session is ending.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// autosave saves the conversation whenever it has changed.
func (s *Supervisor) autosave(ctx context.Context) {
	last := ""
	for pause(ctx, autosaveEvery) {
		r := s.file.Get()
		if s.frozen() {
			continue // reading the files of a frozen container would hang
		}
		tree, err := s.door.Files(ctx, r.Container)
		if err != nil {
			continue
		}
		mark, err := save.Mark(tree, r.Plan.HomeDir, r.Plan.Save)
		_ = tree.Close()
		if err != nil || mark == last {
			continue
		}
		if _, err := s.save(ctx, r.Container); err != nil {
			s.Log.Error("save", "%s", err.Error())
			continue
		}
		last = mark
	}
}

func (s *Supervisor) frozen() bool {
	r := s.file.Get()
	var st run.WatchStatus
	if run.Read(s.Home.Run(r.Container+run.WatchStatusFile), &st) == nil && st.Frozen != nil {
		return true
	}
	inst, err := s.door.Instance(context.Background(), r.Container)
	return err != nil || inst.Status != "Running"
}

// watchMasks hides secrets that appear while the session runs.
func (s *Supervisor) watchMasks(ctx context.Context) {
	r := s.file.Get()
	set, err := mask.New(r.Plan.Secrets)
	if err != nil {
		return // refused when the configuration was read
	}
	root, err := beneath.Open(r.Workspace)
	if err != nil {
		s.Log.Error("security", "secrets: %s", err.Error())
		return
	}
	defer func() { _ = root.Close() }()
	for {
		begin := time.Now()
		fresh, err := set.Scan(root, r.Plan.Inside, protect.MaxEntries)
		if err != nil {
			s.Log.Error("security", "looking for secrets: %s", err.Error())
		}
		if len(fresh) > 0 {
			s.cover(ctx, fresh)
		}
		wait := min(max(maskShare*time.Since(begin), maskSoon), maskLate)
		if !pause(ctx, wait) {
			return
		}
	}
}

// cover plugs masks into the running container. What cannot be hidden freezes
// the container.
func (s *Supervisor) cover(ctx context.Context, fresh []mask.Cover) {
	var err error
	for range 3 { // somebody else may change the container at the same time
		if err = s.plug(ctx, fresh); err == nil || ctx.Err() != nil {
			return
		}
	}
	r := s.file.Get()
	s.Log.Error("security", "secrets cannot be hidden, the container is frozen: %s", err.Error())
	if err := s.door.Freeze(ctx, r.Container); err != nil {
		s.Log.Error("security", "freeze: %s", err.Error())
	}
	s.write(audit.Record{
		Type: audit.TypeFile, Level: coi.High, Category: audit.CategoryProtection, Title: "a secret cannot be hidden", Rule: "mask.failed",
		Action: audit.Paused, Path: r.Plan.Inside + "/" + fresh[0].Path, Description: "a file that security.secret_paths names appeared and stayed readable", Text: err.Error(),
	})
}

func (s *Supervisor) plug(ctx context.Context, fresh []mask.Cover) error {
	r := s.file.Get()
	inst, err := s.door.Instance(ctx, r.Container)
	if err != nil {
		return err
	}
	devices, added := maps.Clone(inst.Devices), []string{}
	for _, c := range fresh {
		name, dev := plugged(c, r.Plan.Inside, s.Home.Path("masks"))
		if devices[name] != nil {
			continue
		}
		devices[name] = dev
		added = append(added, c.Path)
	}
	if len(added) == 0 {
		return nil
	}
	if err := s.door.Update(ctx, inst, inst.Config, devices); err != nil {
		return err
	}
	for _, p := range added {
		s.Log.Info("security", "%s appeared and is hidden", p)
	}
	return nil
}

// plugged is the device of a mask for a running container. It has shift,
// whatever the workspace has: without it a disk is mounted by liblxc, which
// first removes the file at its place, and that is the user's secret on the
// host. Where the kernel cannot shift, Incus refuses and the container is frozen.
func plugged(c mask.Cover, inside, masks string) (name string, dev map[string]string) {
	name, dev = c.Device(inside, masks)
	dev["shift"] = "true"
	return name, dev
}

// write appends records to the audit trail.
func (s *Supervisor) write(recs ...audit.Record) {
	r := s.file.Get()
	a, err := audit.Open(s.Home, r.Container, audit.Options{Source: audit.SourceSession, SessionID: r.SessionID})
	if err == nil {
		_, err = a.Append(recs...)
		_ = a.Close()
	}
	if err != nil {
		s.Log.Error("security", "audit: %s", err.Error())
	}
}
