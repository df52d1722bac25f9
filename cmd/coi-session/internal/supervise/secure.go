package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/guard"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/protect"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/record"
	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/coi"
)

// endCheckTime is how long the monitor may take for its part of the end check.
const endCheckTime = 10 * time.Second

// How long saving may take; a kill does not wait for more.
const (
	saveTime     = 5 * time.Minute
	killSaveTime = 10 * time.Second
)

// secure verifies the workspace and saves the conversation of a container whose
// processes are dead; stopped tells when Incus has finished stopping it. A save
// that fails is part of the report; the error is that of the stop, or says that
// Incus is gone.
func (s *Supervisor) secure(ctx context.Context, inst incus.Instance, kill bool, stopped func() error) (Report, error) {
	s.verify(ctx)
	safe := Report{Op: OpSafe}
	r := s.file.Get()
	if safe.Saved = r.Plan.Ending.Saved; !r.Plan.Saves || safe.Saved != "" {
		return safe, nil
	}
	if err := stopped(); err != nil {
		return safe, err // told as the reason why the container is kept
	}
	limit := saveTime
	if kill {
		limit = killSaveTime
	}
	ctx, stop := context.WithTimeout(ctx, limit)
	defer stop()
	res, err := s.save(ctx, inst.Name)
	if errors.Is(err, incus.ErrUnreachable) {
		return safe, err
	}
	if err != nil {
		safe.Outcome, safe.Text = failed, err.Error()
		s.Log.Error("save", "%s", err.Error())
		return safe, nil
	}
	safe.Saved = res.Meta.SessionID
	// Not to be saved again from a container that is half deleted.
	s.did(func(e *record.Ending) { e.Saved = safe.Saved })
	s.Log.Info("save", "conversation saved: %d files, %d bytes; end: %s", res.Files, res.Meta.SizeBytes, r.Plan.Ending.Reason)
	return safe, nil
}

// verify compares the workspace with what it was and tells what is not right.
// A verification that was cut short is made again as a whole.
func (s *Supervisor) verify(ctx context.Context) {
	r := s.file.Get()
	if r.Plan.Ending.Verified {
		return
	}
	s.elevated(ctx)
	files := FilesOf(s.Home, r.Plan.StorageDir, r.Container, r.SessionID)
	rep, err := protect.Check(protect.End{
		Baseline: files.Baseline, Copies: files.Copies, Quarantine: files.Quarantine,
		UID: r.Plan.OwnerUID, GID: r.Plan.OwnerGID, Writable: r.Plan.Writable,
	})
	if err != nil {
		s.tell("the workspace is not verified: " + err.Error())
		return
	}
	if rep.Owned > 0 {
		s.Log.Info("security", "%d files made by the container's root belong to you now", rep.Owned)
	}
	for _, f := range rep.Findings {
		s.tell(f.Title, hints(f)...)
	}
	for _, part := range rep.NotVerified {
		s.tell("not verified: " + part)
	}
	if rep.Quarantine != "" {
		s.tell("what was taken out of the workspace is in " + rep.Quarantine)
	}
	s.record(rep)
	s.cutShort(rep, files.Quarantine)
	s.did(func(e *record.Ending) { e.Verified = true })
}

func hints(f protect.Finding) []string {
	switch {
	case f.Hint == "":
		return nil
	case f.Item != nil:
		return []string{"to put it back: " + f.Hint}
	}
	return []string{f.Hint}
}

// tell warns the command that waits, and the session log.
func (s *Supervisor) tell(text string, hints ...string) {
	s.Log.Error("security", "%s", text)
	s.report(Report{Op: OpWarning, Text: text, Hints: hints})
}

// cutShort tells of what a check that was killed before it could report may have
// taken out of the workspace: this one finds it in order.
func (s *Supervisor) cutShort(rep *protect.Report, quarantine string) {
	if _, err := os.Lstat(quarantine); !s.goesOn || rep.Quarantine != "" || err != nil {
		return
	}
	s.tell("an end check was cut short; what this session took out of the workspace is in " + quarantine)
	s.write(audit.Record{
		Type: audit.TypeFile, Level: coi.Warning, Category: audit.CategoryProtection, Title: "end check made again", Rule: "endcheck.again",
		Action: audit.Logged, Path: quarantine, Description: "the first check was killed before it could report; the quarantine of the session has what it took",
	})
}

// elevated asks the monitor for what needs its rights: bits and owners of files
// that the user may not touch. Root needs no help.
func (s *Supervisor) elevated(ctx context.Context) {
	r := s.file.Get()
	if s.Home.UID == 0 || !r.Plan.Watched || !guard.Alive(s.Home, guard.Watcher) {
		return
	}
	ctx, stop := context.WithTimeout(ctx, endCheckTime)
	defer stop()
	if words, err := guard.OpenWatch(s.Home, r.Container).EndChecked(ctx); err != nil || words != "done" {
		if err != nil {
			words = err.Error()
		}
		s.tell("files of the container's root: " + words)
	}
}

// record writes the findings to the audit trail.
func (s *Supervisor) record(rep *protect.Report) {
	if rep.Clean() {
		return
	}
	var recs []audit.Record
	for _, f := range rep.Findings {
		rec := audit.Record{
			Type: audit.TypeFile, Level: f.Level, Category: audit.CategoryProtection, Title: f.Title, Rule: "endcheck.workspace",
			Action: audit.Alerted, Path: f.Path, Description: "seen when the container had stopped",
		}
		if f.Item != nil {
			rec.Action = audit.Blocked
			rec.Evidence = map[string]any{"from": f.Item.From, "quarantine": rep.Quarantine + "/" + f.Item.Path, "sha256": f.Item.SHA256, "reason": f.Item.Reason}
		}
		recs = append(recs, rec)
	}
	for _, part := range rep.NotVerified {
		recs = append(recs, audit.Record{
			Type: audit.TypeFile, Level: coi.Warning, Category: audit.CategoryProtection, Title: "workspace not verified", Rule: "endcheck.unverified",
			Action: audit.Logged, Text: part, Description: fmt.Sprintf("%d part(s) of the workspace could not be looked at", len(rep.NotVerified)),
		})
	}
	s.write(recs...)
}

// clear takes placeholders and baseline away once the container can no longer
// use the workspace.
func (s *Supervisor) clear() {
	r := s.file.Get()
	files := FilesOf(s.Home, r.Plan.StorageDir, r.Container, r.SessionID)
	left, err := files.Clear(s.Home, r.Container)
	if err != nil {
		s.Log.Error("security", "placeholders: %s", err.Error())
	}
	for _, p := range left {
		s.Log.Error("security", "placeholder kept, since it changed: %s", p)
	}
}
