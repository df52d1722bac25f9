package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// workDir is where root file systems are made, and where a build that was
// killed may have left one. It is outside the home: the name space of
// mmdebstrap's own user ids must be able to reach it.
func workDir(uid int, alias string) string {
	return filepath.Join("/var/tmp", fmt.Sprintf("coi-build-%d-%s", uid, alias))
}

// prepareDir makes an empty work directory of our own, without what a killed
// build left in it.
func prepareDir(ctx context.Context, dir string) error {
	if err := removeDir(ctx, dir); err != nil {
		return err
	}
	// Others may pass through but not look: mmdebstrap's mapped root is one of them.
	if err := os.Mkdir(dir, 0o711); err != nil {
		return fmt.Errorf("make %s: %w", dir, err)
	}
	return os.Chmod(dir, 0o711)
}

// removeDir removes a work directory, with files of mapped user ids in it.
func removeDir(ctx context.Context, dir string) error {
	st, err := os.Lstat(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if own, ok := st.Sys().(*syscall.Stat_t); !ok || !st.IsDir() || int(own.Uid) != os.Geteuid() {
		return fmt.Errorf("%s is in the way and not ours", dir)
	}
	if err := os.RemoveAll(dir); err == nil {
		return nil
	}
	// mmdebstrap maps the ids in again for us to remove its files.
	cmd := exec.CommandContext(ctx, "mmdebstrap", "--unshare-helper", "rm", "-rf", "--one-file-system", dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("remove %s: %w: %s", dir, err, strings.TrimSpace(string(out)))
	}
	return os.RemoveAll(dir)
}

// mode is the way mmdebstrap gets the rights it needs: a user namespace, unless
// we are inside one already that may not make another with ids of its own.
func mode() string {
	text, err := os.ReadFile("/proc/self/uid_map")
	if f := strings.Fields(string(text)); err == nil && os.Geteuid() == 0 && len(f) == 3 && f[2] != "4294967295" {
		return "root"
	}
	return "unshare"
}

// bootstrapArgs is the command line of mmdebstrap; dir holds overlay.tar.
func bootstrapArgs(b Base, lines []string, dir, mode string) []string {
	include := append([]string{}, packages...)
	for _, p := range optional {
		include = append(include, "?exact-name("+p+")") // a pattern without a match is no error
	}
	args := []string{
		"--mode=" + mode, "--variant=minbase", "--format=tar",
		"--aptopt=Acquire::Languages \"none\"", "--aptopt=Acquire::http::Timeout \"20\"", "--aptopt=Acquire::https::Timeout \"20\"",
		"--aptopt=Acquire::Retries \"2\"", "--aptopt=APT::Install-Recommends \"false\"",
		"--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*/LC_MESSAGES/*",
		"--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-include=/usr/share/doc/*/copyright",
		// A root file system that a crash would throw away anyway waits for no disk:
		// with it, five hundred packages are minutes faster on a slow one.
		"--dpkgopt=force-unsafe-io",
		"--include=" + strings.Join(include, ","),
		"--customize-hook=tar-in " + filepath.Join(dir, "overlay.tar") + " /",
		`--customize-hook=chroot "$1" /bin/bash ` + scriptPath + " base",
	}
	if b.Distro == "ubuntu" && len(lines) == 0 {
		args = append(args, "--components=main,universe")
	}
	args = append(args, b.Suite, "-")
	return append(args, lines...)
}

// phases are the lines of mmdebstrap that begin something long.
var phases = map[string]string{
	"I: running apt-get update":        "package lists",
	"I: downloading packages with apt": "base system",
	"I: installing remaining packages": "packages",
	"I: creating tarball":              "packing",
}

// bootstrap makes the root file system of a base as dir/rootfs.tar.
func bootstrap(ctx context.Context, b Base, lines []string, dir string, log *Log) error {
	if _, err := exec.LookPath("mmdebstrap"); err != nil {
		return errors.New("mmdebstrap is not installed (make setup, or apt-get install mmdebstrap)")
	}
	out, err := os.OpenFile(filepath.Join(dir, "rootfs.tar"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	cmd := exec.CommandContext(ctx, "mmdebstrap", bootstrapArgs(b, lines, dir, mode())...)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "LC_ALL=C.UTF-8")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, &phaseWriter{log: log}
	// A group of its own: Ctrl-C reaches it through us, once.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 15 * time.Second
	err = cmd.Run()
	if ctx.Err() != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("mmdebstrap: %w", err)
	}
	return out.Close()
}

// phaseWriter turns mmdebstrap's own phases into steps of the log.
type phaseWriter struct {
	log  *Log
	part []byte
}

func (w *phaseWriter) Write(p []byte) (int, error) {
	for _, c := range p {
		if c != '\n' {
			if len(w.part) < maxLine {
				w.part = append(w.part, c)
			}
			continue
		}
		line := string(w.part)
		w.part = w.part[:0]
		for prefix, name := range phases {
			if strings.HasPrefix(line, prefix) {
				w.log.step(name)
			}
		}
	}
	return w.log.Write(p)
}
