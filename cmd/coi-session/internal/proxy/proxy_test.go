package proxy

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Session §12: the block of a slot, pool first, busy automatic ports skipped.
func TestPorts(t *testing.T) {
	first := Block("/ws", 2)
	if first != Block("/ws", 1)+10 || first < 20000 || first > 60000 {
		t.Fatalf("Block of slot 2 = %d, of slot 1 = %d", first, Block("/ws", 1))
	}
	busy := map[uint16]bool{uint16(first + 1): true, 9000: true}
	free := func(at netip.AddrPort) bool { return !busy[at.Port()] }
	got, err := Ports("/ws", 2, 2, []Want{{Name: "web", Container: 8080}, {Name: "db", Container: 5432, Host: 5433}}, free)
	if err != nil {
		t.Fatal(err)
	}
	want := []Published{
		{Host: first, Container: first, Listen: "127.0.0.1", Pool: true, Variable: "COI_PORTS"},
		{Host: first + 2, Container: first + 2, Listen: "127.0.0.1", Pool: true, Variable: "COI_PORTS"},
		{Name: "web", Host: first + 3, Container: 8080, Listen: "127.0.0.1", Variable: "COI_PORT_WEB"},
		{Name: "db", Host: 5433, Container: 5432, Listen: "127.0.0.1", Variable: "COI_PORT_DB"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Ports (-want +got):\n%s", diff)
	}
	if _, err := Ports("/ws", 2, 0, []Want{{Name: "x", Container: 1, Host: 9000}}, free); err == nil {
		t.Error("a busy fixed port was taken")
	}
	none := func(netip.AddrPort) bool { return false }
	if _, err := Ports("/ws", 1, 1, nil, none); err == nil {
		t.Error("a port was found where none is free")
	}
}

// A proxy never connects as root of the host, and a socket inside is the code
// user's alone.
func TestDevices(t *testing.T) {
	d := Socket("/run/x.sock", "/tmp/x.sock", Owner{HostUID: 1001, HostGID: 1002, UID: 1000})
	if d["security.uid"] != "1001" || d["security.gid"] != "1002" || d["mode"] != "0600" || d["uid"] != "1000" {
		t.Errorf("Socket = %v", d)
	}
	p := PortDevices([]Published{{Name: "web", Host: 20001, Container: 80, Listen: "127.0.0.1"}}, 1001, 1002)["port-web"]
	if p["security.uid"] != "1001" || p["listen"] != "tcp:127.0.0.1:20001" || p["connect"] != "tcp:127.0.0.1:80" {
		t.Errorf("PortDevices = %v", p)
	}
}

// The agent's link follows a new login; a path that is no socket is refused.
func TestPointAgent(t *testing.T) {
	dir := t.TempDir()
	link, file := filepath.Join(dir, "link"), filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", file, filepath.Join(dir, "none")} {
		if err := PointAgent(link, bad); err == nil {
			t.Errorf("PointAgent to %q succeeded", bad)
		}
	}
}
