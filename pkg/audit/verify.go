package audit

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/home"
)

// Kinds of Fault.
const (
	Changed  = "changed"
	Missing  = "missing"
	Inserted = "inserted"
	Swapped  = "swapped"
	Torn     = "torn"
	CutTail  = "cut tail"
	Foreign  = "foreign key"
)

// Fault is the first place where a chain does not hold.
type Fault struct {
	File   string `json:"file"`
	Line   int    `json:"line"` // from 1
	Byte   int64  `json:"byte"` // offset of the line in the file
	Seq    int    `json:"seq,omitempty"`
	Kind   string `json:"kind"`
	Detail string `json:"detail"`
}

// Report is what Verify found. Fault is nil when the chain holds.
type Report struct {
	Container string `json:"container"`
	Records   int    `json:"records"`
	Parts     int    `json:"parts"`
	First     int    `json:"first"`
	Last      int    `json:"last"`
	// Head is "matches", or "behind" when a writer died between a record and
	// its head, or what is wrong with it.
	Head     string `json:"head"`
	PrunedBy int    `json:"pruned_by,omitempty"`       // record that tells of the parts deleted before First
	Anchors  int    `json:"anchors"`                   // anchors that match
	Earlier  int    `json:"earlier_anchors,omitempty"` // anchors older than the first record: of a trail that had this name before
	Fault    *Fault `json:"fault,omitempty"`
}

// Verify reads all parts of a container's trail and checks every link, the
// head, and the anchors it is given. Records that writers add meanwhile are
// left out. A trail without any file gives an error that wraps fs.ErrNotExist.
func Verify(h home.Home, container string, anchors []Anchor) (Report, error) {
	v := &verifier{Report: Report{Container: container}, hash: hexHash([]byte(zeroHash)), anchors: map[int][]Anchor{}}
	for _, a := range anchors {
		if a.Container == container && (a.Trail == "" || a.Trail == h.Audit(container+".jsonl")) {
			v.anchors[a.Seq] = append(v.anchors[a.Seq], a)
		}
	}
	files, size, err := v.open(h)
	defer func() {
		for _, f := range files {
			_ = f.Close()
		}
	}()
	if err != nil {
		return v.Report, err
	}
	if len(files) == 0 && v.head.Seq == 0 {
		return v.Report, fmt.Errorf("%s: %w", h.Audit(container+".jsonl"), os.ErrNotExist)
	}
	v.prefix = []byte(`,"container":"` + container + `",`)
	v.Parts = len(files)
	for i, f := range files {
		limit := int64(-1)
		if i == len(files)-1 && v.current {
			limit = size
		}
		if err := v.file(f, limit); err != nil || v.Fault != nil {
			return v.Report, err
		}
	}
	v.finish(h)
	return v.Report, nil
}

// open opens all files at one moment between two appends, and reads the head.
func (v *verifier) open(h home.Home) (files []*os.File, size int64, err error) {
	defer lockShared(h.Audit(v.Container + ".jsonl.lock"))()
	v.head = ReadHead(h, v.Container)
	parts, err := Files(h, v.Container)
	if err != nil {
		return nil, 0, err
	}
	for _, p := range parts {
		f, err := home.Open(p.Path)
		if err != nil {
			return files, 0, err
		}
		files = append(files, f)
		if p.Current {
			st, err := f.Stat()
			if err != nil {
				return files, 0, err
			}
			v.current, size = true, st.Size()
		}
	}
	return files, size, nil
}

// lockShared keeps writers out for a moment. A trail can be read without it,
// so a lock that is not to be had in time is no error.
func lockShared(path string) (unlock func()) {
	f, err := home.Open(path)
	if err != nil {
		return func() {}
	}
	end := time.Now().Add(MaxWait)
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
		if err == nil || !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(end) {
			return func() { _ = f.Close() }
		}
		time.Sleep(time.Millisecond) //nolint:forbidigo // flock has no wait with a limit; bounded by end
	}
}

// finish compares what was read with the head and the anchors.
func (v *verifier) finish(h home.Home) {
	v.Last = v.seq
	if v.First > 1 && v.PrunedBy == 0 {
		v.Fault = &Fault{File: v.firstFile, Line: 1, Seq: v.First, Kind: Missing, Detail: fmt.Sprintf("records 1 to %d are not there and no record tells that they were pruned", v.First-1)}
		return
	}
	end := func(kind, detail string) {
		v.Fault = &Fault{File: v.name, Line: max(v.line, 1), Byte: v.lineAt, Seq: v.seq, Kind: kind, Detail: detail}
		if v.name == "" {
			v.Fault.File = v.Container + ".jsonl"
		}
	}
	switch {
	case v.head.Seq == 0:
		v.Head = "missing"
		end(CutTail, h.Shorten(h.Audit(v.Container+".head"))+" is missing or cannot be read, so the end is not certain")
	case v.head.Seq > v.seq:
		v.Head = "ahead"
		end(CutTail, fmt.Sprintf("records %d to %d are not there", v.seq+1, v.head.Seq))
	case !v.headSeen:
		v.Head = "differs"
		end(Changed, fmt.Sprintf("the head holds another hash for record %d", v.head.Seq))
	case v.head.Seq < v.seq:
		v.Head = "behind"
	default:
		v.Head = "matches"
	}
	if v.Fault != nil {
		return
	}
	for seq, list := range v.anchors {
		if seq > v.seq && slices.ContainsFunc(list, func(a Anchor) bool { return !v.older(a) }) {
			end(CutTail, fmt.Sprintf("an anchor in the journal names record %d", seq))
			return
		}
	}
}
