package check

import (
	"bytes"
	"compress/gzip"
	"io"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-health/internal/facts"
)

// part is a piece of the kernel: one of its options must be built in or a
// module. Without it a guard does something weaker, or cannot do its work.
type part struct {
	name    string
	options []string
	weaker  string // what is left without it; empty: nothing
}

var parts = []part{
	{"nftables for inet", []string{"NF_TABLES_INET"}, ""},
	{"reject", []string{"NFT_REJECT_INET"}, ""},
	{"fib", []string{"NFT_FIB_INET"}, ""},
	{"redirect", []string{"NFT_REDIR"}, ""},
	{"masquerade", []string{"NFT_MASQ"}, ""},
	{"connection state", []string{"NFT_CT"}, ""},
	{"log to user space", []string{"NETFILTER_NETLINK_LOG", "NFT_LOG"}, ""},
	{"policy rules", []string{"IP_MULTIPLE_TABLES"}, ""},
	{"BTF", []string{"DEBUG_INFO_BTF"}, "the monitor loses arguments of very short programs"},
	{"tracepoints for eBPF", []string{"BPF_EVENTS"}, "the monitor loses arguments of very short programs"},
	{"eBPF", []string{"BPF_SYSCALL"}, "the monitor loses arguments of very short programs"},
	{"fanotify", []string{"FANOTIFY"}, "file events have no process"},
}

// kernelConfig is the configuration that the running kernel was built with, empty
// where the distribution publishes none.
func kernelConfig(f *facts.Facts) string {
	if text := f.Read("/boot/config-" + f.Kernel); text != "" {
		return text
	}
	r, err := gzip.NewReader(bytes.NewReader([]byte(f.Read("/proc/config.gz"))))
	if err != nil {
		return ""
	}
	text, err := io.ReadAll(io.LimitReader(r, 4<<20))
	if err != nil {
		return ""
	}
	return string(text)
}

func kernelFeatures(f *facts.Facts) Result {
	var missing, weak []string
	options := map[string]bool{}
	config := kernelConfig(f)
	for line := range strings.Lines(config) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		options[name] = value == "y" || value == "m"
	}
	for _, p := range parts {
		if config == "" {
			break
		}
		for _, o := range p.options {
			switch {
			case options["CONFIG_"+o]:
			case p.weaker == "":
				missing = append(missing, p.name+" (CONFIG_"+o+")")
			default:
				weak = append(weak, p.name+" (CONFIG_"+o+"): "+p.weaker)
			}
		}
	}
	if !f.Exists("/proc/self/ns/net") || !f.Exists("/proc/self/ns/user") {
		missing = append(missing, "network and user namespaces (CONFIG_NET_NS, CONFIG_USER_NS)")
	}
	if config == "" && !f.Exists("/sys/kernel/btf/vmlinux") {
		weak = append(weak, "BTF (CONFIG_DEBUG_INFO_BTF): the monitor loses arguments of very short programs")
	}
	if config == "" && !f.Exists("/proc/sys/fs/fanotify") {
		weak = append(weak, "fanotify (CONFIG_FANOTIFY): file events have no process")
	}
	if dir := unifiedGroup(f); dir != "" && !f.Exists(filepath.Join(dir, "cgroup.kill")) {
		weak = append(weak, "cgroup.kill (Linux 5.14): processes are killed one by one")
	}
	if fd, err := unix.Openat2(unix.AT_FDCWD, "/", &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS}); err != nil {
		missing = append(missing, "openat2 (Linux 5.6)")
	} else {
		_ = unix.Close(fd)
	}
	switch {
	case len(missing) > 0:
		return failed("missing: "+strings.Join(missing, ", "), "use a kernel with these options, or load their modules")
	case len(weak) > 0:
		return warn("weaker without: "+strings.Join(weak, "; "), "use a kernel with these options")
	case config != "":
		return ok("namespaces, nftables, policy rules, eBPF, fanotify, openat2")
	case f.Netguard != nil && f.Netguard.Alive(f.Now):
		return ok("namespaces, BTF, fanotify, openat2; the firewall's parts are in use")
	}
	return skipped("the kernel does not show its configuration, and no guard runs that has tried: the firewall's parts are not known")
}

// unifiedGroup is a group below the root of the unified hierarchy; the root
// itself has no cgroup.kill.
func unifiedGroup(f *facts.Facts) string {
	for _, top := range []string{"/sys/fs/cgroup/unified", "/sys/fs/cgroup"} {
		found, err := filepath.Glob(filepath.Join(f.Root, top, "*", "cgroup.freeze"))
		if err == nil && len(found) > 0 {
			rel, err := filepath.Rel(f.Root, filepath.Dir(found[0]))
			if err == nil {
				return "/" + rel
			}
		}
	}
	return ""
}
