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

var escapeDevice = Detector{
	ID: "escape.device", Level: coi.High, Wants: append([]event.Type{event.Syscall}, files...),
	Title: "raw device opened",
	Why:   "memory and disk devices hold what belongs to the host",
	Detect: either(device, func(ev event.Event, v track.View) []Finding {
		raw := (ev.Type == event.Open || ev.Type == event.Write) && paths.Any(v.PathClasses(ev.Path), paths.Device)
		node := ev.Type == event.Syscall && ev.Op == "mknod" && ev.Mode&0o170000 == 0o060000
		if !raw && !node || v.Under(program.Runtime) || node && placeholder(ev) {
			return nil
		}
		return one(Finding{Level: coi.High, Title: "raw device opened", Path: ev.Path, Op: string(ev.Type), PID: ev.PID})
	}),
	Fire: append(append(lines(coi.High, "dd if=/dev/sda of=/tmp/d", "dd if=x.img of=/dev/sda", "strings /dev/mem | grep pass", "cat /dev/kmem", "/tmp/.x /dev/sda1", "debugfs -w /dev/sda1", "mknod /tmp/sda b 8 0", "mknod -m 666 /tmp/k b 7 0 && debugfs /tmp/k", "sudo mknod /tmp/k b 43 0; sudo dd if=/tmp/k of=/tmp/d", "cd /tmp; mknod k b 7 1; strings k", "mknod /tmp/k b 0x8 0", "mknod -m 666 /tmp/k b 8 0", "mknod --mode 666 /tmp/k b 8 0", "cat /dev/nvme0n1p1 | gzip > x", "mount /dev/sda1 /mnt && chroot /mnt bash", "mkdir /mnt/h; mount /dev/vda1 /mnt/h; cat /mnt/h/etc/shadow"), lines(coi.Warning, "mount /dev/sda1 /mnt/h", "sudo mknod /dev/loop0 b 7 0", "mknod /tmp/d b 43 0", "mknod -m 660 /dev/loop8 b 7 8; losetup /dev/loop8 x.img; mount /dev/loop8 /mnt/x", "sudo dd if=x.iso of=/dev/sdb bs=4M")...),
		append(append(events(event.Event{Type: event.Open, PID: 3, Path: "/dev/sda1"}),
			events(event.Event{Type: event.Syscall, Op: "mknod", Mode: 0o060000, UID: new(1000), Path: "/tmp/sda", N: map[string]float64{"dev": 0x800}})...),
			events(event.Event{Type: event.Syscall, Op: "mknod", Mode: 0o060000, NSPID: 1, Path: "/run/systemd/inaccessible/blk", N: map[string]float64{"dev": 0x800}})...)...),
	Quiet: append(lines("", "dd if=/dev/zero of=x bs=1M count=1", "dd if=/dev/urandom of=k bs=32 count=1", "mknod p p", "mknod dev/ram0 b 1 0", "ls -l /dev/kvm", "lsblk", "losetup -f x.img", "mount -o loop x.iso /mnt", "cat /dev/null", "chmod 666 /dev/kvm"),
		Sample{Events: []event.Event{{Type: event.Syscall, Op: "mknod", Mode: 0o060000, NSPID: 1, Path: "/run/systemd/inaccessible/blk", N: map[string]float64{"dev": 0}}}},
		Sample{Events: []event.Event{{Type: event.Syscall, Op: "mknod", Mode: 0o060000, NSPID: 1, Path: "blk", N: map[string]float64{"dev": 0}}}}, // of systemd 257
		Sample{Events: []event.Event{{Type: event.Syscall, Op: "mknod", Mode: 0o060000, NSPID: 98, UID: new(1000), Path: "/run/user/1000/systemd/inaccessible/blk", N: map[string]float64{"dev": 0}}}}),
}

// placeholder reports whether a block node is one of no device, as systemd makes
// them to hide others behind: as init at boot, and as the manager of a user when
// one logs in (su, sudo -i). No driver has the number 0:0, so nothing can be read
// through it, whoever makes it and by what name.
func placeholder(ev event.Event) bool {
	dev, known := ev.N["dev"]
	return known && dev == 0
}

func device(s *command.Simple, v track.View) *Finding {
	if s.Name == "mknod" {
		if r := s.Parsed().Rest; len(r) > 1 && r[1] == "b" {
			switch {
			case len(r) > 2 && r[2] == "1": // memory disks are nobody's
			case len(r) > 2 && oneOf(r[2], "7", "43") && !opened(s, v): // loop and network disks may be the host's
				return say(s, coi.Warning, "block device of a disk image made")
			default:
				return say(s, coi.High, "block device made")
			}
		}
	}
	if s.Name == "mount" || s.Name == "debugfs" {
		for _, a := range s.Argv[1:] {
			if paths.Any(paths.Of(a, false), paths.Device) {
				if s.Name == "mount" {
					if !hasPrefixAny(a, "/dev/sda", "/dev/vda", "/dev/xvda", "/dev/nvme0", "/dev/hda", "/dev/dm-", "/dev/mapper") || strings.HasPrefix(a, "/dev/mapper/loop") {
						continue
					}
					if entered(s, v) {
						return say(s, coi.High, "disk of the host mounted and entered").at(a, command.Use)
					}
					return say(s, coi.Warning, "disk of the host mounted").at(a, command.Use)
				}
				return say(s, coi.High, "disk opened by debugfs").at(a, command.Use)
			}
		}
	}
	for _, a := range s.Accesses() {
		if (a.Op == command.Read || changes(a.Op) || a.Op == command.Some && program.Writable(s.Prog)) && paths.Any(a.Classes, paths.Device) {
			if flashes(s, a) {
				return say(s, coi.Warning, "image written to a disk").at(a.Path, a.Op)
			}
			return say(s, coi.High, "raw device opened").at(a.Path, a.Op)
		}
	}
	return nil
}

// opened reports that the same text reads or changes what is behind the node that s
// makes.
func opened(s *command.Simple, v track.View) bool {
	node := s.Abs(s.Parsed().Rest[0])
	for _, o := range v.Command().Simples {
		if o.Name == "debugfs" && slices.ContainsFunc(o.Argv[1:], func(a string) bool { return o.Abs(a) == node }) {
			return true
		}
		if o.Name != "mknod" && slices.ContainsFunc(o.Accesses(), func(a command.Access) bool {
			return a.Path == node && (a.Op == command.Read || a.Op == command.Write || a.Op == command.Append)
		}) {
			return true
		}
	}
	return false
}

// otherDisk are disks that no machine starts from: sticks and cards.
var otherDisk = regexp.MustCompile(`^/dev/(?:sd[b-z]|mmcblk[1-9])$`)

// flashes reports an image file written to a whole disk of that kind.
func flashes(s *command.Simple, a command.Access) bool {
	return a.Op == command.Write && s.Is("dd", "cp", "bmaptool", "tee") && otherDisk.MatchString(a.Path) && hasAny(s.Line(), ".iso", ".img", ".wic", ".raw", ".xz", ".zst")
}

// entered reports that the same text goes into what s mounts: as a root, or to
// its accounts and homes.
func entered(s *command.Simple, v track.View) bool {
	r := s.Parsed().Rest
	if len(r) < 2 {
		return false
	}
	at := s.Abs(r[len(r)-1])
	for _, o := range v.Command().Simples {
		if p := o.Parsed().Rest; o.Name == "chroot" && len(p) > 0 && o.Abs(p[0]) == at {
			return true
		}
		for _, a := range o.Accesses() {
			if hasPrefixAny(a.Path, at+"/etc", at+"/root", at+"/home") && a.Op != command.Look {
				return true
			}
		}
	}
	return false
}
