package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/record"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/view"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/run"
)

type infoCmd struct {
	workspaceFlag
	cli.Globals
	cli.Format
	Profile string `placeholder:"NAME" help:"Profile for this command."`
	Slot    int    `default:"0" placeholder:"N" help:"Slot of this workspace."`
	Tool    string `placeholder:"NAME" help:"Look at saved sessions of this tool."`
	Target  string `arg:"" optional:"" help:"Container, alias or session id."`
}

func infoCommand() cli.Command {
	return cli.Command{
		Verb: "info", Summary: "show one session in detail", Grammar: &infoCmd{},
		Examples: []string{"coi info", "coi info --json | jq .network.guard"},
	}
}

// Run shows a container, or a saved session.
func (n *infoCmd) Run(c *cli.Context) error {
	d, err := openDesk(c, n.Workspace)
	if err != nil {
		return err
	}
	if s, ok, err := n.saved(d); ok || err != nil {
		if err != nil {
			return err
		}
		return n.showSaved(d, s)
	}
	inst, err := d.find(n.Target, n.Slot, true)
	if exitOf(err) == coi.ExitNoContainer && n.Target == "" && n.Slot == 0 && c.Getenv("COI_CONTAINER") == "" {
		if all := d.savedHere(n.Tool); len(all) > 0 {
			return n.showSaved(d, all[0])
		}
	}
	if err != nil {
		return err
	}
	return n.showContainer(d, inst)
}

// saved finds the saved session that the argument names. An argument that looks
// like an id and is none is an error.
func (n *infoCmd) saved(d *desk) (view.Save, bool, error) {
	if len(n.Target) < 4 || strings.HasPrefix(n.Target, d.home.Prefix) {
		return view.Save{}, false, nil
	}
	var match []view.Save
	for _, s := range view.Saved(d.cfg.Paths.SessionsDir, n.Tool) {
		if strings.HasPrefix(s.ID, n.Target) {
			match = append(match, s)
		}
	}
	switch {
	case len(match) == 1:
		return match[0], true, nil
	case len(match) > 1:
		return view.Save{}, false, cli.Usage("%q is the start of %d session ids", cli.Escape(n.Target), len(match))
	case strings.Trim(n.Target, "0123456789abcdef-") == "":
		return view.Save{}, false, cli.Fail(coi.ExitFailed, "no saved session %s", cli.Escape(n.Target)).Hint("coi list --all")
	}
	return view.Save{}, false, nil
}

func (d *desk) savedHere(tool string) []view.Save {
	var out []view.Save
	for _, s := range view.Saved(d.cfg.Paths.SessionsDir, tool) {
		if s.Workspace == d.cfg.Workspace {
			out = append(out, s)
		}
	}
	return out
}

func (n *infoCmd) showSaved(d *desk, s view.Save) error {
	resume := "coi shell --resume=" + s.ID
	paths := view.Paths(d.cfg.Paths.SessionsDir+"-"+s.Tool, s.ID)
	if n.IsJSON() {
		return d.c.PrintJSON(struct {
			Schema int `json:"schema_version"`
			view.Save
			Paths  []view.Path `json:"saved_paths"`
			Resume string      `json:"resume_with"`
		}{1, s, paths, resume})
	}
	rows := [][2]string{{"session id", s.ID}, {"tool", s.Tool}, {"saved", s.At.Local().Format(time.DateTime)}, {"workspace", s.Workspace}, {"profile", s.Profile}}
	for _, p := range paths {
		rows = append(rows, [2]string{"saved path", p.Path + " (" + view.Size(p.Size) + ")"})
	}
	return printRows(d.c, append(rows, [2]string{"resume with", resume}))
}

func printRows(c *cli.Context, rows [][2]string) error {
	for _, r := range rows {
		if r[1] == "" {
			continue
		}
		if _, err := fmt.Fprintf(c.Stdout, "%-16s %s\n", r[0]+":", cli.Escape(r[1])); err != nil {
			return err
		}
	}
	return nil
}

// details are the parts of info that a list does not show.
type details struct {
	Schema int `json:"schema_version"`
	view.Container
	Network struct {
		Mode  string `json:"mode"`
		Guard string `json:"guard"`
		IPv4  string `json:"ipv4"`
		IPv6  string `json:"ipv6"`
		Veth  string `json:"veth"`
	} `json:"network"`
	Watcher struct {
		State   string   `json:"state"`
		Sources []string `json:"sources"`
		Lost    uint64   `json:"lost"`
	} `json:"watcher"`
	Limits    []string `json:"limits"`
	TimeLeft  string   `json:"time_left"`
	Mounts    []string `json:"mounts"`
	Refused   []string `json:"refused"`
	Protected string   `json:"protected"`
	Disk      int64    `json:"disk_bytes"`
	Memory    int64    `json:"memory_bytes"`
	Processes int      `json:"processes"`
	Snapshots int      `json:"snapshots"`
}

func (d *desk) details(inst incus.Instance) details {
	rec, _ := record.Read(d.home, inst.Name)
	out := details{Schema: 1, Container: d.view(inst), Limits: some(rec.Plan.Limits), Mounts: some(rec.Plan.Mounts), Refused: some(rec.Refused), Protected: rec.Plan.Protected}
	var net run.NetStatus
	out.Network.Mode, out.Network.Guard, out.Network.IPv4, out.Network.Veth = rec.Mode, "none", out.IPv4, rec.Veth
	if run.Read(d.home.Run(inst.Name+run.NetStatusFile), &net) == nil {
		out.Network.Guard, out.Network.IPv6 = net.State, net.IPv6
	}
	var watch run.WatchStatus
	out.Watcher.State, out.Watcher.Sources = "none", []string{}
	if run.Read(d.home.Run(inst.Name+run.WatchStatusFile), &watch) == nil {
		out.Watcher.State, out.Watcher.Sources, out.Watcher.Lost = armedWord(watch), some(watch.Sources), watch.Lost
	}
	if rec.Deadline != nil && rec.Ended == nil {
		out.TimeLeft = max(time.Until(*rec.Deadline), 0).Round(time.Second).String()
	}
	if st, err := d.door.State(d.c, inst.Name); err == nil {
		out.Disk, out.Memory, out.Processes = st.Disk, st.Memory, max(st.Processes, 0)
	}
	if snaps, err := d.door.Snapshots(d.c, inst.Name); err == nil {
		out.Snapshots = len(snaps)
	}
	return out
}

func armedWord(s run.WatchStatus) string {
	switch {
	case s.Error != "":
		return "error: " + s.Error
	case s.Armed:
		return "armed"
	}
	return "arming"
}

func some(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func (n *infoCmd) showContainer(d *desk, inst incus.Instance) error {
	v := d.details(inst)
	if n.IsJSON() {
		return d.c.PrintJSON(v)
	}
	mode := "ephemeral"
	if v.Persistent {
		mode = "persistent"
	}
	rows := [][2]string{
		{"name", v.Name},
		{"status", v.Status},
		{"workspace", v.Workspace},
		{"slot", fmt.Sprint(v.Slot)},
		{"tool", v.Tool},
		{"session id", v.SessionID},
		{"mode", mode},
		{"image", v.Image},
		{"profile", v.Profile},
		{"alias", v.Alias},
		{"network", v.Network.Mode + ", guard " + v.Network.Guard},
		{"address", v.Network.IPv4},
		{"watcher", v.Watcher.State + " " + strings.Join(v.Watcher.Sources, " ")},
		{"limits", strings.Join(v.Limits, ", ")},
		{"time left", v.TimeLeft},
		{"ports", strings.Join(v.Ports, " ")},
		{"protected", strings.TrimPrefix(v.Protected, "protected: ")},
	}
	for _, m := range v.Mounts {
		rows = append(rows, [2]string{"mount", m})
	}
	for _, r := range v.Refused {
		rows = append(rows, [2]string{"refused", r})
	}
	for _, w := range v.Warnings {
		rows = append(rows, [2]string{"warning", w})
	}
	rows = append(rows, [2]string{"size", fmt.Sprintf("disk %s, memory %s, %d processes, %d snapshots", view.Size(v.Disk), view.Size(v.Memory), v.Processes, v.Snapshots)})
	return printRows(d.c, rows)
}
