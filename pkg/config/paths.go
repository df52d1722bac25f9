package config

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/code-on-incus/coi/pkg/trust"
)

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// absolute expands ~ and puts a relative path below dir.
func absolute(h expander, dir, path string) string {
	if path == "" {
		return ""
	}
	path = h.Expand(path)
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	return filepath.Clean(path)
}

func (dec *decoder) companion(_ string, path string) string {
	return absolute(dec.h, dec.d.src.fileDir, path)
}

// incusDirs hold the socket that is as good as root on the host.
var incusDirs = []string{"/var/lib/incus", "/run/incus", "/var/run/incus", "/var/lib/lxd", "/var/snap/lxd/common/lxd"}

// ForbiddenHost says why a host path may not be mounted in any scope; empty is
// no objection. It judges the path as it is given: resolve links first.
func ForbiddenHost(path string) string {
	if path == "/" {
		return "is the whole host"
	}
	for _, dir := range []string{"/proc", "/sys", "/dev"} {
		if trust.Within(path, dir) {
			return "belongs to the kernel"
		}
	}
	for _, dir := range incusDirs {
		if trust.Within(path, dir) || trust.Within(dir, path) {
			return "holds the Incus socket, which is as good as root"
		}
	}
	return ""
}

// bareOrQuoted writes one part of a TOML key.
func bareOrQuoted(name string) string {
	if name != "" && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") == "" {
		return name
	}
	return quote(name)
}

// quote writes a TOML basic string.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x20 || r == 0x7f:
			b.WriteString(`\u` + ("0000" + strconv.FormatInt(int64(r), 16))[len(strconv.FormatInt(int64(r), 16)):])
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
