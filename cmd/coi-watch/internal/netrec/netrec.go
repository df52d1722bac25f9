// Package netrec reads what the firewall says of a container: its audit
// records, and in its view who was talked to and how much was sent.
package netrec

import (
	"bytes"
	"encoding/json"
	"io"
	"time"

	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// Record is the part of an audit record that matters here.
type Record struct {
	Seq    int       `json:"seq"`
	TS     time.Time `json:"ts"`
	Source string    `json:"source"`
	Level  coi.Level `json:"level"`
	Rule   string    `json:"rule"`
	Title  string    `json:"title"`
	Why    string    `json:"description"`
	Action string    `json:"action"`
	Proto  string    `json:"proto"`
	Local  string    `json:"local"`
	Peer   string    `json:"peer"`
	Port   int       `json:"port"`
	Name   string    `json:"name"`
	DNS    *struct {
		Name string `json:"name"`
	} `json:"dns"`
}

// maxPass is how much of a trail is read in one pass, in bytes.
const maxPass = 1 << 20

// Follower reads the guard's records of one container as they come.
type Follower struct {
	path   string
	offset int64
	ino    uint64
	begun  bool
}

// NewFollower starts at the end of the trail: what was written before is no news.
func NewFollower(h home.Home, container string) *Follower {
	return &Follower{path: h.Audit(container + ".jsonl")}
}

// Next returns the guard's records since the last call.
func (f *Follower) Next() ([]Record, error) {
	file, err := home.Open(f.path)
	if home.Missing(err) {
		f.begun = true // a trail that is made later is read from its start
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	st, err := file.Stat()
	if err != nil {
		return nil, err
	}
	ino := inode(st)
	switch {
	case !f.begun:
		f.offset, f.ino, f.begun = st.Size(), ino, true
	case ino != f.ino || st.Size() < f.offset: // a new part
		f.offset, f.ino = 0, ino
	}
	if st.Size() == f.offset {
		return nil, nil
	}
	b, err := io.ReadAll(io.NewSectionReader(file, f.offset, maxPass))
	if err != nil {
		return nil, err
	}
	end := bytes.LastIndexByte(b, '\n') + 1
	f.offset += int64(end)
	return Parse(b[:end]), nil
}

// Parse picks the guard's records out of lines.
func Parse(b []byte) []Record {
	var out []Record
	for line := range bytes.SplitSeq(b, []byte("\n")) {
		var r Record
		if bytes.Contains(line, []byte(`"source":"guard"`)) && json.Unmarshal(line, &r) == nil && r.Source == audit.SourceGuard {
			out = append(out, r)
		}
	}
	return out
}

// Flow is a new connection that was let through.
type Flow struct {
	Seq   uint64 `json:"seq"`
	Proto string `json:"proto"`
	Peer  string `json:"peer"`
	Port  int    `json:"port"`
	Name  string `json:"name"`
}

// Used is a destination that was talked to; Bytes were sent to its address.
type Used struct {
	Proto string   `json:"proto"`
	Addr  string   `json:"addr"`
	Port  int      `json:"port"`
	Names []string `json:"names"`
	Bytes uint64   `json:"bytes"`
}

// View is the part of the guard's view that matters here.
type View struct {
	Used   []Used `json:"used"`
	Recent []Flow `json:"recent"`
}

// ReadView reads the guard's view of a container; an empty one when there is none.
func ReadView(h home.Home, container string) View {
	var v View
	_ = run.Read(h.Run(container+run.NetViewFile), &v) // without a guard nothing is known
	return v
}

// Windows over which uploads are counted.
const (
	ShortWindow = 10 * time.Minute
	LongWindow  = time.Hour
)

// sample is how much had been sent to a name at a time.
type sample struct {
	at    time.Time
	bytes uint64
}

// Uploads counts what goes to each name.
type Uploads struct {
	byName map[string][]sample
	flow   uint64 // seq of the last flow seen
}

// Sent is what went to one name in the two windows, in bytes.
type Sent struct {
	Name, Addr  string
	Short, Long float64
}

const maxNames = 1024

// Add takes in a view and returns what grew, and the flows that are new.
func (u *Uploads) Add(v View, now time.Time) (grew []Sent, flows []Flow) {
	if u.byName == nil {
		u.byName = map[string][]sample{}
	}
	total, addr := map[string]uint64{}, map[string]string{}
	seen := map[string]bool{}
	for _, x := range v.Used {
		name := x.Addr
		if len(x.Names) > 0 {
			name = x.Names[0]
		}
		if !seen[x.Addr] { // bytes are those of all ports of an address together
			seen[x.Addr] = true
			total[name] += x.Bytes
		}
		addr[name] = x.Addr
	}
	for name, n := range total {
		list := u.byName[name]
		if len(list) > 0 && list[len(list)-1].bytes == n || len(list) == 0 && len(u.byName) >= maxNames {
			continue
		}
		for len(list) > 1 && now.Sub(list[1].at) > LongWindow {
			list = list[1:]
		}
		if len(list) == 0 {
			list = []sample{{now, 0}}
		}
		list = thin(append(list, sample{now, n}))
		u.byName[name] = list
		grew = append(grew, Sent{Name: name, Addr: addr[name], Short: within(list, now, ShortWindow), Long: within(list, now, LongWindow)})
	}
	for _, f := range v.Recent {
		if f.Seq > u.flow {
			u.flow = f.Seq
			flows = append(flows, f)
		}
	}
	return grew, flows
}

// maxSamples bounds the samples of one name; every second older one goes.
const maxSamples = 512

func thin(list []sample) []sample {
	if len(list) < maxSamples {
		return list
	}
	out := list[:0:0]
	for i, s := range list {
		if i%2 == 0 || i == len(list)-1 {
			out = append(out, s)
		}
	}
	return out
}

func within(list []sample, now time.Time, window time.Duration) float64 {
	last := list[len(list)-1].bytes
	for _, s := range list {
		if now.Sub(s.at) <= window {
			return float64(last - min(last, s.bytes))
		}
	}
	return 0
}
