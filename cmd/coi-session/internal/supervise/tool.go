package supervise

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/run"
)

// StatusPath is where the pane leaves the exit status of the tool, inside.
const StatusPath = "/run/coi/state/status"

// watchTool waits for the end of the tmux session by one exec: a control-mode
// client that shows nothing and ends with its session. If Incus itself goes
// away meanwhile, it is tried again.
func (s *Supervisor) watchTool(ctx context.Context) {
	if s.watching {
		return
	}
	s.watching = true
	r := s.file.Get()
	session := "=" + coi.TmuxSession(r.Container)
	script := `tmux -C attach-session -t "$1" -f no-output,ignore-size,read-only >/dev/null 2>&1
tmux has-session -t "$1" 2>/dev/null && exit 75
cat "$2" 2>/dev/null`
	go func() {
		for {
			in, hold := io.Pipe() // control mode ends with its input
			var out bytes.Buffer
			code, err := s.door.Exec(ctx, r.Container, incus.Exec{
				UID: r.Plan.UID, GID: r.Plan.UID, Stdin: in, Stdout: limited{&out},
				Env: map[string]string{"HOME": r.Plan.HomeDir, "TERM": "dumb", "LANG": "C.UTF-8"}, Argv: []string{"/bin/sh", "-c", script, "sh", session, StatusPath},
			})
			_ = hold.Close()
			// Anything else says how this exec ended, not the tool.
			if err == nil && (code == 0 || code == 1) {
				s.tool <- parseStatus(out.String())
				return
			}
			if errors.Is(err, incus.ErrSilent) {
				// For good; another try would leave one more process behind.
				if text, ok := s.awaitStatus(ctx, r.Container); ok {
					s.tool <- parseStatus(text)
				}
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(run.HeartbeatEvery / 4):
			}
		}
	}()
}

// awaitStatus waits for what the pane writes at its end, by reading files: that
// works where Incus can start nothing.
func (s *Supervisor) awaitStatus(ctx context.Context, container string) (string, bool) {
	for {
		if text, ok := s.left(ctx, container); ok {
			return text, true
		}
		if !pause(ctx, run.HeartbeatEvery) {
			return "", false
		}
	}
}

// left is what the pane wrote at its end.
func (s *Supervisor) left(ctx context.Context, container string) (string, bool) {
	tree, err := s.door.Files(ctx, container)
	if err != nil {
		return "", false
	}
	defer func() { _ = tree.Close() }()
	text, err := tree.Head(StatusPath, maxStatus)
	return string(text), err == nil
}

// toolEnd is how the tool in the pane ended.
type toolEnd struct {
	status int
	lines  string // its last lines, if it failed at once
}

// parseStatus reads what the pane left: exit status and seconds, then the lines
// of a tool that failed at once. It comes from inside, so it is only text.
func parseStatus(text string) toolEnd {
	head, rest, _ := strings.Cut(text, "\n")
	word, _, _ := strings.Cut(head, " ")
	n, _ := strconv.Atoi(word)
	return toolEnd{status: n & 0xff, lines: strings.Trim(rest, "\n ")}
}

// maxStatus bounds a short answer from inside, in bytes.
const maxStatus = 8192

// limited keeps the first bytes of a short answer from inside.
type limited struct{ b *bytes.Buffer }

func (l limited) Write(p []byte) (int, error) {
	if room := maxStatus - l.b.Len(); room > 0 {
		_, _ = l.b.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
