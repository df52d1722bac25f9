package proc

import (
	"os"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// T-W-08: the name of a command may pretend to be the rest of the line.
func TestStatOfAHostileName(t *testing.T) {
	line := "77 (a) R 1 1\n(b) S 12 0 0 34816 0 0 0 0 0 0 5 6 0 0 0 0 1 0 4242 0 0"
	got, err := ParseStat([]byte(line))
	want := Stat{PID: 77, PPID: 12, Comm: "a) R 1 1\n(b", State: 'S', Start: 4242, TTY: 0, UTime: 5, STime: 6}
	got.TTY = 0
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("ParseStat: %v (-want +got):\n%s", err, diff)
	}
}

func TestOwnProcess(t *testing.T) {
	pid := os.Getpid()
	st, err := Host.ReadStat(pid)
	if err != nil || st.PID != pid || st.PPID != os.Getppid() || !Host.Is(pid, st.Start) || Host.Is(pid, st.Start+1) {
		t.Errorf("ReadStat = %+v, %v", st, err)
	}
	argv, cut, err := Host.Argv(pid)
	if diff := cmp.Diff(os.Args, argv); err != nil || cut || diff != "" {
		t.Errorf("Argv: %v, cut %v\n%s", err, cut, diff)
	}
	s, err := Host.ReadStatus(pid)
	if err != nil || s.UID != os.Getuid() || len(s.NSPIDs) == 0 {
		t.Errorf("ReadStatus = %+v, %v", s, err)
	}
}

func TestGoneProcess(t *testing.T) {
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if _, err := Host.ReadStat(cmd.Process.Pid); err != ErrGone { //nolint:errorlint // exactly this one
		t.Errorf("ReadStat of a gone process = %v; want ErrGone", err)
	}
}

func TestIDMap(t *testing.T) {
	m := ParseIDMap([]byte("         0    1000000      65536\n     65536       2000          1\nnonsense\n"))
	for host, want := range map[int]int{1000000: 0, 1001000: 1000, 2000: 65536, 999999: -1, 1065536: -1} {
		if got := m.Inside(host); got != want {
			t.Errorf("Inside(%d) = %d; want %d", host, got, want)
		}
	}
	if got := m.Outside(1000); got != 1001000 {
		t.Errorf("Outside(1000) = %d; want 1001000", got)
	}
}

// T-W-20
func FuzzParse(f *testing.F) {
	f.Add([]byte("1 (x) S 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 9"))
	f.Add([]byte("Uid:\t0\t0\nNSpid:\t7\t1\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if st, err := ParseStat(b); err == nil && len(st.Comm) > len(b) {
			t.Error("a name longer than the line")
		}
		if s := ParseStatus(b); len(s.NSPIDs) > 34 {
			t.Errorf("%d namespaces", len(s.NSPIDs))
		}
		_ = ParseIDMap(b).Inside(5)
	})
}
