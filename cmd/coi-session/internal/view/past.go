package view

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/record"
	"github.com/code-on-incus/coi/pkg/home"
)

// Past is one session that has ended.
type Past struct {
	Name      string    `json:"name"`
	At        time.Time `json:"ended_at"`
	Reason    string    `json:"reason"`
	Detail    string    `json:"detail"`
	SessionID string    `json:"session_id"`
	Workspace string    `json:"workspace"`
	Audit     string    `json:"audit"`
}

// Words is the reason for people.
func (p Past) Words() string {
	text := map[string]string{"monitor": "killed by monitor", "max_duration": "time limit", "crash": "lost in a crash"}[p.Reason]
	if text == "" {
		text = p.Reason
	}
	if p.Detail != "" {
		text += ": " + p.Detail
	}
	return text
}

// Ended lists ended sessions, newest first: the ones that ended out of order,
// and with all the others as well.
func Ended(h home.Home, all bool, tool string) []Past {
	record.Prune(h, time.Now())
	recs, _ := record.All(h)
	out := []Past{}
	for _, r := range recs {
		if r.Ended == nil || tool != "" && r.Tool != tool {
			continue
		}
		switch r.Ended.Reason {
		case "monitor", "max_duration", "crash":
		default:
			if !all {
				continue
			}
		}
		p := Past{Name: r.Container, At: r.Ended.At, Reason: r.Ended.Reason, Detail: r.Ended.Detail, SessionID: r.SessionID, Workspace: r.Workspace}
		if path := h.Audit(r.Container + ".jsonl"); exists(path) {
			p.Audit = path
		}
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b Past) int { return b.At.Compare(a.At) })
	return out
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// Save is one saved session.
type Save struct {
	ID         string    `json:"id"`
	At         time.Time `json:"saved_at"`
	Workspace  string    `json:"workspace"`
	Tool       string    `json:"tool"`
	Container  string    `json:"container"`
	Profile    string    `json:"profile"`
	Persistent bool      `json:"persistent"`
	Size       int64     `json:"size_bytes"`
}

// metadata is what is read of a save's metadata.json.
type metadata struct {
	SessionID  string    `json:"session_id"`
	Container  string    `json:"container_name"`
	Workspace  string    `json:"workspace"`
	Tool       string    `json:"tool"`
	Profile    string    `json:"profile_name"`
	Persistent bool      `json:"persistent"`
	SavedAt    time.Time `json:"saved_at"`
	Size       int64     `json:"size_bytes"`
}

// Saved lists the saved sessions of all tools, or of one, newest first. dir is
// the start of the directories' names: dir-<tool>.
func Saved(dir, tool string) []Save {
	out := []Save{}
	dirs, _ := filepath.Glob(dir + "-*")
	for _, d := range dirs {
		if tool != "" && d != dir+"-"+tool {
			continue
		}
		entries, _ := os.ReadDir(d)
		for _, e := range entries {
			var m metadata
			if strings.HasPrefix(e.Name(), ".") || home.ReadJSON(filepath.Join(d, e.Name(), "metadata.json"), 1, &m) != nil {
				continue
			}
			out = append(out, Save{
				ID: e.Name(), At: m.SavedAt, Workspace: m.Workspace, Tool: m.Tool, Container: m.Container,
				Profile: m.Profile, Persistent: m.Persistent, Size: m.Size,
			})
		}
	}
	slices.SortFunc(out, func(a, b Save) int { return b.At.Compare(a.At) })
	return out
}

// Path is one saved path with what it holds, in bytes.
type Path struct {
	Path string `json:"path"`
	Size int64  `json:"size_bytes"`
}

// Paths lists what a saved session holds. Links are not followed.
func Paths(dir, id string) []Path {
	out := []Path{}
	top := filepath.Join(dir, id)
	entries, _ := os.ReadDir(top)
	for _, e := range entries {
		if e.Name() == "metadata.json" {
			continue
		}
		p := Path{Path: e.Name()}
		_ = filepath.WalkDir(filepath.Join(top, e.Name()), func(_ string, d os.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				if st, err := d.Info(); err == nil {
					p.Size += st.Size()
				}
			}
			return nil
		})
		out = append(out, p)
	}
	return out
}
