package supervise

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/beneath"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/record"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/save"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/tool"
)

// MetaOf is the metadata of a session's save.
func MetaOf(r record.Record) save.Meta {
	return save.Meta{
		SessionID: r.SessionID, ContainerName: r.Container, Workspace: r.Workspace, Identity: r.Identity, Tool: r.Tool,
		ProfileName: r.Profile, Persistent: r.Persistent, Slot: r.Slot, Image: r.Image, ResumeID: r.Plan.ResumeID,
	}
}

// SessionsBase is paths.sessions_dir of a record's session.
func SessionsBase(r record.Record) string { return strings.TrimSuffix(r.Plan.SessionsDir, "-"+r.Tool) }

// started writes the metadata of a session that can be resumed, and begins what
// goes on beside it.
func (s *Supervisor) started(ctx context.Context) {
	r := s.file.Get()
	if r.Plan.Saves {
		if err := save.Begin(SessionsBase(r), MetaOf(r)); err != nil {
			s.Log.Error("save", "%s", err.Error())
		}
	}
	s.goBeside(ctx)
}

// save reads the saved paths out of the container's file system, running or
// stopped, and replaces the earlier save of this session.
func (s *Supervisor) save(ctx context.Context, container string) (save.Result, error) {
	s.saving.Lock()
	defer s.saving.Unlock()
	r := s.file.Get()
	o := save.Options{Sessions: SessionsBase(r), Meta: MetaOf(r), Paths: r.Plan.Save}
	row, err := tool.Find(r.Tool)
	if err == nil {
		o.Exclude = row.Credentials()
		o.ResumeID = func(saved *beneath.Root) string { return row.ResumeID(saved, r.Workspace, r.Plan.Inside) }
	}
	if len(o.Paths) > 0 {
		tree, err := s.door.Files(ctx, container)
		if err != nil {
			return save.Result{}, fmt.Errorf("read the container's files: %w", err)
		}
		defer func() { _ = tree.Close() }()
		// A container that no longer answers costs the save, not the end.
		defer context.AfterFunc(ctx, func() { _ = tree.Close() })()
		in, out := io.Pipe()
		go func() { _ = out.CloseWithError(save.Stream(tree, r.Plan.HomeDir, o.Paths, out)) }()
		defer func() { _ = in.Close() }()
		o.Stream = in
	}
	res, err := save.Save(o)
	for why, n := range res.Dropped {
		s.Log.Info("save", "%d entries not saved: %s", n, why)
	}
	return res, err
}
