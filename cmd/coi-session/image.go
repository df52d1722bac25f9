package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/build"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/image"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/config"
	"github.com/code-on-incus/coi/pkg/home"
)

type imageCmd struct {
	cli.Globals
	List    imageListCmd    `cmd:"" help:"Show images."`
	Info    imageInfoCmd    `cmd:"" help:"Show one image: base, agents, when it was built."`
	Exists  imageExistsCmd  `cmd:"" help:"Exit 0 if there is such an image, else 1."`
	Publish imagePublishCmd `cmd:"" help:"Make an image of a stopped container."`
	Delete  imageDeleteCmd  `cmd:"" help:"Delete an image."`
	Cleanup imageCleanupCmd `cmd:"" help:"Delete old dated images, keep the newest."`
}

func imageCommand() cli.Command {
	return cli.Command{
		Verb: "image", Summary: "list, publish and prune images", Grammar: &imageCmd{},
		Examples: []string{"coi image list", "coi image cleanup coi-default- --keep 2"},
	}
}

// imageDoor connects to the Incus of the user's configuration.
func imageDoor(c *cli.Context) (home.Home, *config.Config, *incus.Client, error) {
	h, err := c.Home()
	if err != nil {
		return h, nil, nil, err
	}
	cfg, err := looseConfig(c, h, ".", "")
	if err != nil {
		return h, nil, nil, err
	}
	door, err := openDoor(c, cfg)
	return h, cfg, door, err
}

func noImage(alias string) error {
	return cli.Fail(coi.ExitFailed, "there is no image %s", cli.Escape(alias)).Hint("coi image list --all")
}

type imageRow struct {
	Fingerprint string    `json:"fingerprint"`
	Aliases     []string  `json:"aliases"`
	Size        int64     `json:"size"`
	CreatedAt   time.Time `json:"created_at"`
}

type imageListCmd struct {
	cli.Format
	All    bool   `short:"a" help:"Images that are not coi's as well."`
	Prefix string `placeholder:"P" help:"Only images with an alias that starts like this."`
}

// Run lists images, the newest first.
func (l *imageListCmd) Run(c *cli.Context) error {
	h, _, door, err := imageDoor(c)
	if err != nil {
		return err
	}
	all, err := door.Images(c)
	if err != nil {
		return incusError(err, "incus-admin")
	}
	meta, err := image.Load(h)
	if err != nil {
		return err
	}
	rows := []imageRow{}
	for _, i := range all {
		ours := i.Properties["coi.version"] != "" || slices.ContainsFunc(i.Aliases, func(a string) bool { _, ok := meta.Images[a]; return ok })
		match := l.Prefix == "" || slices.ContainsFunc(i.Aliases, func(a string) bool { return strings.HasPrefix(a, l.Prefix) })
		if (ours || l.All) && match {
			slices.Sort(i.Aliases)
			rows = append(rows, imageRow{i.Fingerprint, i.Aliases, i.Size, i.Created.UTC()})
		}
	}
	slices.SortFunc(rows, func(a, b imageRow) int { return b.CreatedAt.Compare(a.CreatedAt) })
	if l.IsJSON() {
		return c.PrintJSON(rows)
	}
	if len(rows) == 0 {
		_, _ = fmt.Fprintln(c.Stderr, "no images")
		return nil
	}
	var cells [][]string
	for _, r := range rows {
		cells = append(cells, []string{strings.Join(r.Aliases, " "), fmt.Sprintf("%d MiB", r.Size>>20), r.CreatedAt.Format("2006-01-02 15:04"), r.Fingerprint[:12]})
	}
	return c.Table([]cli.Column{{Name: "ALIAS"}, {Name: "SIZE"}, {Name: "CREATED"}, {Name: "FINGERPRINT", Flex: true}}, cells)
}

type imageInfoCmd struct {
	cli.Format
	Alias string `arg:"" help:"Image."`
}

type imageInfo struct {
	SchemaVersion int               `json:"schema_version"`
	Alias         string            `json:"alias"`
	Fingerprint   string            `json:"fingerprint"`
	Size          int64             `json:"size"`
	Base          string            `json:"base"`
	BuiltAt       string            `json:"built_at"`
	BuiltFrom     string            `json:"built_from"`
	Agents        []string          `json:"agents"`
	Properties    map[string]string `json:"properties"`
}

// Run shows what Incus and image-meta.json know of an image.
func (i *imageInfoCmd) Run(c *cli.Context) error {
	h, _, door, err := imageDoor(c)
	if err != nil {
		return err
	}
	img, err := door.Image(c, i.Alias)
	if errors.Is(err, incus.ErrNotFound) {
		return noImage(i.Alias)
	}
	if err != nil {
		return incusError(err, "incus-admin")
	}
	file, err := image.Load(h)
	if err != nil {
		return err
	}
	out := imageInfo{1, i.Alias, img.Fingerprint, img.Size, img.Properties["coi.base"], "", "", []string{}, img.Properties}
	if words := img.Properties["coi.agents"]; words != "" {
		out.Agents = strings.Fields(words)
	}
	// The file speaks of this image only if its fingerprint is the one here.
	if m, ok := file.Images[i.Alias]; ok && m.Fingerprint == img.Fingerprint {
		out.Base, out.BuiltAt, out.BuiltFrom = m.Base, m.BuiltAt.Format(time.RFC3339), m.BuiltFrom
	}
	if i.IsJSON() {
		return c.PrintJSON(out)
	}
	for _, kv := range [][2]string{
		{"alias", out.Alias},
		{"fingerprint", out.Fingerprint},
		{"size", fmt.Sprintf("%d MiB", out.Size>>20)},
		{"base", out.Base},
		{"built", out.BuiltAt},
		{"from", out.BuiltFrom},
		{"agents", strings.Join(out.Agents, " ")},
		{"description", img.Properties["description"]},
	} {
		if kv[1] != "" {
			_, _ = fmt.Fprintf(c.Stdout, "%-12s %s\n", kv[0], cli.Escape(kv[1]))
		}
	}
	return nil
}

type imageExistsCmd struct {
	Alias string `arg:"" help:"Image."`
}

// Run says it by the exit code alone.
func (e *imageExistsCmd) Run(c *cli.Context) error {
	_, _, door, err := imageDoor(c)
	if err != nil {
		return err
	}
	_, err = door.Image(c, e.Alias)
	if errors.Is(err, incus.ErrNotFound) {
		return cli.Exit(coi.ExitFailed)
	}
	return incusError(err, "incus-admin")
}

type imagePublishCmd struct {
	workspaceFlag
	Container   string `arg:"" help:"Stopped container."`
	Alias       string `arg:"" help:"Name of the new image."`
	Description string `help:"Text kept with the image."`
	Compression string `enum:"none,gzip,xz,zstd,lz4" default:"zstd" help:"How Incus packs it: ${enum}."`
}

// Run publishes; a taken alias moves to the new image.
func (p *imagePublishCmd) Run(c *cli.Context) error {
	if !build.ValidAlias(p.Alias) {
		return cli.Usage("%q cannot be the name of an image", p.Alias)
	}
	d, err := openDesk(c, p.Workspace)
	if err != nil {
		return err
	}
	inst, err := d.find(p.Container, 0, false)
	if err != nil {
		return err
	}
	door := d.door
	if inst.Running() {
		return cli.Fail(coi.ExitFailed, "publish %s: it is running", inst.Name).Hint("coi container stop %s", cli.ShellQuote(inst.Name))
	}
	_, done := c.Step("publishing " + p.Alias)
	defer done()
	text := p.Description
	if text == "" {
		text = "published from " + inst.Name
	}
	fp, err := door.PublishImage(c, inst.Name, p.Compression, map[string]string{"description": text, "coi.version": "1", "coi.boot": "1"})
	if err != nil {
		return fmt.Errorf("publish %s: %w", inst.Name, err)
	}
	if err := door.SetAlias(c, p.Alias, fp, text); err != nil {
		return errors.Join(fmt.Errorf("name the image %s: %w", p.Alias, err), door.DeleteImage(c, fp))
	}
	return json.NewEncoder(c.Stdout).Encode(map[string]string{"fingerprint": fp, "alias": p.Alias})
}
