package procconn

import (
	"os/exec"
	"testing"
	"time"
)

func TestExecIsTold(t *testing.T) {
	s, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	events := make(chan Event, 4096)
	go func() {
		_ = s.Read(func(e Event) {
			select {
			case events <- e:
			default: // the machine is busy with others' processes
			}
		})
	}()
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	deadline := time.After(5 * time.Second)
	for {
		select {
		case e := <-events:
			if e.Kind == Exec && e.TGID == pid {
				return
			}
		case <-deadline:
			t.Fatalf("exec of %d was not told", pid)
		}
	}
}

// T-W-20
func FuzzParse(f *testing.F) {
	f.Add(subscription())
	f.Add(make([]byte, 76))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		Parse(b, func(Event) { n++ })
		if n > len(b)/netlinkHead {
			t.Errorf("%d events in %d bytes", n, len(b))
		}
	})
}
