package detect

import (
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/paths"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var escapeKernelFile = Detector{
	ID: "escape.kernel-file", Level: coi.High, Wants: files,
	Title: "door to the kernel written",
	Why:   "these files make the kernel run programs outside the container, or take away its defences",
	Detect: either(kernelFile, func(ev event.Event, v track.View) []Finding {
		if ev.Type != event.Write && ev.Type != event.Create {
			return nil
		}
		c := v.PathClasses(ev.Path)
		switch {
		case paths.Any(c, paths.KernelFile):
			if l := knob(ev.Path); l == "" {
				return nil
			} else if l == coi.Warning {
				return one(Finding{Level: l, Title: "kernel setting written", Path: ev.Path, Op: "write", PID: ev.PID})
			}
			return one(Finding{Level: coi.High, Title: "kernel file written", Path: ev.Path, Op: "write", PID: ev.PID})
		case paths.Any(c, paths.CorePattern, paths.Binfmt):
			return one(Finding{Level: coi.Warning, Title: "kernel file written", Path: ev.Path, Op: "write", PID: ev.PID})
		}
		return nil
	}),
	Fire: append(append(lines(coi.High, "echo '|/tmp/x %P' > /proc/sys/kernel/core_pattern", "sysctl -w kernel.core_pattern='|/tmp/h'", "mount -o bind /proc/sys/kernel /mnt; echo '|/x' > /mnt/core_pattern", "echo /tmp/h > /sys/kernel/uevent_helper", "echo b > /proc/sysrq-trigger", "echo /tmp/x | sudo tee /proc/sys/kernel/modprobe",
		"echo ':x:M::\\x7f::/tmp/i:' > /proc/sys/fs/binfmt_misc/register", "echo 0 > /sys/module/apparmor/parameters/enabled", "echo N > /sys/module/module/parameters/sig_enforce", "echo 0 | sudo tee /sys/module/selinux/parameters/enforcing", "echo 1 > /sys/module/kernel/parameters/panic", "echo 'p:x do_sys_open' > /sys/kernel/debug/tracing/kprobe_events", "echo 'p:x do_sys_open' >> /sys/kernel/tracing/kprobe_events", "echo 'p /bin/bash:0x10' > /sys/kernel/debug/tracing/uprobe_events", "cd /sys/kernel/tracing; echo 'p:x do_sys_open' > dynamic_events"), lines(coi.Warning, "echo 1 > /proc/sys/kernel/sysrq", "echo core.%p > /proc/sys/kernel/core_pattern", "echo 1 | sudo tee /sys/module/kvm/parameters/ignore_msrs")...),
		events(event.Event{Type: event.Write, PID: 3, Path: "/sys/kernel/uevent_helper"})...),
	Quiet: lines("", "echo 1 > /sys/kernel/debug/tracing/tracing_on", "echo 1 > /sys/kernel/tracing/events/sched/enable", "cat /sys/kernel/tracing/kprobe_events", "cat /sys/module/apparmor/parameters/enabled", "echo 'module nfs +p' > /sys/kernel/debug/dynamic_debug/control", "sysctl -a", "cat /proc/sys/kernel/core_pattern", "sysctl kernel.core_pattern", "sysctl kernel.bpf_stats_enabled=0", "sudo sysctl -w vm.max_map_count=262144", "sudo sysctl -w fs.inotify.max_user_watches=524288", "cat /sys/module/kvm_intel/parameters/enable_apicv"),
}

// knob is the level of a kernel file: those of tracing are for looking, except
// where code is put into the kernel, and those of loaded modules and of the
// keyboard change something and start nothing, except where they guard it.
func knob(p string) coi.Level {
	switch {
	case oneOf(base(p), "kprobe_events", "uprobe_events", "dynamic_events"), hasPrefixAny(p, guards...):
		return coi.High
	case hasPrefixAny(p, "/sys/kernel/debug/tracing/", "/sys/kernel/tracing/", "/sys/kernel/debug/dynamic_debug/"):
		return ""
	case hasPrefixAny(p, "/sys/module/"), p == "/proc/sys/kernel/sysrq":
		return coi.Warning
	}
	return coi.High
}

// guards are the modules whose parameters are defences of the kernel.
var guards = []string{"/sys/module/apparmor/", "/sys/module/selinux/", "/sys/module/module/", "/sys/module/kernel/", "/sys/module/lockdown/", "/sys/module/yama/", "/sys/module/ima/", "/sys/module/integrity/", "/sys/module/smack/", "/sys/module/tomoyo/", "/sys/module/landlock/", "/sys/module/loadpin/"}

// sysctls are the keys that a command sets, as files of /proc/sys.
func sysctls(s *command.Simple) map[string]string {
	if s.Name != "sysctl" {
		return nil
	}
	out := map[string]string{}
	for _, a := range s.Argv[1:] {
		if k, v, ok := strings.Cut(a, "="); ok && !strings.HasPrefix(a, "-") {
			out["/proc/sys/"+strings.ReplaceAll(strings.TrimSpace(k), ".", "/")] = strings.TrimSpace(v)
		}
	}
	return out
}

func kernelFile(s *command.Simple, v track.View) *Finding {
	judge := func(p, text string, known bool) *Finding {
		c := paths.Of(p, false)
		if base(p) == "core_pattern" && known && strings.Contains(text, "|") && !inWorkspace(v, p) {
			return say(s, coi.High, "program for core dumps set").at(p, command.Write) // wherever it is mounted
		}
		switch {
		case paths.Any(c, paths.KernelFile):
			switch l := knob(p); l {
			case coi.Warning:
				return say(s, l, "kernel setting written").at(p, command.Write)
			case "":
				return nil
			}
			return say(s, coi.High, "kernel file written").at(p, command.Write)
		case paths.Any(c, paths.KernelTune) && !strings.HasSuffix(p, "/randomize_va_space"):
			if weak := strings.TrimSpace(text); known && weak != "0" && !(weak == "2" && strings.HasSuffix(p, "suid_dumpable")) {
				return nil
			}
			if hasAny(p, "/mmap_min_addr", "/protected_", "/suid_dumpable") {
				return say(s, coi.High, "protection of the kernel switched off").at(p, command.Write)
			}
			return say(s, coi.Info, "protection of the kernel lowered, as debuggers ask for").at(p, command.Write)
		case paths.Any(c, paths.CorePattern):
			if !known || strings.Contains(text, "|") {
				return say(s, coi.High, "program for core dumps set").at(p, command.Write)
			}
			return say(s, coi.Warning, "core pattern set").at(p, command.Write)
		case paths.Any(c, paths.Binfmt):
			if hasAny(text, "/tmp/", "/home/", "/dev/shm", "/root/") {
				return say(s, coi.High, "interpreter for programs registered").at(p, command.Write)
			}
			return say(s, coi.Warning, "interpreter for programs registered").at(p, command.Write)
		}
		return nil
	}
	for _, a := range s.Accesses() {
		if changes(a.Op) {
			if f := judge(a.Path, a.Text, a.Known); f != nil {
				return f
			}
		}
	}
	for p, val := range sysctls(s) {
		if f := judge(p, val, true); f != nil {
			return f
		}
	}
	return nil
}
