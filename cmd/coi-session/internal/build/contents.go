package build

import "runtime"

// packages are in every image. They are in Debian 12 and later and in Ubuntu
// 22.04 and later.
var packages = []string{
	"systemd", "systemd-sysv", "dbus", "udev", "libpam-systemd", "iproute2", "iputils-ping", "procps", "less", "locales",
	"ca-certificates", "sudo", "tmux", "git", "curl", "wget", "jq", "unzip", "zip", "xz-utils", "gnupg", "openssh-client",
	"rsync", "file", "patch", "psmisc", "nano", "vim-tiny", "bash-completion", "bind9-dnsutils", "netcat-openbsd", "ripgrep", "fzf",
	"fd-find", "bat", "tree", "strace", "lsof", "sqlite3", "build-essential", "pkg-config", "python3", "python3-venv", "pipx",
	"nodejs", "npm", "gh", "iptables", "zstd",
}

// optional are taken where the distribution has them. (Debian 12 has no buildx
// and an older compose; Debian 13 and Ubuntu 24.04 package the plugins.)
var optional = []string{"docker.io", "docker-cli", "docker-compose", "docker-compose-v2", "docker-buildx", "uidmap", "fuse-overlayfs"}

// nodePackage is the npm package that carries the Node program itself: the
// package "node" only fetches this one by an install script.
func nodePackage() string {
	arch := map[string]string{"amd64": "x64", "arm64": "arm64", "ppc64le": "ppc64le", "s390x": "s390x"}[runtime.GOARCH]
	if arch == "" {
		return "node"
	}
	return "node-linux-" + arch
}
