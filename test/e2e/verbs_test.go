//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/test/internal/house"
)

// says fails unless a command ends with a code and its output holds the words;
// a word that begins with "!" must not be there.
func says(t *testing.T, r house.Result, code int, words ...string) house.Result {
	t.Helper()
	if r.Code != code {
		t.Errorf("%s\nwant exit %d", r, code)
	}
	for _, w := range words {
		not, ok := strings.CutPrefix(w, "!")
		if all := r.Stdout + r.Stderr; ok && strings.Contains(all, not) || !ok && !strings.Contains(all, w) {
			t.Errorf("%s\nwant %q", r, w)
		}
	}
	if code != 0 && strings.Contains(strings.Join(r.Args, " "), "--json") && r.Stdout != "" {
		t.Errorf("%s\nwant nothing on stdout after a failure", r)
	}
	return r
}

// parsed reads the JSON of a command that must succeed.
func parsed[T any](t *testing.T, r house.Result) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.Stdout), &v); r.Code != 0 || err != nil {
		t.Errorf("%s\n%v", r, err)
	}
	return v
}

func keys(m map[string]any) string { return strings.Join(slices.Sorted(maps.Keys(m)), " ") }

// Cli §5.1-§5.6, §6.1-§6.5: the verbs of a session that runs, with every flag,
// what they print and how they fail.
func TestVerbsOfARunningSession(t *testing.T) {
	dir := workspace(t)
	repository(t, dir)
	c := strings.TrimSpace(must(t, dir, "shell", "--background", "--debug", "--slot", "2").Stdout)
	discard(t, dir, c)
	on := func(code int, words ...string) func(args ...string) house.Result {
		return func(args ...string) house.Result { t.Helper(); return says(t, do(t, dir, args...), code, words...) }
	}
	t.Run("slots", func(t *testing.T) {
		on(1, "coi attach")("shell", "--background", "--debug", "--slot", "2")
		on(1, "slot 2 is in use")("run", "--slot", "2", "--", "true")
		on(2, "0-10")("shell", "--background", "--slot", "11")
		on(2, "coi run", "--background")("shell")
		on(1, "coi list --all")("shell", "--background", "--resume=00000000")
	})
	t.Run("list", func(t *testing.T) { listVerb(t, dir, c) })
	t.Run("info", func(t *testing.T) { infoVerb(t, dir, c) })
	t.Run("top", func(t *testing.T) {
		rows := parsed[[]map[string]any](t, on(0)("top", "--json", "--sort", "mem"))
		if len(rows) == 0 || keys(rows[0]) != "alias cpu_percent disk_read_mb_per_sec disk_write_mb_per_sec memory_limit_mb memory_mb name net_rx_mb_per_sec net_tx_mb_per_sec processes workspace" {
			t.Errorf("top = %v", rows)
		}
		for i := 1; i < len(rows); i++ {
			if rows[i]["memory_mb"].(float64) > rows[i-1]["memory_mb"].(float64) {
				t.Errorf("row %d is not in order: %v", i, rows)
			}
		}
		procs := parsed[[]map[string]any](t, on(0)("top", "--json", "--procs"))
		if len(procs) == 0 || keys(procs[0]) != "command container cpu_percent memory_mb pid user" {
			t.Errorf("top --procs = %v", procs)
		}
		on(0, "PID", "COMMAND")("top", c, "--watch", "1", "-i", "0.5")
		on(2)("top", "--sort", "size")
		on(2)("top", c, "--sort", "disk")
		on(2)("top", "--interval", "0.1")
		on(2)("top", "--json", "--watch", "2")
	})
	t.Run("exec", func(t *testing.T) { execVerb(t, dir, c) })
	t.Run("mount", func(t *testing.T) { mountVerb(t, dir, c) })
	t.Run("file", func(t *testing.T) { fileVerb(t, dir, c) })
	t.Run("tmux", func(t *testing.T) {
		on(0)("tmux", "send", c, "--no-enter", "echo ty''ped")
		if r := on(0, "echo ty''ped")("tmux", "capture", c); strings.Contains(r.Stdout, "\ntyped") {
			t.Errorf("%s\nwant Enter not pressed", r)
		}
		on(0)("tmux", "send", c, "")
		screen(t, dir, c, "typed")
		on(2)("tmux", "capture", c, "--lines", "-1")
		on(0, "TMUX SESSION", "coi-"+c)("tmux", "list")
		if l := parsed[[]map[string]string](t, on(0)("tmux", "list", "--json")); len(l) == 0 || !slices.ContainsFunc(l, func(m map[string]string) bool { return m["container"] == c && m["session"] == "coi-"+c }) {
			t.Errorf("tmux list = %v", l)
		}
		on(4)("tmux", "send", the.Prefix+"nosuch-1", "x")
	})
	t.Run("tool", func(t *testing.T) { toolVerb(t, dir, c) })
	t.Run("snapshot", func(t *testing.T) { snapshotVerb(t, dir, c) })
	t.Run("freeze", func(t *testing.T) {
		on(1, "is not frozen")("unfreeze", c)
		on(0, "froze "+c)("freeze", "--slot", "2")
		on(0, "frozen already (you)")("freeze", c)
		on(1, "coi unfreeze "+c)("attach", c)
		on(1, "coi unfreeze "+c)("container", "exec", c, "--", "true")
		on(0, c)("list", "--status", "Frozen")
		on(0, "unfroze "+c)("unfreeze")
		on(0, "no frozen containers")("unfreeze")
	})
	t.Run("questions", func(t *testing.T) {
		on(2, "hint: add --force")("kill", "--all")
		on(2, "hint: add --force")("shutdown", "--all")
		on(2, "hint: add --force")("persist", "--all")
		on(2, "--all")("kill", "--all", c)
		on(4, "nosuch")("kill", "--force", the.Prefix+"nosuch-1")
		on(2, "0-3600")("shutdown", "--timeout=-1")
		on(0, c)("list", "--running")
	})
}

func listVerb(t *testing.T, dir, c string) {
	l := parsed[map[string]any](t, do(t, dir, "list", "--json", "--all"))
	if keys(l) != "active_containers recently_ended saved_sessions schema_version" && keys(l) != "active_containers recently_ended schema_version" {
		t.Errorf("list has %s", keys(l))
	}
	var mine map[string]any
	for _, a := range l["active_containers"].([]any) {
		if a := a.(map[string]any); a["name"] == c {
			mine = a
		}
	}
	const want = "alias created_at deadline frozen_by guarded image ipv4 killed name network_mode persistent pool profile published_ports session_id slot status tool warnings watched workspace"
	if keys(mine) != want || mine["slot"] != 2.0 || mine["guarded"] != true || mine["watched"] != true || mine["network_mode"] != "restricted" || mine["workspace"] != dir || mine["persistent"] != false {
		t.Errorf("the container is %v", mine)
	}
	says(t, do(t, dir, "list"), 0, "Active containers", "NAME", "STATUS", "MODE", "ephemeral", c)
	says(t, do(t, dir, "list", "--status", "RUNNING"), 0, c)
	says(t, do(t, dir, "list", "--stopped"), 0, "!"+c)
	says(t, do(t, dir, "list", "--tool", "nosuch"), 0, "no containers")
	says(t, do(t, dir, "list", "--all-users", "--all-members"), 0, "MEMBER", c)
	says(t, do(t, dir, "list", "--status", "gone"), 2, "running stopped frozen")
	says(t, do(t, dir, "list", "--running", "--stopped"), 2)
	says(t, do(t, dir, "list", "--format", "xml"), 2, "json")
	says(t, do(t, dir, "list", "--resume"), 2, "shell")
	narrow := doIn(t, house.Call{Dir: dir, Args: []string{"list"}, Env: []string{"COLUMNS=70"}})
	for line := range strings.Lines(narrow.Stdout) {
		if len([]rune(line)) > 71 {
			t.Errorf("%d cells: %q", len([]rune(line))-1, line)
		}
	}
}

func infoVerb(t *testing.T, dir, c string) {
	v := parsed[struct {
		Name    string `json:"name"`
		Network struct{ Guard, Mode string }
		Watcher struct{ State string }
	}](t, do(t, dir, "info", "--json"))
	if v.Name != c || v.Network.Guard != "enforcing" || v.Network.Mode != "restricted" || v.Watcher.State != "armed" {
		t.Errorf("info = %+v", v)
	}
	says(t, do(t, dir, "info", "--slot", "2"), 0, "name:", "session id:", "network:", "guard enforcing", "watcher:", "protected:", "size:")
	says(t, do(t, dir, "info", "--slot", "7"), 4)
	says(t, do(t, dir, "info", "0123abcd"), 1, "coi list --all")
	says(t, do(t, dir, "info", the.Prefix+"nosuch-1"), 4, "coi list --all")
	says(t, do(t, dir, "info", "no-alias"), 4)
	says(t, doIn(t, house.Call{Args: []string{"info"}, Env: []string{"COI_CONTAINER=" + c}}), 0, c)
	says(t, doIn(t, house.Call{Dir: dir, Args: []string{"info"}, Env: []string{"COI_CONTAINER=" + the.Prefix + "nosuch-1"}}), 4)
}

func execVerb(t *testing.T, dir, c string) {
	in := func(args ...string) house.Result {
		return do(t, dir, append([]string{"container", "exec", c}, args...)...)
	}
	got := parsed[struct {
		Stdout, Stderr string
		Code           int `json:"exit_code"`
	}](t, in("--capture", "--", "sh", "-c", "id -u; echo err >&2; exit 7"))
	if got.Stdout != "0\n" || got.Stderr != "err\n" || got.Code != 7 {
		t.Errorf("captured %+v", got)
	}
	r := says(t, in("--user", "1000", "--group", "27", "--env", "A=1,2", "--env", "B=x y", "--cwd", "/tmp", "--capture", "--format", "raw", "--", "sh", "-c", "echo $(id -u) $(id -g) $A $B $PWD; exit 3"), 3)
	if r.Stdout != "1000 27 1,2 x y /tmp\n" {
		t.Errorf("%s", r)
	}
	if r := doIn(t, house.Call{Dir: dir, Args: []string{"container", "exec", c, "--", "cat"}, Stdin: strings.NewReader("piped")}); r.Stdout != "piped" {
		t.Errorf("%s", r)
	}
	says(t, in("--capture", "--tty", "--", "true"), 2)
	says(t, in("--format", "json", "--", "true"), 2, "--capture")
	says(t, in("true"), 2, "--")
	says(t, in("--env", "A", "--", "true"), 2, "K=V")
	says(t, do(t, dir, "container", "exists", c), 0)
	says(t, do(t, dir, "container", "running", c), 0)
	for _, verb := range []string{"exists", "running"} {
		if r := says(t, do(t, dir, "container", verb, the.Prefix+"nosuch-1"), 1); r.Stdout+r.Stderr != "" {
			t.Errorf("%s\nwant silence", r)
		}
	}
	says(t, do(t, dir, "container", "list"), 0, "NAME", c, house.Image)
	if l := parsed[[]struct{ Name string }](t, do(t, dir, "container", "list", "--json")); !slices.ContainsFunc(l, func(x struct{ Name string }) bool { return x.Name == c }) {
		t.Errorf("container list = %v", l)
	}
	says(t, do(t, dir, "container", "start", c), 0, "running already")
	says(t, do(t, dir, "container", "launch", house.Image, "other-1"), 2, the.Prefix)
	says(t, do(t, dir, "container", "delete", c), 2, "--force")
}

// R-TRU-03: a mount that was typed is no second way to a locked path either.
func mountVerb(t *testing.T, dir, c string) {
	other := filepath.Join(the.Dir, "mounted")
	if err := os.Mkdir(other, 0o755); err != nil {
		t.Fatal(err)
	}
	repository(t, other)
	on := func(code int, words []string, args ...string) {
		t.Helper()
		says(t, do(t, dir, append([]string{"container", "mount"}, args...)...), code, words...)
	}
	on(0, []string{"mounted"}, c, "extra", other, "/mnt/extra")
	on(0, []string{"mounted"}, c, "again", dir, "/mnt/again")
	on(0, []string{"mounted"}, c, "hooks", filepath.Join(dir, ".git/hooks"), "/mnt/hooks")
	on(0, []string{"mounted"}, c, "ro", other, "/mnt/ro", "--readonly")
	on(1, []string{"has a device"}, c, "extra", other, "/mnt/third")
	on(2, []string{"absolute"}, c, "x", other, "mnt/x")
	on(1, nil, c, "x", other+"/nosuch", "/mnt/x")
	on(5, []string{"never mounted"}, c, "x", the.Home.Dir, "/mnt/x")
	on(5, []string{"never mounted"}, c, "x", "/proc", "/mnt/x")
	on(1, []string{"would hide"}, c, "x", other, "/workspace/.git")
	on(4, nil, the.Prefix+"nosuch-1", "x", other, "/mnt/x")
	const try = `for p in extra/f extra/.git/hooks/x extra/.git/config again/f2 again/.git/hooks/x again/.git/config hooks/x ro/x; do echo x 2>/dev/null >>/mnt/$p && echo $p; done; rm -f /mnt/extra/f /mnt/again/f2`
	if r := must(t, dir, "container", "exec", c, "--user", "1000", "--capture", "--format", "raw", "--", "sh", "-c", try); r.Stdout != "extra/f\nagain/f2\n" {
		t.Errorf("%s\nwant only the two ordinary files written", r)
	}
}

// R-INP-05, cli §6.2.
func fileVerb(t *testing.T, dir, c string) {
	tree := filepath.Join(t.TempDir(), "tree")
	at := func(p string) string { return filepath.Join(tree, p) }
	if err := errors.Join(os.MkdirAll(at("sub"), 0o755), os.WriteFile(at("sub/run"), []byte("#!/bin/sh\n"), 0o750), os.WriteFile(at("a"), []byte("text\n"), 0o640),
		os.Symlink("/etc/shadow", at("link")), unix.Mkfifo(at("fifo"), 0o600), os.Symlink("/etc/hostname", filepath.Join(dir, "way-out"))); err != nil {
		t.Fatal(err)
	}
	push := func(code int, words []string, args ...string) {
		t.Helper()
		says(t, do(t, dir, append([]string{"file", "push"}, args...)...), code, words...)
	}
	push(2, []string{"add -r"}, tree, c+":/home/code/tree")
	push(0, []string{"2 files copied", "1 link skipped", "1 special file skipped"}, "-r", tree, c+":/home/code/tree")
	push(0, []string{"1 files copied"}, at("a"), c+":/etc/")
	push(0, nil, at("a"), c+":/workspace/pushed")
	push(2, nil, at("a"), "nocolon")
	push(2, []string{"empty"}, at("a"), c+":")
	push(2, []string{"both sides"}, "x:/a", c+":/a")
	push(2, []string{"absolute"}, at("a"), c+":tmp")
	push(1, nil, at("nosuch"), c+":/tmp/x")
	push(1, []string{"leads out of the workspace"}, filepath.Join(dir, "way-out"), c+":/tmp/x")
	push(1, nil, at("fifo"), c+":/tmp/x")
	push(1, nil, "/dev/zero", c+":/tmp/x")
	push(4, nil, at("a"), the.Prefix+"nosuch-1:/tmp/x")
	got := asRoot(t, dir, c, "sh", "-c", "cd /home/code/tree; stat -c '%U %a %n' a sub sub/run /etc/a /workspace/pushed; ls; cat a")
	if want := "code 640 a\ncode 755 sub\ncode 750 sub/run\nroot 640 /etc/a\ncode 640 /workspace/pushed\na\nsub\ntext\n"; got != want {
		t.Errorf("inside:\n%s\nwant\n%s", got, want)
	}
	out := t.TempDir()
	to := func(p string) string { return filepath.Join(out, p) }
	if err := errors.Join(os.Mkdir(to("into"), 0o755), os.Symlink(to("elsewhere"), to("link")), os.WriteFile(to("old"), []byte("old"), 0o600)); err != nil {
		t.Fatal(err)
	}
	pull := func(code int, args ...string) {
		t.Helper()
		says(t, do(t, dir, append([]string{"file", "pull"}, args...)...), code)
	}
	pull(0, c+":/home/code/tree/a", to("into"))
	pull(0, c+":/home/code/tree/a", to("old"))
	pull(0, "-r", c+":/home/code/tree", to("whole"))
	pull(2, c+":/home/code/tree", to("x"))
	pull(1, c+":/home/code/tree/a", to("none")+"/")
	pull(1, c+":/home/code/tree/a", to("link"))
	pull(1, c+":/nosuch", to("old"))
	pull(1, c+":/dev/zero", to("x"))
	for p, want := range map[string]string{"into/a": "text\n", "old": "text\n", "whole/sub/run": "#!/bin/sh\n"} {
		if b, err := os.ReadFile(to(p)); err != nil || string(b) != want {
			t.Errorf("%s = %q, %v", p, b, err)
		}
	}
	for _, p := range []string{"x", "none", "elsewhere"} {
		if _, err := os.Lstat(to(p)); err == nil {
			t.Errorf("%s is there", p)
		}
	}
	swappedPull(t, dir, c)
}

// R-OWN-03: a container that swaps a file for a FIFO, a link and a device while
// it is pulled costs no more than that file, and the container can be stopped.
func swappedPull(t *testing.T, dir, c string) {
	asRoot(t, dir, c, "sh", "-c", `mkdir /swap /stock; cd /stock; echo real >f; mkfifo p; ln -s /dev/zero z; cp f /swap/x
cat >/stock/go <<'X'
import ctypes
libc = ctypes.CDLL(None)
while True:
    for n in (b"/stock/p", b"/stock/f", b"/stock/z"):
        libc.renameat2(-100, n, -100, b"/swap/x", 2)
X
setsid python3 /stock/go >/dev/null 2>&1 &`)
	start := time.Now()
	for range 2 {
		out := filepath.Join(t.TempDir(), "x")
		do(t, dir, "file", "pull", "-r", c+":/swap", out)
		if st, err := os.Lstat(filepath.Join(out, "x")); err == nil && (!st.Mode().IsRegular() || st.Size() > 100) {
			t.Errorf("%v of %d bytes arrived", st.Mode(), st.Size())
		}
	}
	if took := time.Since(start); took > 2*time.Minute {
		t.Errorf("two pulls took %s", took)
	}
	asRoot(t, dir, c, "pkill", "-f", "/stock/go")
}

func toolVerb(t *testing.T, dir, c string) {
	names := ""
	for _, row := range parsed[[]map[string]any](t, do(t, dir, "tool", "list", "--json")) {
		names += row["name"].(string) + " "
	}
	if names != "claude codex opencode pi omp gemini aider " && names != "claude codex opencode pi omp gemini aider custom " {
		t.Errorf("tools %q", names)
	}
	says(t, do(t, dir, "tool", "list"), 0, "NAME", "IN IMAGE", "HEADLESS", "RESUME", "claude")
	prompt := filepath.Join(dir, "task.md")
	if err := os.WriteFile(prompt, []byte("do it\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	spec := func(args ...string) house.Result {
		return do(t, dir, append([]string{"tool", "spec", "--tool", "claude", "--container", c, "--session-id"}, args...)...)
	}
	v := parsed[struct {
		Schema  int `json:"schema_version"`
		Command []string
		Env     map[string]string
		Prompt  string
	}](t, spec("s1", "--prompt-file", prompt, "--system-prompt-file", prompt))
	if v.Schema != 1 || len(v.Command) == 0 || v.Command[0] != "claude" || v.Prompt != "/run/coi/prompts/s1" || v.Env == nil {
		t.Errorf("spec = %+v", v)
	}
	if got := asRoot(t, dir, c, "sh", "-c", "stat -c '%U %a' /run/coi/prompts/s1 /run/coi/prompts/s1.system; cat /run/coi/prompts/s1"); got != "code 600\ncode 600\ndo it\n" {
		t.Errorf("staged: %q", got)
	}
	says(t, spec("s1", "--resume-id", "abc"), 0, `"--resume",`, `"abc"`)
	says(t, spec("s1", "--resume-latest"), 0, `"--continue"`)
	says(t, spec("s1", "--continue"), 0, `"--continue"`)
	says(t, spec("s1", "--continue=abc"), 0, `"--resume",`, `"abc"`)
	says(t, spec("a", "--resume-id", "x", "--resume-latest"), 2)
	says(t, spec("a b"), 2)
	says(t, spec("a", "--continue=a b"), 2)
	says(t, spec("a", "--prompt-file", filepath.Join(dir, "way-out")), 1)
	says(t, do(t, dir, "tool", "spec", "--container", the.Prefix+"nosuch-1", "--session-id", "a"), 4)
}

func snapshotVerb(t *testing.T, dir, c string) {
	on := func(code int, words []string, args ...string) house.Result {
		t.Helper()
		return says(t, do(t, dir, append([]string{"snapshot"}, args...)...), code, words...)
	}
	on(0, []string{"no snapshots"}, "list")
	on(0, []string{"no snapshots"}, "list", "--all")
	on(2, []string{"letters, digits"}, "create", "bad!", "-c", c)
	on(2, []string{"letters, digits"}, "create", "a/b")
	on(0, []string{"created snap-", "not part of the snapshot"}, "create", "--slot", "2")
	on(1, []string{"CRIU"}, "create", "--stateful", "mem")
	on(1, []string{"reflink", "leave --workspace out"}, "create", "--workspace", "ws") // ext4 shares no blocks
	type view struct {
		Name      string
		CreatedAt time.Time `json:"created_at"`
		Stateful  bool
	}
	l := parsed[struct {
		Schema    int `json:"schema_version"`
		Container string
		Snapshots []view
	}](t, on(0, nil, "list", "--json", "-c", c))
	if l.Schema != 1 || l.Container != c || len(l.Snapshots) != 1 || l.Snapshots[0].CreatedAt.IsZero() {
		t.Fatalf("list = %+v; want the one that was made", l)
	}
	name := l.Snapshots[0].Name
	if all := parsed[map[string][]view](t, on(0, nil, "list", "--all", "--json")); len(all[c]) != 1 {
		t.Errorf("list --all = %v", all)
	}
	on(0, []string{"NAME", "STATEFUL", name, "total: 1"}, "list")
	on(0, []string{name, c, "workspace"}, "info", name)
	if i := parsed[map[string]any](t, on(0, nil, "info", name, "--json")); i["name"] != name || i["workspace"] != false {
		t.Errorf("info = %v", i)
	}
	on(1, []string{name}, "info", "nosuch")
	on(1, []string{name}, "restore", "-f", "nosuch")
	on(1, []string{"holds no memory", "leave --stateful out"}, "restore", "-f", "--stateful", name)
	on(1, []string{"no copy of the workspace"}, "restore", "-f", "--workspace", name)
	on(2, []string{"add --force"}, "restore", name)
	on(2, []string{"add --force"}, "delete", name)
	says(t, do(t, dir, "kill", c), 2, name, "add --force")
	on(2, []string{"--all"}, "delete")
	on(0, []string{"deleted " + name}, "delete", "-f", name)
	on(0, []string{"no snapshots"}, "delete", "-f", "--all")
	if s := list(t, dir).status(c); s != "running" {
		t.Errorf("the session is %q after that", s)
	}
}

// Cli §5.3-§5.10, §6.2, §7.2: what is stopped: kept, read and written, made an
// image of, cleaned, found again.
func TestVerbsOfAStoppedSession(t *testing.T) {
	dir := workspace(t)
	on := func(code int, words ...string) func(args ...string) house.Result {
		return func(args ...string) house.Result { t.Helper(); return says(t, do(t, dir, args...), code, words...) }
	}
	c := shell(t, dir)
	other := shell(t, dir)
	on(2, "1. "+c, "2. "+other)("attach")
	on(2, c, other, "coi tmux "+c)("tmux", "capture", "") // no name: the workspace has two
	on(2, "hint: add --force")("persist", c, other)
	on(0, "persistent: "+c)("persist", c)
	on(0, "persistent already")("persist", c)
	on(2, "is persistent", "hint: add --force")("kill", c)
	on(1, "is running")("image", "publish", c, "e2e-published")
	on(0, "deleted "+other)("close", other)
	on(0, "is gone already")("kill", "--force", other)
	on(0, "stopped "+c+" (persistent, kept)")("shutdown", "--timeout", "20")
	on(0, "is stopped already")("shutdown", c)
	on(0, "Stopped containers", "persistent", "!Active")("list", "--stopped")
	on(1, "is not running")("freeze", c)
	on(1, "is not running")("attach", c)
	on(1, "is not running")("container", "exec", c, "--", "true")
	on(1)("container", "running", c)
	on(0)("container", "exists", c)
	on(0, "is stopped already")("container", "stop", c)
	on(0, "no running sessions")("attach")

	out := filepath.Join(t.TempDir(), "os-release")
	on(0)("file", "pull", c+":/etc/debian_version", out)
	on(0)("file", "push", out, c+":/etc/pushed")

	var saved string
	for _, s := range list(t, dir, "--all").Saved {
		if s.Workspace == dir {
			saved = s.ID
		}
	}
	on(0, "session id:", "resume with:", "coi shell --resume="+saved)("info", saved[:8])
	if v := parsed[map[string]any](t, on(0)("info", "--json", saved)); v["id"] != saved || v["resume_with"] != "coi shell --resume="+saved {
		t.Errorf("info = %v", v)
	}
	elsewhere := workspace(t) + "-2"
	if err := errors.Join(os.Mkdir(elsewhere, 0o755), os.Chown(elsewhere, house.Owner, house.Owner)); err != nil {
		t.Fatal(err)
	}
	says(t, do(t, elsewhere, "shell", "--background", "--debug", "--resume="+saved), 1, dir, "-w")
	says(t, do(t, elsewhere, "shell", "--background", "--debug", "--resume"), 1, "coi list --all")
	says(t, do(t, elsewhere, "info"), 4)

	t.Run("image", func(t *testing.T) { imageVerb(t, dir, c) })
	t.Run("clean", func(t *testing.T) {
		on(0, c)("clean", "--all", "--dry-run")
		on(0, "saved sessions: "+saved, "!containers: "+c)("clean", "--sessions", "--dry-run")
		on(0, "!"+c)("clean", "--pools", "--dry-run")
		on(0, "!"+c)("clean", "--orphans", "--dry-run")
		on(0, "!"+c)("clean", "--dry-run")
		on(2, "hint: add --force")("clean", "--sessions")
		orphan := the.Home.Path("storage", "snapshots", the.Prefix+"gone-1", "s")
		if err := os.MkdirAll(orphan, 0o700); err != nil {
			t.Fatal(err)
		}
		on(0, orphan[:len(orphan)-2])("clean", "--orphans", "--dry-run")
		on(2, "hint: add --force")("clean", "--orphans")
		if _, err := os.Stat(orphan); err != nil {
			t.Errorf("removed without a yes: %v", err)
		}
		on(0)("clean", "--orphans", "--yes")
		if _, err := os.Stat(orphan); err == nil {
			t.Error("the orphan is still there")
		}
		on(0, "saved sessions: "+saved)("clean", "--sessions", "--force")
		l := list(t, dir, "--all")
		for _, s := range l.Saved {
			if s.ID == saved {
				t.Errorf("still there: %+v", s)
			}
		}
		if l.status(c) != "stopped" {
			t.Errorf("after the clean: %+v", l)
		}
	})
	on(0, "deleted "+c+" (was persistent)")("kill", "-f", c)
	on(4, "coi list --all")("attach", c)
}

func imageVerb(t *testing.T, dir, c string) {
	const stem = "e2e-published"
	on := func(code int, words []string, args ...string) house.Result {
		t.Helper()
		return says(t, do(t, dir, append([]string{"image"}, args...)...), code, words...)
	}
	p := parsed[map[string]string](t, on(0, nil, "publish", c, stem+"-20260101-000001", "--compression", "none", "--description", "made by a test"))
	fp := p["fingerprint"]
	t.Cleanup(func() { _ = exec.Command("incus", "image", "delete", fp).Run() })
	if p["alias"] != stem+"-20260101-000001" || len(fp) != 64 {
		t.Fatalf("publish = %v", p)
	}
	on(2, nil, "publish", c, "bad alias")
	on(4, nil, "publish", the.Prefix+"nosuch-1", stem)
	on(0, nil, "exists", p["alias"])
	on(1, nil, "exists", stem)
	on(0, []string{"made by a test", fp}, "info", p["alias"])
	on(1, []string{"coi image list --all"}, "info", "nosuch")
	type row struct {
		Fingerprint string
		Aliases     []string
		Size        int64
		Created     time.Time `json:"created_at"`
	}
	l := parsed[[]row](t, on(0, nil, "list", "--prefix", stem, "--json"))
	if len(l) != 1 || l[0].Fingerprint != fp || l[0].Size == 0 || l[0].Created.IsZero() {
		t.Errorf("list = %+v", l)
	}
	on(0, []string{"ALIAS", "FINGERPRINT", house.Image}, "list", "--all")
	on(0, []string{"no images"}, "list", "--prefix", "no-such-")
	on(2, []string{"at least 1"}, "cleanup", stem, "--keep", "0")
	on(2, nil, "cleanup", stem)
	on(0, []string{"nothing to delete"}, "cleanup", stem, "--keep", "1")
	// A newer name of the stem, on an image that is another's as well.
	if out, err := exec.Command("incus", "image", "alias", "create", stem+"-20260101-000002", strings.Trim(fingerprint(t, house.Image), `",`)).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("incus", "image", "alias", "delete", stem+"-20260101-000002").Run() })
	on(0, []string{p["alias"], "!000002"}, "cleanup", stem, "--keep", "1", "--dry-run")
	on(2, []string{"add --force"}, "cleanup", stem, "--keep", "1")
	on(0, nil, "exists", p["alias"])
	on(0, []string{p["alias"]}, "cleanup", stem, "--keep", "1", "-f")
	on(1, nil, "exists", p["alias"])
	on(0, nil, "exists", house.Image)
	on(2, []string{"sessions here", "add --force"}, "delete", house.Image)
	on(1, nil, "delete", "nosuch")
}

// Cli §4, session §2: an alias names the session from everywhere, and starts one
// in its workspace again.
func TestAlias(t *testing.T) {
	dir := workspace(t)
	give(t, dir, ".coi/config.toml", "[container]\nalias = \"e2e-alias\"\n")
	elsewhere := workspace(t) + "-2"
	if err := errors.Join(os.Mkdir(elsewhere, 0o755), os.Chown(elsewhere, house.Owner, house.Owner)); err != nil {
		t.Fatal(err)
	}
	c := shell(t, dir)
	for _, name := range []string{"e2e-alias", "e2e-alias-1"} {
		says(t, do(t, elsewhere, "info", name), 0, c, "alias:")
	}
	says(t, do(t, elsewhere, "info", "e2e-alias-2"), 4)
	says(t, do(t, elsewhere, "kill", "--force", "e2e-alias"), 0, "deleted "+c)
	r := says(t, do(t, elsewhere, "shell", "--background", "--debug", "--json", "e2e-alias"), 0)
	v := parsed[struct{ Container, Workspace string }](t, r)
	discard(t, dir, v.Container)
	if v.Container != c || v.Workspace != dir {
		t.Errorf("started by its alias: %+v; want %s in %s", v, c, dir)
	}
	give(t, elsewhere, ".coi/config.toml", "[container]\nalias = \"e2e-alias\"\n")
	says(t, do(t, elsewhere, "shell", "--background", "--debug"), 5, "e2e-alias", dir)
}

// onTerminal types into a command that has a terminal of its own, until it ends,
// and returns what it shows. More words after ";" are the shell's.
func onTerminal(t *testing.T, dir, input string, args ...string) string {
	t.Helper()
	cmd := the.Command(t.Context(), house.Call{Dir: dir, Args: args, Env: []string{"TERM=xterm-kitty", "SHELL=/bin/sh"}})
	script := exec.CommandContext(t.Context(), "script", "-qec", strings.Join(append([]string{cmd.Path}, cmd.Args[1:]...), " "), "/dev/null")
	script.Env, script.Dir = cmd.Env, dir
	keys, err := script.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	script.Stdout, script.Stderr = &out, &out
	if err := script.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(keys, input)
	if err := script.Wait(); err != nil {
		t.Errorf("%v: %v\n%s", args, err, out.String())
	}
	return out.String()
}

// Cli §6.1: a container without a session, in a pool that is named, with mounts
// whose owners are mapped or not, and without a tmux session to attach to.
func TestContainerWithoutASession(t *testing.T) {
	dir := workspace(t)
	name := the.Prefix + "alone-1"
	pools, err := exec.CommandContext(t.Context(), "incus", "storage", "list", "-f", "csv", "-c", "n").Output()
	if err != nil {
		t.Fatal(err)
	}
	pool, _, _ := strings.Cut(string(pools), "\n")
	says(t, do(t, dir, "container", "launch", "-s", "nosuch-pool", house.Image, name), 1, "nosuch-pool")
	says(t, do(t, dir, "container", "exists", name), 1)
	must(t, dir, "container", "launch", "-s", pool, house.Image, name)
	discard(t, dir, name)
	shared := t.TempDir()
	owner := func(at string) string { t.Helper(); return asRoot(t, dir, name, "stat", "-c", "%u", at) }
	must(t, dir, "container", "mount", name, "shifted", shared, "/mnt/shifted")
	if got := owner("/mnt/shifted"); got != "0\n" {
		t.Errorf("owner of a shifted mount: %q; want root", got)
	}
	// What the kernel lets liblxc do differs; the owner is nobody, or it is refused.
	if r := do(t, dir, "container", "mount", "--no-shift", name, "unshifted", shared, "/mnt/unshifted"); r.Code != 0 {
		says(t, r, 1, "hint: leave --no-shift out")
	} else if got := owner("/mnt/unshifted"); got != "65534\n" {
		t.Errorf("owner of an unshifted mount: %q; want nobody", got)
	}
	if got := onTerminal(t, dir, "", "attach", name, ";", "echo", "code", "$?"); !strings.Contains(got, "has no tmux session") || !strings.Contains(got, "hint: coi attach --bash "+name) || !strings.Contains(got, "code 1") {
		t.Errorf("attach: %q", got)
	}
	must(t, dir, "container", "stop", name)
	says(t, do(t, dir, "container", "mount", name, "late", shared, "/mnt/late"), 1, "is not running", "coi container start "+name)
}

// Cli §5.1, §5.2, session §16: on a terminal the tool runs with and without
// tmux, and a command gets a terminal with -t; a prompt or script that cannot be
// is refused before anything is made.
func TestTerminalsAndScripts(t *testing.T) {
	dir := workspace(t)
	onTerminal := func(input string, args ...string) string { t.Helper(); return onTerminal(t, dir, input, args...) }
	if got := onTerminal("echo no''tmux $TMUX end; touch direct; exit\n", "shell", "--no-tmux", "--debug"); !strings.Contains(got, "notmux end") || !strings.Contains(got, "deleted") {
		t.Errorf("--no-tmux: %q", got)
	}
	if _, err := os.Stat(filepath.Join(dir, "direct")); err != nil {
		t.Errorf("nothing ran: %v", err)
	}
	if got := onTerminal("", "run", "-t", "--", "sh", "-c", "'tty; echo $TERM'"); !strings.Contains(got, "/dev/pts/") || !strings.Contains(got, "xterm-256color") {
		t.Errorf("run -t: %q", got)
	}
	configure(t, "[tool]\nname = \"custom\"\n[tool.custom]\ncommand = [\"sh\", \"-c\", \"echo the reason; exit 9\"]\n")
	if got := onTerminal("", "shell", ";", "echo", "code", "$?"); !strings.Contains(got, "ended at once with exit code 9") || !strings.Contains(got, "the reason") || !strings.Contains(got, "code 1") {
		t.Errorf("a tool that fails at once: %q", got)
	}
	says(t, do(t, dir, "shell", "--json"), 2, "--background")
	configure(t, "")
	give(t, dir, "script", "#!/bin/sh\necho from the script $0 >&2; pwd; exit 5\n")
	if err := errors.Join(os.Chmod(filepath.Join(dir, "script"), 0o755), os.Symlink("script", filepath.Join(dir, "coi-run"))); err != nil {
		t.Fatal(err)
	}
	if r := says(t, do(t, dir, "run"), 5, "from the script"); r.Stdout != "/workspace\n" {
		t.Errorf("%s", r)
	}
	before, err := the.Containers()
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"--prompt", "x", "--", "ls"}, {"--prompt", "x", "--prompt-name", "y"}, {"--prompt", " "}, {"--prompt-name", "nosuch"}, {"--prompt-file", "nosuch"}, {"--prompt-file", "/dev/zero"},
	} {
		says(t, do(t, dir, append([]string{"run"}, args...)...), 2)
	}
	configure(t, "[tool]\npermission_mode = \"interactive\"\n")
	says(t, do(t, dir, "run", "--prompt", "x"), 2, "bypass")
	if err := os.Remove(filepath.Join(dir, "coi-run")); err != nil {
		t.Fatal(err)
	}
	for _, lead := range []string{"/bin/true", "."} {
		if err := os.Symlink(lead, filepath.Join(dir, "coi-run")); err != nil {
			t.Fatal(err)
		}
		says(t, do(t, dir, "run"), 2, "coi-run")
		if err := os.Remove(filepath.Join(dir, "coi-run")); err != nil {
			t.Fatal(err)
		}
	}
	says(t, do(t, dir, "run"), 2, "does not exist")
	give(t, dir, "coi-run", "#!/bin/sh\n")
	says(t, do(t, dir, "run"), 2, "not executable")
	says(t, do(t, dir, "run", "--tool", "nosuch", "--image", "nosuch", "--", "true"), 5, "nosuch")
	after, err := the.Containers()
	for _, c := range after {
		if !slices.Contains(before, c) {
			t.Errorf("%s was made", c)
		}
	}
	if err != nil {
		t.Error(err)
	}
}
