// Package gitin sets up git inside: the identity of commits, hooks of root's
// that drop tool attribution and guard branches, and the excludes for coi's own
// placeholders.
//
// Call order: HostIdentity (reads the user's global git configuration), New,
// then Git.Files into the bundle, Git.Script into the set-up script, Git.Env
// into the environment of the tool and Git.Devices into the create request.
package gitin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/bundle"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
)

// Places inside.
const (
	HooksDir = "/etc/coi/git-hooks"
	etc      = "/etc/coi"
)

// Identity is a name and an address for commits.
type Identity struct{ Name, Email string }

// Whole reports whether both parts are there.
func (i Identity) Whole() bool { return i.Name != "" && i.Email != "" }

// Host is what the user's global git configuration says.
type Host struct {
	Identity
	HooksPath string // core.hooksPath; a relative one is a way from any workspace to the host
}

// hostTimeout bounds reading the user's configuration.
const hostTimeout = 5 * time.Second

// HostIdentity asks git on the host, outside of any repository. Without git, or
// with nothing set, it is empty.
func HostIdentity(ctx context.Context, homeDir string) Host {
	ctx, stop := context.WithTimeout(ctx, hostTimeout)
	defer stop()
	get := func(key string) string {
		cmd := exec.CommandContext(ctx, "git", "config", "--global", "--includes", "--get", key)
		cmd.Dir = "/"
		cmd.Env = []string{"HOME=" + homeDir, "PATH=" + os.Getenv("PATH"), "XDG_CONFIG_HOME=" + os.Getenv("XDG_CONFIG_HOME"), "LC_ALL=C"}
		out, err := cmd.Output()
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(out))
	}
	return Host{Identity{get("user.name"), get("user.email")}, get("core.hooksPath")}
}

// Config is [git] with what depends on the session.
type Config struct {
	Name, Email string   // git.name, git.email
	Seed        bool     // git.seed_host_identity
	ReadOnly    bool     // git.readonly
	Strip       bool     // git.strip_attribution
	Patterns    []string // extended regular expressions
	Branches    []string // git.protected_branches
	Host        Host
	Workspace   string   // inside path
	Home        string   // inside
	Excludes    []string // lines of the exclude file, from package protect
	IdentityDir string   // ~/.coi/git-identity
}

// Git is what it takes.
type Git struct {
	Identity Identity
	Files    []bundle.File
	Env      map[string]string
	Script   string // for /bin/sh as root; tells warnings in lines "coi-warning TEXT"
	Devices  map[string]map[string]string
}

// New works it out. With ReadOnly it writes the identity file on the host; that
// failing, or no identity to keep, is an error with exit code 1.
func New(c Config) (*Git, error) {
	g := &Git{Env: map[string]string{}, Devices: map[string]map[string]string{}, Identity: Identity{c.Name, c.Email}}
	if !g.Identity.Whole() && c.Seed {
		g.Identity = c.Host.Identity
	}
	settings := [][2]string{{"core.hooksPath", HooksDir}, {"core.excludesFile", etc + "/git-exclude"}, {"safe.directory", c.Workspace}}
	switch {
	case g.Identity.Whole():
		settings = append(settings, [2]string{"user.name", g.Identity.Name}, [2]string{"user.email", g.Identity.Email})
	default:
		settings = append(settings, [2]string{"user.useConfigOnly", "true"})
	}
	if c.ReadOnly {
		if err := g.readOnly(c); err != nil {
			return nil, err
		}
	}
	// In the environment it beats the configuration of every repository.
	for i, kv := range settings[:1] {
		g.Env["GIT_CONFIG_COUNT"] = strconv.Itoa(i + 1)
		g.Env[fmt.Sprintf("GIT_CONFIG_KEY_%d", i)] = kv[0]
		g.Env[fmt.Sprintf("GIT_CONFIG_VALUE_%d", i)] = kv[1]
	}
	g.files(c)
	g.Files = append(g.Files, bundle.File{Path: etc + "/gitconfig", Mode: 0o644, Content: []byte(systemConfig(settings))})
	g.Script = script
	return g, nil
}

func (g *Git) readOnly(c Config) error {
	if !g.Identity.Whole() {
		return cli.Fail(coi.ExitFailed, "git.readonly is set, but there is no identity to keep").Hint("set git.name and git.email")
	}
	text := identityFile(g.Identity)
	sum := sha256.Sum256([]byte(text))
	file := filepath.Join(c.IdentityDir, hex.EncodeToString(sum[:8])+".gitconfig")
	if err := os.MkdirAll(c.IdentityDir, home.DirMode); err != nil {
		return cli.Fail(coi.ExitFailed, "git identity: %w", err)
	}
	if _, err := os.Lstat(file); errors.Is(err, fs.ErrNotExist) {
		if err := home.WriteFile(file, []byte(text)); err != nil {
			return cli.Fail(coi.ExitFailed, "git identity: %w", err)
		}
	} else if b, err := home.ReadFile(file); err != nil || string(b) != text {
		return cli.Fail(coi.ExitFailed, "git identity: %s is not what coi wrote", file)
	}
	g.Devices["git-identity"] = map[string]string{"type": "disk", "source": file, "path": path.Join(c.Home, ".gitconfig"), "readonly": "true"}
	for _, who := range []string{"AUTHOR", "COMMITTER"} {
		g.Env["GIT_"+who+"_NAME"], g.Env["GIT_"+who+"_EMAIL"] = g.Identity.Name, g.Identity.Email
	}
	return nil
}

func identityFile(i Identity) string {
	return systemConfig([][2]string{{"user.name", i.Name}, {"user.email", i.Email}})
}

// script makes the system configuration include ours, so that what the image
// has there stays, and says what an old git cannot do. Images of coi have both
// behind them: their mark is younger than the git they came with.
const script = `if [ ` + etc + `/git-ready -nt /usr/bin/git ] && [ "$(command -v git)" = /usr/bin/git ] && grep -qs '` + etc + `/gitconfig' /etc/gitconfig; then
  :
elif ! command -v git >/dev/null 2>&1; then
  echo "coi-warning git is not in this image: no identity, no hooks, no branch guard"
else
  case "$(git version)" in
  "git version "[01].*|"git version 2."[0-9].*|"git version 2."[12][0-9].*|"git version 2.30."*)
    echo "coi-warning git in this image is older than 2.31: a repository can switch off the hooks and the branch guard" ;;
  esac
  grep -qs '` + etc + `/gitconfig' /etc/gitconfig || git config --system --add include.path ` + etc + `/gitconfig
fi
`

// systemConfig writes the settings as a git configuration file.
func systemConfig(settings [][2]string) string {
	var b strings.Builder
	for _, kv := range settings {
		section, key, _ := strings.Cut(kv[0], ".")
		fmt.Fprintf(&b, "[%s]\n\t%s = \"%s\"\n", section, key, quoted(kv[1]))
	}
	return b.String()
}

// quoted escapes a value for the inside of double quotes in a git configuration.
func quoted(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`, "\r", "").Replace(s)
}
