// Package view is run/<c>.watch.view.json: what `coi monitor` shows of one
// container. The daemon writes it, only the monitor reads it.
package view

import (
	"encoding/json"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/code-on-incus/coi/pkg/cli"
)

// View is one moment of one container.
type View struct {
	SchemaVersion int        `json:"schema_version"`
	Timestamp     time.Time  `json:"timestamp"`
	Container     string     `json:"container"`
	Mode          string     `json:"mode,omitempty"` // of the network
	Watcher       Watcher    `json:"watcher"`
	Network       Network    `json:"network"`
	Processes     Processes  `json:"processes"`
	Filesystem    Filesystem `json:"filesystem"`
	Resources     Resources  `json:"resources"`
	Threats       []Threat   `json:"threats"`
	// Hits counts findings by rule since the container was armed.
	Hits   map[string]int `json:"hits,omitempty"`
	Errors []string       `json:"errors"`

	Ended bool `json:"-"` // the container is gone; a reader finds that out
}

// Watcher is the state of the watch. P50us and P99us are the time from an exec
// to its verdict in microseconds.
type Watcher struct {
	Running  bool     `json:"running"`
	Sources  []string `json:"sources"`
	Lost     int      `json:"lost"`
	Execs    uint64   `json:"execs"` // programs started that were judged
	P50us    int64    `json:"p50_us"`
	P99us    int64    `json:"p99_us"`
	Marks    int      `json:"marks"`
	Findings int      `json:"findings"`
	Frozen   bool     `json:"frozen"`
}

// Network lists connections.
type Network struct {
	Connections []Connection `json:"connections"`
}

// Connection is one socket. UID is the one inside, -1 unknown.
type Connection struct {
	Protocol   string `json:"protocol"`
	LocalAddr  string `json:"local_addr"`
	LocalPort  int    `json:"local_port,omitempty"`
	RemoteAddr string `json:"remote_addr"`
	Name       string `json:"name"`
	State      string `json:"state"`
	UID        int    `json:"uid"`
	PID        int    `json:"pid,omitempty"`
	Verdict    string `json:"verdict"`
}

// Processes lists the first 500 of Total processes.
type Processes struct {
	Total int       `json:"total"`
	List  []Process `json:"list"`
}

// Process is one process; Command is redacted.
type Process struct {
	PID     int      `json:"pid"`
	PPID    int      `json:"ppid"`
	UID     int      `json:"uid"`
	User    string   `json:"user"`
	Exe     string   `json:"exe,omitempty"`
	Command Command  `json:"command"`
	Flags   []string `json:"flags"`
}

// Filesystem is what was read and written since the watch began, and at which
// rate over the last interval.
type Filesystem struct {
	ReadMB         float64 `json:"read_mb"`
	WriteMB        float64 `json:"write_mb"`
	ReadRate       float64 `json:"read_rate_mb_per_sec"`
	WriteRate      float64 `json:"write_rate_mb_per_sec"`
	TmpUsedPercent float64 `json:"tmp_used_percent"`
}

// Resources is what the container uses now; a limit of 0 is none.
type Resources struct {
	CPUPercent    float64 `json:"cpu_percent"`
	MemoryMB      float64 `json:"memory_mb"`
	MemoryLimitMB float64 `json:"memory_limit_mb"`
	Processes     int     `json:"processes"`
}

// Threat is a finding as its audit record has it.
type Threat struct {
	TS     time.Time `json:"ts"`
	Level  string    `json:"level"`
	Rule   string    `json:"rule"`
	Action string    `json:"action"`
	Title  string    `json:"title"`
	ID     string    `json:"id"`
	Argv   []string  `json:"argv,omitempty"`
	Path   string    `json:"path,omitempty"`
	Peer   string    `json:"peer,omitempty"`
	Port   int       `json:"port,omitempty"`
}

// Command is an argument list that JSON shows as one line.
type Command []string

// MarshalJSON joins the words with spaces.
func (c Command) MarshalJSON() ([]byte, error) { return json.Marshal(strings.Join(c, " ")) }

// UnmarshalJSON takes the line as one word.
func (c *Command) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	*c = Command{s}
	return nil
}

// New is the view of a container of which nothing is known yet.
func New(container string) View {
	return View{
		SchemaVersion: 1, Container: container, Watcher: Watcher{Sources: []string{}}, Network: Network{Connections: []Connection{}},
		Processes: Processes{List: []Process{}}, Threats: []Threat{}, Errors: []string{},
	}
}

// Verdict is what the firewall says of an address.
type Verdict struct{ Name, Verdict string }

// Judge adds the firewall's verdicts to the connections.
func (v *View) Judge(by map[string]Verdict) {
	for i := range v.Network.Connections {
		c := &v.Network.Connections[i]
		got, ok := by[c.RemoteAddr]
		if host, _, err := net.SplitHostPort(c.RemoteAddr); !ok && err == nil {
			got = by[host]
		}
		c.Name, c.Verdict = got.Name, got.Verdict
	}
}

// Safe is the view with all text from the container escaped, for a terminal
// that gets it as JSON.
func (v View) Safe() View {
	for i := range v.Processes.List {
		p := &v.Processes.List[i]
		p.User, p.Exe, p.Command = cli.Escape(p.User), cli.Escape(p.Exe), Command{cli.Escape(strings.Join(p.Command, " "))}
	}
	for i := range v.Threats {
		t := &v.Threats[i]
		t.Title, t.Path = cli.Escape(t.Title), cli.Escape(t.Path)
		for j := range t.Argv {
			t.Argv[j] = cli.Escape(t.Argv[j])
		}
	}
	for i := range v.Network.Connections {
		v.Network.Connections[i].Name = cli.Escape(v.Network.Connections[i].Name)
	}
	for i := range v.Errors {
		v.Errors[i] = cli.Escape(v.Errors[i])
	}
	return v
}

// Join is address:port, with brackets where IPv6 needs them.
func Join(addr string, port int) string {
	if addr == "" {
		return ""
	}
	return net.JoinHostPort(addr, strconv.Itoa(port))
}
