package audit

import (
	"fmt"
	"net"
	"time"
)

// AnchorIdentifier is the syslog identifier of anchors in the system journal.
const AnchorIdentifier = "coi-audit"

// Anchor is a head that was sent to the system journal, which a user cannot
// change afterwards.
type Anchor struct {
	Container string
	Trail     string // path of the file
	Seq       int
	Hash      string
	At        time.Time // when the journal got it
}

const journalSocket = "/run/systemd/journal/socket"

// sendAnchor speaks the native protocol of systemd-journald: one datagram of
// NAME=value lines. Without a journal there are no anchors.
func sendAnchor(socket string, a Anchor) {
	if socket == "-" {
		return
	}
	if socket == "" {
		socket = journalSocket
	}
	c, err := net.DialTimeout("unixgram", socket, 20*time.Millisecond)
	if err != nil {
		return
	}
	defer func() { _ = c.Close() }()
	_ = c.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
	_, _ = fmt.Fprintf(c, "MESSAGE=audit trail %[2]s stands at %[3]d %[4]s\nSYSLOG_IDENTIFIER=%[1]s\nPRIORITY=6\nCOI_CONTAINER=%[2]s\nCOI_TRAIL=%[5]s\nCOI_SEQ=%[3]d\nCOI_HASH=%[4]s\n",
		AnchorIdentifier, a.Container, a.Seq, a.Hash, a.Trail)
}
