package detect

import (
	"regexp"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/paths"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var persistPAM = Detector{
	ID: "persist.pam", Level: coi.High, Wants: files,
	Title: "login rules changed", Why: "PAM decides who may log in, and sees every password",
	Detect: firstOf(writing(paths.PAM, always("login rules changed")), writing(paths.SSHD, opensLogin)),
	Fire: append(append(lines(coi.High, "sudo sed -i '1s,^,auth sufficient /tmp/e.so\\n,g' /etc/pam.d/su-l", "echo 'auth sufficient pam_permit.so' >> /etc/pam.d/sshd", "cp evil.so /lib/x86_64-linux-gnu/security/pam_unix.so", "echo x | sudo tee /etc/pam.d/common-auth", "mv /tmp/p /etc/pam.d/su", "install -m 644 e.so /lib64/security/pam_e.so"),
		lines(coi.Warning, "sed -i 's/#PermitRootLogin.*/PermitRootLogin yes/' /etc/ssh/sshd_config", "echo 'PermitEmptyPasswords yes' >> /etc/ssh/sshd_config", "echo 'AuthorizedKeysFile /tmp/k' > /etc/ssh/sshd_config.d/x.conf")...), events(event.Event{Type: event.Rename, PID: 3, Exe: "/usr/bin/sed", Path: "/etc/pam.d/sedX", Path2: "/etc/pam.d/su"})...),
	Quiet: lines("", "sudo sed -i 's/^#PasswordAuthentication.*/PasswordAuthentication no/' /etc/ssh/sshd_config", "echo 'PermitRootLogin no' >> /etc/ssh/sshd_config", "sshd -t -f /etc/ssh/sshd_config", "cat /etc/pam.d/common-password", "grep pam_unix /etc/pam.d/sshd", "apt-get install -y libpam-modules", "ls /etc/pam.d"),
}

// looseLogin are settings of sshd that let more people in.
var looseLogin = regexp.MustCompile(`(?i)\b(?:(?:PermitRootLogin|PermitEmptyPasswords|PasswordAuthentication|PermitUserEnvironment)[\s=]+yes|AuthorizedKeys(?:File|Command)\s+\\?/)`)

func opensLogin(w written, _ track.View) (coi.Level, string) {
	text := w.text
	if w.s != nil && !w.known {
		text += w.s.Line()
	}
	if looseLogin.MatchString(text) {
		return coi.Warning, "logins over ssh made easier"
	}
	return "", ""
}
