package probe

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-health/internal/check"
	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/run"
)

func trustGate(l *lab) check.Result {
	if !strings.Contains(l.launched, "coi trust") {
		return failed("the launch did not warn that the project asks for a mount outside")
	}
	out, code, err := l.sh(0, "ls -d /mnt/outside 2>&1; cat /mnt/outside/secret 2>&1")
	switch {
	case err != nil:
		return controlFailed("%v", err)
	case strings.Contains(out, l.cookie):
		return failed("a project's own mount was made without consent")
	case code == 0:
		return failed("/mnt/outside is there")
	}
	return ok("a mount the project asks for was ignored, with a warning")
}

func secretMasking(l *lab) check.Result {
	out, _, err := l.sh(0, "cat /workspace/"+control)
	if err != nil || !strings.Contains(out, l.cookie) {
		return controlFailed("the workspace cannot be read: %v %s", err, first(out))
	}
	if out, _, err = l.sh(0, "cat /workspace/.env"); err != nil {
		return controlFailed("%v", err)
	}
	if out != "" {
		return failed("a file of security.secret_paths is not empty inside")
	}
	return ok("a masked file reads empty, its neighbour reads")
}

// hostIsolation puts a decoy into the user's home for a moment.
func hostIsolation(l *lab) check.Result {
	dir, err := os.MkdirTemp(l.Facts.Home.User, ".coi-health-")
	if err != nil {
		return controlFailed("%v", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	decoy := filepath.Join(dir, "credentials")
	if err := os.WriteFile(decoy, []byte(l.cookie+"\n"), 0o600); err != nil {
		return controlFailed("%v", err)
	}
	if out, _, err := l.sh(0, "cat /workspace/"+control); err != nil || !strings.Contains(out, l.cookie) {
		return controlFailed("the workspace cannot be read: %v", err)
	}
	var paths []string
	for _, root := range []string{"", "/proc/1/root", "/host", "/mnt", "/media", "/workspace/..", "/workspace/../../..", "/proc/self/cwd/.."} {
		paths = append(paths, cli.ShellQuote(root+decoy))
	}
	out, _, err := l.sh(0, "cat "+strings.Join(paths, " ")+" 2>/dev/null; grep -rs "+l.cookie+" /root /home /mnt /media /srv 2>/dev/null")
	if err != nil {
		return controlFailed("%v", err)
	}
	if strings.Contains(out, l.cookie) {
		return failed("a file of the host's home was read inside")
	}
	return ok("a decoy in the home of the host was not found on %d paths", len(paths))
}

func protectedPaths(l *lab) check.Result {
	if l.Facts.Config.Security.DisableProtection {
		return skipped("security.disable_protection is set")
	}
	if out, code, err := l.sh(0, "echo x > /workspace/written && rm /workspace/written"); err != nil || code != 0 {
		return controlFailed("the workspace cannot be written: %v %s", err, first(out))
	}
	before := tree(filepath.Join(l.a.ws, ".git"))
	for what, line := range map[string]string{
		"a hook was written":          "echo x > /workspace/.git/hooks/pre-commit",
		"a hook was written by mv":    "echo x > /workspace/h && chmod +x /workspace/h && mv /workspace/h /workspace/.git/hooks/post-commit",
		"the git config was written":  "echo '[core] fsmonitor = x' >> /workspace/.git/config",
		"the hooks folder was moved":  "mv /workspace/.git/hooks /workspace/.git/h",
		"project settings were moved": "mv /workspace/.coi /workspace/c",
	} {
		if _, code, err := l.sh(0, line); err != nil || code == 0 {
			return failed("%s (%v)", what, errText(err))
		}
	}
	_, _, _ = l.sh(0, "rm -f /workspace/h")
	if after := tree(filepath.Join(l.a.ws, ".git")); after != before {
		return failed("the repository on the host has changed")
	}
	return ok("five ways to change what the host would run were refused")
}

// unmounted is what is left of protected_paths when nothing else is: root takes a
// lock off in b. That is refused, or the monitor sees it, which is the end of b.
func (l *lab) unmounted(r check.Result) check.Result {
	if r.Status != check.OK {
		return r
	}
	var st run.WatchStatus
	switch {
	case l.ctx.Err() != nil:
		r.Message += "; there was no time to take a lock off"
		return r
	case !l.Facts.Config.Monitored() || run.Read(l.Facts.Home.Run(l.b.name+run.WatchStatusFile), &st) != nil || !st.Armed:
		r.Message += "; no lock was taken off, as the monitor does not watch"
		return r
	}
	const lock = "/workspace/.git/hooks"
	before := tree(filepath.Join(l.b.ws, ".git"))
	codes := make(chan int, 1)
	// The container may be gone before the answer: then what counts is the trail.
	// Root that the host lets in directly is the user, not the agent.
	go func() {
		if _, code, err := l.shIn(l.b, 1000, "sudo -n umount "+lock); err == nil {
			codes <- code
		}
	}()
	word := ""
	l.eventually(6*time.Second, func() bool {
		select {
		case code := <-codes:
			switch code {
			case 0:
			case 126, 127: // of the shell: there is no such program
				word = "was not taken off, as sudo or umount cannot be run inside"
			default:
				word = "is not taken off by root"
			}
		default:
		}
		if word != "" {
			return true
		}
		list, _ := l.trailOf(l.b)
		if slices.ContainsFunc(list, func(f finding) bool { return f.Rule == "escape.locked" && f.Level == "critical" }) {
			word = "that root takes off is seen"
		}
		return word != ""
	})
	switch {
	case word == "":
		r.Status, r.Message = check.Failed, "root inside took the lock off "+lock+", and nobody saw it"
	case tree(filepath.Join(l.b.ws, ".git")) != before:
		r.Status, r.Message = check.Failed, "the repository on the host has changed after "+lock+" was unmounted inside"
	default:
		r.Message += "; a lock " + word
	}
	return r
}

func parentRename(l *lab) check.Result {
	if l.Facts.Config.Security.DisableProtection {
		return skipped("security.disable_protection is set")
	}
	if out, code, err := l.sh(0, "mkdir /workspace/d && mv /workspace/d /workspace/e && rmdir /workspace/e"); err != nil || code != 0 {
		return controlFailed("no folder of the workspace can be renamed: %v %s", err, first(out))
	}
	if _, code, err := l.sh(0, "cd /workspace && mv .git g"); err != nil || code == 0 {
		return failed(".git was renamed (%v)", errText(err))
	}
	if _, err := os.Lstat(filepath.Join(l.a.ws, ".git", "HEAD")); err != nil {
		return failed("%v", err)
	}
	return ok("mv .git g fails, mv of another folder works")
}

// tree lists names and contents of a small directory.
func tree(dir string) string {
	var b strings.Builder
	_ = filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		b.WriteString(p + "\n")
		if d.Type().IsRegular() {
			text, err := os.ReadFile(p) //nolint:gosec // a folder of our own
			b.Write(text)
			return err
		}
		return nil
	})
	return b.String()
}
