package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/run"
	"github.com/code-on-incus/coi/test/internal/house"
)

// crowd is how many sessions run at once.
const crowd = 20

// edge is how many of the first and of the last sessions are compared.
const edge = 5

// sessions starts a crowd of them one after the other, asks about it, and
// compares what the first and the last cost.
func sessions(ctx context.Context, h *house.House, rounds int) (out []measure, err error) {
	var took []time.Duration
	var guards [2]float64
	names := []string{}
	var ws string
	for n := range crowd {
		if ws, err = h.Workspace(fmt.Sprintf("crowd-%d", n/coi.MaxSlot)); err != nil {
			return nil, err
		}
		start := time.Now()
		r := h.Do(ctx, house.Call{Dir: ws, Args: []string{"shell", "--background", "--slot", strconv.Itoa(n%coi.MaxSlot + 1)}, Env: []string{"COI_USE_DUMMY=1"}})
		if r.Code != 0 {
			return nil, fmt.Errorf("%s", r)
		}
		took = append(took, time.Since(start))
		names = append(names, strings.TrimSpace(r.Stdout))
		if n == 0 || n == crowd-1 {
			if guards[min(n, 1)], err = guardMemory(h); err != nil {
				return nil, err
			}
		}
	}
	first, last := median(took[:edge]), median(took[crowd-edge:])
	out = append(out,
		measure{fmt.Sprintf("start of sessions %d to %d / 1 to %d", crowd-edge+1, crowd, edge), last / first, "ratio", 1.25, fmt.Sprintf("%.0f ms / %.0f ms", last, first)},
		measure{"memory of the guards for each more session", (guards[1] - guards[0]) / (crowd - 1), "MiB", 0, fmt.Sprintf("proportional set size: %.1f MiB with 1, %.1f MiB with %d", guards[0], guards[1], crowd)},
	)
	list, err := inTurns(rounds, func(int) error { return ours(ctx, h, ws, "list") }, func(int) error { return bareIncus(ctx, "list") })
	if err != nil {
		return nil, err
	}
	out = append(out, list.measure(fmt.Sprintf("coi list / incus list, %d containers", crowd), 1.2))
	snap, err := inTurns(rounds,
		func(i int) error {
			return ours(ctx, h, ws, "snapshot", "create", fmt.Sprintf("a%d", i), "--container", names[0])
		},
		func(i int) error { return bareIncus(ctx, "snapshot", "create", names[1], fmt.Sprintf("b%d", i)) })
	if err != nil {
		return nil, err
	}
	out = append(out, snap.measure("coi snapshot create / incus snapshot create", 1.2))
	if r := h.Do(ctx, house.Call{Dir: ws, Args: []string{"kill", "--all", "--yes"}}); r.Code != 0 {
		return nil, fmt.Errorf("%s", r)
	}
	bare, err := bareCrowd(ctx, h)
	if err != nil {
		return nil, err
	}
	out = append(out, bare)
	again, err := resumes(ctx, h, rounds)
	return append(out, again...), err
}

// bareCrowd is what the machine and Incus make of a crowd without coi.
func bareCrowd(ctx context.Context, h *house.House) (m measure, err error) {
	var took []time.Duration
	var names []string
	defer func() {
		err = errors.Join(err, bareIncus(context.WithoutCancel(ctx), append([]string{"delete", "-f"}, names...)...))
	}()
	for n := range crowd {
		name := fmt.Sprintf("%scrowd-%d", h.Prefix, n)
		start := time.Now()
		if err := bareIncus(ctx, "init", house.Image, name); err != nil {
			return m, err
		}
		names = append(names, name)
		for _, argv := range [][]string{{"start", name}, {"exec", name, "--", "true"}} {
			if err := bareIncus(ctx, argv...); err != nil {
				return m, err
			}
		}
		took = append(took, time.Since(start))
	}
	first, last := median(took[:edge]), median(took[crowd-edge:])
	return measure{"the same, raw init+start+exec", last / first, "ratio", 0, fmt.Sprintf("%.0f ms / %.0f ms", last, first)}, nil
}

// resumes compares the second start of a container that is kept with what a
// person would type, to the first command inside.
func resumes(ctx context.Context, h *house.House, rounds int) ([]measure, error) {
	ws, err := h.Workspace("kept")
	if err != nil {
		return nil, err
	}
	name := h.Prefix + "raw-kept"
	if err := bareIncus(ctx, "init", house.Image, name); err != nil {
		return nil, err
	}
	var a, b []time.Duration
	for i := range rounds + 1 {
		start := time.Now()
		r := h.Do(ctx, house.Call{Dir: ws, Args: []string{"run", "--persistent", "--", "date", "+%s%N"}})
		if r.Code != 0 {
			return nil, fmt.Errorf("%s", r)
		}
		first, err := dated(start, r.Stdout)
		if err != nil {
			return nil, err
		}
		begin := time.Now()
		if err := bareIncus(ctx, "start", name); err != nil {
			return nil, err
		}
		date, err := exec.CommandContext(ctx, "incus", "exec", name, "--", "date", "+%s%N").Output()
		if err != nil {
			return nil, err
		}
		bare, err := dated(begin, string(date))
		if err = errors.Join(err, bareIncus(ctx, "stop", "-f", name)); err != nil {
			return nil, err
		}
		if i > 0 { // the first one made the container
			a, b = append(a, first), append(b, bare)
		}
	}
	return []measure{pair{a, b}.measure("resume to first exec / incus start+exec", 1.15)}, bareIncus(ctx, "delete", name)
}

// pair is what ours and theirs took.
type pair struct{ ours, theirs []time.Duration }

func (p pair) measure(name string, goal float64) measure {
	a, b := median(p.ours), median(p.theirs)
	return measure{name, a / b, "ratio", goal, fmt.Sprintf("%.0f ms / %.0f ms", a, b)}
}

func inTurns(rounds int, a, b func(int) error) (pair, error) {
	var p pair
	for i := range rounds {
		start := time.Now()
		if err := a(i); err != nil {
			return p, err
		}
		p.ours = append(p.ours, time.Since(start))
		start = time.Now()
		if err := b(i); err != nil {
			return p, err
		}
		p.theirs = append(p.theirs, time.Since(start))
	}
	return p, nil
}

func ours(ctx context.Context, h *house.House, dir string, args ...string) error {
	if r := h.Do(ctx, house.Call{Dir: dir, Args: args}); r.Code != 0 {
		return fmt.Errorf("%s", r)
	}
	return nil
}

func bareIncus(ctx context.Context, args ...string) error {
	if out, err := exec.CommandContext(ctx, "incus", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("incus %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// guardMemory is the proportional set size of both guards, in MiB.
func guardMemory(h *house.House) (sum float64, err error) {
	for _, file := range []string{run.NetguardFile, run.WatchDaemonFile} {
		var d run.Daemon
		if err := run.Read(h.Home.Run(file), &d); err != nil {
			return 0, err
		}
		size, err := pss(d.PID)
		if err != nil {
			return 0, err
		}
		sum += size
	}
	return sum, nil
}
