package launch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/bundle"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
)

// User is the code user of a running container.
type User struct {
	Name string
	UID  int
	Home string
}

// retryEvery is the pause between two looks at a container that is not ready.
const retryEvery = 50 * time.Millisecond

// The words of the set-up script to us. What a container says is data: only
// these lines are read and each value is checked.
const (
	sayUser  = "coi-user "
	sayError = "coi-error "
	sayReady = "coi-ready"
	sayWarn  = "coi-warning "
)

// InitVariable is of the container's environment; coi-init waits when it is
// "wait", and takes it away.
const InitVariable = "COI_INIT"

// awaitRun waits until /run is what it will be: our init (coi-init of the image)
// mounts it and waits for letBoot; a systemd of its own puts its tmpfs there
// early, and what is unpacked before would be hidden by it. Exec works long
// before systemd is up, and nothing here waits for units.
const awaitRun = `set -u
n=0
if [ "${` + InitVariable + `-}" = wait ] && ! [ -L /sbin/init ]; then
	until [ -e /run/coi/waits ] || [ $n -ge 200 ]; do sleep 0.005; n=$((n+1)); done
else
	case "$(readlink /sbin/init 2>/dev/null)" in
	*systemd*) until grep -q ' /run tmpfs ' /proc/mounts || [ $n -ge 2000 ]; do sleep 0.005; n=$((n+1)); done ;;
	esac
fi
`

// has finds the first line of a small file that is like a pattern, without
// another program, of which each costs a start milliseconds.
const has = `has() { while IFS= read -r line; do case "$line" in $1) return 0 ;; esac; done <"$2"; return 1; }
`

// prelude unpacks what the session gets, so many blocks of an archive. What the
// set-up has to say goes one way: the other stream is the command's.
func prelude(n int) string {
	return "exec 3>&2 2>&1\n" + has + awaitRun + "[ -d /run/coi ] || mkdir -m 0755 /run/coi; " + takeBlocks + strconv.Itoa(n) +
		" | { tar -xpf - -C / && cat >/dev/null; } || { echo 'coi-error unpack the set-up'; exit 1; }\n"
}

// letBoot lets our init go on to systemd. Opened for both, the pipe blocks nobody,
// also when nobody waits.
const letBoot = "[ ! -p /run/coi/init ] || echo go 1<>/run/coi/init\n"

// AwaitBoot is shell text ahead of a command: it waits until systemd has mounted
// what programs expect (/dev/shm, /sys/fs/cgroup), of which this directory is
// the last step (systemd, mount_setup).
const AwaitBoot = "[ ! -p /run/coi/init ] || { n=0; until [ -d /run/systemd/system ] || [ $n -ge 400 ]; do sleep 0.005; n=$((n+1)); done; }\n"

// setup waits until the container is ready and sets it up, in one exec that
// carries all files. Ready means: exec works, the code user resolves, eth0 has
// its address.
func (s *start) setup(ctx context.Context) error {
	ctx, stop := context.WithTimeout(ctx, s.spec.Ready)
	defer stop()
	ctx, frozen := context.WithCancelCause(ctx)
	defer frozen(nil)
	go s.heedFreeze(ctx, frozen)
	if s.spec.Restore != nil {
		if err := s.try(ctx, s.restore); err != nil {
			return fmt.Errorf("restore what was saved: %w", err)
		}
		s.mark("restored")
	}
	if err := s.try(ctx, s.equip); err != nil {
		return err
	}
	s.mark("set up")
	return nil
}

// setupEnv is the environment of the set-up.
var setupEnv = map[string]string{"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}

// equip unpacks the files of the session and runs its script.
func (s *start) equip(ctx context.Context) (code int, err error) {
	var archive bytes.Buffer
	if err := bundle.Write(&archive, s.spec.Files); err != nil {
		return 0, err
	}
	data, n := blocks(archive.Bytes(), "\x00")
	script := prelude(n) + "{\n" + s.lease() + s.spec.Before + s.probe() + s.spec.Script + "\n} </dev/null\n" + letBoot + becomeCommand
	h := s.hold(ctx, script, data)
	select {
	case <-h.out.ready:
		s.held = h
		return 0, s.heard(h.out.text(), 0)
	case <-h.ended:
		if h.err != nil {
			return 0, h.err
		}
		return h.code, s.heard(h.out.text(), h.code)
	case <-ctx.Done():
		h.close()
		return 0, ctx.Err()
	}
}

// restore unpacks what was saved.
func (s *start) restore(ctx context.Context) (code int, err error) {
	var out, errs bytes.Buffer
	code, err = s.Door.Exec(ctx, s.spec.Record.Container, incus.Exec{
		Argv: []string{"/bin/sh", "-c", awaitRun + "tar -xpf - -C / && echo " + sayReady}, Env: setupEnv,
		Stdin: s.saved(), Stdout: &out, Stderr: &errs,
	})
	if err == nil && (code != 0 || !strings.Contains(out.String(), sayReady)) {
		err = s.failed(errs.String(), code)
	}
	return code, err
}

// saved streams what was saved.
func (s *start) saved() io.Reader {
	r, w := io.Pipe()
	go func() { _ = w.CloseWithError(s.spec.Restore(w)) }()
	return r
}

// try does a part of the set-up until it is done, or says with exit code 1 that
// it cannot be done, or the time is over.
func (s *start) try(ctx context.Context, part func(context.Context) (int, error)) error {
	var last error
	for {
		code, err := part(ctx)
		if err == nil {
			return nil
		}
		if code == 1 {
			return err
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return s.notReady(last)
			}
			return context.Cause(ctx)
		case <-time.After(retryEvery):
		}
	}
}

// FrozenError says that the monitor froze the container while it was set up.
type FrozenError struct {
	Name, Level, Title, Event string
}

func (f *FrozenError) Error() string {
	return fmt.Sprintf("the monitor froze %s during its start: %s: %s (audit %s)", f.Name, f.Level, f.Title, f.Event)
}

// heedFreeze ends the set-up at once when the monitor freezes the container: an
// exec in it would hang until the time is over.
func (s *start) heedFreeze(ctx context.Context, give func(error)) {
	if s.watch == nil {
		return
	}
	if st, err := s.watch.Frozen(ctx); err == nil {
		give(&FrozenError{Name: s.spec.Record.Container, Level: st.FrozenLevel, Title: st.FrozenTitle, Event: st.Frozen.Event})
	}
}

// probe is the readiness part of the script: it says who the code user is and
// looks for the address that the guard gave.
func (s *start) probe() string {
	p := s.spec.Record.Plan
	text := fmt.Sprintf("has '%[1]s:*' /etc/passwd || line=$(getent passwd '%[1]s' || true); [ -z \"$line\" ] || echo \"coi-user $line\"\n", p.User)
	if s.ipv4 != "" {
		text += fmt.Sprintf("n=0; until has '*-- %s' /proc/net/fib_trie; do n=$((n+1)); [ $n -ge 100 ] && { echo 'coi-error eth0 has no address'; exit 2; }; sleep 0.01; done\n", s.ipv4)
	}
	return text
}

// heard reads what the set-up said.
func (s *start) heard(out string, code int) error {
	user := User{Name: "root", UID: 0, Home: "/root"}
	ready := false
	var problem string
	for line := range strings.SplitSeq(out, "\n") {
		switch {
		case strings.HasPrefix(line, sayUser):
			if u, ok := ParseUser(line[len(sayUser):]); ok {
				user = u
			}
		case strings.HasPrefix(line, sayError):
			problem = line[len(sayError):]
		case strings.HasPrefix(line, sayWarn):
			s.Warn(line[len(sayWarn):])
		case line == sayReady:
			ready = true
		}
	}
	if !ready {
		if problem != "" {
			return fmt.Errorf("set up %s: %s", s.spec.Record.Container, problem)
		}
		return s.failed(out, code)
	}
	s.user = user
	if user.Name == "root" && s.spec.Record.Plan.User != "root" {
		s.Warn(fmt.Sprintf("the image has no user %q: the tool runs as root of the container", s.spec.Record.Plan.User))
	}
	return nil
}

func (s *start) failed(said string, code int) error {
	return fmt.Errorf("set up %s: exit code %d: %s", s.spec.Record.Container, code, strings.TrimSpace(said))
}

// ParseUser reads a line of passwd(5) that a container printed.
func ParseUser(line string) (User, bool) {
	f := strings.Split(line, ":")
	if len(f) != 7 || f[0] == "" || !strings.HasPrefix(f[5], "/") || strings.Contains(f[5], "..") {
		return User{}, false
	}
	uid, err := strconv.Atoi(f[2])
	if err != nil || uid < 0 || uid > 65535 {
		return User{}, false
	}
	return User{Name: f[0], UID: uid, Home: f[5]}, true
}

func (s *start) notReady(last error) error {
	if last == nil {
		last = errors.New("exec does not work")
	}
	name := s.spec.Record.Container
	return &StartError{
		Name: name, Lines: lastLines(s.Door.ConsoleLog(context.Background(), name), 20),
		Err: fmt.Errorf("not ready within %s (container.ready_timeout): %w", s.spec.Ready, last),
	}
}
