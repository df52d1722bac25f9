package audit

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/code-on-incus/coi/pkg/home"
)

// Head is <container>.head: what the last writer left. A file that is shorter
// was cut.
type Head struct {
	Seq  int    `json:"seq"`
	Hash string `json:"hash"`
	File string `json:"file"`
	Size int64  `json:"size"`
}

// headLen is the fixed length of the file: it is replaced by one write of less
// than a page, which a dying process cannot leave half done.
const headLen = 256

// ReadHead reads the head of a trail; a missing or bad one is the zero Head.
func ReadHead(h home.Home, container string) Head { return readHead(h.Audit(container + ".head")) }

func readHead(path string) Head {
	b, err := home.ReadFile(path)
	if err != nil {
		return Head{}
	}
	var h Head
	if json.Unmarshal(b, &h) != nil || len(h.Hash) != len(zeroHash) || h.Seq < 0 {
		return Head{}
	}
	return h
}

func (s *store) writeHead() {
	line := fmt.Sprintf(`{"seq":%d,"hash":"%s","file":"%s.jsonl","size":%d}`, s.seq, s.hash, s.name, s.size)
	b := make([]byte, headLen)
	for i := copy(b, line); i < headLen-1; i++ {
		b[i] = ' '
	}
	b[headLen-1] = '\n'
	// The chain holds without the head; an error shows in the next load.
	_, _ = s.head.WriteAt(b, 0)
}

// anchorDue is when the head is to be anchored, if anything changed.
func (s *store) anchorDue() (time.Time, bool) {
	if s.anchored == s.seq || s.anchorFrom.IsZero() {
		return time.Time{}, false
	}
	return s.anchorFrom.Add(anchorEvery), true
}

// anchor sends the head to the system journal.
func (s *store) anchor() {
	s.anchorFrom = time.Time{}
	if s.seq == s.anchored || s.hash == "" {
		return
	}
	s.anchored = s.seq
	sendAnchor(s.opts.Journal, Anchor{Container: s.name, Trail: s.path(), Seq: s.seq, Hash: s.hash})
}
