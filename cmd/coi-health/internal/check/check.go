// Package check holds the checks of coi health. A check is a value: a name, a
// group and a pure function from facts to a result. No check writes, contacts
// anything or depends on another's result.
package check

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-health/internal/facts"
)

// Status of one check.
type Status string

// What a check can say. Skipped is never ok: it names what could not be known.
const (
	OK      Status = "ok"
	Warning Status = "warning"
	Failed  Status = "failed"
	Skipped Status = "skipped"
)

// Fixes a result may name.
const (
	FixNone   = "none"
	FixAuto   = "auto"
	FixManual = "manual"
)

// Result is what one check found. Remedy is the command of an automatic fix.
type Result struct {
	Status  Status         `json:"status"`
	Message string         `json:"message"`
	Hint    string         `json:"hint"`
	Fix     string         `json:"fix"`
	Details map[string]any `json:"details"`
	Remedy  *Remedy        `json:"-"`
}

// Remedy is one step that --fix may take: a command and what it does in words.
type Remedy struct {
	Why     string
	Command []string // shown and executed as it is, no shell
	Root    bool     // needs sudo unless we are root
	ReLogin bool
}

// Check is one line of coi health.
type Check struct {
	Name, Group, Title string
	Run                func(*facts.Facts) Result
}

// needHome are the checks that judge files of ~/.coi: where that cannot be found
// they know nothing, and an empty place must not look like a sound one.
var needHome = map[string]bool{
	"disk_space": true, "sessions_directory": true, "audit_directory": true, "audit_chain": true, "clock_writers": true, "trust_store": true,
	"old_layout": true, "active_containers": true, "saved_sessions": true, "orphaned_resources": true, "immutable_leftovers": true,
	"quarantine": true, "frozen_containers": true, "watched": true, "guard_rules": true, "patterns": true, "image_tool": true, "tool": true,
}

func (c Check) run(f *facts.Facts) Result {
	if f.HomeErr != nil && needHome[c.Name] {
		return skipped("~/.coi: %v", f.HomeErr)
	}
	return c.Run(f)
}

// Groups in the order of the output.
var Groups = []string{"system", "incus", "network", "monitoring", "storage", "configuration", "state"}

// All is every check that needs no container.
func All() []Check {
	var all []Check
	for _, list := range [][]Check{system(), incus(), network(), monitoring(), storage(), configuration(), state()} {
		all = append(all, list...)
	}
	return all
}

const each = 2 * time.Second

// RunAll judges the facts, all checks in parallel, each within two seconds.
func RunAll(ctx context.Context, f *facts.Facts, checks []Check) map[string]Result {
	results := make(map[string]Result, len(checks))
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, c := range checks {
		wg.Go(func() {
			r := one(ctx, f, c)
			mu.Lock()
			results[c.Name] = r
			mu.Unlock()
		})
	}
	wg.Wait()
	return results
}

func one(ctx context.Context, f *facts.Facts, c Check) Result {
	ctx, cancel := context.WithTimeout(ctx, each)
	defer cancel()
	done := make(chan Result, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- failed(fmt.Sprintf("the check itself failed: %v", p), "report this with coi version --json")
			}
		}()
		done <- c.run(f)
	}()
	select {
	case r := <-done:
		if r.Fix == "" {
			r.Fix = FixNone
			switch {
			case r.Remedy != nil:
				r.Fix = FixAuto
			case r.Hint != "" && r.Status != OK:
				r.Fix = FixManual
			}
		}
		if r.Details == nil {
			r.Details = map[string]any{}
		}
		return r
	case <-ctx.Done():
		return Result{Status: Failed, Message: "timed out", Fix: FixNone, Details: map[string]any{}}
	}
}

func ok(format string, a ...any) Result {
	return Result{Status: OK, Message: fmt.Sprintf(format, a...)}
}

func warn(message, hint string) Result {
	return Result{Status: Warning, Message: message, Hint: hint}
}

func failed(message, hint string) Result {
	return Result{Status: Failed, Message: message, Hint: hint}
}

func skipped(format string, a ...any) Result {
	return Result{Status: Skipped, Message: fmt.Sprintf(format, a...)}
}

func (r Result) with(key string, value any) Result {
	if r.Details == nil {
		r.Details = map[string]any{}
	}
	r.Details[key] = value
	return r
}

func (r Result) remedy(m Remedy) Result {
	r.Remedy = &m
	return r
}

// Named is the check of that name.
func Named(name string) Check {
	for _, c := range All() {
		if c.Name == name {
			return c
		}
	}
	return Check{Name: name, Run: func(*facts.Facts) Result { return skipped("there is no check %s", name) }}
}

// unit adds the remedy of a guard that does not run: its unit, where there is
// systemd, the unit is installed and speaks of the user's home.
func (r Result) unit(f *facts.Facts, program string) Result {
	user := f.Getenv("USER")
	if user == "" || user == "root" || !f.Exists("/run/systemd/system") || f.Home.User != "/home/"+user {
		return r
	}
	for _, dir := range []string{"/usr/lib/systemd/system", "/usr/local/lib/systemd/system", "/etc/systemd/system"} {
		if f.Exists(dir + "/" + program + "@.service") {
			return r.remedy(Remedy{Why: "the guard runs with the rights of its unit and no others", Command: []string{"systemctl", "enable", "--now", program + "@" + user}, Root: true})
		}
	}
	return r
}
