package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/config"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/trust"
)

// maxPrompt is the longest prompt, in bytes.
const maxPrompt = 1 << 20

// headless is what a run does: a command of its own, the workspace's script, or
// the tool with a prompt.
func (r *runCmd) headless(cfg *config.Config, workspace string) (argv []string, prompt []byte, err error) {
	given := 0
	for _, set := range []bool{r.Prompt != nil, r.PromptFile != "", r.PromptName != ""} {
		if set {
			given++
		}
	}
	argv = r.Command
	if len(argv) > 0 && argv[0] == "--" {
		argv = argv[1:]
	}
	switch {
	case given > 1:
		return nil, nil, cli.Usage("--prompt, --prompt-file and --prompt-name exclude each other")
	case given == 1 && len(argv) > 0:
		return nil, nil, cli.Usage("a prompt and a command exclude each other")
	case given == 1:
		prompt, err = r.readPrompt(cfg, workspace)
		return nil, prompt, err
	case len(argv) > 0:
		return argv, nil, nil
	}
	return scriptOf(workspace)
}

func (r *runCmd) readPrompt(cfg *config.Config, workspace string) ([]byte, error) {
	if cfg.Tool.PermissionMode == "interactive" {
		return nil, cli.Usage("a prompt needs tool.permission_mode = \"bypass\": nobody is there to answer")
	}
	text, file := "", r.PromptFile
	switch {
	case r.Prompt != nil:
		text = *r.Prompt
	case r.PromptName != "":
		p, ok := cfg.Prompts[r.PromptName]
		if !ok {
			var names []string
			for n := range cfg.Prompts {
				names = append(names, n)
			}
			slices.Sort(names)
			return nil, cli.Usage("unknown prompt %q (there are: %s)", cli.Escape(r.PromptName), cli.Escape(strings.Join(names, " "))).Hint("[prompts] in ~/.coi/config.toml")
		}
		text, file = p.Text, p.File
	}
	if file != "" {
		b, err := promptFile(file, workspace)
		if err != nil {
			return nil, cli.Usage("prompt: %v", err)
		}
		text = string(b)
	}
	switch {
	case strings.TrimSpace(text) == "":
		return nil, cli.Usage("the prompt is empty")
	case len(text) > maxPrompt:
		return nil, cli.Usage("the prompt is longer than %d bytes", maxPrompt)
	}
	return []byte(text), nil
}

// promptFile reads a file with a prompt, at most a byte more than maxPrompt of
// it. A file of the workspace is the agent's to replace: no link leads from
// there to a file of the host. Elsewhere links are followed; what is not a
// regular file must be a descriptor that the caller was given, as a shell does
// for <(...).
func promptFile(name, workspace string) ([]byte, error) {
	abs, err := filepath.Abs(name)
	if err != nil {
		return nil, err
	}
	var f *os.File
	rel, below := strings.CutPrefix(abs, workspace+"/")
	switch {
	case workspace != "" && below:
		f, err = trust.OpenBeneath(workspace, rel)
		if errors.Is(err, unix.EXDEV) {
			err = fmt.Errorf("%s leads out of the workspace", name)
		}
	case abs == "/dev/stdin" || strings.HasPrefix(abs, "/dev/fd/") || strings.HasPrefix(abs, "/proc/self/fd/"):
		f, err = os.Open(abs)
	default:
		f, err = home.OpenRegular(abs)
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, maxPrompt+1))
}

// scriptOf is the executable coi-run at the top of the workspace.
func scriptOf(workspace string) ([]string, []byte, error) {
	p := filepath.Join(workspace, "coi-run")
	bad := func(why string) ([]string, []byte, error) {
		return nil, nil, cli.Usage("no command given, and %s %s", cli.Escape(p), why)
	}
	real, err := filepath.EvalSymlinks(p)
	if err != nil {
		return bad("does not exist")
	}
	if !strings.HasPrefix(real, workspace+"/") {
		return bad("leads outside the workspace")
	}
	st, err := os.Stat(real)
	switch {
	case err != nil || !st.Mode().IsRegular():
		return bad("is no regular file")
	case st.Mode()&0o111 == 0:
		return bad("is not executable")
	}
	return []string{"./coi-run"}, nil, nil
}
