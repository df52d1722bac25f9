package pick

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/alias"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/plan"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/record"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
)

// Door is what finding a container asks of Incus.
type Door interface {
	Instance(ctx context.Context, name string) (incus.Instance, error)
	Instances(ctx context.Context) ([]incus.Instance, error)
}

// Query says which container is meant.
type Query struct {
	Verb     string // for hints
	Name     string // argument, or --container
	Env      string // COI_CONTAINER
	Identity string // of the workspace
	Slot     int
	Home     home.Home
}

// Ours reports whether coi made an instance.
func Ours(i incus.Instance) bool { return i.Config[plan.KeyVersion] != "" }

// Mine reports whether this user made it from this ~/.coi: mass actions touch
// no other.
func Mine(i incus.Instance, h home.Home) bool {
	return Ours(i) && i.Config[plan.KeyOwner] == strconv.Itoa(h.UID) && i.Config[plan.KeyHome] == h.Dir
}

// Here leaves out what is on other machines of a cluster: its guards, its session
// and its record are there, and a ~/.coi of the same path there is another one.
func Here(all []incus.Instance) []incus.Instance {
	return slices.DeleteFunc(slices.Clone(all), func(i incus.Instance) bool { return i.Away != "" })
}

// Away is the error of a command about a container on another machine of the
// cluster, nil for one on this machine.
func Away(i incus.Instance) error {
	if i.Away == "" {
		return nil
	}
	return cli.Fail(coi.ExitFailed, "%s is on the cluster member %s, and so are its guards", cli.Escape(i.Name), cli.Escape(i.Away)).
		Hint("log in on %s and run the same command there", cli.Escape(i.Away))
}

// Find resolves a query by the steps that all verbs share: name or alias,
// COI_CONTAINER, then the containers of the workspace. One on another machine of
// the cluster is found only to be refused, and only when none here is meant.
func Find(ctx context.Context, door Door, q Query) (incus.Instance, error) {
	name := q.Name
	if name == "" {
		name = q.Env
	}
	if name != "" {
		return named(ctx, door, q, name)
	}
	all, err := door.Instances(ctx)
	if err != nil {
		return incus.Instance{}, err
	}
	return nearest(q, all, ofWorkspace)
}

// nearest resolves a query among the containers of this machine, and when there
// is none among all.
func nearest(q Query, all []incus.Instance, resolve func(Query, []incus.Instance) (incus.Instance, error)) (incus.Instance, error) {
	i, err := resolve(q, Here(all))
	var e *cli.Error
	if !errors.As(err, &e) || e.Code != coi.ExitNoContainer {
		return i, err
	}
	if far, ferr := resolve(q, all); ferr == nil {
		return far, Away(far)
	}
	return i, err
}

func ofWorkspace(q Query, all []incus.Instance) (incus.Instance, error) {
	var here, running []incus.Instance
	for _, i := range all {
		if !Mine(i, q.Home) || i.Config[plan.KeyIdentity] != q.Identity || q.Slot != 0 && i.Config[plan.KeySlot] != strconv.Itoa(q.Slot) {
			continue
		}
		here = append(here, i)
		if i.Running() {
			running = append(running, i)
		}
	}
	if len(running) > 1 {
		running = staying(q.Home, running)
	}
	switch {
	case len(running) == 1:
		return running[0], nil
	case len(running) > 1:
		return incus.Instance{}, Several(q.Verb, "several containers of this workspace are running", running)
	case len(here) == 1:
		return here[0], nil
	case len(here) > 1:
		return incus.Instance{}, Several(q.Verb, "this workspace has several containers", here)
	}
	return incus.Instance{}, cli.Fail(coi.ExitNoContainer, "this workspace has no container").Hint("coi list --all")
}

// staying leaves out containers whose session is just being brought to its end,
// as that of a coi run which has answered already; all of them when none stays.
func staying(h home.Home, running []incus.Instance) []incus.Instance {
	var out []incus.Instance
	for _, i := range running {
		if r, err := record.Read(h, i.Name); err != nil || !r.Ends(h) {
			out = append(out, i)
		}
	}
	if len(out) == 0 {
		return running
	}
	return out
}

// Several is the error of a query that means more than one container.
func Several(verb, what string, list []incus.Instance) error {
	e := cli.Usage("%s", what)
	e.Code = coi.ExitUsage
	for _, i := range list {
		e.Lines = append(e.Lines, i.Name+" (slot "+i.Config[plan.KeySlot]+", "+i.Config[plan.KeyTool]+", "+strings.ToLower(i.Status)+")")
	}
	return e.Hint("coi %s %s", verb, cli.ShellQuote(list[0].Name))
}

func named(ctx context.Context, door Door, q Query, name string) (incus.Instance, error) {
	if strings.HasPrefix(name, q.Home.Prefix) {
		return literal(ctx, door, name)
	}
	all, err := door.Instances(ctx)
	if err != nil {
		return incus.Instance{}, err
	}
	q.Name = name
	return nearest(q, all, byAlias)
}

func byAlias(q Query, all []incus.Instance) (incus.Instance, error) {
	name := q.Name
	word, slot := alias.Split(name)
	match := aliased(all, q, name, 0)
	if len(match) == 0 && slot != 0 {
		match = aliased(all, q, word, slot)
	}
	if len(match) == 0 {
		match = registered(all, q, name, word, slot)
	}
	switch len(match) {
	case 1:
		return match[0], nil
	case 0:
		if i := slices.IndexFunc(all, func(i incus.Instance) bool { return i.Name == name }); i >= 0 {
			return all[i], foreign(all[i])
		}
		return incus.Instance{}, cli.Fail(coi.ExitNoContainer, "no container or alias %q", cli.Escape(name)).Hint("coi list --all")
	}
	e := Several(q.Verb, "alias "+cli.Escape(name)+" means several containers", match)
	var ce *cli.Error
	if errors.As(e, &ce) {
		ce.Hints = []string{"coi " + q.Verb + " " + word + "-" + match[0].Config[plan.KeySlot]}
	}
	return incus.Instance{}, e
}

func literal(ctx context.Context, door Door, name string) (incus.Instance, error) {
	if !coi.ValidContainer(name) {
		return incus.Instance{}, cli.Fail(coi.ExitNoContainer, "%q is no container name", cli.Escape(name)).Hint("coi list --all")
	}
	i, err := door.Instance(ctx, name)
	if errors.Is(err, incus.ErrNotFound) {
		return i, cli.Fail(coi.ExitNoContainer, "no container %s", name).Hint("coi list --all")
	}
	if err != nil {
		return i, err
	}
	if err := foreign(i); err != nil {
		return i, err
	}
	return i, Away(i)
}

// foreign refuses what coi did not make.
func foreign(i incus.Instance) error {
	if Ours(i) {
		return nil
	}
	return cli.Fail(coi.ExitFailed, "%s was not made by coi", cli.Escape(i.Name)).Hint("use incus for other containers")
}

func aliased(all []incus.Instance, q Query, name string, slot int) []incus.Instance {
	var out, running []incus.Instance
	for _, i := range all {
		if Mine(i, q.Home) && i.Config[plan.KeyAlias] == name && (slot == 0 || i.Config[plan.KeySlot] == strconv.Itoa(slot)) {
			out = append(out, i)
			if i.Running() {
				running = append(running, i)
			}
		}
	}
	if len(running) > 0 {
		return running
	}
	return out
}

// registered looks a name up in aliases.json and takes the containers of its workspace.
func registered(all []incus.Instance, q Query, name, word string, slot int) []incus.Instance {
	r, err := alias.Read(q.Home)
	if err != nil {
		return nil
	}
	e, ok := r.Aliases[name]
	if ok {
		slot = 0
	} else if e, ok = r.Aliases[word]; !ok {
		return nil
	}
	var out []incus.Instance
	for _, i := range all {
		if Mine(i, q.Home) && i.Config[plan.KeyWorkspace] == e.Workspace && (slot == 0 || i.Config[plan.KeySlot] == strconv.Itoa(slot)) {
			out = append(out, i)
		}
	}
	return out
}
