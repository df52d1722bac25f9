// Package scan finds the wanted lines of JSON Lines files, in memory that does
// not grow with them. In a trail of ours it uses what the appender promises:
// the order of the fields and rising times.
package scan

import (
	"bufio"
	"compress/gzip"
	"io"
	"os"
	"slices"
	"time"

	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/tail"
)

// Input is one file to read.
type Input struct {
	Name     string // for messages
	file     *os.File
	stream   io.Reader // in place of file where it cannot be read at any offset
	own      bool
	from, to int64
}

// Trail opens all files of a container's trail, the current one last. A file
// that becomes a part while they are opened would be missed: then it opens
// them again.
func Trail(h home.Home, container string) ([]*Input, error) {
	parts, err := audit.Files(h, container)
	for tries := 1; err == nil; tries++ {
		var in []*Input
		if in, err = openAll(parts); err != nil {
			break
		}
		var now []audit.Part
		now, err = audit.Files(h, container)
		if err == nil && (slices.Equal(parts, now) || tries == 100) {
			return in, nil
		}
		Close(in)
		parts = now
	}
	return nil, err
}

func openAll(parts []audit.Part) (in []*Input, err error) {
	for _, p := range parts {
		f, err := home.Open(p.Path)
		if home.Missing(err) {
			continue
		}
		if err != nil {
			Close(in)
			return nil, err
		}
		one := &Input{Name: p.Path, file: f, own: true}
		in = append(in, one)
		if one.to, err = settled(f, p.Current); err != nil {
			Close(in)
			return nil, err
		}
	}
	return in, nil
}

// Settle is how long a half line at the end of a trail is waited for.
const Settle = 200 * time.Millisecond

// settled is the size of f, for the file being written without a line that is
// not finished.
func settled(f *os.File, current bool) (int64, error) {
	end := time.Now().Add(Settle)
	for {
		st, err := f.Stat()
		if err != nil || !current || st.Size() == 0 {
			return sizeOf(st), err
		}
		var last [1]byte
		if _, err := f.ReadAt(last[:], st.Size()-1); err != nil && err != io.EOF {
			return 0, err
		}
		if last[0] == '\n' {
			return st.Size(), nil
		}
		if time.Now().After(end) {
			return lastNewline(f, st.Size())
		}
		time.Sleep(2 * time.Millisecond) //nolint:forbidigo // a writer is at it; bounded by end, and nothing notifies of half a line
	}
}

func sizeOf(st os.FileInfo) int64 {
	if st == nil {
		return 0
	}
	return st.Size()
}

// lastNewline is the offset behind the last newline before end.
func lastNewline(f io.ReaderAt, end int64) (int64, error) {
	buf := make([]byte, 64<<10)
	for end > 0 {
		n := min(int64(len(buf)), end)
		if _, err := f.ReadAt(buf[:n], end-n); err != nil && err != io.EOF {
			return 0, err
		}
		for i := n - 1; i >= 0; i-- {
			if buf[i] == '\n' {
				return end - n + i + 1, nil
			}
		}
		end -= n
	}
	return 0, nil
}

// File opens any JSON Lines file; "-" is stdin. Compressed ones are known by
// their first bytes.
func File(path string, stdin io.Reader) (*Input, error) {
	if path == "-" {
		return stream("stdin", nil, stdin)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	var magic [2]byte
	if st.Mode().IsRegular() {
		if n, _ := f.ReadAt(magic[:], 0); n < 2 || magic != [2]byte{0x1f, 0x8b} {
			return &Input{Name: path, file: f, to: st.Size()}, nil
		}
	}
	return stream(path, f, f)
}

func stream(name string, f *os.File, r io.Reader) (*Input, error) {
	in := &Input{Name: name, file: f}
	b := bufio.NewReaderSize(r, 64<<10)
	in.stream = b
	if magic, _ := b.Peek(2); len(magic) == 2 && magic[0] == 0x1f && magic[1] == 0x8b {
		z, err := gzip.NewReader(b)
		if err != nil {
			Close([]*Input{in})
			return nil, err
		}
		in.stream = z
	}
	return in, nil
}

// Close closes all inputs.
func Close(in []*Input) {
	for _, i := range in {
		if i.file != nil {
			_ = i.file.Close()
		}
	}
}

// Seekable reports whether the input can be read from any offset.
func (in *Input) Seekable() bool { return in.stream == nil }

// Rest gives away the open file and the offset where reading ends, for
// following it.
func (in *Input) Rest() (*os.File, int64) { return in.file, in.to }

// ID tells which file it is; ok is false for stdin.
func (in *Input) ID() (id tail.ID, ok bool) {
	if in.file == nil {
		return id, false
	}
	id, err := tail.IDOf(in.file)
	return id, err == nil
}

// read fills b from offset at, which a stream must not jump over.
func (in *Input) read(b []byte, at int64) (int, error) {
	if in.stream != nil {
		return in.stream.Read(b)
	}
	if left := in.to - at; int64(len(b)) > left {
		b = b[:max(left, 0)]
	}
	if len(b) == 0 {
		return 0, io.EOF
	}
	n, err := in.file.ReadAt(b, at)
	if n > 0 {
		err = nil
	}
	return n, err
}
