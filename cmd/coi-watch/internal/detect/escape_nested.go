package detect

import (
	"regexp"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/paths"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var escapeNested = Detector{
	ID: "escape.nested", Level: coi.Warning, Wants: execs,
	Title:  "nested container with the rights of its host",
	Why:    "privileged containers and mounts of / or of the runtime's socket give away the machine they run on",
	Detect: onCommands(nestedRights),
	Fire: lines(coi.Warning, "docker run --rm -it --privileged alpine sh", "docker run -v /:/host alpine chroot /host", "podman run --pid=host -it fedora", "docker run -v /var/run/docker.sock:/var/run/docker.sock cli",
		"docker run --mount type=bind,source=/,target=/h alpine", "lxc config device add c d disk source=/ path=/mnt/root recursive=true", "lxc init ubuntu c -c security.privileged=true", "curl --unix-socket /var/run/docker.sock http://x/containers/json", "docker -H tcp://203.0.113.9:2375 ps", "curl -k https://203.0.113.9:2376/containers/json", "lxc config set c security.privileged true", "find / -name docker.sock", "chroot /host sh", "kubectl apply -f - <<< '{\"spec\":{\"hostPID\":true}}'",
		"docker -H tcp://203.0.113.9:2375 run -v /:/mnt alpine sh", "kubectl run r --image=alpine --overrides '{\"spec\":{\"hostPID\":true}}'", "docker run --cap-add=ALL alpine", "nsenter -t 1 -m -u -n -i -p -- bash", "nsenter --mount=/proc/1/ns/mnt -- /bin/sh", "chroot /proc/1/root bash", "kubectl exec -it p -- chroot /host bash", "docker run --cap-add SYS_ADMIN --security-opt apparmor=unconfined alpine"),
	Quiet: lines("", "nsenter -t 4242 -n ip a", "chroot /mnt/rootfs bash", "docker compose up -d", "docker run --rm -v $PWD:/src node npm ci", "docker build -t x .", "curl --unix-socket /var/lib/incus/unix.socket incus/1.0", "docker run -p 80:80 nginx", "kubectl get pods", "docker -H ssh://h ps", "docker -H unix:///run/x.sock ps", "curl http://localhost:2375/version", "find . -name docker.sock", "docker run -v /data:/data img"),
}

// hostRights is a description of containers that have the rights of their host.
var hostRights = regexp.MustCompile(`(?i)["']?(?:hostPID|privileged)["']?\s*:\s*true|hostPath["']?\s*:\s*\{?\s*["']?path["']?\s*:\s*["']?/(?:["'\s]|$)`)

// runtimeAPI is a call of the interface of a container runtime or a kubelet over
// the network.
var runtimeAPI = regexp.MustCompile(`:(?:2375|2376|10250|10255)/(?:v[\d.]+/)?(?:containers|images|exec|info|version|pods|run|_ping)\b`)

func nestedRights(s *command.Simple, _ track.View) *Finding {
	switch s.Name {
	case "nsenter", "chroot":
		if f := intoFirst(s); f != nil {
			return f
		}
	case "docker", "ctr", "nerdctl", "crictl", "runc":
		for _, h := range s.Parsed().Values("H", "host") {
			if strings.HasPrefix(h, "tcp://") && !command.Loopback(command.HostOf(h)) || !strings.Contains(h, "://") && hasAny(h, ":2375", ":2376") && !command.Loopback(strings.SplitN(h, ":", 2)[0]) {
				return say(s, coi.Warning, "runtime of another machine driven").to(h)
			}
		}
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
		if r := s.Parsed().Rest; len(r) > 4 && r[0] == "config" && r[1] == "set" && r[3] == "security.privileged" && r[4] == "true" {
			return say(s, coi.Warning, "nested container with rights of its host")
		}
		if hasAny(s.Line(), "source=/ ", "security.privileged=true", "raw.lxc", "raw.idmap") || strings.HasSuffix(s.Line(), "source=/") {
			return say(s, coi.Warning, "nested container with rights of its host")
		}
	case "kubectl":
		if hasAny(s.Line(), "hostPID", "\"privileged\":true", "\"privileged\": true", "hostPath", "hostNetwork\":true") && s.Arg("run", "debug", "create") || s.Fed && s.Arg("apply", "create", "replace") && hostRights.MatchString(s.Feed) {
			return say(s, coi.Warning, "nested container with rights of its host")
		}
	case "find", "locate", "fd":
		for _, a := range s.Argv[1:] {
			if sys, _ := wide(s, s.Roots()); (sys || s.Name == "locate") && hasAny(base(a), "docker.sock", "containerd.sock", "crio.sock", "podman.sock") {
				return say(s, coi.Warning, "search for the socket of a runtime")
			}
		}
	case "curl", "socat", "nc", "ncat", "wget", "http":
		for _, a := range s.Argv[1:] {
			if runtimeAPI.MatchString(a) && !loopbackOnly(s) {
				return say(s, coi.Warning, "runtime of another machine driven").to(outHost(s))
			}
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

// intoFirst finds shells in the namespaces or the root of process 1, which are
// those of the machine below where pids are shared.
func intoFirst(s *command.Simple) *Finding {
	p := s.Parsed()
	if s.Name == "chroot" {
		if len(p.Rest) > 0 && strings.HasPrefix(p.Rest[0], "/proc/1/root") {
			return say(s, coi.Warning, "root of process 1 entered")
		}
		if len(p.Rest) > 0 && hasPrefixAny(p.Rest[0]+"/", "/host/", "/hostfs/", "/hostroot/", "/host_root/") {
			return say(s, coi.Warning, "root of the machine below entered")
		}
		if len(p.Rest) > 0 && s.Nested && hasPrefixAny(p.Rest[0]+"/", "/host/", "/hostfs/", "/mnt/", "/rootfs/", "/h/", "/hostroot/") {
			return say(s, coi.Warning, "root of the machine below entered from a nested container")
		}
		return nil
	}
	first := oneOf("1", p.Values("t", "target")...)
	for _, a := range s.Argv[1:] {
		first = first || strings.Contains(a, "/proc/1/ns/")
	}
	if first && len(p.Rest) > 0 && program.ShellPath(p.Rest[len(p.Rest)-1]) {
		return say(s, coi.Warning, "namespaces of process 1 entered")
	}
	return nil
}
