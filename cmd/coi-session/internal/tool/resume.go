package tool

import (
	"bufio"
	"encoding/json"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/beneath"
)

var uuidRE = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// maxTranscripts bounds the search; a home with more conversations gets the
// newest of the first so many.
const maxTranscripts = 50_000

// ResumeID finds the id by which the tool itself knows its newest conversation
// in workspace, an inside path. saved holds what was saved of the home. It is
// empty when there is none, or when the tool has no ids.
func (t Tool) ResumeID(saved *beneath.Root, workspaces ...string) string {
	switch t.Name {
	case "claude":
		return claudeID(saved, workspaces)
	case "codex":
		return codexID(saved, workspaces)
	}
	return ""
}

// claudeID: one directory a workspace, its path with everything but letters and
// digits replaced by hyphens, one <id>.jsonl a conversation.
func claudeID(saved *beneath.Root, workspaces []string) string {
	var best newest
	for _, w := range workspaces {
		dir := ".claude/projects/" + strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
				return r
			}
			return '-'
		}, w)
		entries, err := saved.List(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			name, ok := strings.CutSuffix(e.Name(), ".jsonl")
			if st, err := saved.Stat(path.Join(dir, e.Name())); ok && err == nil && st.Mode.IsRegular() && uuidRE.MatchString(name) {
				best.offer(name, st.ModTime)
			}
		}
	}
	return best.id
}

// codexID: sessions/YYYY/MM/DD/rollout-<time>-<id>.jsonl, whose first line holds
// the directory it was made in.
func codexID(saved *beneath.Root, workspaces []string) string {
	var best newest
	_ = saved.Walk(".codex/sessions", maxTranscripts, func(e beneath.Entry) error {
		name, ok := strings.CutSuffix(path.Base(e.Path), ".jsonl")
		id := uuidRE.FindString(name)
		if !ok || !e.Type.IsRegular() || id == "" {
			return nil
		}
		if st, err := e.Stat(); err == nil && best.newer(st.ModTime) && madeIn(saved, e.Path, workspaces) {
			best.offer(id, st.ModTime)
		}
		return nil
	}, func(string, error) {})
	return best.id
}

func madeIn(saved *beneath.Root, rel string, workspaces []string) bool {
	f, err := saved.OpenRegular(rel)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	line, err := bufio.NewReaderSize(f, 1<<20).ReadSlice('\n')
	if err != nil {
		return false
	}
	var head struct {
		Payload struct {
			Cwd string `json:"cwd"`
		} `json:"payload"`
	}
	if json.Unmarshal(line, &head) != nil {
		return false
	}
	return slices.Contains(workspaces, head.Payload.Cwd)
}

type newest struct {
	id string
	at time.Time
}

func (n *newest) newer(at time.Time) bool { return n.id == "" || at.After(n.at) }

func (n *newest) offer(id string, at time.Time) {
	if n.newer(at) {
		n.id, n.at = id, at
	}
}
