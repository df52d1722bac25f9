package detect

import (
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/paths"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var persistPreload = Detector{
	ID: "persist.preload", Level: coi.High, Wants: files,
	Title: "library put into every program",
	Why:   "every program that starts loads what this file names",
	Detect: writing(paths.Preload, func(w written, _ track.View) (coi.Level, string) {
		switch {
		case base(w.path) == "ld.so.preload":
			return coi.High, "ld.so.preload written"
		case hasAny(w.text, "/tmp", "/dev/shm", "/home/"):
			return coi.Warning, "library path into a writable place"
		}
		return "", ""
	}),
	Fire:  append(lines(coi.High, "echo /tmp/e.so > /etc/ld.so.preload", "echo /x.so | sudo tee -a /etc/ld.so.preload", "cp p /etc/ld.so.preload", "python3 -c \"open('/etc/ld.so.preload','w').write('/x.so')\"", "printf /x.so >> /e'tc'/ld.so.preload"), events(event.Event{Type: event.Write, PID: 3, Exe: "/tmp/x", Path: "/etc/ld.so.preload"})...),
	Quiet: lines("", "cat /etc/ld.so.preload", "echo /usr/local/lib | sudo tee /etc/ld.so.conf.d/local.conf", "ldconfig", "apt-get install -y x"),
}
