// Package supervise is the process that stays with a container from before it
// exists until it is gone or kept: it notices the end of the tool, the end of
// the time, a container that died, and the death of the command that started
// it, and brings each to an orderly end. While that command lives, the two talk
// over a pair of pipes; afterwards everything is in run/<c>.json.
package supervise

import (
	"bufio"
	"encoding/json"
	"io"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/record"
)

// Orders of the command to its supervisor.
const (
	OpUpdate = "update" // take over this record
	OpTool   = "tool"   // the tool runs in tmux: wait for its end
	OpEnd    = "end"    // the command or tool ended: bring the session to its end
	OpAbort  = "abort"  // undo the start
	OpDetach = "detach" // the command goes; the session stays
)

// Order is one line to the supervisor.
type Order struct {
	Op     string         `json:"op"`
	Record *record.Record `json:"record,omitempty"`
	Reason string         `json:"reason,omitempty"`
	Detail string         `json:"detail,omitempty"`
	Status int            `json:"status,omitempty"`
}

// Reports of the supervisor to the command.
const (
	OpReady   = "ready"   // it holds the lock
	OpWarning = "warning" // Text is for the user
	OpNote    = "note"
	OpEnding  = "ending" // Reason says why the session ends
	OpSafe    = "safe"   // processes dead, workspace verified, save done
	OpDone    = "done"   // Outcome says what became of the container
)

// Report is one line from the supervisor.
type Report struct {
	Op      string   `json:"op"`
	Text    string   `json:"text,omitempty"`
	Hints   []string `json:"hints,omitempty"`
	Reason  string   `json:"reason,omitempty"`
	Detail  string   `json:"detail,omitempty"`
	Status  int      `json:"status,omitempty"`
	Saved   string   `json:"saved,omitempty"`   // id of the saved session
	Outcome string   `json:"outcome,omitempty"` // deleted, kept, failed
}

// maxLine bounds one line of the pipes, in bytes.
const maxLine = 4 << 20

// lines decodes one JSON value a line until the stream ends, then closes the channel.
func lines[T any](r io.Reader) <-chan T {
	out := make(chan T, 16)
	go func() {
		defer close(out)
		s := bufio.NewScanner(r)
		s.Buffer(make([]byte, 0, 4096), maxLine)
		for s.Scan() {
			var v T
			if json.Unmarshal(s.Bytes(), &v) == nil {
				out <- v
			}
		}
	}()
	return out
}

func send(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}
