// Package mount turns the workspace and the configured mounts into Incus disk
// devices and keeps hold of what it meant by them: each source is resolved
// once, opened without following links, and its descriptor is kept, so that
// what is mounted after the start can be compared with what was checked before.
//
// Call order: OpenWorkspace, FindWorktree, Workspace.Inside, Build; then
// Plan.Cover with what package protect and package mask lock; Plan.Devices go
// into the create request, Plan.Watch to the watcher; after the start
// Plan.Verify when no watcher compared; Plan.Close.
package mount

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/beneath"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
)

// Env is where things are on this host. All paths are absolute and resolved.
type Env struct {
	Coi      []string // ~/.coi, and COI_HOME when it is elsewhere
	Incus    []string // the Incus socket, its directory and /var/lib/incus
	Masks    string   // ~/.coi/masks
	Owner    int      // uid and gid for directories that are made
	Group    int
	Writable []string // host directories that running containers of other workspaces can write
}

// Refused workspaces: the first list by itself, the second with all below.
var (
	refusedSelf  = []string{"/", "/bin", "/home", "/lib", "/lib64", "/opt", "/root", "/run", "/sbin", "/srv", "/tmp", "/usr", "/var"}
	refusedBelow = []string{"/boot", "/dev", "/etc", "/proc", "/sys", "/var/lib/incus"}
	systemDirs   = []string{"/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/tmp", "/usr", "/var/lib", "/var/run"}
)

// DefaultInside is where the workspace is mounted unless its path is kept.
const DefaultInside = "/workspace"

// Workspace is the directory that is shared with the container.
type Workspace struct {
	Path string // absolute, links resolved
	Root *beneath.Root
	Info beneath.Info
	// HoldsCoi is set when ~/.coi lies inside: the caller asks first, naming
	// Path as what becomes writable.
	HoldsCoi bool
}

// OpenWorkspace resolves dir and keeps it open. Directories that no session may
// have as a workspace are errors with exit code 1.
func OpenWorkspace(dir string, env Env) (*Workspace, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, cli.Fail(coi.ExitFailed, "workspace %s: %w", cli.Escape(dir), err)
	}
	p, err := filepath.EvalSymlinks(abs)
	if err != nil {
		return nil, cli.Fail(coi.ExitFailed, "workspace %s: %w", cli.Escape(dir), err)
	}
	if why := refusedWorkspace(p, env); why != "" {
		return nil, cli.Fail(coi.ExitFailed, "%s cannot be a workspace: %s", cli.Escape(p), why).Hint("go to a project directory, or name one with -w DIR")
	}
	root, err := beneath.Open(p)
	if err != nil {
		return nil, cli.Fail(coi.ExitFailed, "workspace: %w", err)
	}
	st, err := beneath.StatFile(root.File())
	if err != nil {
		_ = root.Close()
		return nil, err
	}
	w := &Workspace{Path: p, Root: root, Info: st}
	for _, c := range env.Coi {
		w.HoldsCoi = w.HoldsCoi || beneath.Below(c, p)
	}
	return w, nil
}

func refusedWorkspace(p string, env Env) string {
	for _, d := range refusedSelf {
		// On a merged /usr, /bin is a link: its target is meant as well.
		if real, err := filepath.EvalSymlinks(d); p == d || err == nil && p == real {
			return "it is a directory of the system"
		}
	}
	for _, d := range refusedBelow {
		if beneath.Below(p, d) {
			return "it lies in " + d
		}
	}
	for _, d := range slices.Concat(env.Coi, env.Incus) {
		if beneath.Below(p, d) {
			return "it lies in " + d
		}
	}
	if strings.ContainsFunc(p, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		return "its name holds control characters"
	}
	return ""
}

// Inside is the path of the workspace in the container: DefaultInside, or the
// host path when preserve is set or the workspace is a linked worktree, whose
// pointers name it. A path of the system cannot be kept: a warning and
// DefaultInside, or for a worktree an error with exit code 1.
func (w *Workspace) Inside(preserve bool, wt *Worktree) (inside, warning string, err error) {
	if wt == nil && !preserve {
		return DefaultInside, "", nil
	}
	for _, d := range systemDirs {
		if !beneath.Below(w.Path, d) {
			continue
		}
		if wt != nil {
			return "", "", cli.Fail(coi.ExitFailed, "%s is a linked worktree, which must keep its path, but lies in %s", cli.Escape(w.Path), d).
				Hint("move it with git worktree move, out of %s", d)
		}
		return DefaultInside, fmt.Sprintf("%s lies in %s: the workspace is %s inside", cli.Escape(w.Path), d, DefaultInside), nil
	}
	return w.Path, "", nil
}

// Close lets go of the directory.
func (w *Workspace) Close() error { return w.Root.Close() }

// resolveSource opens the file at an absolute path with all links resolved,
// for identification only.
func resolveSource(host string) (string, *os.File, beneath.Info, error) {
	p, err := filepath.EvalSymlinks(host)
	if err != nil {
		return "", nil, beneath.Info{}, err
	}
	f, err := beneath.OpenAbs(p, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return "", nil, beneath.Info{}, err
	}
	st, err := beneath.StatFile(f)
	if err != nil {
		_ = f.Close()
		return "", nil, st, err
	}
	return p, f, st, nil
}
