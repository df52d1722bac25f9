package detect

import (
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var execLoader = Detector{
	ID: "exec.loader", Level: coi.Warning, Wants: execs,
	Title:  "program started in a roundabout way",
	Why:    "starting a program through the loader or /proc hides its name",
	Detect: onCommands(loader),
	Fire:   lines(coi.Warning, `awk 'BEGIN {system("/bin/sh &")}'`, "vim -c ':!/bin/sh'", "find . -exec /bin/sh \\; -quit", "tar cf /dev/null x --checkpoint=1 --checkpoint-action=exec=/bin/sh", "ssh -o ProxyCommand=';sh 0<&2 1>&2' x", `echo '! exec "/bin/sh &"' | cpan`, `emacs -Q -nw --eval '(term "/bin/sh &")'`, "man -P /bin/sh man", `echo 'os.execute("/bin/sh")' > /tmp/x.nse; nmap --script=/tmp/x.nse`, "zip /tmp/x.zip /etc/hosts -T -TT 'sh #'", "git -c core.pager='sh -i' help", "/lib64/ld-linux-x86-64.so.2 /bin/ls", "/proc/self/root/usr/bin/id", "/proc/1234/fd/5"),
	Quiet:  lines("", "find . -exec sh {} \\;", "git -c core.pager=less log", "sudo bash", "docker exec -it c bash", "ssh h -t bash", "env -i bash", "tmux new -d bash", "script -q -c bash", `python3 -c 'import pty; pty.spawn("/bin/bash")'`, "make shell", "ldd /bin/ls", "ls /lib64", "ldconfig", "cat /proc/self/root/etc/os-release"),
}

func loader(s *command.Simple, _ track.View) *Finding {
	if p := s.Parent; p != nil && bare(s) && !s.Remote && !s.Nested && wayOut(p.Name) {
		return say(s, coi.Warning, "shell started from inside "+p.Name)
	}
	if !s.Loader {
		return nil
	}
	return say(s, coi.Warning, s.Name+" started through the loader or /proc")
}

// wayOut reports programs that are made for something else and from which one
// can get to a shell. Languages start programs all day.
func wayOut(name string) bool {
	switch program.ClassOf(name) {
	case program.Editor, program.Search, program.Reader, program.Archiver, program.VCS, program.Database:
		return true
	}
	return oneOf(name, "awk", "emacs", "man", "nmap", "tcpdump", "ftp", "lftp", "cpan", "gdb", "ssh", "apt", "dnf", "yum", "rsync", "scp")
}
