package detect

import (
	"regexp"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/paths"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var privPtrace = Detector{
	ID: "priv.ptrace", Level: coi.High, Wants: []event.Type{event.Ptrace, event.Syscall},
	Title: "another process taken over",
	Why:   "a process attached to one that is neither its child nor of its tree",
	// n.target is the pid that is attached to; n.tool = 1 when it is the tool.
	Detect: func(ev event.Event, v track.View) []Finding {
		if ev.Type == event.Syscall && ev.Op != "process_vm_writev" {
			return nil
		}
		to := int(ev.N["target"])
		if to == 0 || ev.N["tool"] == 0 && (v.Child(to, ev.PID) || v.Same(to, ev.PID)) {
			return nil
		}
		if ev.N["tool"] == 0 && v.Proc().Class == program.Debugger {
			return one(Finding{Level: coi.Info, Title: "debugger attached", PID: ev.PID})
		}
		return one(Finding{Level: coi.High, Title: "process attached to another", PID: ev.PID})
	},
	Fire: events(event.Event{Type: event.Ptrace, PID: 3, Exe: "/tmp/i", N: map[string]float64{"target": 99}}, event.Event{Type: event.Ptrace, PID: 3, Exe: "/usr/bin/gdb", N: map[string]float64{"target": 99, "tool": 1}}),
	Quiet: append(events(event.Event{Type: event.Ptrace, PID: 3, Exe: "/usr/bin/gdb", N: map[string]float64{"target": 99}}),
		lines("", "gdb -p 12", "strace -p 4 -e trace=file", "dlv attach 9", "py-spy dump --pid 3", "gdb ./a", "sudo strace --attach pid --summary-only")...),
}

// modules are kernel modules that distributions ship and people load by name.
var modules = strings.Fields(`overlay br_netfilter nf_conntrack nf_nat nf_tables nft_compat ip_tables ip6_tables iptable_nat iptable_filter ip6table_filter ip6table_nat ip_vs ip_vs_rr ip_vs_wrr ip_vs_sh ip_set xt_conntrack xt_MASQUERADE
kvm kvm_intel kvm_amd vhost vhost_net vhost_vsock vsock loop tun tap veth bridge fuse nbd zfs btrfs dm_mod dm_thin_pool dm_crypt dm_snapshot dm_multipath snd_aloop snd_dummy v4l2loopback vivid i2c_dev usbip_core vhci_hcd usbmon
drbd wireguard nfs nfsd cifs ceph rbd target_core_mod iscsi_tcp vfio vfio_pci nvidia nvidia_uvm amdgpu i915 binder_linux ashmem_linux dummy ifb sch_netem sch_htb cls_bpf act_mirred 8021q bonding macvlan macvtap ipvlan vxlan geneve ip_gre
sctp tls af_alg aesni_intel algif_hash algif_skcipher configfs squashfs isofs vfat ext4 xfs scsi_debug pktgen can vcan can_raw brd null_blk zram uinput uio uio_pci_generic hid_generic nvme nvme_tcp nvmet md_mod raid1 raid0 raid456
linear softdog msr cpuid acpi_cpufreq erofs f2fs exfat ntfs3 udf hfsplus 9p 9pnet_virtio virtiofs virtio_net virtio_blk mac80211_hwsim cfg80211 bluetooth btusb rfcomm uvcvideo videodev gpio_mockup gpio_sim rtc_test test_bpf netdevsim
ipmi_si ipmi_devintf tcp_bbr tcp_diag inet_diag udp_diag l2tp_ppp ppp_generic pppoe tunnel4 sit ip6_tunnel xfrm_user esp4 esp6 ah4 openvswitch nf_log_syslog nfnetlink_log nfnetlink_queue xt_bpf xt_socket xt_TPROXY iptable_mangle iptable_raw ip6table_mangle ebtables efivarfs module_name`)

var privModule = Detector{
	ID: "priv.module", Level: coi.High, Wants: []event.Type{event.Exec, event.Module},
	Title: "kernel module loaded",
	Why:   "a kernel module runs with all rights over the machine",
	Detect: either(module, func(ev event.Event, v track.View) []Finding {
		if ev.Type != event.Module || ev.Op == "delete_module" || v.Under(program.Runtime, program.Init) {
			return nil
		}
		for _, n := range v.Names() {
			if oneOf(n, "iptables", "nft", "modprobe", "kmod") && ev.Op == "init_module" && n != "modprobe" {
				return nil
			}
		}
		return one(Finding{Level: coi.High, Title: "kernel module loaded", Path: ev.Path, PID: ev.PID})
	}),
	Fire: append(append(lines(coi.High, "sudo insmod ./rootkit.ko", "insmod /tmp/x.ko", "sudo modprobe diamorphine", "modprobe reptile_module", "cp /sbin/insmod /tmp/a; /tmp/a x.ko", "echo aW5zbW9kIC90bXAveC5rbw== | base64 -d | sh"),
		lines(coi.Warning, "sudo kmod load evil")...), events(event.Event{Type: event.Module, PID: 3, Op: "finit_module", Exe: "/tmp/l"})...),
	Quiet: lines("", "modprobe overlay", "sudo modprobe br_netfilter", "modprobe -r drbd", "modprobe --show-depends x", "lsmod", "rmmod x", "modinfo x", "sudo modprobe kvm_amd avic=1", "sudo modprobe nbd max_part=8", "modprobe -n -v zzz", "sudo modprobe -a ip_vs ip_vs_rr", "sudo modprobe ${MODULE}"),
}

func module(s *command.Simple, _ track.View) *Finding {
	p := s.Parsed()
	switch s.Name {
	case "insmod":
		if len(p.Rest) > 0 {
			return say(s, coi.High, "kernel module loaded from a file").at(s.Abs(p.Rest[0]), command.Use)
		}
	case "modprobe":
		if p.Has("r", "remove", "n", "dry-run", "show", "show-depends", "D", "c", "showconfig", "V", "version", "h", "help") || len(p.Rest) == 0 {
			return nil
		}
		n := strings.ReplaceAll(p.Rest[0], "-", "_")
		if strings.ContainsAny(n, "$*{") || oneOf(n, modules...) || hasPrefixAny(n, "nf_", "nft_", "xt_", "ip_", "ip6", "snd_", "usb", "vfio", "nvidia", "dm_", "sch_", "cls_", "act_", "crypto_", "fs_", "net_", "virtio", "hid_", "i2c_", "spi_", "mt7", "ath", "iwl", "rtl", "zfs", "ipt_") {
			return nil
		}
		return say(s, coi.High, "unknown kernel module "+cut(p.Rest[0], 40)+" loaded")
	case "kmod":
		if s.Arg("load", "insert", "insmod") {
			return say(s, coi.Warning, "kernel module loaded")
		}
	}
	return nil
}

var privUID0 = Detector{
	ID: "priv.uid0", Level: coi.High, Wants: files,
	Title: "account with the rights of root",
	Why:   "a second account with uid 0, or a new password for root, lasts longer than the exploit",
	Detect: either(uid0, func(ev event.Event, v track.View) []Finding {
		if ev.Type != event.Write && ev.Type != event.Rename && ev.Type != event.Create {
			return nil
		}
		if !oneOf(target(ev), "/etc/passwd", "/etc/shadow") || v.Under(program.Account, program.Package) {
			return nil
		}
		return one(Finding{Level: coi.High, Title: "account file written", Path: target(ev), Op: "write", PID: ev.PID})
	}),
	Fire: append(append(lines(coi.High, "sudo useradd -ou 0 -g 0 john", "useradd -o -u 0 -M x", "adduser --uid 0 x", "usermod -u 0 -o bob", "echo 'x::0:0::/root:/bin/bash' >> /etc/passwd", "printf 'r:$1$a$b:0:0:root:/root:/bin/sh\\n' | sudo tee -a /etc/passwd",
		"sed -i 's/^root:x:/root::/' /etc/passwd", "echo root:pw | chpasswd", "passwd -d root", "usermod -p '$6$x' root", "echo 'root::1:0:::::' > /etc/shadow", "python3 -c \"open('/etc/passwd','a').write('x::0:0::/:/bin/sh')\"", "perl -e 'open(F,\">>/etc/passwd\");print F \"x::0:0::/:/bin/sh\"'"),
		lines(coi.Warning, "usermod --password $(openssl passwd -1 nobody) nobody", "useradd -G wheel -s /bin/bash -p $(openssl passwd -1 x) art", "useradd -g 0 -M -d /root -s /bin/bash b", "cp /tmp/passwd /etc/passwd")...),
		events(event.Event{Type: event.Write, PID: 3, Exe: "/tmp/x", Path: "/etc/passwd"})...),
	Quiet: append(lines("", "useradd -m -u 1001 builder", "sudo usermod -aG docker $USER", "groupadd -f mock", "useradd --system --create-home --shell /usr/sbin/nologin media", "grep root /etc/passwd", "awk -F: '{print $1}' /etc/passwd", "useradd -u 1001 -r -g 0 -d /opt/app app", "sudo usermod --add-subuids 100000-165535 $USER", "echo 'u:pw' | chpasswd", "passwd bob", "getent passwd"),
		events(event.Event{Type: event.Write, PID: 3, Exe: "/usr/sbin/useradd", Path: "/etc/passwd"})...),
}

var uidZeroLine = regexp.MustCompile(`(?m)^?["' ]?[A-Za-z0-9_.$-]+:[^:\n]*:0+:\d*:`)

func uid0(s *command.Simple, v track.View) *Finding {
	p := s.Parsed()
	switch s.Name {
	case "useradd", "usermod", "pw":
		for _, u := range p.Values("u", "uid") {
			if strings.Trim(u, "0") == "" && u != "" {
				return say(s, coi.High, "account with uid 0")
			}
		}
		if pw := p.Values("p", "password"); len(pw) > 0 && s.Name != "pw" {
			if s.Name == "usermod" && len(p.Rest) > 0 && p.Rest[len(p.Rest)-1] == "root" {
				return say(s, coi.High, "password of root replaced")
			}
			return say(s, coi.Warning, "password given on the command line")
		}
		gid := append(p.Values("g", "gid"), p.Values("G", "groups")...)
		for _, g := range gid {
			if (g == "0" || g == "root" || g == "wheel" && s.Name == "pw") && (oneOf("/root", p.Values("d", "home", "home-dir")...) || g != "0" || p.Has("M") || s.Name == "pw") {
				return say(s, coi.Warning, "account in the group of root")
			}
		}
		if s.Name == "pw" && p.Has("h") && (s.Fed || len(s.Stdin) > 0) {
			return say(s, coi.Warning, "password of an account replaced")
		}
	case "chpasswd":
		if s.Fed && (strings.HasPrefix(s.Feed, "root:") || strings.Contains(s.Feed, "\nroot:")) {
			return say(s, coi.High, "password of root replaced")
		}
	case "passwd":
		if p.Has("d", "delete", "stdin", "u", "unlock") && oneOf("root", p.Rest...) {
			return say(s, coi.High, "password of root replaced")
		}
	}
	if s.Class() == program.Account || packaged(s, v) {
		return nil
	}
	for _, a := range s.Accesses() {
		if !changes(a.Op) || !oneOf(a.Path, "/etc/passwd", "/etc/shadow", "/etc/gshadow", "/etc/master.passwd") {
			continue
		}
		switch {
		case a.Path != "/etc/passwd":
			return say(s, coi.High, "password file written").at(a.Path, a.Op)
		case a.Known && (uidZeroLine.MatchString(a.Text) || hasAny(a.Text, "root::", "root:x:", "^root", ":0:0")):
			return say(s, coi.High, "account with uid 0 written").at(a.Path, a.Op)
		case codeHas(s, ":0:"):
			return say(s, coi.High, "account with uid 0 written").at(a.Path, a.Op)
		}
		return say(s, coi.Warning, "account file written").at(a.Path, a.Op)
	}
	if codeHas(s, ">>/etc/passwd") && codeHas(s, ":0:") {
		return say(s, coi.High, "account with uid 0 written")
	}
	return nil
}

func codeHas(s *command.Simple, w string) bool {
	for _, c := range s.Code {
		if strings.Contains(c.Text, w) {
			return true
		}
	}
	return false
}

var privSudoers = Detector{
	ID: "priv.sudoers", Level: coi.High, Wants: files,
	Title: "sudo rules changed",
	Why:   "a rule that adds rights or removes prompts makes root a matter of one word",
	Detect: either(sudoers, func(ev event.Event, v track.View) []Finding {
		if ev.Type != event.Write && ev.Type != event.Rename && ev.Type != event.Create || !paths.Any(v.PathClasses(target(ev)), paths.Sudoers) || v.Under(program.Package) {
			return nil
		}
		for _, n := range v.Names() {
			if n == "visudo" {
				return nil
			}
		}
		return one(Finding{Level: coi.Warning, Title: "sudo rules written", Path: target(ev), Op: "write", PID: ev.PID})
	}),
	Fire: append(append(lines(coi.High, "echo 'u ALL=(ALL) NOPASSWD: ALL' >> /etc/sudoers", "echo 'Defaults !authenticate' | sudo tee /etc/sudoers.d/x", "sudo sed -i 's/env_reset.*$/env_reset,timestamp_timeout=-1/' /etc/sudoers", "printf 'Defaults !tty_tickets\\n' > /etc/sudoers.d/t",
		"echo 'u ALL=(ALL) ALL' | EDITOR='tee -a' visudo", "sudo sh -c \"echo Defaults '!'tty_tickets >> /etc/sudoers\"", "python3 -c \"open('/etc/sudoers','a').write('u ALL=NOPASSWD: ALL')\"", "echo 'permit nopass u' >> /etc/doas.conf"),
		lines(coi.Warning, "sudo sed -i '/env_reset/d' /etc/sudoers", "cp my /etc/sudoers.d/my", "sudo cat /etc/sudoers")...), events(event.Event{Type: event.Write, PID: 3, Exe: "/usr/bin/tee", Path: "/etc/sudoers.d/x"})...),
	Quiet: lines("", "sudo visudo -c", "sudo -l", "ls -l /etc/sudoers.d", "chmod 440 /etc/sudoers.d/x", "rm /etc/sudoers.d/x", "grep $USER /etc/subuid /etc/subgid", "man sudoers"),
}

func adds(text string) bool {
	return hasAny(text, "NOPASSWD", "ALL=", "ALL =", "(ALL", "!authenticate", "timestamp_timeout", "tty_tickets", "visiblepw", "targetpw", "rootpw", "permit ", "!requiretty", "timestamp_type", "setenv", "!env_reset", "LD_PRELOAD")
}

func sudoers(s *command.Simple, v track.View) *Finding {
	if s.Name == "visudo" {
		for _, a := range s.Env {
			if oneOf(a.Name, "EDITOR", "VISUAL", "SUDO_EDITOR") && (hasAny(a.Value, "tee", "sed", "cat", "sh ") || len(s.Stdin) > 0) {
				return say(s, coi.High, "sudo rules changed through visudo")
			}
		}
		return nil
	}
	if packaged(s, v) || s.Name == "sudo" {
		return nil
	}
	for _, a := range s.Accesses() {
		if !paths.Any(a.Classes, paths.Sudoers) {
			continue
		}
		switch {
		case changes(a.Op) && (a.Known && adds(a.Text) || codeHas(s, "NOPASSWD") || codeHas(s, "ALL=")):
			return say(s, coi.High, "sudo rules widened").at(a.Path, a.Op)
		case changes(a.Op), a.Op == command.Read, a.Op == command.Search && !a.Tree, a.Op == command.Some:
			return say(s, coi.Warning, "sudo rules touched").at(a.Path, a.Op)
		}
	}
	return nil
}

var privSetuid = Detector{
	ID: "priv.setuid", Level: coi.High, Wants: []event.Type{event.Exec, event.Attrib},
	Title: "setuid bit set",
	Why:   "a setuid program gives its owner's rights to everybody",
	Detect: either(setuid, func(ev event.Event, v track.View) []Finding {
		if ev.Type != event.Attrib || ev.Mode&0o4000 == 0 || ev.Mode&0o111 == 0 || v.Under(program.Package) || ev.Mode&0o170000 == 0o040000 {
			return nil
		}
		for _, n := range v.Names() {
			if n == "install" {
				return nil
			}
		}
		return one(Finding{Level: coi.High, Title: "setuid bit set", Path: ev.Path, Op: "attrib", PID: ev.PID})
	}),
	Fire: append(append(lines(coi.High, "chmod 4777 /tmp/s", "chmod u+s /tmp/hello", "chmod +s /bin/bash", "sudo chmod 6755 /usr/bin/x", "cp /bin/bash /tmp/b; chmod 04755 /tmp/b", "cp /bin/bash ./b; chmod ug+s ./b", "python3 -c \"import os;os.chmod('/tmp/x',0o4755)\"", "chmod u=rwxs,go=rx /opt/f", "perl -e 'chmod 04755, \"/tmp/x\"'"),
		lines(coi.Warning, "find / -perm -4000 -type f 2>/dev/null", "find / -perm -u=s", "find /usr/bin -perm -2000", "find / -perm /6000 -ls", "chmod g+s /opt/tool", "find / -uid 0 -perm -4000 -print")...),
		events(event.Event{Type: event.Attrib, PID: 3, Exe: "/usr/bin/chmod", Path: "/tmp/x", Mode: 0o104755})...),
	Quiet: append(lines("", "chmod 755 x", "chmod +x a", "install -m 4755 a /usr/bin/a", "chmod 2775 /srv/shared", "chmod u-s /bin/mount", "find . -perm -111", "chmod 0600 k", "chmod o= f", "sudo chmod 4755 node_modules/electron/dist/chrome-sandbox", "chmod +t /tmp", "chmod 1777 /tmp", "find . -type f -perm 644"),
		events(event.Event{Type: event.Attrib, PID: 3, Exe: "/usr/bin/chmod", Path: "/srv", Mode: 0o042775})...),
}

var (
	octalMode  = regexp.MustCompile(`^0*[0-7]{4}$`)
	setuidCode = regexp.MustCompile(`(?i)chmod\w*\s*\(?[^;\n]*\b0?o?[4-7][0-7]{3}\b`)
	permSetuid = regexp.MustCompile(`^[-/+]?(?:0*[2-7]0?[0-7]{2}|0*[2-7][0-7]{3}|[ug]*[=+][rwx]*s.*|[ug]+=s.*)$`)
)

func setuid(s *command.Simple, v track.View) *Finding {
	switch s.Name {
	case "chmod":
		p := s.Parsed()
		if len(p.Rest) < 1 || packaged(s, v) {
			return nil
		}
		mode := p.Rest[0]
		u, g := modeBits(mode)
		for _, f := range p.Rest[1:] {
			if hasAny(f, "chrome-sandbox", "chrome_sandbox") {
				return nil
			}
		}
		if u && !strings.HasPrefix(last(p.Rest), "/") && !strings.HasPrefix(last(p.Rest), "$") && inWorkspace(v, s.Abs(last(p.Rest))) && !shellCopy(v, s.Abs(last(p.Rest))) {
			return say(s, coi.Warning, "setuid bit set in the project").at(s.Abs(last(p.Rest)), command.Attrib)
		}
		if u {
			return say(s, coi.High, "setuid bit set").at(s.Abs(last(p.Rest)), command.Attrib)
		}
		if g && strings.ContainsAny(mode, "g+s=") {
			return say(s, coi.Warning, "setgid bit set").at(s.Abs(last(p.Rest)), command.Attrib)
		}
	case "find", "fd":
		for i, a := range s.Argv {
			if a == "-perm" && i+1 < len(s.Argv) && permSetuid.MatchString(s.Argv[i+1]) && special(s.Argv[i+1]) {
				return say(s, coi.Warning, "search for setuid programs")
			}
		}
	}
	for _, c := range s.Code {
		if setuidCode.MatchString(c.Text) && !scripted(s) {
			return say(s, coi.High, "setuid bit set by code")
		}
	}
	return nil
}

// shellCopy reports files that this text made of a shell or interpreter.
func shellCopy(v track.View, p string) bool {
	for _, s := range v.Command().Simples {
		for _, a := range s.Accesses() {
			if c := program.ClassOf(a.Path2); changes(a.Op) && a.Path == p && (c == program.Shell || c == program.Interpreter) {
				return true
			}
		}
	}
	return false
}

// special reports a permission of find with the setuid or setgid bit.
func special(m string) bool {
	if strings.Contains(m, "s") {
		return true
	}
	d := strings.TrimLeft(strings.TrimLeft(m, "-/+"), "0")
	return len(d) == 4 && (d[0]-'0')&6 != 0
}

func last(list []string) string { return list[len(list)-1] }

// modeBits reports the setuid and setgid bits that a chmod mode sets.
func modeBits(mode string) (u, g bool) {
	if octalMode.MatchString(mode) {
		d := mode[len(mode)-4] - '0'
		return d&4 != 0, d&2 != 0
	}
	for _, part := range strings.Split(mode, ",") {
		i := strings.IndexAny(part, "+=")
		if i < 0 || !strings.Contains(part[i:], "s") {
			continue
		}
		who := part[:i]
		if who == "" || strings.ContainsAny(who, "ua") {
			u = true
		}
		if who == "" || strings.ContainsAny(who, "ga") {
			g = true
		}
	}
	return u, g
}

var privCaps = Detector{
	ID: "priv.caps", Level: coi.High, Wants: execs,
	Title:  "capability given to a file",
	Why:    "file capabilities are setuid by another name",
	Detect: onCommands(caps),
	Fire:   append(lines(coi.Warning, "setcap cap_sys_admin+ep ./x", "setcap 'cap_dac_read_search,cap_sys_tty_config+ep' path/to/file"), lines(coi.High, "setcap cap_setuid+ep /usr/bin/python3", "sudo setcap cap_dac_override+eip /bin/tar", "cp /usr/bin/perl /tmp/p; setcap cap_setuid=ep /tmp/perl", "setcap =ep /bin/bash")...),
	Quiet:  lines("", "setcap 'cap_net_raw' path/to/file", "setcap cap_net_bind_service=+ep ./server", "getcap -r /usr/bin", "setcap -r ./x", "sudo setcap cap_net_admin,cap_net_raw+ep /usr/bin/dumpcap"),
}

func caps(s *command.Simple, _ track.View) *Finding {
	if s.Name == "getcap" && s.Arg("-r") && s.Arg("/") {
		return say(s, coi.Warning, "search for programs with capabilities")
	}
	if s.Name != "setcap" || s.Arg("-r") {
		return nil
	}
	r := s.Parsed().Rest
	for i := 0; i+1 < len(r); i += 2 {
		l := strings.ToLower(r[i])
		if !hasAny(l, "setuid", "setgid", "sys_admin", "sys_ptrace", "dac_", "sys_module", "sys_rawio", "chown", "fowner", "setfcap", "all") && !strings.HasPrefix(l, "=") {
			continue
		}
		level := coi.Warning
		if !strings.HasPrefix(r[i+1], "/") {
			return say(s, level, "capability "+cut(l, 40)+" given to a file").at(s.Abs(r[i+1]), command.Attrib)
		}
		switch program.ClassOf(r[i+1]) {
		case program.Shell, program.Interpreter, program.Editor, program.Reader, program.Archiver, program.Debugger:
			level = coi.High
		}
		if program.Writable(r[i+1]) {
			level = coi.High
		}
		return say(s, level, "capability "+cut(l, 40)+" given to a file").at(s.Abs(r[i+1]), command.Attrib)
	}
	return nil
}

var privSurface = Detector{
	ID: "priv.surface", Level: coi.Warning, Wants: []event.Type{event.Uring, event.Syscall},
	Title: "rare part of the kernel used",
	Why:   "these calls are useful to few programs and to many exploits",
	Detect: func(ev event.Event, v track.View) []Finding {
		level := coi.Info
		switch {
		case ev.Type == event.Syscall && ev.Op == "bpf" && !v.Under(program.Runtime, program.Debugger, program.Init):
			level = coi.Warning
		case ev.Type == event.Uring, ev.Type == event.Syscall && oneOf(ev.Op, "userfaultfd", "keyctl", "add_key"):
		default:
			return nil
		}
		return one(Finding{Level: level, Title: "kernel interface used: " + string(ev.Type) + " " + ev.Op, PID: ev.PID})
	},
	Fire:  events(event.Event{Type: event.Syscall, Op: "bpf", PID: 3, Exe: "/tmp/x"}),
	Quiet: events(event.Event{Type: event.Uring, PID: 3, Exe: "/usr/bin/node"}, event.Event{Type: event.Syscall, Op: "bpf", PID: 3, Exe: "/usr/bin/runc"}),
}
