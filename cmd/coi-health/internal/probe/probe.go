// Package probe is coi health --probe: it starts two throw-away containers as a
// session would, tries what the policy forbids, and looks whether the firewall
// and the monitor saw it. A "blocked" has three parts: a control that reached
// the same listener, an attempt that failed, and a counter that moved by it.
package probe

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-health/internal/check"
	"github.com/code-on-incus/coi/cmd/coi-health/internal/facts"
)

// Result of one probe is that of a check.
type Result = check.Result

// Group of all probes in the report.
const Group = "probes"

// Run within this, start and removal of the containers included.
const limit = 55 * time.Second

// probe is one of them. It runs in the order of the list: each leaves both
// containers usable for the next, but for the last one.
type probe struct {
	name, title string
	run         func(*lab) check.Result
}

func all() []probe {
	return []probe{
		{"trust_gate", "a project's own mounts are ignored", trustGate},
		{"secret_masking", "secrets of the workspace read empty", secretMasking},
		{"host_credential_isolation", "the home of the host is not inside", hostIsolation},
		{"protected_paths", "locked paths stay as they are", protectedPaths},
		{"parent_rename", "the parent of a locked path cannot be moved", parentRename},
		{"network_private", "private networks are closed", networkPrivate},
		{"network_host", "services of the host are closed", networkHost},
		{"network_metadata", "metadata services are closed", networkMetadata},
		{"network_onlink", "networks of the host are closed", networkOnlink},
		{"network_ipv6", "IPv6 follows the policy", networkIPv6},
		{"network_spoof", "a false source address goes nowhere", networkSpoof},
		{"network_dns", "names are answered and filtered by the guard", networkDNS},
		{"network_reapply", "rules that were removed come back", networkReapply},
		{"container_connectivity", "the agent's service is reachable", connectivity},
		{"monitor_exec", "a very short process is seen", monitorExec},
		{"monitor_quiet", "everyday commands raise nothing", monitorQuiet},
		{"monitor_file", "reading a private key is seen", monitorFile},
		{"freeze_thaw", "freezing and thawing", freezeThaw},
		{"audit_record", "all of it is in the trail", auditRecord},
		{"monitor_wiring", "a shell wired to the network is stopped", monitorWiring},
	}
}

// last ends with the container killed.
const last = "monitor_wiring"

// Checks name the probes for the report, in order.
func Checks() []check.Check {
	var list []check.Check
	for _, p := range all() {
		list = append(list, check.Check{Name: p.name, Group: Group, Title: p.title})
	}
	return list
}

// Options say what to probe with.
type Options struct {
	Facts    *facts.Facts
	Self     string       // this program, to be copied into the containers
	Tell     func(string) // progress
	Outside  func(string) // what leaves the host, to whom, before it does
	Warnings func(string) // what could not be removed
}

// Run starts the containers, probes, and removes them, also when ctx ends.
func Run(ctx context.Context, o Options) map[string]check.Result {
	ctx, stop := context.WithTimeout(ctx, limit)
	defer stop()
	l, why := open(ctx, o)
	results := map[string]check.Result{"dns_upstream": askServers(ctx, o)}
	settle := func() {}
	if l != nil {
		defer l.close()
		settle = sync.OnceFunc(func() { l.settle(results) })
	}
	for _, p := range all() {
		switch {
		case why != nil:
			results[p.name] = *why
		case ctx.Err() != nil:
			results[p.name] = notDone(ctx)
		default:
			if p.name == last {
				settle() // its end takes the counters away
			}
			l.current = p.name
			o.Tell(p.title)
			start := time.Now()
			r := p.run(l)
			if r.Details == nil {
				r.Details = map[string]any{}
			}
			r.Details["ms"] = time.Since(start).Milliseconds()
			results[p.name] = r
		}
	}
	settle() // also when the time was up before the last
	if l != nil {
		results["protected_paths"] = l.unmounted(results["protected_paths"])
	}
	for name, r := range results {
		results[name] = finish(r)
	}
	return results
}

func notDone(ctx context.Context) check.Result {
	if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return failed("timed out")
	}
	return failed("not done: %v", context.Cause(ctx))
}

func finish(r check.Result) check.Result {
	r.Fix = check.FixNone
	if r.Status == check.Failed && r.Hint == "" {
		r.Hint = "coi netguard check; coi watch status; then coi health --probe again"
	}
	if r.Hint != "" && r.Status != check.OK {
		r.Fix = check.FixManual
	}
	if r.Details == nil {
		r.Details = map[string]any{}
	}
	return r
}

func result(s check.Status, format string, a ...any) check.Result {
	return check.Result{Status: s, Message: fmt.Sprintf(format, a...)}
}

func ok(format string, a ...any) check.Result      { return result(check.OK, format, a...) }
func failed(format string, a ...any) check.Result  { return result(check.Failed, format, a...) }
func skipped(format string, a ...any) check.Result { return result(check.Skipped, format, a...) }

// controlFailed is the answer when the listener could not be reached although
// the policy allowed it: then nothing can be said about what the policy forbids.
func controlFailed(format string, a ...any) check.Result {
	return skipped("control failed: "+format, a...)
}

// blocker says why there can be no probe at all.
func blocker(f *facts.Facts) *check.Result {
	say := func(format string, a ...any) *check.Result { r := skipped(format, a...); return &r }
	switch {
	case f.HomeErr != nil:
		return say("%v", f.HomeErr)
	case f.Config == nil || f.ConfigErr != nil:
		return say("the configuration cannot be read: %v", f.ConfigErr)
	case f.IncusErr != nil:
		return say("%v", f.IncusErr)
	case !f.Incus.Reachable || !f.Incus.Permitted:
		return say("Incus cannot be used: %s", f.Incus.Error)
	}
	for _, name := range []string{"image", "subids"} {
		if r := check.Named(name).Run(f); r.Status == check.Failed {
			return say("%s", r.Message)
		}
	}
	return nil
}

func first(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}

// alive reports whether the process that made a container still runs.
func alive(pid int) bool {
	_, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
	return err == nil
}
