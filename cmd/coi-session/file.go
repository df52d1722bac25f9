package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/plan"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/transfer"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/trust"
)

type fileCmd struct {
	Push filePush `cmd:"" help:"Copy a file or directory into a container."`
	Pull filePull `cmd:"" help:"Copy a file or directory out of a container."`
	workspaceFlag
	cli.Globals
}

func fileCommand() cli.Command {
	return cli.Command{
		Verb: "file", Summary: "copy files into and out of a container", Grammar: &fileCmd{},
		Examples: []string{"coi file push notes.md coi-1a2b3c4d-1:/home/code/notes.md", "coi file pull -r coi-1a2b3c4d-1:/var/log out/"},
	}
}

// remote takes CONTAINER:PATH apart.
func remote(text string) (container, path string, ok bool) {
	container, path, ok = strings.Cut(text, ":")
	return container, path, ok && container != "" && !strings.Contains(container, "/")
}

func (p *fileCmd) side(c *cli.Context, remoteArg, localArg string) (*desk, incus.Instance, string, error) {
	container, path, ok := remote(remoteArg)
	switch _, _, both := remote(localArg); {
	case !ok:
		return nil, incus.Instance{}, "", cli.Usage("%q is not of the form CONTAINER:PATH", cli.Escape(remoteArg))
	case path == "" || localArg == "":
		return nil, incus.Instance{}, "", cli.Usage("an empty path")
	case both && !exists(localArg):
		return nil, incus.Instance{}, "", cli.Usage("both sides are in a container")
	case !strings.HasPrefix(path, "/"):
		return nil, incus.Instance{}, "", cli.Usage("the path in the container must be absolute: %s", cli.Escape(path))
	}
	d, err := openDesk(c, p.Workspace)
	if err != nil {
		return nil, incus.Instance{}, "", err
	}
	inst, err := d.find(container, 0, false)
	return d, inst, path, err
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

type filePush struct {
	Recursive bool   `short:"r" help:"Directories with all that is in them."`
	Local     string `arg:"" help:"File or directory on the host."`
	Remote    string `arg:"" help:"CONTAINER:PATH."`
}

// Run copies into the container.
func (f *filePush) Run(c *cli.Context, p *fileCmd) error {
	d, inst, path, err := p.side(c, f.Remote, f.Local)
	if err != nil {
		return err
	}
	local, err := source(f.Local, inst.Config[plan.KeyWorkspace])
	if err != nil {
		return err
	}
	if st, err := os.Lstat(local); err == nil && st.IsDir() && !f.Recursive {
		return cli.Usage("%s is a directory", cli.Escape(f.Local)).Hint("add -r")
	}
	uid := 0
	home := "/home/" + d.cfg.Incus.CodeUser
	workspace := inst.Devices["workspace"]["path"]
	if under(path, home) || workspace != "" && under(path, workspace) {
		uid = d.cfg.Incus.CodeUID
	}
	tree, err := d.door.Files(c, inst.Name)
	if err != nil {
		return err
	}
	defer func() { _ = tree.Close() }()
	res, err := transfer.Push(tree, local, filepath.Base(f.Local), path, uid)
	if err != nil {
		return fmt.Errorf("push to %s: %w", inst.Name, err)
	}
	for _, w := range res.Skipped() {
		c.Warn(w)
	}
	c.Note(fmt.Sprintf("%d files copied to %s", res.Files, inst.Name))
	return nil
}

// source is the absolute path of what is to be pushed, without links. A link
// that was typed is followed, but not from a workspace out of it: there it is
// the agent's to say where it leads.
func source(typed, workspace string) (string, error) {
	abs, err := filepath.Abs(typed)
	if err != nil {
		return "", cli.Fail(coi.ExitFailed, "%w", err)
	}
	real, err := filepath.EvalSymlinks(abs)
	if err != nil {
		return "", cli.Fail(coi.ExitFailed, "%w", err)
	}
	if trust.Within(abs, workspace) && !trust.Within(real, workspace) {
		return "", cli.Fail(coi.ExitFailed, "%s is a link that leads out of the workspace, to %s", cli.Escape(typed), cli.Escape(real)).Hint("push that path itself if you mean it")
	}
	return real, nil
}

func under(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

type filePull struct {
	Recursive bool   `short:"r" help:"Directories with all that is in them."`
	Remote    string `arg:"" help:"CONTAINER:PATH."`
	Local     string `arg:"" help:"File or directory on the host."`
}

// Run copies out of the container: regular files and directories only.
func (f *filePull) Run(c *cli.Context, p *fileCmd) error {
	d, inst, path, err := p.side(c, f.Remote, f.Local)
	if err != nil {
		return err
	}
	tree, err := d.door.Files(c, inst.Name)
	if err != nil {
		return err
	}
	defer func() { _ = tree.Close() }()
	res, err := transfer.Pull(tree, path, f.Local, f.Recursive)
	switch {
	case errors.Is(err, transfer.ErrDirectory):
		return cli.Usage("%s is a directory", cli.Escape(path)).Hint("add -r")
	case errors.Is(err, fs.ErrNotExist):
		return cli.Fail(coi.ExitFailed, "%s is not in %s", cli.Escape(path), inst.Name)
	case err != nil:
		return fmt.Errorf("pull from %s: %w", inst.Name, err)
	}
	for _, w := range res.Skipped() {
		c.Warn(w)
	}
	c.Note(fmt.Sprintf("%d files copied from %s", res.Files, inst.Name))
	return nil
}
