package detect

import (
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/paths"
	"github.com/code-on-incus/coi/pkg/coi"
)

var persistPAM = Detector{
	ID: "persist.pam", Level: coi.High, Wants: files,
	Title: "login rules changed", Why: "PAM decides who may log in, and sees every password",
	Detect: writing(paths.PAM, always("login rules changed")),
	Fire:   append(lines(coi.High, "sudo sed -i '1s,^,auth sufficient /tmp/e.so\\n,g' /etc/pam.d/su-l", "echo 'auth sufficient pam_permit.so' >> /etc/pam.d/sshd", "cp evil.so /lib/x86_64-linux-gnu/security/pam_unix.so", "echo x | sudo tee /etc/pam.d/common-auth", "mv /tmp/p /etc/pam.d/su", "install -m 644 e.so /lib64/security/pam_e.so"), events(event.Event{Type: event.Rename, PID: 3, Exe: "/usr/bin/sed", Path: "/etc/pam.d/sedX", Path2: "/etc/pam.d/su"})...),
	Quiet:  lines("", "cat /etc/pam.d/common-password", "grep pam_unix /etc/pam.d/sshd", "apt-get install -y libpam-modules", "ls /etc/pam.d"),
}
