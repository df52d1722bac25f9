package build

import (
	"archive/tar"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/home"
)

//go:embed all:rootfs
var rootfs embed.FS

//go:embed install.sh
var installScript []byte

// Where the script and its variables are while the image is made.
const (
	scriptPath = "/root/coi-install.sh"
	envPath    = "/root/coi-install.env"
	caDir      = "usr/local/share/ca-certificates"
	caCap      = 1 << 20
)

// executable are the files of the overlay with mode 0755; the rest are 0644.
func executable(name string) bool {
	return strings.HasPrefix(name, "usr/local/bin/") || strings.HasPrefix(name, "usr/local/libexec/")
}

// writeOverlay writes a tar archive of everything that the image gets besides
// packages: settings, wrappers, the authorities this machine was told to trust,
// and the script with its variables.
func writeOverlay(w io.Writer, vars map[string]string) error {
	tw := tar.NewWriter(w)
	dirs := map[string]bool{}
	add := func(name string, mode int64, data []byte) error {
		if err := addParents(tw, name, dirs); err != nil {
			return err
		}
		h := &tar.Header{Name: name, Mode: mode, Size: int64(len(data)), ModTime: time.Unix(0, 0), Typeflag: tar.TypeReg}
		if err := tw.WriteHeader(h); err != nil {
			return err
		}
		_, err := tw.Write(data)
		return err
	}
	err := fs.WalkDir(rootfs, "rootfs", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := rootfs.ReadFile(p)
		if err != nil {
			return err
		}
		name, mode := strings.TrimPrefix(p, "rootfs/"), int64(0o644)
		if executable(name) {
			mode = 0o755
		}
		return add(name, mode, data)
	})
	if err != nil {
		return err
	}
	for _, ca := range authorities("/" + caDir) {
		if err := add(path.Join(caDir, ca.name), 0o644, ca.data); err != nil {
			return err
		}
	}
	if err := add(scriptPath[1:], 0o700, installScript); err != nil {
		return err
	}
	if err := add(envPath[1:], 0o600, envFile(vars)); err != nil {
		return err
	}
	return tw.Close()
}

// addParents writes the directories above name, which an archive unpacked over
// a root file system must leave as they are: their usual mode is given.
func addParents(tw *tar.Writer, name string, seen map[string]bool) error {
	parts := strings.Split(path.Dir(name), "/")
	for i := range parts {
		dir := strings.Join(parts[:i+1], "/")
		if seen[dir] {
			continue
		}
		seen[dir] = true
		mode := int64(0o755)
		if dir == "root" || dir == "etc/sudoers.d" {
			mode = 0o750
		}
		if dir == "root" {
			mode = 0o700
		}
		if err := tw.WriteHeader(&tar.Header{Name: dir + "/", Mode: mode, ModTime: time.Unix(0, 0), Typeflag: tar.TypeDir}); err != nil {
			return err
		}
	}
	return nil
}

type authority struct {
	name string
	data []byte
}

// authorities are the certificates that the machine's owner added, so that an
// agent in the image can talk to what the machine can talk to.
func authorities(dir string) []authority {
	paths, err := filepath.Glob(filepath.Join(dir, "*.crt"))
	if err != nil {
		return nil
	}
	var all []authority
	for _, p := range paths {
		if data, err := home.ReadRegular(p, caCap); err == nil {
			all = append(all, authority{filepath.Base(p), data})
		}
	}
	return all
}

// envFile is the variables of the script as shell assignments, each quoted.
func envFile(vars map[string]string) []byte {
	names := make([]string, 0, len(vars))
	for n := range vars {
		names = append(names, n)
	}
	slices.Sort(names)
	var b strings.Builder
	for _, n := range names {
		_, _ = fmt.Fprintf(&b, "%s=%s\n", n, cli.ShellQuote(vars[n]))
	}
	return []byte(b.String())
}
