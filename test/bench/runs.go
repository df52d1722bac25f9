package main

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/code-on-incus/coi/test/internal/house"
)

// runs compares one guarded command with the bare steps of Incus' own client on
// the same image, in turns. The first exec is dated by the command inside: both
// sides share the machine's clock.
func runs(ctx context.Context, h *house.House, rounds int) ([]measure, error) {
	ws, err := h.Workspace("bench")
	if err != nil {
		return nil, err
	}
	var ours, oursFirst, raw, rawFirst, netFirst, gone []time.Duration
	for i := range rounds + 1 {
		start := time.Now()
		r := h.Do(ctx, house.Call{Dir: ws, Args: []string{"run", "--", "date", "+%s%N"}})
		took := time.Since(start)
		if r.Code != 0 {
			return nil, fmt.Errorf("%s", r)
		}
		first, err := dated(start, r.Stdout)
		if err != nil {
			return nil, err
		}
		if err := house.Eventually(ctx, 10*time.Second, func() error { return noneLeft(h) }); err != nil {
			return nil, err
		}
		cleaned := time.Since(start) - took
		rawTook, rawDate, err := bare(ctx, fmt.Sprintf("%sraw-%d", h.Prefix, i), "")
		if err != nil {
			return nil, err
		}
		_, netDate, err := bare(ctx, fmt.Sprintf("%snet-%d", h.Prefix, i), routed)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			continue // starts the guards and warms the caches for both
		}
		ours, oursFirst, gone = append(ours, took), append(oursFirst, first), append(gone, cleaned)
		raw, rawFirst, netFirst = append(raw, rawTook), append(rawFirst, rawDate), append(netFirst, netDate)
	}
	a, b := median(ours), median(raw)
	c, d, n := median(oursFirst), median(rawFirst), median(netFirst)
	return []measure{
		{"coi run / raw init+start+exec+delete", a / b, "ratio", 0.6, fmt.Sprintf("%.0f ms / %.0f ms", a, b)},
		{"coi run to first exec / raw init+start+exec", c / d, "ratio", 1.25, fmt.Sprintf("%.0f ms / %.0f ms", c, d)},
		{"coi run to first exec / the same, raw with a nic", c / n, "ratio", 0, fmt.Sprintf("%.0f ms / %.0f ms", c, n)},
		{"container gone after the exit code", median(gone), "ms", 2000, ""},
	}, nil
}

func noneLeft(h *house.House) error {
	names, err := h.Containers()
	if err == nil && len(names) > 0 {
		err = fmt.Errorf("%v still there", names)
	}
	return err
}

// routed is a nic as sessions have it, with a documentation address (RFC 5737):
// the default profile of a machine may hold none, and a container without a
// network starts sooner.
const routed = "devices: {eth0: {type: nic, nictype: routed, name: eth0, ipv4.address: 192.0.2.77}}\n"

// bare is what a person would type, with more settings on stdin. It ends with
// the deletion; the date is the time of the first exec.
func bare(ctx context.Context, name, settings string) (all, first time.Duration, err error) {
	start := time.Now()
	var out []byte
	for _, argv := range [][]string{{"init", house.Image, name}, {"start", name}, {"exec", name, "--", "date", "+%s%N"}, {"delete", "-f", name}} {
		cmd := exec.CommandContext(ctx, "incus", argv...)
		if argv[0] == "init" {
			cmd.Stdin = strings.NewReader(settings)
		}
		o, err := cmd.Output()
		if err != nil {
			return 0, 0, fmt.Errorf("incus %s: %w", strings.Join(argv, " "), err)
		}
		if argv[0] == "exec" {
			out = o
		}
	}
	all = time.Since(start)
	first, err = dated(start, string(out))
	return all, first, err
}

func dated(start time.Time, nanos string) (time.Duration, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(nanos), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("the command inside printed %q: %w", nanos, err)
	}
	return time.Unix(0, n).Sub(start), nil
}
