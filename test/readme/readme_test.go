//go:build readme

package readme

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

var block = regexp.MustCompile("(?ms)^```sh clean-machine\n(.*?)^```$")

// A person who types what the README says under Start, on a bare Debian 12 and
// on a bare Debian 13, ends in a session that both guards look after.
func TestReadmeOnCleanMachine(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := block.FindAllStringSubmatch(string(text), -1)
	if len(blocks) != 1 {
		t.Fatalf("the README has %d blocks for a clean machine; want one", len(blocks))
	}
	for i, release := range []string{"bookworm", "trixie"} {
		t.Run(release, func(t *testing.T) {
			m := boot(t, release, 2+i)
			out := m.must(blocks[0][1])
			if last := strings.TrimSpace(out); !regexp.MustCompile(`(?m)^Linux coi-[0-9a-f]{8}-1 .*$`).MatchString(last) {
				t.Errorf("the command ends with %q; want uname of a container of coi", last)
			}
			t.Logf("%s", out)
			guarded(t, m)
			// Twice is once.
			m.must("make setup install")
		})
	}
}

// guarded shows that the session is: a service of the machine answers the machine
// itself and not the session; the guard counted the try.
func guarded(t *testing.T, m *machine) {
	t.Helper()
	m.must(`mkdir -p /root/w && cd /root/w && nc -lk 0.0.0.0 8077 > /dev/null 2>&1 &
for i in $(seq 50); do (exec 3<> /dev/tcp/127.0.0.1/8077) 2> /dev/null && break; sleep 0.1; done
(exec 3<> /dev/tcp/127.0.0.1/8077)`)
	out := m.must(`cd /root/w && coi run -- bash -c 'exec 3<> /dev/tcp/169.254.0.1/8077 && echo reached || echo refused'`)
	if !strings.Contains(out, "refused") || strings.Contains(out, "reached") {
		t.Errorf("a service of the machine, from a session: %q; want refused", out)
	}
	if out := m.must("cat /root/.coi/audit/*.jsonl"); !strings.Contains(out, `"host.service"`) {
		t.Errorf("the try is not in the trail:\n%s", out)
	}
}
