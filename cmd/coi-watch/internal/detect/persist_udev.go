package detect

import (
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/paths"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var persistUdev = Detector{
	ID: "persist.udev", Level: coi.High, Wants: files,
	Title: "device rule that runs a program", Why: "udev runs what a rule names as root whenever a device appears",
	Detect: writing(paths.Udev, func(w written, _ track.View) (coi.Level, string) {
		switch {
		case hasAny(w.text, "RUN", "PROGRAM", "IMPORT{program}"):
			return coi.High, "device rule that runs a program"
		case w.known:
			return "", ""
		case w.s == nil:
			return coi.Warning, "device rule written"
		}
		return coi.Warning, "device rule written"
	}),
	Fire:  append(append(lines(coi.High, "echo 'ACTION==\"add\",RUN+=\"/tmp/x\"' | tee /etc/udev/rules.d/71-x.rules > /dev/null", "printf 'SUBSYSTEM==\"net\", PROGRAM=\"/bin/x\"\\n' > /etc/udev/rules.d/x.rules"), lines(coi.Warning, "cp 71.rules /etc/udev/rules.d/")...), events(event.Event{Type: event.Write, PID: 3, Exe: "/tmp/x", Path: "/etc/udev/rules.d/x.rules"})...),
	Quiet: lines("", "echo 'KERNEL==\"kvm\", GROUP=\"kvm\", MODE=\"0666\"' | sudo tee /etc/udev/rules.d/99-kvm4all.rules", "udevadm control --reload", "cat /etc/udev/rules.d/x.rules"),
}
