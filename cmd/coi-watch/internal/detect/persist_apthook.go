package detect

import (
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/paths"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var persistAptHook = Detector{
	ID: "persist.apt-hook", Level: coi.High, Wants: files,
	Title: "hook in the package manager", Why: "package managers run hooks as root at every install",
	Detect: writing(paths.AptHook, func(w written, _ track.View) (coi.Level, string) {
		switch {
		case hasAny(w.text, "Invoke", "Pre-Install-Pkgs", "DPkg::", "post-invoke", "Exec ", "Exec="):
			return coi.High, "hook in the package manager"
		case w.known, w.s == nil:
			if w.s == nil {
				return coi.Warning, "configuration of the package manager written"
			}
			return "", ""
		}
		return coi.Warning, "configuration of the package manager written"
	}),
	Fire:  append(lines(coi.High, "echo 'APT::Update::Pre-Invoke {\"/tmp/x\"};' > /etc/apt/apt.conf.d/42b", "printf 'DPkg::Post-Invoke {\"id\";};' | sudo tee /etc/apt/apt.conf.d/9x"), events(event.Event{Type: event.Write, PID: 3, Exe: "/tmp/x", Path: "/etc/apt/apt.conf.d/x"})...),
	Quiet: lines("", "echo 'APT::Install-Recommends \"false\";' > /etc/apt/apt.conf.d/99no", "echo 'Acquire::Retries \"3\";' | sudo tee /etc/apt/apt.conf.d/80-retries", "apt-get update"),
}
