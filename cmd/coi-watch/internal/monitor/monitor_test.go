package monitor

import (
	"strings"
	"testing"
	"time"

	"github.com/mattn/go-runewidth"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/view"
)

func hostile() view.View {
	v := view.New("coi-12345678-1")
	evil := "\x1b]0;title\x07\x1b[2J\u202egpj.exe\u200b\r\n世界"
	v.Timestamp = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	v.Watcher.Running = true
	for i := range 200 {
		v.Processes.List = append(v.Processes.List, view.Process{PID: i, User: evil, Command: view.Command{evil, evil}, Flags: []string{evil}})
	}
	v.Network.Connections = []view.Connection{{Protocol: "tcp", RemoteAddr: evil, Name: evil, State: evil, Verdict: evil}}
	v.Threats = []view.Threat{{Title: evil, Argv: []string{evil}, ID: "01M7ZX5631TK9BJVTB40XCH33G", Level: "high", Action: "paused"}}
	v.Errors = []string{evil}
	return v
}

// R-MON-14, T-W-17: nothing a process can name itself steers the terminal, and
// no line is wider than it.
func TestRenderIsSafe(t *testing.T) {
	for _, width := range []int{0, 40, 80, 200} {
		for _, line := range Render(hostile(), width, 0) {
			if strings.ContainsAny(line, "\x1b\x07\r\n\u202e\u200b") {
				t.Fatalf("width %d: raw control characters in %q", width, line)
			}
			if width > 0 && runewidth.StringWidth(line) > width {
				t.Errorf("width %d: %d cells in %q", width, runewidth.StringWidth(line), line)
			}
		}
	}
}

// A whole script that is one argument fills no page where there is no width.
func TestLongCommandsAreCut(t *testing.T) {
	v := view.New("coi-12345678-1")
	v.Processes.List = []view.Process{{PID: 1, Command: view.Command{"sh", "-c", strings.Repeat("set up; ", 5000)}}}
	for _, line := range Render(v, 0, 0) {
		if n := runewidth.StringWidth(line); n > 300 {
			t.Errorf("%d cells in one line: %.80s", n, line)
		}
	}
}

// All sections are there however small the terminal is.
func TestRenderFits(t *testing.T) {
	lines := Render(hostile(), 80, 30)
	if len(lines) > 30 {
		t.Errorf("%d lines; want at most 30", len(lines))
	}
	text := strings.Join(lines, "\n")
	for _, want := range []string{"THREATS", "NETWORK", "PROCESSES", "FILES", "RESOURCES", "LOST EVENTS"} {
		if !strings.Contains(text, want) {
			t.Errorf("no section %s in\n%s", want, text)
		}
	}
}

func TestSafeJSON(t *testing.T) {
	v := hostile().Safe()
	if strings.ContainsAny(v.Processes.List[0].Command[0]+v.Threats[0].Title+v.Network.Connections[0].Name, "\x1b\u202e\u200b") {
		t.Error("raw control characters in the JSON view")
	}
}
