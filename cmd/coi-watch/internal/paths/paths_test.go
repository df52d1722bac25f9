package paths

import (
	"slices"
	"testing"
)

func TestOf(t *testing.T) {
	for _, c := range []struct {
		path string
		tree bool
		want Class // "" for none
	}{
		{"/etc/shadow", false, Shadow},
		{"/etc/sha*w", false, Shadow},
		{"/etc/shad?w", false, Shadow},
		{"/host/etc/shadow", false, Shadow},
		{"/etc/*", false, ""},
		{"/home/a/.ssh/id_ed25519", false, Keys},
		{"/home/a/.ssh/id_ed25519.pub", false, ""},
		{"/home/a/.ssh/known_hosts", false, ""},
		{"/home/*/.ssh/id_*", false, Keys},
		{"/home/a/.ssh/*", false, Keys},
		{"/home/a/.ssh", false, ""},
		{"/home/a/.ssh", true, Keys},
		{"/.aws", true, Cloud},
		{"/home/a/.ssh/authorized_keys", false, AuthKeys},
		{"/var/log/auth.log.1", false, SecurityLog},
		{"/var/log/nginx/access.log", false, OtherLog},
		{"/var/log/apt/history.log", false, PackageLog},
		{"/proc/self/environ", false, OwnEnviron},
		{"/proc/1/environ", false, Environ},
		{"/etc/systemd/system/x.service", false, Unit},
		{"/tmp/cgrp/release_agent", false, Cgroup},
		{"/workspace/main.go", false, ""},
	} {
		got := Of(c.path, c.tree)
		if c.want == "" && len(got) > 0 || c.want != "" && !slices.Contains(got, c.want) {
			t.Errorf("Of(%q, %v) = %v; want %q", c.path, c.tree, got, c.want)
		}
	}
}

func TestHuntName(t *testing.T) {
	for name, want := range map[string][2]bool{
		"id_rsa": {true, false}, "*.pem": {true, false}, ".netrc": {true, false}, "*password*": {false, true},
		"*.go": {false, false}, "main.py": {false, false}, "authorized_keys": {false, true},
	} {
		strong, weak := HuntName(name)
		if strong != want[0] || weak != want[1] {
			t.Errorf("HuntName(%q) = %v, %v; want %v", name, strong, weak, want)
		}
	}
}
