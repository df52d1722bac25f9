package record

import (
	"os"
	"time"

	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// AskFile is the suffix of the file by which another command asks the
// supervisor of a session for something.
const AskFile = ".ask.json"

// What can be asked of a supervisor.
const (
	AskShutdown = "shutdown"
	AskKill     = "kill"
	AskStop     = "stop" // keep the container whatever its kind
	AskHalt     = "halt" // the same, by force
)

// Ask is run/<c>.ask.json.
type Ask struct {
	SchemaVersion int    `json:"schema_version"`
	Generation    int    `json:"generation"`
	Do            string `json:"do"`
	Timeout       int    `json:"timeout"` // seconds; 0: the session's own
	Detail        string `json:"detail,omitempty"`
}

// AskPath is the file in which a container's supervisor is asked.
func AskPath(h home.Home, container string) string { return h.Run(container + AskFile) }

// ReadAsk reads what is asked of a container's supervisor; nothing is no error.
func ReadAsk(h home.Home, container string) (Ask, error) {
	var a Ask
	if err := run.Read(AskPath(h, container), &a); err != nil && !home.Missing(err) {
		return a, err
	}
	return a, nil
}

// WriteAsk asks a container's supervisor, and touches the lock that it holds:
// that is the file it watches, in a folder where the files of all sessions change.
func WriteAsk(h home.Home, container string, a Ask) error {
	old, _ := ReadAsk(h, container)
	a.SchemaVersion, a.Generation = run.Schema, old.Generation+1
	if err := run.Write(AskPath(h, container), a); err != nil {
		return err
	}
	now := time.Now()
	_ = os.Chtimes(LockPath(h, container), now, now) // without it the heartbeat sees the question
	return nil
}

// RemoveAsk takes the question away once it has been answered.
func RemoveAsk(h home.Home, container string) { _ = os.Remove(AskPath(h, container)) }
