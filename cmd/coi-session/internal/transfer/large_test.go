package transfer

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// liar is a file that says it is short, or that it is enormous.
type liar struct {
	hostile
	said int64
}

type liarInfo struct {
	fs.FileInfo
	size int64
}

func (l liarInfo) Size() int64 { return l.size }

func (l liar) Lstat(name string) (fs.FileInfo, error) {
	st, err := l.hostile.Lstat(name)
	return liarInfo{st, l.said}, err
}

// R-INP-05: a file with holes, whatever size it gives, does not fill the host's
// disk: it is refused before or while it is copied, and nothing of it is left.
func TestPullStopsAtTheLimit(t *testing.T) {
	out := t.TempDir()
	file := hostile{"/f": {mode: 0o644, text: "0123456789"}}
	res, err := Pull(liar{file, 1 << 50}, "/f", filepath.Join(out, "huge"), false)
	if !errors.Is(err, ErrLarge) || res.Files != 0 {
		t.Errorf("a file of 1 PiB: %+v, %v; want ErrLarge", res, err)
	}
	dir, err := openDir(out)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dir.Close() }()
	for _, c := range []struct {
		left int64
		want error
	}{{9, ErrLarge}, {10, nil}} {
		p := &puller{door: liar{file, 1}, res: &Result{}, left: c.left}
		st, _ := p.door.Lstat("/f")
		if err := p.one(dir, "f", "/f", st, 0); !errors.Is(err, c.want) {
			t.Errorf("10 bytes with room for %d: %v; want %v", c.left, err, c.want)
		}
	}
	left, err := os.ReadDir(out)
	if err != nil || len(left) != 1 || left[0].Name() != "f" {
		t.Errorf("left on the host: %v, %v; want the one that fitted", left, err)
	}
	var b bytes.Buffer
	if err := (&puller{left: 3}).copy(&b, io.LimitReader(zeros{}, 1<<40)); !errors.Is(err, ErrLarge) || b.Len() > 4 {
		t.Errorf("endless content: %v after %d bytes", err, b.Len())
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
