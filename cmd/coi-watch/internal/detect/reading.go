package detect

import (
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
)

// taken reports operations that bring the content of a file out of it.
func taken(a command.Access) bool {
	return a.Op == command.Read || a.Op == command.Some || a.Op == command.Search && !a.Tree
}

// readEvent reports an open for reading.
func readEvent(ev event.Event) bool {
	return ev.Type == event.Open && (ev.Op == "" || strings.HasPrefix(ev.Op, "open") || ev.Op == "read")
}
