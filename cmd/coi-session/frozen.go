package main

import (
	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/thaw"
	"github.com/code-on-incus/coi/pkg/run"
)

// frozen says who froze a container: "monitor", "user", or "" when nobody did.
// The monitor freezes by the cgroup itself, which Incus does not show.
func (d *desk) frozen(inst incus.Instance) string {
	if !inst.Running() {
		return ""
	}
	var st run.WatchStatus
	if run.Read(d.home.Run(inst.Name+run.WatchStatusFile), &st) == nil && st.Frozen != nil {
		return "monitor"
	}
	if inst.Status == "Frozen" || thaw.Frozen(inst) {
		return "user"
	}
	return ""
}
