package detect

import (
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var credSniff = Detector{
	ID: "cred.sniff", Level: coi.Warning, Wants: execs,
	Title:  "traffic or keystrokes recorded",
	Why:    "captures hold passwords of others",
	Detect: onCommands(sniff),
	Fire: lines(coi.Warning, "tcpdump -c 5 -nnni eth0", "tshark -i ens33", "sudo tcpdump -i any -w /tmp/x.pcap", "dumpcap -i eth0", "auditctl -a always,exit -F arch=b64 -S execve -k C", "ettercap -T -i eth0", "strace -f -p $(pgrep sshd) -e trace=read,write", "logkeys --start", "sudo /tmp/rawpcap -a -t 3", "xinput test 8", "python3 -c 'from scapy.all import sniff; sniff(iface=\"eth0\", prn=print)'", "python3 -c \"import socket;s=socket.socket(socket.AF_PACKET,socket.SOCK_RAW)\"", "cp /usr/sbin/tcpdump /tmp/t; /tmp/t -i eth0",
		"echo 'session required pam_tty_audit.so enable=*' >> /etc/pam.d/login"),
	Quiet: lines("", "tcpdump -r x.pcap", "tcpdump -i lo -nn port 80", "tcpdump -D", "python3 -c 'from scapy.all import rdpcap; print(len(rdpcap(\"t.pcap\")))'", "sudo tcpdump host www.example.com", "sudo tcpdump -w path/to/dumpfile.pcap port not 22", "tshark -r x.pcap", "strace -e trace=file ls", "auditctl -l", "strace -p 33"),
}

func sniff(s *command.Simple, _ track.View) *Finding {
	p := s.Parsed()
	for _, a := range s.Env {
		if a.Name == "PROMPT_COMMAND" && hasAny(a.Value, "logger", "tee ", "curl", "nc ", "/dev/tcp", "/tmp/") {
			return say(s, coi.Warning, "every command recorded")
		}
	}
	switch s.Name {
	case "trap":
		if s.Arg("DEBUG") && hasAny(s.Line(), "BASH_COMMAND") && hasAny(s.Line(), ">>", "logger", "curl", "tee") {
			return say(s, coi.Warning, "every command recorded")
		}
	case "tcpdump", "tshark", "dumpcap", "ngrep", "tcpflow":
		if p.Has("i") && !p.Has("r") && !oneOf("lo", p.Values("i")...) {
			return say(s, coi.Warning, "packet capture")
		}
	case "ettercap", "bettercap", "arpspoof", "dsniff", "mitmproxy-sniff", "logkeys", "pam_tty_audit":
		return say(s, coi.Warning, "sniffer "+s.Name)
	case "xinput":
		if s.Arg("test", "test-xi2") {
			return say(s, coi.Warning, "keystrokes recorded")
		}
	case "auditctl":
		if p.Has("a") && hasAny(s.Line(), "execve", "-S read", "TTY") {
			return say(s, coi.Warning, "commands of everybody recorded")
		}
	case "strace":
		if p.Has("p", "attach") && hasAny(s.Line(), "read", "write") && hasAny(s.Line(), "sshd", "trace=read", "trace=write", "passwd", "login") {
			return say(s, coi.Warning, "input of another process recorded")
		}
	}
	if b := strings.ToLower(base(s.Prog)); program.Writable(s.Abs(s.Prog)) && strings.Contains(s.Prog, "/") && hasAny(b, "pcap", "sniff", "keylog") {
		return say(s, coi.Warning, "recorder in a place that anybody may write: "+cut(base(s.Prog), 40))
	}
	for _, a := range s.Accesses() {
		if changes(a.Op) && hasAny(a.Text, "pam_tty_audit") {
			return say(s, coi.Warning, "keystroke audit switched on").at(a.Path, a.Op)
		}
	}
	for _, c := range s.Code {
		if !scripted(s) && hasAny(c.Text, "AF_PACKET", "SOCK_RAW", "sniff(", "AsyncSniffer", "open_live(", "pcap.pcap(") {
			return say(s, coi.Warning, "packet capture by code")
		}
	}
	return nil
}
