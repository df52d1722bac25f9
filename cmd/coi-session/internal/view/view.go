// Package view is what list and info show of a container: what Incus says, what
// the record and the guards' status files add, in the words of the tables and
// of the JSON.
package view

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/plan"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/record"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// List is the JSON of coi list.
type List struct {
	Schema int         `json:"schema_version"`
	Active []Container `json:"active_containers"`
	Ended  []Past      `json:"recently_ended"`
	Saved  []Save      `json:"saved_sessions,omitempty"`
	Copies []Copy      `json:"copies,omitempty"`
}

// Copy is a stopped copy for study of a container that the monitor killed.
type Copy struct {
	Name string    `json:"name"`
	Of   string    `json:"copy_of"`
	At   time.Time `json:"killed_at"`
	Pool string    `json:"pool"`
}

// Container is one container that exists.
type Container struct {
	Name        string     `json:"name"`
	Status      string     `json:"status"` // state and reason
	Created     time.Time  `json:"created_at"`
	Image       string     `json:"image"`
	Persistent  bool       `json:"persistent"`
	IPv4        string     `json:"ipv4"`
	Pool        string     `json:"pool"`
	Alias       string     `json:"alias"`
	Ports       []string   `json:"published_ports"`
	Workspace   string     `json:"workspace"`
	Slot        int        `json:"slot"`
	Tool        string     `json:"tool"`
	SessionID   string     `json:"session_id"`
	Profile     string     `json:"profile"`
	NetworkMode string     `json:"network_mode"`
	Guarded     *bool      `json:"guarded"` // nil: its guards are on another machine, and only they know
	Watched     *bool      `json:"watched"`
	FrozenBy    string     `json:"frozen_by"`
	Killed      bool       `json:"killed"`
	Deadline    *time.Time `json:"deadline"`
	Warnings    []string   `json:"warnings"`
	State       string     `json:"-"`                // one word, for filters
	Member      string     `json:"member,omitempty"` // of a cluster
}

// Of puts together what is known of a container.
func Of(h home.Home, i incus.Instance, rec record.Record) Container {
	get := func(key string) string { return i.Config[key] }
	v := Container{
		Name: i.Name, Created: i.Created, Image: get(plan.KeyImage), Persistent: get(plan.KeyPersistent) == "true",
		IPv4: i.Devices["eth0"]["ipv4.address"], Pool: i.Devices["root"]["pool"], Alias: get(plan.KeyAlias), Workspace: get(plan.KeyWorkspace),
		Tool: get(plan.KeyTool), SessionID: get(plan.KeySession), Profile: get(plan.KeyProfile), NetworkMode: rec.Mode,
		Killed: rec.Killed != nil, Ports: slices.Clone(rec.Plan.Ports), Warnings: slices.Clone(rec.Warnings), State: strings.ToLower(i.Status), Member: member(i.Location),
	}
	v.Slot, _ = strconv.Atoi(get(plan.KeySlot))
	if v.Ports == nil {
		v.Ports = []string{}
	}
	if v.Warnings == nil {
		v.Warnings = []string{}
	}
	if i.Away == "" {
		v.Guarded, v.Watched = new(bool), new(bool)
	}
	if !i.Running() {
		v.Status = v.State
		if v.Killed {
			v.Status = "stopped (killed by monitor)"
		}
		return v
	}
	if i.Away != "" {
		v.Status = v.State + " (on " + i.Away + ")"
		return v
	}
	v.Deadline = rec.Deadline
	v.guards(h)
	if rec.Ends(h) {
		v.State, v.Status = "stopping", "stopping"
	}
	return v
}

// member is where a container is, empty without a cluster: Incus says none then.
func member(location string) string {
	if location == "none" {
		return ""
	}
	return location
}

// guards adds what firewall and monitor say; the first thing that matters goes
// into the status.
func (v *Container) guards(h home.Home) {
	var net run.NetStatus
	netErr := run.Read(h.Run(v.Name+run.NetStatusFile), &net)
	netAlive := home.Held(h.Run(run.NetguardLock))
	*v.Guarded = netErr == nil && netAlive && (net.State == run.NetEnforcing || net.State == run.NetDegraded)
	var watch run.WatchStatus
	watchErr := run.Read(h.Run(v.Name+run.WatchStatusFile), &watch)
	*v.Watched = watchErr == nil && watch.Armed && home.Held(h.Run(run.WatchLock))
	reason := ""
	switch {
	case watchErr == nil && watch.Frozen != nil:
		v.State, v.FrozenBy, reason = "frozen", "monitor", "monitor: "+watch.FrozenTitle
	case v.State == "frozen":
		v.FrozenBy, reason = "user", "you"
	case !*v.Guarded:
		reason = "unguarded"
	case net.State == run.NetDegraded:
		reason = "guard degraded"
	case !*v.Watched:
		reason = "unwatched"
	case len(watch.Problems) > 0:
		reason = "watch degraded"
	case v.Deadline != nil:
		reason = "ends " + v.Deadline.Local().Format("15:04")
	case len(v.Warnings) > 0:
		reason = v.Warnings[0]
	}
	v.Status = v.State
	if reason != "" {
		v.Status += " (" + reason + ")"
	}
}

// Row is a line of the table.
func (v Container) Row(now time.Time) []string {
	mode := "ephemeral"
	if v.Persistent {
		mode = "persistent"
	}
	return []string{v.Name, v.Status, mode, v.Tool, strconv.Itoa(v.Slot), Age(now.Sub(v.Created)), v.IPv4, strings.Join(v.Ports, " "), v.Alias, v.Workspace, v.Member}
}

// Age is a duration in its largest unit.
func Age(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// Size is a number of bytes for people.
func Size(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	f, u := float64(n), 0
	for f >= 1024 && u < len(units)-1 {
		f, u = f/1024, u+1
	}
	if u == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[u])
}
