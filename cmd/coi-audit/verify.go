package main

import (
	"fmt"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-audit/internal/journal"
	"github.com/code-on-incus/coi/cmd/coi-audit/internal/summary"
	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
)

// verifyJSON is coi audit verify --json, schema_version 1.
type verifyJSON struct {
	SchemaVersion int  `json:"schema_version"`
	OK            bool `json:"ok"`
	audit.Report
}

func (a *auditCmd) verify(c *cli.Context, h home.Home) error {
	var anchors []audit.Anchor
	if a.Anchors {
		var err error
		if anchors, err = journal.Anchors(c, a.name, h.UID); err != nil {
			return cli.Fail(coi.ExitFailed, "read anchors: %w", err).Hint("anchors need journalctl and a journal you may read; verify without --anchors checks the chain alone")
		}
	}
	rep, err := audit.Verify(h, a.name, anchors)
	if home.Missing(err) {
		return noTrail(a.name)
	}
	if err != nil {
		return cli.Fail(coi.ExitFailed, "verify: %w", err)
	}
	if a.JSON {
		if err := c.PrintJSON(verifyJSON{1, rep.Fault == nil, rep}); err != nil {
			return err
		}
	} else if rep.Fault == nil {
		if _, err := fmt.Fprintf(c.Stdout, "ok %s\n", describe(rep, a.Anchors)); err != nil {
			return err
		}
	}
	if rep.Fault != nil {
		e := cli.Fail(coi.ExitFailed, "verify: %s", broken(rep.Fault))
		e.Quiet = a.JSON
		return e
	}
	return nil
}

func broken(f *audit.Fault) string {
	return fmt.Sprintf("%s:%d: byte %d: %s: %s", f.File, f.Line, f.Byte, f.Kind, f.Detail)
}

// describe says what was verified: 2,481 records, 3 parts, 1 … 2481, head matches.
func describe(r audit.Report, anchors bool) string {
	words := []string{summary.Thousands(r.Records) + " records", fmt.Sprintf("%d parts", r.Parts), fmt.Sprintf("%d … %d", r.First, r.Last), "head " + r.Head}
	if r.Records == 1 {
		words[0] = "1 record"
	}
	if r.Parts == 1 {
		words[1] = "1 part"
	}
	if r.PrunedBy > 0 {
		words = append(words, fmt.Sprintf("starts at %d, pruned with record %d", r.First, r.PrunedBy))
	}
	if anchors {
		words = append(words, fmt.Sprintf("%d anchors match", r.Anchors))
		if r.Earlier > 0 {
			words = append(words, fmt.Sprintf("%d older anchors are of an earlier trail of this name", r.Earlier))
		}
	}
	return strings.Join(words, ", ")
}
