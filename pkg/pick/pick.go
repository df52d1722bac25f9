// Package pick works out which container a command means, from the files of
// ~/.coi alone: no Incus is asked, so it works for containers that are gone.
package pick

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// Flags name a container other than by the argument; a grammar embeds them.
type Flags struct {
	Container string `placeholder:"NAME" help:"Container or alias, same as the argument."`
	Workspace string `short:"w" placeholder:"DIR" help:"Workspace whose container is meant; default: the current directory."`
	Slot      int    `placeholder:"N" help:"Slot of the workspace, 1 to 10."`
}

// Aliases is aliases.json.
type Aliases struct {
	SchemaVersion int              `json:"schema_version"`
	Aliases       map[string]Alias `json:"aliases"`
}

// Alias is one entry of aliases.json.
type Alias struct {
	Workspace string `json:"workspace"`
	Profile   string `json:"profile"`
}

// Find names the container: the argument or --container, a name or an alias;
// else COI_CONTAINER; else the one of the workspace. Several running ones are
// an error that names each. With none running it is the one whose file in dirs
// is the newest. Errors are *cli.Error with the exit code every verb uses; a
// literal name is not checked for existence.
func (f Flags) Find(c *cli.Context, arg string, dirs ...string) (string, error) {
	h, err := c.Home()
	if err != nil {
		return "", err
	}
	if f.Slot < 0 || f.Slot > coi.MaxSlot {
		return "", cli.Usage("--slot %d: slots are %d to %d", f.Slot, coi.MinSlot, coi.MaxSlot)
	}
	s, err := load(h, dirs)
	if err != nil {
		return "", err
	}
	s.verb = c.Verb
	for _, name := range []string{arg, f.Container, c.Getenv("COI_CONTAINER")} {
		if name != "" {
			return s.named(name)
		}
	}
	return s.inWorkspace(f.Workspace, f.Slot)
}

// state is what the files say.
type state struct {
	verb     string
	home     home.Home
	sessions []run.Session
	files    map[string]time.Time // newest file of a container in the caller's directories
}

func load(h home.Home, dirs []string) (*state, error) {
	s := &state{home: h, files: map[string]time.Time{}}
	names, err := run.Names(h.Run(), run.SessionFile)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		var rec run.Session
		// A record that cannot be read hides its session, not all others.
		if run.Read(h.Run(name+run.SessionFile), &rec) == nil && rec.Container == name {
			s.sessions = append(s.sessions, rec)
		}
	}
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil && !home.Missing(err) {
			return nil, err
		}
		for _, e := range entries {
			s.file(e)
		}
	}
	return s, nil
}

func (s *state) file(e os.DirEntry) {
	name, rest, _ := strings.Cut(e.Name(), ".")
	if !coi.ValidContainer(name) || !strings.HasPrefix(rest, "stdout.log") && !strings.HasPrefix(rest, "stderr.log") && !strings.HasSuffix(rest, "jsonl") {
		return
	}
	if info, err := e.Info(); err == nil && info.ModTime().After(s.files[name]) {
		s.files[name] = info.ModTime()
	}
}

// Running reports whether a session is still there: it has not ended, and its
// supervisor, if it has one, is alive.
func Running(s run.Session) bool {
	if s.Phase == run.Ended || s.Ended != nil {
		return false
	}
	return s.Supervisor == nil || run.StartTime(s.Supervisor.PID) == s.Supervisor.StartTime
}

// named resolves a literal name or an alias.
func (s *state) named(name string) (string, error) {
	if strings.HasPrefix(name, s.home.Prefix) {
		if !coi.ValidContainer(name) {
			return "", cli.Usage("%s: no container can have this name", name)
		}
		return name, nil
	}
	hits, err := s.alias(name, 0)
	if err != nil {
		return "", err
	}
	if at := strings.LastIndexByte(name, '-'); len(hits) == 0 && at > 0 {
		if slot, err := strconv.Atoi(name[at+1:]); err == nil && slot >= coi.MinSlot && slot <= coi.MaxSlot {
			if hits, err = s.alias(name[:at], slot); err != nil {
				return "", err
			}
		}
	}
	switch {
	case len(hits) == 1:
		return hits[0], nil
	case len(hits) > 1:
		return "", s.ambiguous(fmt.Sprintf("alias %s names several containers", name), hits).Hint("coi %s %s-N", s.verb, cli.ShellQuote(name))
	case s.known(name):
		return name, nil
	}
	return "", cli.Fail(coi.ExitNoContainer, "no container and no alias %s", name).Hint("coi list --all")
}

func (s *state) known(name string) bool {
	_, file := s.files[name]
	return file || slices.ContainsFunc(s.sessions, func(r run.Session) bool { return r.Container == name })
}

// alias lists the containers of an alias: running ones first, then what the
// registry knows of its workspace.
func (s *state) alias(name string, slot int) ([]string, error) {
	var running []string
	for _, r := range s.sessions {
		if r.Alias == name && Running(r) && (slot == 0 || r.Slot == slot) {
			running = append(running, r.Container)
		}
	}
	if len(running) > 0 {
		return running, nil
	}
	var a Aliases
	if err := home.ReadJSON(s.home.Path("aliases.json"), run.Schema, &a); err != nil && !home.Missing(err) {
		return nil, err
	}
	entry, ok := a.Aliases[name]
	if !ok {
		return nil, nil
	}
	if found := s.newest(s.of(entry.Workspace), slot); found != "" {
		return []string{found}, nil
	}
	return nil, nil
}

// of lists the containers of a workspace that any file tells of.
func (s *state) of(workspace string) []string {
	var out []string
	add := func(name string) {
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	hashes := map[string]bool{coi.Hash8(workspace): true}
	for _, r := range s.sessions {
		if r.Workspace == workspace || r.Identity == workspace {
			add(r.Container)
			hashes[coi.Hash8(r.Identity)] = true
		}
	}
	for name := range s.files {
		if hash, _, ok := coi.SplitName(s.home.Prefix, name); ok && hashes[hash] {
			add(name)
		}
	}
	slices.Sort(out)
	return out
}

func (s *state) inWorkspace(dir string, slot int) (string, error) {
	ws, err := workspace(dir)
	if err != nil {
		return "", err
	}
	all := s.of(ws)
	var running []string
	for _, r := range s.sessions {
		if slices.Contains(all, r.Container) && Running(r) && (slot == 0 || r.Slot == slot) {
			running = append(running, r.Container)
		}
	}
	switch len(running) {
	case 1:
		return running[0], nil
	case 0:
		if name := s.newest(all, slot); name != "" {
			return name, nil
		}
		return "", cli.Fail(coi.ExitNoContainer, "no container of workspace %s", ws).Hint("coi list --all")
	}
	return "", s.ambiguous(fmt.Sprintf("several containers of %s are running", ws), running).Hint("coi %s %s", s.verb, running[0])
}

// newest is the container whose file, or else whose session, is the youngest.
func (s *state) newest(names []string, slot int) string {
	best, at := "", time.Time{}
	for _, name := range names {
		if _, n, ok := coi.SplitName(s.home.Prefix, name); slot != 0 && (!ok || n != slot) {
			continue
		}
		t := s.files[name]
		for _, r := range s.sessions {
			if r.Container == name && t.IsZero() {
				t = r.CreatedAt
			}
		}
		if best == "" || t.After(at) {
			best, at = name, t
		}
	}
	return best
}

func (s *state) ambiguous(text string, names []string) *cli.Error {
	e := cli.Fail(coi.ExitUsage, "%s", text)
	for _, name := range names {
		line := name
		for _, r := range s.sessions {
			if r.Container == name {
				line = fmt.Sprintf("%s: slot %d, %s", name, r.Slot, r.Tool)
			}
		}
		e.Lines = append(e.Lines, line)
	}
	return e
}

// workspace is the absolute path of dir, or of the current directory, with
// links resolved; a directory that is gone keeps its name.
func workspace(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		return real, nil
	}
	return abs, nil
}
