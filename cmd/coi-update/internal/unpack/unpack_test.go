package unpack

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func archive(t *testing.T, headers ...tar.Header) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, h := range headers {
		body := []byte("body")
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(body))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write(body); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "a.tar.gz")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTar(t *testing.T) {
	dir := t.TempDir()
	a := archive(t, tar.Header{Typeflag: tar.TypeDir, Name: "bin/", Mode: 0o755}, tar.Header{Typeflag: tar.TypeReg, Name: "bin/coi", Mode: 0o4755},
		tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/coi-x", Linkname: "coi"})
	if err := Tar(a, dir, true); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(filepath.Join(dir, "bin/coi-x"))
	if err != nil || st.Mode() != 0o755 {
		t.Errorf("mode = %v, %v; want 0755 and no setuid bit", st.Mode(), err)
	}
}

func TestTarRefuses(t *testing.T) {
	for name, h := range map[string]tar.Header{
		"parent":        {Typeflag: tar.TypeReg, Name: "../x"},
		"absolute":      {Typeflag: tar.TypeReg, Name: "/etc/x"},
		"link out":      {Typeflag: tar.TypeSymlink, Name: "x", Linkname: "../../etc"},
		"absolute link": {Typeflag: tar.TypeSymlink, Name: "x", Linkname: "/etc/passwd"},
		"hard link":     {Typeflag: tar.TypeLink, Name: "x", Linkname: "y"},
		"device":        {Typeflag: tar.TypeChar, Name: "x"},
		"fifo":          {Typeflag: tar.TypeFifo, Name: "x"},
	} {
		dir := t.TempDir()
		if err := Tar(archive(t, h), dir, true); !errors.Is(err, ErrUnsafe) {
			t.Errorf("%s: error = %v; want ErrUnsafe", name, err)
		}
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Errorf("%s: wrote %v", name, left)
		}
	}
	if err := Tar(archive(t, tar.Header{Typeflag: tar.TypeSymlink, Name: "x", Linkname: "y"}), t.TempDir(), false); !errors.Is(err, ErrUnsafe) {
		t.Errorf("a link in a rule archive: %v", err)
	}
}

// R-OWN-02: no archive, however broken, writes outside its directory.
func FuzzTar(f *testing.F) {
	f.Add([]byte("\x1f\x8b"))
	f.Fuzz(func(t *testing.T, b []byte) {
		parent := t.TempDir()
		dir, file := filepath.Join(parent, "d"), filepath.Join(parent, "a")
		if os.Mkdir(dir, 0o700) != nil || os.WriteFile(file, b, 0o600) != nil {
			t.Fatal("no room for the test")
		}
		_ = Tar(file, dir, true)
		if left, err := os.ReadDir(parent); err != nil || len(left) != 2 {
			t.Fatalf("wrote beside its directory: %v, %v", left, err)
		}
	})
}
