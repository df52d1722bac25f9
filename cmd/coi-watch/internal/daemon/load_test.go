package daemon

import (
	"io"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/detect"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/proc"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/scene"
	"github.com/code-on-incus/coi/pkg/home"
)

// heard keeps what it was given to judge.
type heard struct{ events []event.Event }

func (h *heard) Process(ev event.Event) []detect.Finding {
	h.events = append(h.events, ev)
	return nil
}
func (*heard) Problems() []string   { return nil }
func (*heard) Hits() map[string]int { return nil }
func (*heard) Reload() error        { return nil }
func (*heard) Forget()              {}

// listening is a container of the given processes, and what is judged of it.
func listening(t *testing.T, pids ...int) (*container, *heard, []*scene.Proc) {
	t.Helper()
	h := &heard{}
	d := New(Options{Home: home.Home{Dir: t.TempDir(), UID: os.Geteuid()}, Names: names{}, Trail: &memTrail{}})
	d.wiring = true
	c := &container{d: d, name: "coi-1a2b3c4d-1", judge: h, scene: scene.New("coi-1a2b3c4d-1", nil, names{}), load: newLoad()}
	t.Cleanup(c.load.reader.Close)
	var all []*scene.Proc
	for _, pid := range pids {
		st, err := proc.Host.ReadStat(pid)
		if err != nil {
			t.Fatal(err)
		}
		p := &scene.Proc{PID: pid, Start: st.Start, UID: -1}
		c.scene.Table.Put(p)
		all = append(all, p)
	}
	return c, h, all
}

// miner.cpu is fed: the tree that is busy is found among others, and a container
// that is not busy is not looked at.
func TestBusyTreeIsTold(t *testing.T) {
	spin := exec.Command("sh", "-c", "while :; do :; done")
	if err := spin.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = spin.Process.Kill(); _ = spin.Wait() })
	idle := exec.Command("sleep", "1000")
	if err := idle.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = idle.Process.Kill(); _ = idle.Wait() })
	c, h, _ := listening(t, idle.Process.Pid, spin.Process.Pid)
	eventually(t, "the busy process", func() bool {
		c.busy(1.9, 2, 0.1)
		for _, ev := range h.events {
			if ev.Op == "cpu" && ev.PID == spin.Process.Pid && ev.N["cpu_cores"] > 0.1 && ev.N["cores"] == 2 {
				return true
			}
		}
		return false
	})
	for _, ev := range h.events {
		if _, told := ev.N["flow_s"]; !told || ev.PID == idle.Process.Pid && ev.N["cpu_cores"] > 0.5 {
			t.Errorf("told %+v; want its connections, and not the one that sleeps", ev)
		}
	}
	n := len(h.events)
	c.busy(0.5, 2, 0.1)
	c.busy(1.9, 2, 0.1) // the first look after a break has nothing to compare with
	if len(h.events) != n {
		t.Errorf("a container that is not busy was looked at: %+v", h.events[n:])
	}
}

// read.volume is fed: what a tree sent to outside within a minute, but nothing
// that stayed on this machine or is older.
func TestSentOutsideIsCounted(t *testing.T) {
	send := func(addr string) func(int) {
		l, err := net.Listen("tcp4", addr+":0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				in, err := l.Accept()
				if err != nil {
					return
				}
				go func() { _, _ = io.Copy(io.Discard, in) }()
			}
		}()
		out, err := net.Dial("tcp4", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = out.Close() })
		return func(mb int) {
			if _, err := out.Write(make([]byte, mb<<20)); err != nil {
				t.Fatal(err)
			}
		}
	}
	away, here := send(own(t)), send("127.0.0.1")
	c, _, procs := listening(t, os.Getpid())
	away(2) // before anybody looked
	at := time.Now()
	if got := c.sentBy(procs[0], at); got != 0 {
		t.Errorf("at the first look %v MB; want 0", got)
	}
	away(4)
	here(8)
	eventually(t, "4 MB acknowledged", func() bool { return c.sentBy(procs[0], at.Add(time.Second)) >= 4 })
	if got := c.sentBy(procs[0], at.Add(2*time.Second)); got > 6.5 {
		t.Errorf("%v MB; want the 4 sent outside, with what of the 2 before was under way", got)
	}
	if got := c.sentBy(procs[0], at.Add(5*time.Minute)); got > 0.1 {
		t.Errorf("five minutes later %v MB; want 0", got)
	}
}

// own is an address of this machine that is not loopback.
func own(t *testing.T) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
			return n.IP.String()
		}
	}
	t.Fatal("this machine has no address but loopback")
	return ""
}
