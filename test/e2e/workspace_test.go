//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/code-on-incus/coi/test/internal/house"
)

// give writes a file of the workspace's owner.
func give(t *testing.T, dir, rel, text string) {
	t.Helper()
	p := filepath.Join(dir, rel)
	err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o644))
	for d := p; err == nil && d != dir; d = filepath.Dir(d) {
		err = os.Chown(d, house.Owner, house.Owner)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// repository makes the workspace a git repository with one commit.
func repository(t *testing.T, dir string) {
	t.Helper()
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"-c", "safe.directory=*", "-c", "user.name=n", "-c", "user.email=n@example.com", "commit", "-q", "--allow-empty", "-m", "x"}} {
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	if out, err := exec.Command("chown", "-R", fmt.Sprintf("%d:%d", house.Owner, house.Owner), dir).CombinedOutput(); err != nil {
		t.Fatalf("chown: %v\n%s", err, out)
	}
}

func wsListing(t *testing.T, dir string) string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // placeholders go while we look
		}
		if err == nil && !strings.Contains(p, "/.git/objects/") {
			out = append(out, strings.TrimPrefix(p, dir))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, "\n")
}

// cleared waits until the workspace is as it was.
func cleared(t *testing.T, dir, want string) {
	t.Helper()
	err := house.Eventually(t.Context(), 10*time.Second, func() error {
		if got := wsListing(t, dir); got != want {
			return fmt.Errorf("the workspace holds\n%s\nwant\n%s", got, want)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// wsEnded waits until a container is gone.
func wsEnded(t *testing.T, container string) {
	t.Helper()
	err := house.Eventually(t.Context(), time.Minute, func() error {
		names, err := the.Containers()
		if err == nil && slices.Contains(names, container) {
			err = fmt.Errorf("%s is still there", container)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// R-PATH-01, R-PATH-02, R-PATH-03, R-REG-03, R-REG-17, S101, S102, S103, S104,
// S105: what the host would run cannot be written, planted or moved, an
// ordinary file can, and nothing of the protection is left behind.
func TestProtectedPaths(t *testing.T) {
	dir := workspace(t)
	repository(t, dir)
	give(t, dir, "hooks-here/x", "")
	if err := os.Symlink("hooks-here", filepath.Join(dir, ".husky")); err != nil {
		t.Fatal(err)
	}
	give(t, dir, ".vscode/tasks.json", "{}")
	before := wsListing(t, dir)
	paths := ".git/hooks/x .git/config.worktree .git/info/attributes .vscode/x .idea/x .envrc .mcp.json .claude/settings.json .claude/hooks/x .github/hooks/x .coi/config.toml .coi/profiles/x hooks-here/y"
	script := `for p in ` + paths + `; do mkdir -p "$(dirname $p)" 2>/dev/null; echo evil 2>/dev/null >"$p" && echo "WROTE $p"; done
for d in .git .git/info .claude .github .coi; do perl -e 'exit !rename($ARGV[0], "$ARGV[0].moved")' $d && echo "MOVED $d"; done
git config core.fsmonitor evil 2>/dev/null && echo CONFIGURED
echo control >ordinary && cat ordinary; rm ordinary; true`
	r := must(t, dir, "run", "--", "sh", "-c", script)
	if r.Stdout != "control\n" {
		t.Errorf("%s\nwant only the control file written", r)
	}
	cleared(t, dir, before)
}

// R-PATH-04, R-LIM-04, R-REG-09, R-OWN-07: container root undoes a lock and
// plants a hook and a repository; both are put right, in quarantine, and in the
// audit trail. The responses of the monitor are off here, since it would end the
// container before the hook is written.
func TestPlantedHookIsPutBack(t *testing.T) {
	configure(t, "[security]\nhost_immutable = false\n[monitoring]\nauto_pause_on_high = false\nauto_kill_on_critical = false\n")
	dir := workspace(t)
	repository(t, dir)
	give(t, dir, ".git/hooks/pre-push", "#!/bin/sh\nexit 0\n")
	before := wsListing(t, dir)
	r := must(t, dir, "run", "--", "sh", "-c", `sudo umount /workspace/.git/hooks && printf '#!/bin/sh\n' | sudo tee .git/hooks/pre-commit >/dev/null && echo evil | sudo tee .git/hooks/pre-push >/dev/null
git init -q sub && printf evil >sub/.git/hooks/post-checkout && git -C sub config core.fsmonitor ./evil && sudo cp /bin/true bits && sudo chmod u+s bits; ls .git/hooks/pre-commit`)
	if !strings.Contains(r.Stdout, "pre-commit") {
		t.Fatalf("%s\nthe attack itself did not work", r)
	}
	for _, want := range []string{".git/hooks/pre-commit appeared", ".git/hooks/pre-push was changed", "post-checkout is a hook", "core.fsmonitor", "setuid", "to put it back: install"} {
		if !strings.Contains(r.Stderr, want) {
			t.Errorf("%q is not told:\n%s", want, r.Stderr)
		}
	}
	hook, err := os.ReadFile(filepath.Join(dir, ".git/hooks/pre-push"))
	if err != nil || string(hook) != "#!/bin/sh\nexit 0\n" {
		t.Errorf("pre-push = %q, %v; want the old content", hook, err)
	}
	st, err := os.Stat(filepath.Join(dir, "bits"))
	if err != nil || st.Mode()&os.ModeSetuid != 0 {
		t.Errorf("setuid bit: %v, %v", st, err)
	}
	for _, p := range []string{"bits", "sub"} {
		if err := os.RemoveAll(filepath.Join(dir, p)); err != nil {
			t.Fatal(err)
		}
	}
	cleared(t, dir, before)
	found, err := filepath.Glob(filepath.Join(the.Home.Dir, "storage/quarantine/*/*pre-commit"))
	if err != nil || len(found) != 1 {
		t.Fatalf("quarantine: %v, %v", found, err)
	}
	if st, err := os.Stat(found[0]); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("quarantined hook: %v, %v", st.Mode(), err)
	}
	trail, err := exec.Command("sh", "-c", "cat "+filepath.Join(the.Home.Dir, "audit")+"/*.jsonl").Output()
	if err != nil || !strings.Contains(string(trail), `"level":"critical"`) || !strings.Contains(string(trail), "endcheck.workspace") {
		t.Errorf("the audit trail does not tell it: %v", err)
	}
}

// R-PATH-06, session §11: secrets are hidden at any depth, also one that
// appears while the session runs; a control file reads.
func TestSecretsAreHidden(t *testing.T) {
	configure(t, "[security]\nsecret_paths = [\"*.pem\", \"secrets/**\"]\n")
	dir := workspace(t)
	for _, p := range []string{"a/b/k.pem", "secrets/x", "control"} {
		give(t, dir, p, "text of "+p+"\n")
	}
	planted := make(chan error, 1)
	go func() {
		planted <- house.Eventually(t.Context(), time.Minute, func() error {
			if _, err := os.Stat(filepath.Join(dir, "ready")); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, "new.pem"), []byte("late secret\n"), 0o644)
		})
	}()
	r := must(t, dir, "run", "--", "sh", "-c", `cat a/b/k.pem control; ls secrets; touch ready
n=0; until [ -e new.pem ] || [ $n -ge 400 ]; do sleep 0.05; n=$((n+1)); done
[ -e new.pem ] && echo there
n=0; until [ ! -s new.pem ] || [ $n -ge 60 ]; do sleep 0.05; n=$((n+1)); done; cat new.pem; echo end`)
	if err := <-planted; err != nil {
		t.Fatal(err)
	}
	if r.Stdout != "text of control\nthere\nend\n" {
		t.Errorf("%s\nwant the control file and nothing of a secret", r)
	}
	for p, want := range map[string]string{"new.pem": "late secret\n", "a/b/k.pem": "text of a/b/k.pem\n", "secrets/x": "text of secrets/x\n"} {
		if b, err := os.ReadFile(filepath.Join(dir, p)); err != nil || string(b) != want {
			t.Errorf("on the host %s = %q, %v; want it as it was", p, b, err)
		}
	}
}

// S127, S149, S150, session §9: files belong to the user on the host and to the
// code user inside, whatever its number.
func TestOwnership(t *testing.T) {
	for _, uid := range []string{"1000", "1500"} {
		configure(t, "[incus]\ncode_uid = "+uid+"\n")
		dir := workspace(t)
		r := do(t, dir, "run", "--", "sh", "-c", "id -u; id -un; touch f ~/x && stat -c %u f ~/x")
		if uid == "1500" && strings.Contains(r.Stderr, "may not map uid") {
			t.Logf("this machine's /etc/subuid does not allow it: %s", r.Stderr)
			if r.Code != 1 || !strings.Contains(r.Stderr, "root:1000:1") {
				t.Errorf("%s\nwant exit 1 and the lines to add", r)
			}
			continue
		}
		if want := fmt.Sprintf("%s\ncode\n%s\n%s\n", uid, uid, uid); r.Code != 0 || r.Stdout != want {
			t.Errorf("%s\nwant %q", r, want)
		}
		st, err := os.Stat(filepath.Join(dir, "f"))
		if err != nil || owner(st) != house.Owner {
			t.Errorf("on the host f belongs to %d, %v; want %d", owner(st), err, house.Owner)
		}
	}
}

// S33, S39, S40, R-REG-05, session §8: what a tool wrote is saved, without links
// and in private files, and is there again in a fresh container.
func TestSaveAndResume(t *testing.T) {
	configure(t, `[tool]
name = "custom"
[tool.custom]
command = ["sh", "-c", "mkdir -p ~/.ag; echo first >~/.ag/talk; ln -s /etc/hostname ~/.ag/x; echo x >~/elsewhere; until [ -e /workspace/go ]; do sleep 0.1; done"]
resume_command = ["sh", "-c", "cat ~/.ag/talk >/workspace/resumed; ls ~/elsewhere /workspace/go >>/workspace/resumed 2>&1; echo second >>~/.ag/talk"]
save = [".ag"]
`)
	dir := workspace(t)
	var started struct {
		Container string `json:"container"`
		SessionID string `json:"session_id"`
	}
	r := must(t, dir, "shell", "--background", "--json")
	if err := json.Unmarshal([]byte(r.Stdout), &started); err != nil {
		t.Fatalf("%s: %v", r, err)
	}
	give(t, dir, "go", "")
	wsEnded(t, started.Container)
	saved := filepath.Join(the.Home.Dir, "sessions-custom", started.SessionID)
	talk, err := os.ReadFile(filepath.Join(saved, ".ag/talk"))
	if err != nil || string(talk) != "first\n" {
		t.Fatalf("saved talk = %q, %v", talk, err)
	}
	if _, err := os.Lstat(filepath.Join(saved, ".ag/x")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a link was saved: %v", err)
	}
	if out, err := exec.Command("find", saved, "-perm", "/077").Output(); err != nil || len(out) != 0 {
		t.Errorf("loose modes: %s, %v", out, err)
	}
	r = must(t, dir, "shell", "--resume", "--background")
	wsEnded(t, strings.TrimSpace(r.Stdout))
	resumed, err := os.ReadFile(filepath.Join(dir, "resumed"))
	if err != nil || !strings.HasPrefix(string(resumed), "first\n") || !strings.Contains(string(resumed), "elsewhere': No such file") || !strings.Contains(string(resumed), "/workspace/go") {
		t.Errorf("resumed = %q, %v; want the talk, and a container without the other file", resumed, err)
	}
	if talk, err := os.ReadFile(filepath.Join(saved, ".ag/talk")); err != nil || string(talk) != "first\nsecond\n" {
		t.Errorf("saved again: %q, %v", talk, err)
	}
	if r := do(t, dir, "shell", "--resume=nosuch"); r.Code != 1 || !strings.Contains(r.Stderr, "coi list --all") {
		t.Errorf("%s\nwant exit 1 and the hint", r)
	}
}

// S144, S145: the settings of the host's home are all still there, next to what
// coi needs, and the host's file is as it was.
func TestSettingsAreMerged(t *testing.T) {
	const settings = `{"env":{"AWS_REGION":"eu-1"},"allowedTools":["Bash"],"permissions":{"deny":["Read(./x)"]}}`
	user := the.Home.User
	file := filepath.Join(user, ".claude/settings.json")
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(settings), 0o600)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(filepath.Join(user, ".claude")) })
	dir := workspace(t)
	configure(t, "[tool]\nname = \"claude\"\npre_launch = [\"cp /home/code/.claude/settings.json /workspace/seen.json\", \"cp /home/code/SANDBOX_CONTEXT.json /workspace/context.json\"]\n")
	r := doIn(t, house.Call{Dir: dir, Args: []string{"shell", "--background"}, Env: []string{"COI_USE_DUMMY=1"}})
	if r.Code != 0 {
		t.Fatalf("%s", r)
	}
	must(t, dir, "kill", strings.TrimSpace(r.Stdout))
	var seen struct {
		Env          map[string]string `json:"env"`
		AllowedTools []string          `json:"allowedTools"`
		Permissions  struct {
			Deny []string `json:"deny"`
			Mode string   `json:"defaultMode"`
		} `json:"permissions"`
	}
	b, err := os.ReadFile(filepath.Join(dir, "seen.json"))
	if err == nil {
		err = json.Unmarshal(b, &seen)
	}
	if err != nil || seen.Env["AWS_REGION"] != "eu-1" || len(seen.AllowedTools) != 1 || len(seen.Permissions.Deny) != 1 || seen.Permissions.Mode != "bypassPermissions" {
		t.Errorf("inside: %s, %v", b, err)
	}
	if now, err := os.ReadFile(file); err != nil || string(now) != settings {
		t.Errorf("the host's file is %s, %v", now, err)
	}
	var context struct {
		Network struct {
			Mode string `json:"mode"`
		} `json:"network"`
	}
	b, err = os.ReadFile(filepath.Join(dir, "context.json"))
	if err == nil {
		err = json.Unmarshal(b, &context)
	}
	if err != nil || context.Network.Mode != "restricted" {
		t.Errorf("SANDBOX_CONTEXT.json: %s, %v", b, err)
	}
}
