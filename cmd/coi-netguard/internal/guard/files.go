package guard

import (
	"errors"
	"path/filepath"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-netguard/internal/resolve"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// State is netguard.json: the daemon's sign of life and what it found.
type State struct {
	run.Daemon
	Kernel      string         `json:"kernel"`
	Features    []string       `json:"features"`
	Missing     []string       `json:"missing"`
	Uplinks     []string       `json:"uplinks"`
	Pool        string         `json:"pool"`
	Pool6       string         `json:"pool6"`
	DNSPort     uint16         `json:"dns_port"`
	Table       string         `json:"table"`
	Tag         string         `json:"tag"`
	Mark        uint32         `json:"mark"`
	Group       uint16         `json:"log_group"`
	Foreign     []string       `json:"foreign"`      // other firewalls and what was done about them
	Conflicts   []string       `json:"conflicts"`    // rules of others that use the mark bit or translate addresses first
	ForeignSeen bool           `json:"foreign_seen"` // all rules of others were read
	Lost        uint64         `json:"lost"`         // kernel log messages that did not arrive
	Upstream    resolve.Asked  `json:"upstream"`     // name servers of the host and of policies
	Numbers     map[string]int `json:"numbers"`
	Last        int            `json:"last_number"`
}

// load reads what an earlier guard left: the numbers of containers and the port
// of its name server, which running containers use.
func (s *State) load(path string) {
	var old State
	if run.Read(path, &old) == nil {
		s.Numbers, s.Last, s.DNSPort = old.Numbers, old.Last, old.DNSPort
	}
	if s.Numbers == nil {
		s.Numbers = map[string]int{}
	}
}

// number is the suffix of a container's chains.
func (s *State) number(container string) int {
	n, ok := s.Numbers[container]
	if !ok {
		s.Last++
		n = s.Last
		s.Numbers[container] = n
	}
	return n
}

// Live is one entry of the local file.
type Live struct {
	Dest  string     `json:"dest"`
	Ports []string   `json:"ports,omitempty"`
	Until *time.Time `json:"until,omitempty"`
}

// LiveHost is a host entry of the local file.
type LiveHost struct {
	run.HostEntry
	Until *time.Time `json:"until,omitempty"`
}

// Local is run/<c>.net.local.json: what was allowed and denied while the
// container runs. A raised generation alone asks for a check.
type Local struct {
	SchemaVersion int        `json:"schema_version"`
	Generation    int        `json:"generation"`
	Allow         []Live     `json:"allow"`
	Deny          []Live     `json:"deny"`
	Hosts         []LiveHost `json:"hosts"`
	Drill         int        `json:"drill,omitempty"` // raised: damage and repair the rules of a probe container
}

func (g *Guard) path(container, suffix string) string {
	return filepath.Join(g.o.Dir, container+suffix)
}

// readOptional reads a file that need not be there.
func readOptional(path string, v any) error {
	if err := run.Read(path, v); err != nil && !home.Missing(err) {
		return err
	}
	return nil
}

// readSpec reads a spec; missing tells that there is none.
func (g *Guard) readSpec(container string) (spec *run.Net, missing bool, err error) {
	spec = &run.Net{}
	err = run.Read(g.path(container, run.NetFile), spec)
	switch {
	case home.Missing(err):
		return nil, true, nil
	case err != nil:
		return nil, false, err
	case spec.Container != container:
		return nil, false, errors.New("container: is not the one the file is named for")
	case spec.SchemaVersion < 1:
		return nil, false, errors.New("schema_version: is missing")
	}
	return spec, false, nil
}
