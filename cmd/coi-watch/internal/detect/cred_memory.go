package detect

import (
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var credMemory = Detector{
	ID: "cred.memory", Level: coi.High, Wants: execs,
	Title:  "memory of a process dumped",
	Why:    "a dump holds every key and password the process knows",
	Detect: onCommands(memory),
	Fire:   lines(coi.High, "gcore 1234", "gcore -o /tmp/d $(pgrep sshd)", "gdb -p 4 -batch -ex 'dump memory /tmp/m 0x1 0x2'", "gdb -p 4 -ex generate-core-file", "procdump -p 9", "python3 mimipenguin.py", "avml /tmp/mem.lime", "cp /usr/bin/gcore /tmp/g; /tmp/g 7", "memdump -p 4", "bash dump_memory.sh 1; gcore 1"),
	Quiet:  lines("", "gdb ./a core", "gdb -p 12", "coredumpctl list", "ulimit -c unlimited", "jmap -histo 3", "py-spy dump --pid 3"),
}

func memory(s *command.Simple, _ track.View) *Finding {
	if s.Class() == program.Interpreter || s.Class() == program.Shell {
		for _, a := range s.Argv[1:min(3, len(s.Argv))] {
			if hasPrefixAny(strings.ToLower(base(a)), "mimipenguin", "gcore", "memdump", "dump_mem", "dump_heap", "dump_proc", "procdump", "heap_dump", "process_dump") && !strings.Contains(a, " ") {
				return say(s, coi.High, "memory dumped by "+base(a))
			}
		}
	}
	if oneOf(s.Name, "gcore", "procdump", "memdump", "avml", "mimipenguin", "linpmem") && len(s.Argv) > 1 {
		return say(s, coi.High, "memory dumped by "+s.Name)
	}
	if s.Name == "gdb" {
		for _, x := range s.Parsed().Values("ex", "eval-command") {
			if hasPrefixAny(strings.TrimSpace(x), "dump ", "gcore", "generate-core") {
				return say(s, coi.High, "memory dumped by gdb")
			}
		}
	}
	return nil
}

// dumpers are programs made to collect credentials or ways to root.
var dumpers = strings.Fields(`lazagne lazagne.py mimipenguin mimipenguin.sh mimipenguin.py linpeas linpeas.sh linpeas_linux_amd64 linenum linenum.sh lse.sh linux-exploit-suggester.sh les.sh linuxprivchecker.py linuxprivchecker unix-privesc-check pspy pspy64 pspy32 hashdump
truffleproc truffleproc.sh secretsdump.py impacket-secretsdump pypykatz mimikatz donpapi dploot lsassy nxc netexec kerbrute sshgobrute.py patator medusa ncrack firefox_decrypt.py firefox_decrypt swap_digger.sh truffelhog deepce.sh peirates cdk_linux_amd64 amicontained botb kubiscan traitor traitor-amd64 beroot.py beroot sudo_killer.sh gtfonow.py linux-smart-enumeration.sh 3snake keydump keyscan sshspray hydra john hashcat crackmapexec responder responder.py`)
