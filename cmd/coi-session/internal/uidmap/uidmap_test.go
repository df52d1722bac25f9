package uidmap

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/code-on-incus/coi/pkg/cli"
)

const open = "root:1000000:1000000000\n"

// S127, S149: the table of mappings.
func TestDecide(t *testing.T) {
	base := Request{UID: 1000, GID: 1000, CodeUID: 1000, CodeUser: "code", SubUID: []byte(open + "root:1001:1\n"), SubGID: []byte(open + "root:1001:1\nroot:50:1\n")}
	tests := []struct {
		name  string
		with  func(*Request)
		shift bool
		raw   string
	}{
		{"equal", func(*Request) {}, true, ""},
		{"other uid", func(r *Request) { r.UID, r.GID = 1001, 1001 }, false, "both 1001 1000"},
		{"other gid", func(r *Request) { r.UID, r.GID = 1001, 50 }, false, "uid 1001 1000\ngid 50 1000"},
		{"fuse", func(r *Request) {
			r.Unmappable = []string{"/x"}
			r.SubUID, r.SubGID = nil, nil
		}, false, "both 1000 1000"},
		{"disabled", func(r *Request) { r.DisableShift, r.SubUID, r.SubGID = true, nil, nil }, false, "both 1000 1000"},
		{"shift failed", func(r *Request) { r.ShiftFailed, r.SubUID, r.SubGID = true, nil, nil }, false, "both 1000 1000"},
		{"vm guest", func(r *Request) { r.GuestMaps, r.Unmappable = true, []string{"/x"} }, false, ""},
		{"kept raw", func(r *Request) { r.ExistingRaw = "both 7 8" }, false, "both 7 8"},
		{"root runs it for 1001", func(r *Request) { r.UID, r.GID, r.OwnerUID, r.OwnerGID = 0, 0, 1001, 1001 }, false, "both 1001 1000"},
		{"root runs it for 1000", func(r *Request) { r.UID, r.GID, r.OwnerUID, r.OwnerGID = 0, 0, 1000, 1000 }, true, ""},
	}
	for _, tt := range tests {
		r := base
		tt.with(&r)
		d, err := Decide(r)
		if err != nil || d.UseShift != tt.shift || d.RawIDMap != tt.raw {
			t.Errorf("%s: Decide = shift %v, raw %q, %v; want %v, %q", tt.name, d.UseShift, d.RawIDMap, err, tt.shift, tt.raw)
		}
	}
}

func TestDecideRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		r    Request
		want string
	}{
		"no lines":     {Request{UID: 1001, GID: 1001, CodeUID: 1000, SubUID: []byte(open), SubGID: []byte(open)}, "root:1001:1"},
		"in the range": {Request{UID: 1000500, GID: 1000500, CodeUID: 1000, SubUID: []byte(open), SubGID: []byte(open)}, "code_uid = 1000500"},
		"root by raw":  {Request{CodeUID: 1000, DisableShift: true}, "chown"},
		"rubbish file": {Request{UID: 5, GID: 5, CodeUID: 1000, SubUID: []byte("root:x:y\n:::\nroot:5"), SubGID: nil}, "root:5:1"},
	} {
		_, err := Decide(tt.r)
		var e *cli.Error
		if !errors.As(err, &e) || e.Code != 1 || !strings.Contains(strings.Join(e.Hints, "\n"), tt.want) {
			t.Errorf("%s: Decide error = %v, hints %q; want one with %q", name, err, e, tt.want)
		}
	}
}

// A workspace of root is never mapped to the host's root by raw.idmap.
func TestRootOwner(t *testing.T) {
	d, err := Decide(Request{CodeUID: 1000, CodeUser: "code", SubUID: []byte(open), SubGID: []byte(open)})
	want := Decision{UseShift: true, User: "root", Home: "/root"}
	if diff := cmp.Diff(want, d, cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Notes" }, cmp.Ignore())); diff != "" || err != nil || len(d.Notes) != 1 {
		t.Errorf("Decide = %+v, %v\n%s", d, err, diff)
	}
}

func TestShift(t *testing.T) {
	devs := map[string]map[string]string{
		"workspace": {"type": "disk", "source": "/w"}, "root": {"type": "disk", "path": "/"},
		"mount-1": {"type": "disk", "source": "/m", "shift": "false"}, "eth0": {"type": "nic"},
	}
	Decision{UseShift: true}.Shift(devs, map[string]bool{"mount-1": true})
	if devs["workspace"]["shift"] != "true" || devs["root"]["shift"] != "" || devs["mount-1"]["shift"] != "false" || devs["eth0"]["shift"] != "" {
		t.Errorf("devices = %v", devs)
	}
	Decision{}.Shift(devs, nil)
	if _, ok := devs["workspace"]["shift"]; ok {
		t.Error("shift stayed where it is not wanted")
	}
}

func TestProbe(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if bad, _ := probe([]string{dir, "/nonexistent"}, nil); len(bad) != 0 {
		t.Errorf("probe = %v", bad)
	}
	if _, maps := probe([]string{dir}, []string{dir}); maps {
		t.Error("a VM guest whose sources are idmappable counts as mapped by the tool")
	}
	if !refusesIDMap(fuseMagic) || refusesIDMap(0xEF53) {
		t.Error("refusesIDMap mixes up FUSE and ext4")
	}
}

// S149, S150: the script runs against copies of the account files in a mount
// namespace of its own, with another file system below the home.
func TestRenumber(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"passwd": "root:x:0:0:root:/root:/bin/sh\ncode:x:1000:1000::" + dir + "/home:/bin/sh\nother:x:1600:1600::/:/bin/sh\n",
		"group":  "root:x:0:\nsudo:x:27:code\ncode:x:1000:\nother:x:1600:\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run := func(uid string) (string, error) {
		argv := Renumber("code", 0)
		argv[len(argv)-1] = uid
		script := `set -e
mkdir -p etc home/mnt; cp -f passwd group etc/; echo "passwd: files
group: files" >etc/nsswitch.conf
touch home/f; chown -R 1000:1000 home
mount -t tmpfs none home/mnt; touch home/mnt/foreign; chown 1000 home/mnt/foreign
mount --bind etc /etc
"$@"
id -u code; id -g code; stat -c %u home/f home home/mnt/foreign; grep sudo /etc/group`
		cmd := exec.Command("unshare", append([]string{"-m", "sh", "-c", script, "sh"}, argv...)...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := run("1500")
	if want := "1500\n1500\n1500\n1500\n1000\nsudo:x:27:code\n"; err != nil || out != want {
		t.Errorf("renumber to 1500: %v\n%s\nwant\n%s", err, out, want)
	}
	if out, err := run("1600"); err == nil || !strings.Contains(out, "belongs to other") {
		t.Errorf("renumber to a taken uid: %v, %s", err, out)
	}
	if out, err := run("1000"); err != nil || !strings.HasPrefix(out, "1000\n") {
		t.Errorf("renumber to the same uid: %v, %s", err, out)
	}
}
