package detect

import (
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/paths"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

func events(ev ...event.Event) []Sample { return []Sample{{Level: coi.Warning, Events: ev}} }

var escapeSetns = Detector{
	ID: "escape.setns", Level: coi.Critical, Wants: []event.Type{event.Setns},
	Title: "joined a namespace from outside",
	Why:   "a process entered a namespace that was not made in this container",
	// The sensor puts n.foreign = 1 when the namespace is none of the container's.
	Detect: func(ev event.Event, _ track.View) []Finding {
		if ev.N["foreign"] == 0 {
			return nil
		}
		level := coi.Critical
		if ev.N["result"] < 0 {
			level = coi.Warning
		}
		return one(Finding{Level: level, Title: "entered a namespace of another container or of the host", PID: ev.PID})
	},
	Fire: events(event.Event{Type: event.Setns, PID: 3, N: map[string]float64{"foreign": 1, "result": 0}}, event.Event{Type: event.Setns, PID: 3, N: map[string]float64{"foreign": 1, "result": -1}}),
	Quiet: append(events(event.Event{Type: event.Setns, PID: 3, N: map[string]float64{"result": 0}}),
		lines("", "nsenter -t 1 -m -u -n -i -p", "docker exec -it web sh", "unshare -r id")...),
}

var escapeLocked = Detector{
	ID: "escape.locked", Level: coi.Critical, Wants: []event.Type{event.Umount, event.Mount, event.Rename, event.Write, event.Create, event.Delete, event.Exec},
	Title:  "locked path tampered with",
	Why:    "a path that coi keeps locked was unmounted, covered or written",
	Detect: locked,
	Fire: []Sample{
		{Level: coi.Critical, Events: []event.Event{{Type: event.Umount, PID: 3, Path: "/workspace/.git/hooks", Op: "umount"}}},
		{Level: coi.Critical, Events: []event.Event{{Type: event.Mount, PID: 3, Path: "/workspace/.git/hooks", Op: "mount"}}},
		{Level: coi.Warning, Line: "umount /workspace/.git/hooks"},
		{Level: coi.Warning, Line: "touch .git/hooks/pre-commit"},
	},
	Quiet: append(events(event.Event{Type: event.Umount, PID: 3, Path: "/mnt/x", Op: "umount"}), lines("", "umount /mnt/x", "git status", "cat .git/hooks/pre-commit", "ls .git/hooks")...),
}

func under(p string, list []string) bool {
	for _, l := range list {
		l = strings.TrimSuffix(l, "/")
		if l != "" && (p == l || strings.HasPrefix(p, l+"/")) {
			return true
		}
	}
	return false
}

func locked(ev event.Event, v track.View) []Finding {
	list := v.Settings().Locked
	if ev.Type != event.Exec {
		if !under(ev.Path, list) && (ev.Path2 == "" || !under(ev.Path2, list)) || ev.Role != "" {
			return nil
		}
		level := coi.Critical
		if ev.N["result"] < 0 {
			level = coi.Warning
		}
		return one(Finding{Level: level, Title: "locked path: " + string(ev.Type), Path: ev.Path, Op: string(ev.Type), PID: ev.PID})
	}
	return onCommands(func(s *command.Simple, _ track.View) *Finding {
		if s.Is("umount", "mount") {
			for _, p := range s.Parsed().Rest {
				if under(s.Abs(p), list) {
					return say(s, coi.Warning, "tries to "+s.Name+" over a locked path").at(s.Abs(p), command.Op(s.Name))
				}
			}
		}
		for _, a := range s.Accesses() {
			if (changes(a.Op) || a.Op == command.Delete || a.Op == command.Attrib) && under(a.Path, list) {
				return say(s, coi.Warning, "tries to change a locked path").at(a.Path, a.Op)
			}
		}
		return nil
	})(ev, v)
}

var escapeCgroup = Detector{
	ID: "escape.cgroup", Level: coi.High, Wants: []event.Type{event.Exec, event.Write, event.Mount},
	Title: "control group used to break out",
	Why:   "release_agent and hand-mounted control groups are a known way out of containers",
	Detect: either(cgroupWords, func(ev event.Event, v track.View) []Finding {
		c := v.PathClasses(ev.Path)
		if ev.Type == event.Write && paths.Any(c, paths.Cgroup) && !v.Under(program.Runtime, program.Init) {
			return one(Finding{Level: coi.High, Title: "release_agent written", Path: ev.Path, Op: "write", PID: ev.PID})
		}
		return nil
	}),
	Fire: append(lines(coi.High, "echo /cmd > /tmp/cgrp/release_agent", "echo 1 > /tmp/cgrp/x/notify_on_release", "mount -t cgroup -o rdma cgroup /tmp/cgrp", "mkdir /tmp/cgrp && mount -t cgroup -o memory cgroup /tmp/cgrp",
		"sh -c 'echo $$ > /tmp/cgrp/x/cgroup.procs'", "printf '%s' /x | tee /mnt/c/release_agent", "python3 -c \"open('/tmp/c/release_agent','w').write('/x')\""),
		events(event.Event{Type: event.Write, PID: 3, Path: "/sys/fs/cgroup/rdma/release_agent"})...),
	Quiet: lines("", "cat /sys/fs/cgroup/cgroup.procs", "echo $$ > /sys/fs/cgroup/mygroup/cgroup.procs", "mount", "grep -r release_agent docs", "systemctl restart docker", "mount -t tmpfs none /mnt"),
}

func cgroupWords(s *command.Simple, _ track.View) *Finding {
	if s.Name == "mount" {
		for _, t := range s.Parsed().Values("t", "types") {
			if strings.HasPrefix(t, "cgroup") {
				return say(s, coi.High, "control group mounted by hand")
			}
		}
	}
	for _, a := range s.Accesses() {
		if !changes(a.Op) {
			continue
		}
		switch b := base(a.Path); {
		case b == "release_agent" || b == "notify_on_release":
			return say(s, coi.High, b+" written").at(a.Path, a.Op)
		case b == "cgroup.procs" && !strings.HasPrefix(a.Path, "/sys/fs/cgroup/"):
			return say(s, coi.High, "process moved into a hand-mounted control group").at(a.Path, a.Op)
		}
	}
	return nil
}

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
			return one(Finding{Level: coi.High, Title: "kernel file written", Path: ev.Path, Op: "write", PID: ev.PID})
		case paths.Any(c, paths.CorePattern, paths.Binfmt):
			return one(Finding{Level: coi.Warning, Title: "kernel file written", Path: ev.Path, Op: "write", PID: ev.PID})
		}
		return nil
	}),
	Fire: append(append(lines(coi.High, "echo '|/tmp/x %P' > /proc/sys/kernel/core_pattern", "sysctl -w kernel.core_pattern='|/tmp/h'", "echo /tmp/h > /sys/kernel/uevent_helper", "echo b > /proc/sysrq-trigger", "echo /tmp/x | sudo tee /proc/sys/kernel/modprobe",
		"echo ':x:M::\\x7f::/tmp/i:' > /proc/sys/fs/binfmt_misc/register"), lines(coi.Warning, "echo core.%p > /proc/sys/kernel/core_pattern")...),
		events(event.Event{Type: event.Write, PID: 3, Path: "/sys/kernel/uevent_helper"})...),
	Quiet: lines("", "sysctl -a", "cat /proc/sys/kernel/core_pattern", "sysctl kernel.core_pattern", "sysctl kernel.bpf_stats_enabled=0", "sudo sysctl -w vm.max_map_count=262144", "sudo sysctl -w fs.inotify.max_user_watches=524288", "cat /sys/module/kvm_intel/parameters/enable_apicv"),
}

// sysctls are the keys that a command sets, as files of /proc/sys.
func sysctls(s *command.Simple) map[string]string {
	out := map[string]string{}
	if s.Name != "sysctl" {
		return out
	}
	for _, a := range s.Argv[1:] {
		if k, v, ok := strings.Cut(a, "="); ok && !strings.HasPrefix(a, "-") {
			out["/proc/sys/"+strings.ReplaceAll(strings.TrimSpace(k), ".", "/")] = strings.TrimSpace(v)
		}
	}
	return out
}

func kernelFile(s *command.Simple, _ track.View) *Finding {
	judge := func(p, text string, known bool) *Finding {
		c := paths.Of(p, false)
		switch {
		case paths.Any(c, paths.KernelFile):
			return say(s, coi.High, "kernel file written").at(p, command.Write)
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

// inaccessible is the node that systemd as init tries to make at every boot, to
// hide other nodes behind; its device number is 0:0 and opens nothing.
const inaccessible = "/run/systemd/inaccessible/blk"

var escapeDevice = Detector{
	ID: "escape.device", Level: coi.High, Wants: append([]event.Type{event.Syscall}, files...),
	Title: "raw device opened",
	Why:   "memory and disk devices hold what belongs to the host",
	Detect: either(device, func(ev event.Event, v track.View) []Finding {
		raw := (ev.Type == event.Open || ev.Type == event.Write) && paths.Any(v.PathClasses(ev.Path), paths.Device)
		node := ev.Type == event.Syscall && ev.Op == "mknod" && ev.Mode&0o170000 == 0o060000
		if !raw && !node || v.Under(program.Runtime) || node && ev.Path == inaccessible && ev.NSPID == 1 {
			return nil
		}
		return one(Finding{Level: coi.High, Title: "raw device opened", Path: ev.Path, Op: string(ev.Type), PID: ev.PID})
	}),
	Fire: append(append(lines(coi.High, "dd if=/dev/sda of=/tmp/d", "strings /dev/mem | grep pass", "cat /dev/kmem", "debugfs -w /dev/sda1", "mknod /tmp/sda b 8 0", "cat /dev/nvme0n1p1 | gzip > x"), lines(coi.Warning, "mount /dev/sda1 /mnt/h")...),
		events(event.Event{Type: event.Open, PID: 3, Path: "/dev/sda1"})...),
	Quiet: append(lines("", "dd if=/dev/zero of=x bs=1M count=1", "dd if=/dev/urandom of=k bs=32 count=1", "mknod p p", "ls -l /dev/kvm", "lsblk", "losetup -f x.img", "mount -o loop x.iso /mnt", "cat /dev/null", "chmod 666 /dev/kvm"),
		Sample{Events: []event.Event{{Type: event.Syscall, Op: "mknod", Mode: 0o060000, NSPID: 1, Path: inaccessible}}}),
}

func device(s *command.Simple, _ track.View) *Finding {
	if s.Name == "mknod" {
		if r := s.Parsed().Rest; len(r) > 1 && r[1] == "b" {
			return say(s, coi.High, "block device made")
		}
	}
	if s.Name == "mount" || s.Name == "debugfs" {
		for _, a := range s.Argv[1:] {
			if paths.Any(paths.Of(a, false), paths.Device) {
				if s.Name == "mount" {
					if !hasPrefixAny(a, "/dev/sda", "/dev/vda", "/dev/xvda", "/dev/nvme0", "/dev/hda", "/dev/dm-", "/dev/mapper") {
						continue
					}
					return say(s, coi.Warning, "disk of the host mounted").at(a, command.Use)
				}
				return say(s, coi.High, "disk opened by debugfs").at(a, command.Use)
			}
		}
	}
	for _, a := range s.Accesses() {
		if (a.Op == command.Read || changes(a.Op)) && paths.Any(a.Classes, paths.Device) {
			return say(s, coi.High, "raw device opened").at(a.Path, a.Op)
		}
	}
	return nil
}

var escapeHandle = Detector{
	ID: "escape.handle", Level: coi.High, Wants: []event.Type{event.Syscall},
	Title: "file opened by handle",
	Why:   "opening by handle reaches files that no path in the container leads to",
	Detect: func(ev event.Event, v track.View) []Finding {
		if ev.Op != "open_by_handle_at" || v.Under(program.Runtime) {
			return nil
		}
		return one(Finding{Level: coi.High, Title: "file opened by handle", PID: ev.PID, Path: ev.Path})
	},
	Fire:  events(event.Event{Type: event.Syscall, Op: "open_by_handle_at", PID: 3, Exe: "/tmp/shocker"}),
	Quiet: events(event.Event{Type: event.Syscall, Op: "open_by_handle_at", PID: 3, Exe: "/usr/bin/dockerd"}, event.Event{Type: event.Syscall, Op: "mknod", PID: 3}),
}

var escapeNested = Detector{
	ID: "escape.nested", Level: coi.Warning, Wants: execs,
	Title:  "nested container with the rights of its host",
	Why:    "privileged containers and mounts of / or of the runtime's socket give away the machine they run on",
	Detect: onCommands(nestedRights),
	Fire: lines(coi.Warning, "docker run --rm -it --privileged alpine sh", "docker run -v /:/host alpine chroot /host", "podman run --pid=host -it fedora", "docker run -v /var/run/docker.sock:/var/run/docker.sock cli",
		"docker run --mount type=bind,source=/,target=/h alpine", "lxc config device add c d disk source=/ path=/mnt/root recursive=true", "lxc init ubuntu c -c security.privileged=true", "curl --unix-socket /var/run/docker.sock http://x/containers/json",
		"docker -H tcp://203.0.113.9:2375 run -v /:/mnt alpine sh", "kubectl run r --image=alpine --overrides '{\"spec\":{\"hostPID\":true}}'", "docker run --cap-add=ALL alpine", "docker run --cap-add SYS_ADMIN --security-opt apparmor=unconfined alpine"),
	Quiet: lines("", "docker compose up -d", "docker run --rm -v $PWD:/src node npm ci", "docker build -t x .", "curl --unix-socket /var/lib/incus/unix.socket incus/1.0", "docker run -p 80:80 nginx", "kubectl get pods", "docker run -v /data:/data img"),
}

func nestedRights(s *command.Simple, _ track.View) *Finding {
	switch s.Name {
	case "docker":
		if !s.Arg("run", "create", "exec") {
			return nil
		}
		for i, a := range s.Argv {
			val := ""
			if i+1 < len(s.Argv) {
				val = s.Argv[i+1]
			}
			k, v, ok := strings.Cut(a, "=")
			if !ok {
				v = val
			}
			switch {
			case a == "--privileged" || a == "--privileged=true",
				k == "--pid" && v == "host", k == "--cap-add" && oneOf(strings.TrimPrefix(strings.ToUpper(v), "CAP_"), "ALL", "SYS_ADMIN", "SYS_MODULE", "DAC_READ_SEARCH"),
				(k == "-v" || k == "--volume") && (strings.HasPrefix(v, "/:") || paths.Any(paths.Of(strings.SplitN(v, ":", 2)[0], false), paths.RuntimeSock) || hasPrefixAny(v, "/etc:", "/root:", "/proc:", "/dev:")),
				k == "--mount" && hasAny(v+",", "source=/,", "src=/,", "docker.sock"),
				k == "--userns" && v == "host", k == "--device" && hasPrefixAny(v, "/dev/sd", "/dev/mem", "/dev/nvme"):
				return say(s, coi.Warning, "nested container: "+cut(a+" "+v, 60))
			}
		}
	case "lxc":
		if hasAny(s.Line(), "source=/ ", "security.privileged=true", "raw.lxc", "raw.idmap") || strings.HasSuffix(s.Line(), "source=/") {
			return say(s, coi.Warning, "nested container with rights of its host")
		}
	case "kubectl":
		if hasAny(s.Line(), "hostPID", "\"privileged\":true", "\"privileged\": true", "hostPath", "hostNetwork\":true") && s.Arg("run", "debug", "create") {
			return say(s, coi.Warning, "nested container with rights of its host")
		}
	case "curl", "socat", "nc", "ncat", "wget", "http":
		for _, a := range s.Argv[1:] {
			p := a
			if _, v, ok := strings.Cut(a, ":"); ok && s.Name == "socat" {
				p = v
			}
			if hasAny(p, "docker.sock", "containerd.sock", "crio.sock", "podman.sock") && strings.HasPrefix(strings.TrimPrefix(p, "unix://"), "/") {
				return say(s, coi.Warning, "runtime socket used by hand").at(p, command.Use)
			}
		}
	}
	return nil
}
