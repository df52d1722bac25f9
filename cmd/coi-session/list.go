package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/pick"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/record"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/study"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/view"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/home"
)

type listCmd struct {
	workspaceFlag
	cli.Globals
	cli.Format
	All        bool   `short:"a" help:"Also saved sessions and all ended records."`
	Status     string `placeholder:"STATE" help:"Only containers in this state."`
	Running    bool   `help:"Only running containers."`
	Stopped    bool   `help:"Only stopped containers."`
	AllUsers   bool   `help:"Containers of other users too."`
	AllMembers bool   `help:"Containers on every member of the Incus cluster."`
	Tool       string `placeholder:"NAME" help:"Only sessions of this tool."`
}

func listCommand() cli.Command {
	return cli.Command{
		Verb: "list", Summary: "show containers and what became of earlier ones", Grammar: &listCmd{},
		Examples: []string{"coi list", "coi list --all --json"},
	}
}

// states are the words that --status knows.
var states = []string{"running", "stopped", "frozen", "error", "starting", "stopping", "freezing", "thawed", "aborting", "ready"}

func (l *listCmd) filter() (string, error) {
	want := strings.ToLower(l.Status)
	n := 0
	for _, set := range []bool{want != "", l.Running, l.Stopped} {
		if set {
			n++
		}
	}
	if n > 1 {
		return "", cli.Usage("--status, --running and --stopped exclude each other")
	}
	if want != "" && !slices.Contains(states, want) {
		return "", cli.Usage("unknown state %q (%s)", cli.Escape(l.Status), strings.Join(states, " "))
	}
	if l.Running {
		want = "running"
	}
	if l.Stopped {
		want = "stopped"
	}
	return want, nil
}

// Run lists.
func (l *listCmd) Run(c *cli.Context) error {
	want, err := l.filter()
	if err != nil {
		return err
	}
	d, err := openDesk(c, l.Workspace)
	if err != nil {
		return err
	}
	all, err := d.door.Instances(c)
	if err != nil {
		return incusError(err, d.cfg.Incus.Group)
	}
	if !l.AllMembers {
		all = pick.Here(all)
	}
	out := view.List{Schema: 1, Active: []view.Container{}, Ended: view.Ended(d.home, l.All, l.Tool)}
	for _, i := range all {
		if !pick.Ours(i) || !l.AllUsers && !pick.Mine(i, d.home) || l.Tool != "" && i.Config["user.coi.tool"] != l.Tool {
			continue
		}
		if v := d.view(i); want == "" || v.State == want {
			out.Active = append(out.Active, v)
		}
	}
	if l.All {
		out.Saved, out.Copies = view.Saved(d.cfg.Paths.SessionsDir, l.Tool), copiesOf(all, d.home)
	}
	if l.IsJSON() {
		return c.PrintJSON(out)
	}
	return l.print(c, out, want)
}

func (d *desk) view(i incus.Instance) view.Container {
	if i.Away != "" {
		return view.Of(d.home, i, record.Record{}) // a record here is of an earlier one of that name
	}
	rec, _ := record.Read(d.home, i.Name)
	return view.Of(d.home, i, rec)
}

func (l *listCmd) print(c *cli.Context, out view.List, want string) error {
	heading := "Active containers"
	if want != "" && want != "running" {
		heading = strings.ToUpper(want[:1]) + want[1:] + " containers"
	}
	if len(out.Active) == 0 {
		c.Note("no containers")
	} else {
		_, _ = fmt.Fprintln(c.Stdout, heading)
		cols := []cli.Column{{Name: "NAME"}, {Name: "STATUS"}, {Name: "MODE"}, {Name: "TOOL"}, {Name: "SLOT"}, {Name: "AGE"}, {Name: "IPV4"}, {Name: "PORTS"}, {Name: "ALIAS", Flex: true}, {Name: "WORKSPACE", Flex: true}}
		if l.AllMembers {
			cols = append(cols, cli.Column{Name: "MEMBER"})
		}
		var rows [][]string
		for _, v := range out.Active {
			rows = append(rows, v.Row(time.Now()))
		}
		if err := c.Table(cols, rows); err != nil {
			return err
		}
	}
	return l.printPast(c, out)
}

func (l *listCmd) printPast(c *cli.Context, out view.List) error {
	if len(out.Ended) > 0 {
		_, _ = fmt.Fprintln(c.Stdout, "\nRecently ended")
		var rows [][]string
		for _, e := range out.Ended {
			rows = append(rows, []string{e.Name, e.At.Local().Format("2006-01-02 15:04"), e.Words(), e.Audit})
		}
		if err := c.Table([]cli.Column{{Name: "NAME"}, {Name: "ENDED"}, {Name: "REASON", Flex: true}, {Name: "AUDIT", Flex: true}}, rows); err != nil {
			return err
		}
	}
	if err := l.printCopies(c, out.Copies); err != nil || !l.All || len(out.Saved) == 0 {
		return err
	}
	_, _ = fmt.Fprintln(c.Stdout, "\nSaved sessions")
	var rows [][]string
	for _, s := range out.Saved {
		rows = append(rows, []string{s.ID, s.At.Local().Format("2006-01-02 15:04"), s.Tool, view.Size(s.Size), s.Workspace})
	}
	return c.Table([]cli.Column{{Name: "ID"}, {Name: "SAVED"}, {Name: "TOOL"}, {Name: "SIZE"}, {Name: "WORKSPACE", Flex: true}}, rows)
}

// copiesOf are the copies for study of this user among all containers, newest first.
func copiesOf(all []incus.Instance, h home.Home) []view.Copy {
	var out []view.Copy
	for _, i := range all {
		if _, at, ok := study.Parse(i.Name); ok && study.Mine(i.Config, h) {
			out = append(out, view.Copy{Name: i.Name, Of: study.Of(i.Config), At: at.UTC(), Pool: i.Devices["root"]["pool"]})
		}
	}
	slices.SortFunc(out, func(a, b view.Copy) int { return b.At.Compare(a.At) })
	return out
}

func (l *listCmd) printCopies(c *cli.Context, copies []view.Copy) error {
	if len(copies) == 0 {
		return nil
	}
	_, _ = fmt.Fprintln(c.Stdout, "\nCopies for study (coi clean --forensics)")
	var rows [][]string
	for _, k := range copies {
		rows = append(rows, []string{k.Name, k.At.Local().Format("2006-01-02 15:04"), k.Of, k.Pool})
	}
	return c.Table([]cli.Column{{Name: "NAME"}, {Name: "KILLED"}, {Name: "COPY OF"}, {Name: "POOL"}}, rows)
}
