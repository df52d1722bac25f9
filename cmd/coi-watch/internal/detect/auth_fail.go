package detect

import (
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var authFail = Detector{
	ID: "auth.fail", Level: coi.Warning, Wants: []event.Type{event.Authlog},
	Title: "failed login", Why: "somebody tried to log in, or a root session began",
	Detect: func(ev event.Event, _ track.View) []Finding {
		if !authBad.MatchString(ev.Text) || authDeny.MatchString(ev.Text) || strings.Contains(ev.Text, "sudo:session") || strings.Contains(ev.Text, "(cron:session") || strings.Contains(ev.Text, "sudo:auth") {
			return nil
		}
		return one(Finding{Level: coi.Warning, Title: "failed login", Evidence: map[string]string{"text": ev.Text}})
	},
	Fire:  events(event.Event{Type: event.Authlog, Text: "sshd[812]: Failed password for invalid user admin from 203.0.113.9"}, event.Event{Type: event.Authlog, Text: "su: pam_unix(su:session): session opened for user root by (uid=1000)"}),
	Quiet: events(event.Event{Type: event.Authlog, Text: "sshd[1]: Accepted publickey for code"}, event.Event{Type: event.Authlog, Text: "sudo: pam_unix(sudo:session): session opened for user root(uid=0) by (uid=1000)"}),
}
