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

// All sections are there on the usual screen and on smaller ones, with their
// content, and what is cut is said.
func TestRenderFits(t *testing.T) {
	full := hostile()
	full.Errors = nil
	full.Processes.Total = 200
	for range 20 {
		full.Threats = append(full.Threats, full.Threats[0])
		full.Network.Connections = append(full.Network.Connections, full.Network.Connections[0])
	}
	full.Watcher.Lost = 4711
	for _, size := range [][2]int{{80, 24}, {120, 40}, {200, 60}, {60, 24}, {40, 24}, {40, 14}, {20, 14}} {
		for name, v := range map[string]view.View{"full": full, "hostile": hostile(), "empty": view.New("coi-1")} {
			lines := Render(v, size[0], size[1])
			text := strings.Join(lines, "\n")
			if len(lines) > size[1] {
				t.Errorf("%s on %v: %d lines\n%s", name, size, len(lines), text)
			}
			for _, line := range lines {
				if runewidth.StringWidth(line) > size[0] {
					t.Errorf("%s on %v: %d cells in %q", name, size, runewidth.StringWidth(line), line)
				}
			}
			for _, want := range []string{"coi-1", "THREATS", "NETWORK", "PROCESSES", "FILES", "RESOURCES", "LOST EVENTS"} {
				if !strings.Contains(text, want) {
					t.Errorf("%s on %v: no %s in\n%s", name, size, want, text)
				}
			}
			if name == "full" && size[0] >= 40 {
				for _, want := range []string{"4711", "of 21 shown", "of 200 shown"} {
					if !strings.Contains(text, want) {
						t.Errorf("on %v: no %q in\n%s", size, want, text)
					}
				}
			}
		}
	}
	for _, h := range []int{1, 2, 5, 9} {
		if n := len(Render(full, 30, h)); n > h {
			t.Errorf("%d lines on a screen of %d", n, h)
		}
	}
}

// On a narrow screen rows stay rows: what matters of each is in sight.
func TestNarrowRows(t *testing.T) {
	v := view.New("coi-1")
	v.Threats = []view.Threat{{Level: "high", Action: "paused", Title: "shell on the network", ID: "01M7ZX5631TK9BJVTB40XCH33G"}}
	v.Network.Connections = []view.Connection{{Protocol: "tcp", RemoteAddr: "203.0.113.9:443", State: "established", LocalAddr: "10.0.0.1:1"}}
	v.Processes.List = []view.Process{{PID: 4242, User: "code", Command: view.Command{"sleep", "9"}}}
	text := "\n" + strings.Join(Render(v, 40, 24), "\n")
	for _, want := range []string{"high   shell on the net", "tcp    203.0.113.9:443  established", "\n4242  code  sleep 9\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in%s", want, text)
		}
	}
}

// A frozen container is told of with the commands that decide, whole.
func TestFrozenHeader(t *testing.T) {
	v := hostile()
	v.Watcher.Frozen = true
	v.Errors = nil
	text := strings.Join(Render(v, 80, 24), "\n")
	for _, want := range []string{"FROZEN: ", "coi unfreeze coi-12345678-1\n", "coi watch allow 01M7ZX5631TK9BJVTB40XCH33G\n", "coi kill coi-12345678-1\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestSafeJSON(t *testing.T) {
	v := hostile().Safe()
	if strings.ContainsAny(v.Processes.List[0].Command[0]+v.Threats[0].Title+v.Network.Connections[0].Name, "\x1b\u202e\u200b") {
		t.Error("raw control characters in the JSON view")
	}
}
