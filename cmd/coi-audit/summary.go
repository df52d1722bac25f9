package main

import (
	"bytes"
	"errors"
	"io"
	"time"

	"github.com/google/renameio/v2"

	"github.com/code-on-incus/coi/cmd/coi-audit/internal/scan"
	"github.com/code-on-incus/coi/cmd/coi-audit/internal/summary"
	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
)

func (a *auditCmd) summarise(c *cli.Context, h home.Home) error {
	filter, err := a.filter(time.Now(), a.File != "")
	if err != nil {
		return err
	}
	trails, err := a.open(c, h)
	if err != nil {
		return err
	}
	defer scan.Close(trails[0].inputs)
	name := a.name
	if a.File != "" {
		name = a.File
	}
	s, bad := summary.New(name), &scan.Bad{}
	src, _, err := a.source(trails, filter, bad)
	if err != nil {
		return err
	}
	for {
		line, err := src.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		s.Add(line)
	}
	s.Finish()
	if err := a.chain(h, s); err != nil {
		return err
	}
	if err := a.output(c, s); err != nil {
		return err
	}
	a.report(c, bad)
	if s.Chain == "broken" {
		return cli.Exit(coi.ExitFailed)
	}
	return nil
}

// chain puts the state of the chain into the summary. A foreign file has none.
func (a *auditCmd) chain(h home.Home, s *summary.Summary) error {
	if a.File != "" {
		s.Chain, s.ChainDetail = "ok", "(a file outside of the trails: no chain expected)"
		return nil
	}
	rep, err := audit.Verify(h, a.name, nil)
	if err != nil && !home.Missing(err) {
		return cli.Fail(coi.ExitFailed, "verify: %w", err)
	}
	if rep.Fault != nil {
		s.Chain, s.ChainDetail = "broken", broken(rep.Fault)
	} else {
		s.ChainDetail = describe(rep, false)
	}
	return nil
}

func (a *auditCmd) output(c *cli.Context, s *summary.Summary) error {
	if a.HTML != "" {
		var b bytes.Buffer
		if err := s.HTML(&b); err != nil {
			return err
		}
		if a.HTML == "-" {
			_, err := c.Stdout.Write(b.Bytes())
			return err
		}
		// The page tells what happened in a container: for the user alone.
		if err := renameio.WriteFile(a.HTML, b.Bytes(), home.FileMode); err != nil {
			return cli.Fail(coi.ExitFailed, "write the page: %w", err)
		}
		c.Note("wrote " + a.HTML)
		return nil
	}
	if a.JSON {
		return c.PrintJSON(s)
	}
	return s.Text(c.Stdout, c.Width())
}
