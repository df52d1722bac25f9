package detect

import (
	"regexp"
	"slices"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/paths"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var privPtrace = Detector{
	ID: "priv.ptrace", Level: coi.High, Wants: []event.Type{event.Exec, event.Ptrace, event.Syscall},
	Title: "another process taken over",
	Why:   "a process attached to one that is neither its child nor of its tree",
	// n.target is the pid that is attached to; n.tool = 1 when it is the tool.
	Detect: either(injects, func(ev event.Event, v track.View) []Finding {
		if ev.Type == event.Exec || ev.Type == event.Syscall && ev.Op != "process_vm_writev" {
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
	}),
	Fire: append(lines(coi.High, "dd if=/tmp/p of=/proc/77/mem bs=1 seek=99 conv=notrunc", "printf '\\x90' > /proc/$PID/mem", "echo 'call system(\"id\")' | sudo gdb -q -n -p 77", "gdb -p 1 -batch -ex 'call (int)system(\"id > /tmp/o\")'", "gdb --pid 77 -ex 'print (void*)dlopen(\"/tmp/x.so\",2)' -ex q", "strace -f -e trace=read,write -p $(pgrep -o sshd) -o /tmp/l"), events(event.Event{Type: event.Ptrace, PID: 3, Exe: "/tmp/i", N: map[string]float64{"target": 99}}, event.Event{Type: event.Ptrace, PID: 3, Exe: "/usr/bin/gdb", N: map[string]float64{"target": 99, "tool": 1}})...),
	Quiet: append(events(event.Event{Type: event.Ptrace, PID: 3, Exe: "/usr/bin/gdb", N: map[string]float64{"target": 99}}),
		lines("", "gdb -p 12", "strace -p 4 -e trace=file", "dlv attach 9", "py-spy dump --pid 3", "gdb ./a", "sudo strace --attach pid --summary-only")...),
}

var (
	injection = regexp.MustCompile(`(?i)^\s*(?:call|print|p|compile|set)\b.*\b(?:system|popen|execve?|execlp?|dlopen|__libc_dlopen_mode|mprotect)\s*\(`)
	logins    = regexp.MustCompile(`(?:^|[^\w/-])(?:sshd|ssh-agent|gpg-agent|sudo|login|su|passwd|gnome-keyring\S*|agetty|vault)\b`)
)

// injects finds code put into a running process by a debugger, and programs
// that take passwords being watched.
func injects(s *command.Simple, _ track.View) *Finding {
	p := s.Parsed()
	switch s.Name {
	case "gdb", "lldb":
		if !p.Has("p", "pid") {
			return nil
		}
		if slices.ContainsFunc(append(append(p.Values("ex", "eval-command", "iex"), p.Values("o", "one-line")...), strings.Split(s.Feed, "\n")...), injection.MatchString) {
			return say(s, coi.High, "code put into another process")
		}
	case "dd", "tee", "cp", "cat", "printf", "echo":
		for _, a := range s.Accesses() {
			if changes(a.Op) && paths.Any(a.Classes, paths.ProcMem) {
				return say(s, coi.High, "memory of another process written").at(a.Path, a.Op)
			}
		}
	case "strace", "ltrace":
		if !p.Has("p", "attach") {
			return nil
		}
		for _, in := range s.From {
			if in.Is("pgrep", "pidof") && logins.MatchString(" "+strings.Join(in.Argv[1:], " ")) {
				return say(s, coi.High, "program that takes passwords watched")
			}
		}
	}
	return nil
}

// modules are kernel modules that distributions ship and people load by name.
var modules = strings.Fields(`binfmt_misc bcm2835_v4l2 apparmor mpls_router mpls_iptunnel mpls_gso gre fou tipc rxe siw zsmalloc lz4 lz4hc zstd ublk_drv ntfs efi_pstore ramoops ikheaders kheaders test_bpf bpf_testmod nouveau radeon ast uhid evdev hidp mac80211 mac80211_hwsim cfg80211 cpufreq_ondemand cpufreq_powersave cpufreq_conservative amd_uncore amd_pstate overlay br_netfilter nf_conntrack nf_nat nf_tables nft_compat ip_tables ip6_tables iptable_nat iptable_filter ip6table_filter ip6table_nat ip_vs ip_vs_rr ip_vs_wrr ip_vs_sh ip_set xt_conntrack xt_MASQUERADE
kvm kvm_intel kvm_amd vhost vhost_net vhost_vsock vsock loop tun tap veth bridge fuse nbd zfs btrfs dm_mod dm_thin_pool dm_crypt dm_snapshot dm_multipath snd_aloop snd_dummy v4l2loopback vivid i2c_dev usbip_core vhci_hcd usbmon
drbd wireguard nfs nfsd cifs ceph rbd target_core_mod iscsi_tcp vfio vfio_pci nvidia nvidia_uvm amdgpu i915 binder_linux ashmem_linux dummy ifb sch_netem sch_htb cls_bpf act_mirred bpfilter tcp_dctcp nf_conntrack_netlink kheaders configs 8021q bonding macvlan macvtap ipvlan vxlan geneve ip_gre
sctp tls af_alg aesni_intel algif_hash algif_skcipher configfs squashfs isofs vfat ext4 xfs scsi_debug pktgen can vcan can_raw brd null_blk zram uinput uio uio_pci_generic hid_generic nvme nvme_tcp nvmet md_mod raid1 raid0 raid456
linear softdog msr cpuid acpi_cpufreq erofs f2fs exfat ntfs3 udf hfsplus 9p 9pnet_virtio virtiofs virtio_net virtio_blk mac80211_hwsim cfg80211 bluetooth btusb rfcomm uvcvideo videodev gpio_mockup gpio_sim rtc_test test_bpf netdevsim
ipmi_si ipmi_devintf tcp_bbr tcp_diag inet_diag udp_diag l2tp_ppp ppp_generic pppoe tunnel4 sit ip6_tunnel xfrm_user esp4 esp6 ah4 openvswitch nf_log_syslog nfnetlink_log nfnetlink_queue xt_bpf xt_socket xt_TPROXY iptable_mangle iptable_raw ip6table_mangle ebtables efivarfs`)
