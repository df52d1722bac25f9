package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-update/internal/fetch"
	"github.com/code-on-incus/coi/cmd/coi-update/internal/install"
	"github.com/code-on-incus/coi/cmd/coi-update/internal/rules"
	"github.com/code-on-incus/coi/cmd/coi-update/internal/unpack"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/config"
	"github.com/code-on-incus/coi/pkg/home"
)

type patterns struct {
	DryRun   bool   `name:"dry-run" help:"Only say what would change."`
	Sigma    string `placeholder:"DIR" help:"Take the Sigma rules from this directory."`
	GTFOBins string `name:"gtfobins" placeholder:"DIR" help:"Take the GTFOBins entries from this directory."`
}

// set is one collection: where it comes from, where it goes.
type set struct {
	name, dir, source, place string
	endings                  []string
}

// Run stages each collection, checks every file, and swaps the directories. The
// monitor notices the change by itself.
func (p *patterns) Run(c *cli.Context) error {
	h, err := c.Home()
	if err != nil {
		return err
	}
	cfg, err := config.Load(config.Options{Home: h, Getenv: c.Getenv})
	if err != nil {
		return err
	}
	sets := []set{
		{"sigma", p.Sigma, cfg.Detection.SigmaSource, cfg.Detection.SigmaDir, []string{".yml", ".yaml"}},
		{"gtfobins", p.GTFOBins, cfg.Detection.GTFOBinsSource, cfg.Detection.GTFOBinsDir, []string{".md", ".yml", ".yaml"}},
	}
	one := p.Sigma != "" || p.GTFOBins != ""
	var problems []error
	for _, s := range sets {
		if one && s.dir == "" {
			continue
		}
		if err := p.update(c, h, s); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", s.name, err))
		}
	}
	if len(problems) == 0 {
		return nil
	}
	e := cli.Fail(coi.ExitFailed, "update patterns: %w", problems[0]).Hint("the installed rules are untouched; --sigma DIR and --gtfobins DIR take a local copy")
	for _, p := range problems[1:] {
		e.Lines = append(e.Lines, "update patterns: "+p.Error())
	}
	return e
}

func (p *patterns) update(c *cli.Context, h home.Home, s set) error {
	if _, err := h.Ensure(h.Dir); err != nil {
		return err
	}
	stage, err := os.MkdirTemp(filepath.Dir(s.place), "."+s.name+"-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(stage) }()
	from := s.dir
	if from == "" {
		if from, err = download(c, s, stage); err != nil {
			return err
		}
	}
	fresh := filepath.Join(stage, "rules")
	report, err := rules.Collect(from, fresh, s.endings)
	if err != nil {
		return err
	}
	changed := rules.Compare(s.place, fresh)
	for _, bad := range report.Bad {
		c.Warn("not taken: " + bad)
	}
	_, _ = fmt.Fprintf(c.Stdout, "%s: %d files, %d new, %d changed, %d removed, %d not taken\n",
		s.name, report.Files, len(changed.New), len(changed.Changed), len(changed.Removed), len(report.Bad))
	if p.DryRun {
		return nil
	}
	if report.Files == 0 {
		return errors.New("no rule file was found")
	}
	return install.Swap(fresh, s.place)
}

// download fetches URL#sha256=HEX: a collection is pinned by its hash, or it is
// not taken. R-OWN-05.
func download(c *cli.Context, s set, stage string) (string, error) {
	url, want, pinned := strings.Cut(s.source, "#sha256=")
	if s.source == "" {
		return "", fmt.Errorf("detection.%s_source is empty", s.name)
	}
	if !pinned || len(want) != 64 {
		return "", fmt.Errorf("detection.%s_source has no #sha256=… with the hash of the archive", s.name)
	}
	_, done := c.Step("downloading " + s.name)
	defer done()
	path := filepath.Join(stage, "archive.tar.gz")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, home.FileMode)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	sum := sha256.New()
	if err := fetch.Get(c, url, fetch.MaxArchive, io.MultiWriter(f, sum)); err != nil {
		return "", err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != strings.ToLower(want) {
		return "", fmt.Errorf("SHA-256 is %s, the source says %s", got, want)
	}
	out := filepath.Join(stage, "unpacked")
	if err := os.Mkdir(out, home.DirMode); err != nil {
		return "", err
	}
	return out, unpack.Tar(path, out, false)
}
