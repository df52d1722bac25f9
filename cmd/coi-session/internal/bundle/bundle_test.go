package bundle

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWriteOrdersAndReplaces(t *testing.T) {
	var buf bytes.Buffer
	err := Write(&buf, append(Dirs("/home/code", "/home/code/.a/b/f", 1500),
		File{Path: "/home/code/.a/b/f", Mode: 0o600, UID: 1500, GID: 1500, Content: []byte("old")},
		File{Path: "/home/code/.a/b/f", Mode: 0o600, UID: 1500, GID: 1500, Content: []byte("new")},
		File{Path: "/etc/l", Link: "/x"}))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	tr := tar.NewReader(&buf)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, h.Name+":"+string(b)+h.Linkname)
	}
	want := []string{"etc/l:/x", "home/code/.a/:", "home/code/.a/b/:", "home/code/.a/b/f:new"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWriteRefusesPaths(t *testing.T) {
	for _, p := range []string{"x", "/", "/a/../b", "/a/", ""} {
		if Write(io.Discard, []File{{Path: p}}) == nil {
			t.Errorf("Write accepted %q", p)
		}
	}
}
