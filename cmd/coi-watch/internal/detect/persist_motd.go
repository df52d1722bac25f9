package detect

import (
	"regexp"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/paths"
	"github.com/code-on-incus/coi/pkg/coi"
)

var persistMOTD = Detector{
	ID: "persist.motd", Level: coi.High, Wants: files,
	Title: "login message changed", Why: "these scripts run as root at every login",
	Detect: writing(paths.MOTD, always("login message script written")),
	Fire:   append(lines(coi.High, "echo 'bash -c id' >> /etc/update-motd.d/00-header", "cp x /etc/update-motd.d/99-x", "echo id | sudo tee -a /etc/update-motd.d/10-help-text"), events(event.Event{Type: event.Write, PID: 3, Exe: "/tmp/x", Path: "/etc/update-motd.d/00-header"})...),
	Quiet:  lines("", "cat /etc/motd", "chmod -x /etc/update-motd.d/10-help-text", "run-parts /etc/update-motd.d", "echo hi > /etc/motd"),
}

// hot are words of commands that have no place in something that starts by
// itself.
var hot = regexp.MustCompile(`(?i)/dev/(?:tcp|udp)/|\bnc(?:at)?\s|\bsocat\b|\bcurl\s|\bwget\s|base64|/tmp/|/dev/shm|\bbash -i|python[0-9.]*\s+-c|perl\s+-e|ruby\s+-e|php\s+-r|mkfifo|\.onion|stratum|LD_PRELOAD|\beval\b|chmod \+?[0-9]*s|xmrig|telnet |openssl s_client`)
