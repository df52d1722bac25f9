package incus

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"time"

	"github.com/pkg/sftp"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/bundle"
)

// Files is the file system of a running or stopped instance, over one SFTP
// session. What the instance's programs made of it is theirs: look with Lstat
// before Open. What is swapped for a FIFO after that look, or lies on a file
// system of their own, would hold a call for ever; so every call, and every
// Read, that gets no answer within QueryTimeout ends the session and fails.
type Files struct {
	s    *sftp.Client
	gone func() bool // lets go of the context
	wait time.Duration
}

// Files opens the file system of an instance; the caller closes it. The end of
// ctx ends the session too.
func (c *Client) Files(ctx context.Context, name string) (*Files, error) {
	short, stop := context.WithTimeout(ctx, QueryTimeout)
	defer stop()
	// One that nobody waits for any more is closed when it comes: while it is
	// open, Incus neither starts the instance nor ends its stop.
	s, err := callOr(short, func() (*sftp.Client, error) { return c.c.GetInstanceFileSFTP(name) }, func(late *sftp.Client) { _ = late.Close() })
	if err != nil {
		return nil, err
	}
	return &Files{s, context.AfterFunc(ctx, func() { _ = s.Close() }), QueryTimeout}, nil
}

// Close ends the session. It also ends a call that hangs.
func (f *Files) Close() error {
	f.gone()
	return f.s.Close()
}

// within ends the session unless the returned function is called in time.
func (f *Files) within() (done func() bool) {
	return time.AfterFunc(f.wait, func() { _ = f.s.Close() }).Stop
}

// ReadDir lists a directory. The names come from inside.
func (f *Files) ReadDir(name string) ([]fs.FileInfo, error) {
	defer f.within()()
	return f.s.ReadDir(name)
}

// Lstat looks at a file without following a link in its last part. A missing
// one gives an error that wraps fs.ErrNotExist.
func (f *Files) Lstat(name string) (fs.FileInfo, error) {
	defer f.within()()
	return f.s.Lstat(name)
}

// Open opens a file for reading. What is returned has a Stat method.
func (f *Files) Open(name string) (io.ReadCloser, error) {
	defer f.within()()
	h, err := f.s.Open(name)
	if err != nil {
		return nil, err
	}
	return opened{h, f}, nil
}

// Head is the beginning of a regular file, at most limit bytes of it.
func (f *Files) Head(name string, limit int64) ([]byte, error) {
	st, err := f.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", name)
	}
	r, err := f.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	return io.ReadAll(io.LimitReader(r, limit))
}

// opened is a file whose calls end in time as well.
type opened struct {
	h *sftp.File
	f *Files
}

func (o opened) Read(p []byte) (int, error) {
	defer o.f.within()()
	return o.h.Read(p)
}

func (o opened) Stat() (fs.FileInfo, error) {
	defer o.f.within()()
	return o.h.Stat()
}

func (o opened) Close() error {
	defer o.f.within()()
	return o.h.Close()
}

// Mkdir makes a directory with a mode and an owner; an existing one stays as it is.
func (f *Files) Mkdir(name string, mode fs.FileMode, uid int) error {
	defer f.within()()
	if st, err := f.s.Lstat(name); err == nil && st.IsDir() {
		return nil
	}
	if err := f.s.MkdirAll(name); err != nil {
		return err
	}
	if err := f.s.Chown(name, uid, uid); err != nil {
		return err
	}
	return f.s.Chmod(name, mode.Perm())
}

// Write makes or replaces a file with a mode and an owner. What was in its
// place is removed first, so no link is followed.
func (f *Files) Write(name string, mode fs.FileMode, uid int, content io.Reader) error {
	timer := time.AfterFunc(f.wait, func() { _ = f.s.Close() })
	defer timer.Stop()
	if st, err := f.s.Lstat(name); err == nil && !st.IsDir() {
		if err := f.s.Remove(name); err != nil {
			return err
		}
	}
	w, err := f.s.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, progress{content, func() { timer.Reset(f.wait) }})
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = f.s.Chown(name, uid, uid)
	}
	if err == nil {
		err = f.s.Chmod(name, mode.Perm())
	}
	return err
}

// progress tells of every part that is read.
type progress struct {
	r    io.Reader
	tell func()
}

func (p progress) Read(b []byte) (int, error) {
	p.tell()
	return p.r.Read(b)
}

// Boot writes small files into a stopped instance over one SFTP session,
// making their directories. Existing files are replaced, links not followed:
// what is in a path's place is removed first.
func (c *Client) Boot(ctx context.Context, name string, files []bundle.File) error {
	f, err := c.Files(ctx, name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	_, err = call(ctx, func() (struct{}, error) {
		for _, b := range files {
			if err := f.s.MkdirAll(path.Dir(b.Path)); err != nil {
				return struct{}{}, fmt.Errorf("%s: %w", b.Path, err)
			}
			if err := f.Write(b.Path, b.Mode, b.UID, bytes.NewReader(b.Content)); err != nil {
				return struct{}{}, fmt.Errorf("%s: %w", b.Path, err)
			}
		}
		return struct{}{}, nil
	})
	return err
}
