package launch

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/record"
	"github.com/code-on-incus/coi/pkg/run"
)

// here runs commands on this machine.
type here struct{ Door }

func (here) Exec(ctx context.Context, _ string, e incus.Exec) (int, error) {
	cmd := exec.CommandContext(ctx, e.Argv[0], e.Argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = e.Stdin, e.Stdout, e.Stderr
	cmd.WaitDelay = time.Second // for an input that nobody reads any more
	err := cmd.Run()
	var code *exec.ExitError
	if errors.As(err, &code) {
		return code.ExitCode(), nil
	}
	return cmd.ProcessState.ExitCode(), err
}

func setUp(t *testing.T, script string, archive []byte) *Live {
	t.Helper()
	s := &start{Env: Env{Door: here{}}, spec: &Spec{Record: record.Record{Session: run.Session{Container: "c"}}}}
	data, n := blocks(archive, "\x00")
	h := s.hold(t.Context(), "exec 3>&2 2>&1\n"+has+takeBlocks+strconv.Itoa(n)+" | cat >"+t.TempDir()+"/archive\n{\n"+script+"\n} </dev/null\n"+becomeCommand, data)
	select {
	case <-h.out.ready:
	case <-h.ended:
		t.Fatalf("exit %d, %v: %s", h.code, h.err, h.out.text())
	}
	return &Live{Spec: *s.spec, env: s.Env, held: h}
}

// TestShellBecomesCommand: the streams of the command are its own, whatever the
// set-up said and read, and its input begins where that of the set-up ended.
func TestShellBecomesCommand(t *testing.T) {
	l := setUp(t, "echo said; echo wrong >&2; cat", bytes.Repeat([]byte("a"), 3*block+1))
	said := l.held.out.text()
	if said != "said\nwrong\ncoi-ready\n" {
		t.Errorf("said %q", said)
	}
	dir := t.TempDir()
	var out, errs bytes.Buffer
	code, err := l.Exec(t.Context(), incus.Exec{
		First: "echo first >&2\n", Argv: []string{"/bin/sh", "-c", `cat; pwd; echo "$V$1" >&2; exit 9`, "sh", "it's\n$(x)"},
		Env: map[string]string{"V": "a'b"}, Cwd: dir, Stdin: strings.NewReader("in\n"), Stdout: &out, Stderr: &errs,
	})
	if err != nil || code != 9 {
		t.Errorf("exit %d, %v", code, err)
	}
	if want := "in\n" + dir + "\n"; out.String() != want {
		t.Errorf("stdout %q; want %q", out.String(), want)
	}
	if want := "first\na'bit's\n$(x)\n"; errs.String() != want {
		t.Errorf("stderr %q; want %q", errs.String(), want)
	}
	// The next one is an exec of its own.
	if code, err := l.Exec(t.Context(), incus.Exec{Argv: []string{"/bin/false"}}); code != 1 || err != nil {
		t.Errorf("second command: exit %d, %v", code, err)
	}
}

// TestShellThatIsNotNeededEnds: a terminal cannot be had from it.
func TestShellThatIsNotNeededEnds(t *testing.T) {
	l := setUp(t, ":", nil)
	h := l.held
	if _, err := l.Exec(t.Context(), incus.Exec{Argv: []string{"/bin/true"}, TTY: true}); err != nil {
		t.Fatal(err)
	}
	<-h.ended
}

// TestSetUpCannotFlood: what a container says before it is ready is kept up to a
// bound, and the ready line counts only as a whole line.
func TestSetUpCannotFlood(t *testing.T) {
	r := newRelay()
	for range 64 {
		if n, err := r.Write(bytes.Repeat([]byte("x"), 64<<10)); n != 64<<10 || err != nil {
			t.Fatal(n, err)
		}
	}
	if len(r.said) != maxSaid {
		t.Errorf("%d bytes kept", len(r.said))
	}
	r = newRelay()
	for _, part := range []string{"a coi-ready\nb\ncoi-re", "ady", "\nrest"} {
		select {
		case <-r.ready:
			t.Fatalf("ready before %q", part)
		default:
		}
		if _, err := r.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	<-r.ready
	var out bytes.Buffer
	r.pass(&out)
	if _, err := r.Write([]byte("!")); err != nil || out.String() != "rest!" {
		t.Errorf("passed on %q, %v", out.String(), err)
	}
}

// TestHas: patterns are of whole lines.
func TestHas(t *testing.T) {
	file := t.TempDir() + "/passwd"
	if err := os.WriteFile(file, []byte("xcode:x:1\ncode:x:1000:1000::/home/code:/bin/bash\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("/bin/sh", "-c", has+`has 'code:*' "$1" && echo "$line"; has 'nobody:*' "$1" || echo none; has 'x:*' /nonexistent || echo no file`, "sh", file).Output()
	if want := "code:x:1000:1000::/home/code:/bin/bash\nnone\nno file\n"; err != nil || string(out) != want {
		t.Errorf("%q, %v; want %q", out, err, want)
	}
}
