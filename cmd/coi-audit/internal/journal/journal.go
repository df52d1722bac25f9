// Package journal reads the anchors of audit trails back from the system
// journal.
package journal

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/code-on-incus/coi/pkg/audit"
)

// entry is what journalctl -o json prints; journald itself sets the fields
// that begin with an underscore.
type entry struct {
	Container string `json:"COI_CONTAINER"`
	Trail     string `json:"COI_TRAIL"`
	Seq       string `json:"COI_SEQ"`
	Hash      string `json:"COI_HASH"`
	UID       string `json:"_UID"`
	At        string `json:"__REALTIME_TIMESTAMP"` // microseconds since 1970
}

// Anchors asks journalctl for the anchors of a container. Only those that root
// or uid sent count: anybody may write to the journal.
func Anchors(ctx context.Context, container string, uid int) ([]audit.Anchor, error) {
	cmd := exec.CommandContext(ctx, "journalctl", "--quiet", "--no-pager", "--output=json", "SYSLOG_IDENTIFIER="+audit.AnchorIdentifier, "COI_CONTAINER="+container)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	var anchors []audit.Anchor
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if a, ok := parse(lines.Bytes(), uid); ok {
			anchors = append(anchors, a)
		}
	}
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return anchors, lines.Err()
}

func parse(line []byte, uid int) (audit.Anchor, bool) {
	var e entry
	if json.Unmarshal(line, &e) != nil || e.UID != "0" && e.UID != strconv.Itoa(uid) {
		return audit.Anchor{}, false
	}
	seq, err := strconv.Atoi(e.Seq)
	us, _ := strconv.ParseInt(e.At, 10, 64)
	return audit.Anchor{Container: e.Container, Trail: e.Trail, Seq: seq, Hash: e.Hash, At: time.UnixMicro(us)}, err == nil && len(e.Hash) == 64
}
