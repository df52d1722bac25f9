package plan

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"

	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/config"
)

// maxValue is the longest value of a variable, in bytes.
const maxValue = 32 << 10

// HostEnv are the variables that come from the host: fixed ones, those taken
// from the caller's environment, and the output of commands, later ones
// winning. missing names forwarded variables that are not set. An error names
// the variable and never shows a value.
func HostEnv(ctx context.Context, c *config.Config, lookup func(string) (string, bool)) (env map[string]string, missing []string, err error) {
	env = maps.Clone(c.Defaults.Environment)
	if env == nil {
		env = map[string]string{}
	}
	for _, name := range c.Defaults.ForwardEnv {
		if v, ok := lookup(name); ok {
			env[name] = v
		} else {
			missing = append(missing, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Defaults.EnvCommands)) {
		v, err := envCommand(ctx, c, c.Defaults.EnvCommands[name])
		if err != nil {
			return nil, nil, cli.Fail(coi.ExitFailed, "env_commands.%s: %w", name, err)
		}
		env[name] = v
	}
	return env, missing, nil
}

func envCommand(ctx context.Context, c *config.Config, command string) (string, error) {
	ctx, stop := context.WithTimeout(ctx, c.Defaults.EnvCommandTimeout)
	defer stop()
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	out := &capped{left: maxValue + 1}
	cmd.Stdout = out
	err := cmd.Run()
	v := strings.TrimSpace(out.String())
	switch {
	case ctx.Err() != nil:
		return "", fmt.Errorf("no end within %s", c.Defaults.EnvCommandTimeout)
	case err != nil:
		return "", err
	case v == "":
		return "", fmt.Errorf("it printed nothing")
	case out.left == 0:
		return "", fmt.Errorf("it printed more than %d bytes", maxValue)
	}
	return v, nil
}

type capped struct {
	bytes.Buffer
	left int
}

func (c *capped) Write(p []byte) (int, error) {
	n := min(len(p), c.left)
	c.left -= n
	_, _ = c.Buffer.Write(p[:n])
	return len(p), nil
}

// BaseEnv are the variables that every process of the session gets.
func BaseEnv(user, home, term string) map[string]string {
	return map[string]string{
		"HOME": home, "USER": user, "LOGNAME": user, "TERM": Term(term), "LANG": "C.UTF-8", "IS_SANDBOX": "1", "COI": "1",
		"SHELL": "/bin/bash", "PATH": home + "/.local/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	}
}

// known are the terminals that every Debian image describes.
var known = []string{"xterm", "xterm-256color", "screen", "screen-256color", "tmux", "tmux-256color", "linux", "vt100", "dumb"}

// Term is the terminal type to use inside: the host's if an image knows it,
// else the nearest that it does.
func Term(host string) string {
	switch {
	case slices.Contains(known, host):
		return host
	case host == "":
		return "xterm-256color"
	case strings.HasPrefix(host, "screen"):
		return "screen-256color"
	case strings.HasPrefix(host, "tmux"):
		return "tmux-256color"
	}
	return "xterm-256color"
}
