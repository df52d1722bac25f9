package detect

import (
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

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
	Fire: append(append(lines(coi.High, "sudo insmod ./rootkit.ko", "insmod /tmp/x.ko", "sudo modprobe diamorphine", "modprobe reptile_module", "modprobe -r -n diamorphine; modprobe diamorphine", "rmmod -h diamorphine; modprobe diamorphine", "modprobe diamorphine; modprobe -r diamorphine", "modprobe -C -n diamorphine", "modprobe -a overlay diamorphine", "modprobe test_kmod", "modprobe module_name", "kexec -l /tmp/vmlinuz --reuse-cmdline", "cp /sbin/insmod /tmp/a; /tmp/a x.ko", "echo aW5zbW9kIC90bXAveC5rbw== | base64 -d | sh"),
		lines(coi.Warning, "sudo kmod load evil", "modprobe -r drv; modprobe drv")...), events(event.Event{Type: event.Module, PID: 3, Op: "finit_module", Exe: "/tmp/l"})...),
	Quiet: lines("", "./ci/insmod-test.sh foo.ko", "sudo modprobe ublk_drv", "sudo modprobe binfmt_misc", "modprobe overlay", "sudo modprobe br_netfilter", "modprobe -r drbd", "modprobe --show-depends x", "lsmod", "rmmod x", "modinfo x", "sudo modprobe kvm_amd avic=1", "sudo modprobe nbd max_part=8", "modprobe -n -v zzz", "sudo modprobe -a ip_vs ip_vs_rr", "sudo modprobe ${MODULE}", "sudo modprobe vboxdrv"),
}

func module(s *command.Simple, v track.View) *Finding {
	p := s.Parsed()
	switch s.Name {
	case "insmod":
		if len(p.Rest) > 0 {
			return say(s, coi.High, "kernel module loaded from a file").at(s.Abs(p.Rest[0]), command.Use)
		}
	case "modprobe":
		if p.Has("r", "remove") || idle(p) || len(p.Rest) == 0 {
			return nil
		}
		names := p.Rest[:1] // what follows are its parameters
		if p.Has("a", "all") {
			names = p.Rest
		}
		for _, name := range names {
			if shipped(name) {
				continue
			}
			if removed(name, s, v) { // one that was there before
				return say(s, coi.Warning, "kernel module loaded again")
			}
			return say(s, coi.High, "unknown kernel module "+cut(name, 40)+" loaded")
		}
	case "kexec":
		if p.Has("l", "load", "e", "exec", "p", "load-panic") {
			return say(s, coi.High, "another kernel loaded")
		}
	case "kmod":
		if s.Arg("load", "insert", "insmod") {
			return say(s, coi.Warning, "kernel module loaded")
		}
	}
	return nil
}

// idle reports options of modprobe and rmmod with which they change nothing.
func idle(p program.Parsed) bool {
	return p.Has("n", "dry-run", "show", "show-depends", "D", "c", "showconfig", "V", "version", "h", "help")
}

// shipped reports modules that distributions have, by name or family, and names
// that are not known.
func shipped(name string) bool {
	n := strings.ReplaceAll(name, "-", "_")
	return strings.ContainsAny(n, "$*{") || oneOf(n, modules...) || hasPrefixAny(n, "nf_", "nft_", "xt_", "ip_", "ip6", "snd_", "usb", "vfio", "nvidia", "dm_", "sch_", "cls_", "act_", "crypto_", "fs_", "net_", "virtio", "hid_", "i2c_", "spi_", "mt7", "ath", "iwl", "rtl", "zfs", "ipt_", "vbox", "vmw", "vmmon", "vmnet", "hv_", "xen", "mlx", "ib_", "rdma_", "drm", "intel_", "gpio", "iio", "tcp_", "crc", "nls_", "scsi", "ata", "mmc", "mtd", "ubi", "regmap", "acpi_", "dvb", "media", "uvc", "evdi", "ebt_", "nfs", "ocfs", "gfs", "dlm", "cuse", "nvme_", "kvm", "e1000", "ixgb", "igb", "r81", "cdc_", "ftdi", "cp210", "ch34", "pl2303", "joydev", "psmouse", "pcspkr", "parport", "floppy", "cdrom", "sr_mod", "ipmi_", "edac", "coretemp", "watchdog", "wdt", "sata_", "pata_", "ahci", "xhci", "ehci", "ohci", "uhci", "dwc", "musb", "g_", "brcm", "b43", "mwifiex", "tg3", "bnx", "be2", "qla", "lpfc", "mpt", "megaraid", "w1_", "lp")
}

// removed reports that the same text took the module out before s.
func removed(name string, s *command.Simple, v track.View) bool {
	for _, o := range v.Command().Simples {
		if o == s {
			return false
		}
		if p := o.Parsed(); (o.Name == "rmmod" || o.Name == "modprobe" && p.Has("r", "remove")) && !idle(p) && oneOf(name, p.Rest...) {
			return true
		}
	}
	return false
}
