package save

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/beneath"
	"github.com/code-on-incus/coi/pkg/home"
)

// MaxBytes and MaxFiles are what one save may hold.
const (
	MaxBytes = 2 << 30
	MaxFiles = 200_000
)

// ErrTooLarge is wrapped by the error of a stream over a cap.
var ErrTooLarge = errors.New("over the limit of a saved session")

// Options of one save.
type Options struct {
	Sessions string // paths.sessions_dir
	Meta     Meta
	Paths    []string // of the tool, below the home; nothing else of the stream is taken
	Exclude  []string // credentials
	// Stream is a tar archive with names relative to the home. nil: metadata only.
	Stream   io.Reader
	MaxBytes int64                            // 0: MaxBytes
	MaxFiles int                              // 0: MaxFiles
	ResumeID func(saved *beneath.Root) string // looks for the tool's own id in what came; may be nil
}

// Result of a save.
type Result struct {
	Dir     string
	Meta    Meta
	Files   int
	Dropped map[string]int // by reason: link, device, name, special, outside
}

// Save receives the stream beside the target and puts it in place by rename.
// Until then, and after any error, the previous save is whole.
func Save(o Options) (Result, error) {
	dir, err := target(o.Sessions, o.Meta)
	if err != nil {
		return Result{}, err
	}
	stage := filepath.Join(dir, "."+o.Meta.SessionID+".new")
	if err := os.RemoveAll(stage); err != nil {
		return Result{}, err
	}
	if err := os.Mkdir(stage, home.DirMode); err != nil {
		return Result{}, err
	}
	defer func() { _ = os.RemoveAll(stage) }()
	res, err := fill(stage, o)
	if err != nil {
		return Result{}, err
	}
	res.Dir = filepath.Join(dir, o.Meta.SessionID)
	return res, place(stage, res.Dir, filepath.Join(dir, "."+o.Meta.SessionID+".old"))
}

func fill(stage string, o Options) (Result, error) {
	real, err := filepath.EvalSymlinks(stage)
	if err != nil {
		return Result{}, err
	}
	root, err := beneath.Open(real)
	if err != nil {
		return Result{}, err
	}
	defer func() { _ = root.Close() }()
	r := receiver{root: root, o: o, Result: Result{Dropped: map[string]int{}}}
	if o.Stream != nil {
		in := &ending{r: o.Stream}
		err := r.receive(tar.NewReader(in))
		if err == nil {
			err = in.whole()
		}
		if err != nil {
			return Result{}, err
		}
	}
	m := o.Meta
	m.SizeBytes, m.SavedAt = r.bytes, time.Now()
	if o.ResumeID != nil {
		if id := o.ResumeID(root); id != "" {
			m.ResumeID = id
		}
	}
	r.Meta = m
	if err := writeMeta(real, m); err != nil {
		return Result{}, err
	}
	// One syncfs in place of an fsync for each of thousands of files.
	if err := unix.Syncfs(int(root.File().Fd())); err != nil {
		return Result{}, fmt.Errorf("sync %s: %w", stage, err)
	}
	return r.Result, nil
}

type receiver struct {
	root *beneath.Root
	o    Options
	Result
	bytes int64
	dirs  []dirTime
}

// ending remembers how a stream ended. Package archive/tar takes a stream that
// is cut between two entries for complete.
type ending struct {
	r     io.Reader
	zeros int // zero bytes at the end of what was read
}

func (e *ending) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	if rest := bytes.TrimRight(p[:n], "\x00"); len(rest) > 0 {
		e.zeros = n - len(rest)
	} else {
		e.zeros += n
	}
	return n, err
}

// whole reads what is left and checks for the two zero blocks that end an archive.
func (e *ending) whole() error {
	if _, err := io.Copy(io.Discard, e); err != nil {
		return fmt.Errorf("session data from the container: %w", err)
	}
	if e.zeros < 2*512 {
		return fmt.Errorf("session data from the container: %w", io.ErrUnexpectedEOF)
	}
	return nil
}

type dirTime struct {
	rel string
	at  time.Time
}

func (r *receiver) receive(tr *tar.Reader) error {
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("session data from the container: %w", err)
		}
		if err := r.entry(h, tr); err != nil {
			return err
		}
	}
	for _, d := range slices.Backward(r.dirs) {
		if err := r.root.SetTime(d.rel, d.at); err != nil {
			return err
		}
	}
	return nil
}

// entry takes one regular file or directory; everything else is dropped and counted.
func (r *receiver) entry(h *tar.Header, content io.Reader) error {
	rel, err := beneath.Clean(strings.TrimPrefix(h.Name, "./"))
	switch {
	case h.Typeflag == tar.TypeXGlobalHeader || h.Name == "./" || h.Name == ".":
		return nil
	case h.Typeflag == tar.TypeSymlink || h.Typeflag == tar.TypeLink:
		r.Dropped["link"]++
		return nil
	case h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeDir && h.Typeflag != tar.TypeGNUSparse:
		r.Dropped["special"]++
		return nil
	case err != nil || len(rel) > unix.PathMax:
		r.Dropped["name"]++
		return nil
	case slices.Contains(r.o.Exclude, rel):
		return nil
	case !r.wanted(rel, h.Typeflag == tar.TypeDir):
		r.Dropped["outside"]++
		return nil
	}
	if r.Files++; r.Files > or(r.o.MaxFiles, MaxFiles) {
		return fmt.Errorf("%d files: %w", r.Files, ErrTooLarge)
	}
	if h.FileInfo().Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
		r.Dropped["setuid"]++ // the bits only
	}
	if h.Typeflag == tar.TypeDir {
		r.dirs = append(r.dirs, dirTime{rel, h.ModTime})
		return r.dir(rel)
	}
	return r.file(rel, h, content)
}

func or[T int | int64](v, def T) T {
	if v == 0 {
		return def
	}
	return v
}

// wanted: below a saved path, or a directory on the way to one.
func (r *receiver) wanted(rel string, dir bool) bool {
	return slices.ContainsFunc(r.o.Paths, func(p string) bool {
		return beneath.Below(rel, p) || dir && beneath.Below(p, rel)
	})
}

// dir makes a directory; a file of that name, from an archive that contradicts
// itself, stays and the directory is dropped.
func (r *receiver) dir(rel string) error {
	_, err := r.root.MkdirAll(rel, home.DirMode)
	return r.contradiction(err)
}

func (r *receiver) contradiction(err error) error {
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.EISDIR) || errors.Is(err, fs.ErrExist) || errors.Is(err, unix.ENAMETOOLONG) {
		r.Dropped["name"]++
		return nil
	}
	return err
}

func (r *receiver) file(rel string, h *tar.Header, content io.Reader) error {
	if dir := path.Dir(rel); dir != "." {
		if _, err := r.root.MkdirAll(dir, home.DirMode); err != nil {
			return r.contradiction(err)
		}
	}
	// The user's execute bit is kept: skills and plugins hold scripts.
	f, err := r.root.Create(rel, home.FileMode|h.FileInfo().Mode()&0o100)
	if err != nil {
		return r.contradiction(err)
	}
	left := or(r.o.MaxBytes, MaxBytes) - r.bytes
	n, err := io.Copy(f, io.LimitReader(content, left+1))
	r.bytes += n
	if n > left {
		err = fmt.Errorf("over %d bytes: %w", or(r.o.MaxBytes, MaxBytes), ErrTooLarge)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return r.root.SetTime(rel, h.ModTime)
}

// place puts the staged directory where the target is: by one exchange where
// the file system has it (renameat2(2)), else by two renames. Killed between
// those, it leaves a whole save under one of the two names, which Recover finds;
// the lock keeps Recover of another process away meanwhile.
func place(stage, dst, old string) error {
	lock, err := lockDir(filepath.Dir(dst), unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	if err := os.RemoveAll(old); err != nil {
		return err
	}
	if err := unix.Renameat2(unix.AT_FDCWD, stage, unix.AT_FDCWD, dst, unix.RENAME_EXCHANGE); err == nil {
		return errors.Join(lock.Sync(), os.RemoveAll(stage))
	}
	return placeByTwo(stage, dst, old, lock)
}

func placeByTwo(stage, dst, old string, dir *os.File) error {
	if err := os.Rename(dst, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := Move(stage, dst); err != nil {
		return errors.Join(err, back(old, dst))
	}
	if err := dir.Sync(); err != nil {
		return err
	}
	return os.RemoveAll(old)
}

func back(old, dst string) error {
	if err := os.Rename(old, dst); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// lockDir takes the lock of a directory of sessions; closing it lets go.
func lockDir(dir string, how int) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), how); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return f, nil
}
