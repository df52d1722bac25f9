package save

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/beneath"
	"github.com/code-on-incus/coi/pkg/cli"
)

const idA, idB = "11111111-2222-4333-8444-555555555555", "1111aaaa-2222-4333-8444-555555555555"

var then = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// archive makes a tar of headers; a regular file holds its own name.
func archive(t *testing.T, headers ...tar.Header) *bytes.Buffer {
	t.Helper()
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, h := range headers {
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		h.ModTime = then
		if h.Typeflag == 0 {
			h.Typeflag, h.Size = tar.TypeReg, int64(len(h.Name))
		}
		must(t, tw.WriteHeader(&h))
		if h.Typeflag == tar.TypeReg {
			_, err := tw.Write([]byte(h.Name))
			must(t, err)
		}
	}
	must(t, tw.Close())
	return &buf
}

func options(t *testing.T, dir string, stream io.Reader) Options {
	return Options{
		Sessions: filepath.Join(dir, "sessions"), Paths: []string{".claude"}, Exclude: []string{".claude/.credentials.json"}, Stream: stream,
		Meta: Meta{SessionID: idA, Tool: "claude", Identity: "/ws", Workspace: "/ws"},
	}
}

func listing(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	must(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if rel, _ := filepath.Rel(dir, p); rel != "." && rel != metaName {
			out = append(out, rel)
		}
		return nil
	}))
	return out
}

// R-REG-05, session §8: only regular files and directories, nothing outside the
// saved paths, no credentials, no loose modes.
func TestSaveHostileStream(t *testing.T) {
	dir := t.TempDir()
	stream := archive(t,
		tar.Header{Name: ".claude/", Typeflag: tar.TypeDir, Mode: 0o777},
		tar.Header{Name: "./.claude/ok.txt", Mode: 0o4777},
		tar.Header{Name: ".claude/x", Typeflag: tar.TypeSymlink, Linkname: "/etc/shadow"},
		tar.Header{Name: ".claude/x/inside-the-link"},
		tar.Header{Name: ".claude/hard", Typeflag: tar.TypeLink, Linkname: "/etc/shadow"},
		tar.Header{Name: ".claude/dev", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3},
		tar.Header{Name: ".claude/fifo", Typeflag: tar.TypeFifo},
		tar.Header{Name: "../escape"}, tar.Header{Name: "/abs"}, tar.Header{Name: ".claude/../../up"}, tar.Header{Name: ".claude/a\nb"},
		tar.Header{Name: ".ssh/id"}, tar.Header{Name: ".claude/.credentials.json"},
		tar.Header{Name: ".claude/ok.txt"},
		tar.Header{Name: ".claude/ok.txt/below"},
	)
	res, err := Save(options(t, dir, stream))
	must(t, err)
	if diff := cmp.Diff([]string{".claude", ".claude/ok.txt", ".claude/x", ".claude/x/inside-the-link"}, listing(t, res.Dir)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]int{"link": 2, "special": 2, "name": 6, "outside": 1, "setuid": 1}, res.Dropped); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"sessions-claude", "sessions-claude/" + idA}, listing(t, dir)[:2]); diff != "" {
		t.Errorf("written elsewhere: %s", diff)
	}
	must(t, filepath.WalkDir(filepath.Join(dir, "sessions-claude"), func(p string, d fs.DirEntry, _ error) error {
		if st, err := d.Info(); err != nil || st.Mode().Perm()&0o077 != 0 || st.Mode()&(fs.ModeSetuid|fs.ModeSymlink) != 0 {
			t.Errorf("%s has mode %v, %v", p, st.Mode(), err)
		}
		return nil
	}))
	if st, err := os.Stat(filepath.Join(res.Dir, ".claude/ok.txt")); err != nil || !st.ModTime().Equal(then) {
		t.Errorf("modification time %v, %v; want %v", st.ModTime(), err, then)
	}
}

// S33, issue: an interrupted or failed save never costs the previous one.
func TestFailedSaveKeepsTheOld(t *testing.T) {
	dir := t.TempDir()
	_, err := Save(options(t, dir, archive(t, tar.Header{Name: ".claude/first"})))
	must(t, err)
	whole := archive(t, tar.Header{Name: ".claude/second"}, tar.Header{Name: ".claude/third"}).Bytes()
	for name, o := range map[string]Options{
		"cut stream":  options(t, dir, bytes.NewReader(whole[:700])),
		"cut between": options(t, dir, bytes.NewReader(whole[:1024])),
		"rubbish":     options(t, dir, strings.NewReader(strings.Repeat("x", 2000))),
		"many files":  func() Options { o := options(t, dir, bytes.NewReader(whole)); o.MaxFiles = 1; return o }(),
		"many bytes":  func() Options { o := options(t, dir, bytes.NewReader(whole)); o.MaxBytes = 3; return o }(),
	} {
		if _, err := Save(o); err == nil {
			t.Errorf("%s: saved", name)
		}
		if diff := cmp.Diff([]string{idA, idA + "/.claude", idA + "/.claude/first", idA + "/metadata.json"}, listing(t, filepath.Join(dir, "sessions-claude"))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	res, err := Save(options(t, dir, bytes.NewReader(whole)))
	must(t, err)
	if diff := cmp.Diff([]string{".claude", ".claude/second", ".claude/third"}, listing(t, res.Dir)); diff != "" {
		t.Errorf("a good save afterwards: %s", diff)
	}
}

// A full disk: the file system of the sessions is a small tmpfs.
func TestFullDiskKeepsTheOld(t *testing.T) {
	dir := t.TempDir()
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"))
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	_, err := Save(options(t, dir, archive(t, tar.Header{Name: ".claude/first"})))
	must(t, err)
	var big bytes.Buffer
	tw := tar.NewWriter(&big)
	must(t, tw.WriteHeader(&tar.Header{Name: ".claude/big", Mode: 0o600, Size: 1 << 20, Typeflag: tar.TypeReg}))
	_, err = tw.Write(make([]byte, 1<<20))
	must(t, err, tw.Close())
	if _, err := Save(options(t, dir, &big)); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("Save on a full disk = %v; want ENOSPC", err)
	}
	s, err := Find(filepath.Join(dir, "sessions"), Query{Identity: "/ws", Tool: "claude"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(s.Dir, ".claude/first")); err != nil {
		t.Error(err)
	}
}

// Session §8: killed at any point between the renames, one whole save is found.
func TestRecoverAfterKill(t *testing.T) {
	for _, step := range []string{"staged", "old renamed", "both"} {
		dir := t.TempDir()
		o := options(t, dir, archive(t, tar.Header{Name: ".claude/first"}))
		res, err := Save(o)
		must(t, err)
		base := filepath.Dir(res.Dir)
		stage, old := filepath.Join(base, "."+idA+".new"), filepath.Join(base, "."+idA+".old")
		switch step {
		case "staged":
			must(t, os.Mkdir(stage, 0o700))
		case "old renamed":
			must(t, os.Mkdir(stage, 0o700), os.Rename(res.Dir, old))
		case "both":
			must(t, os.Mkdir(old, 0o700))
		}
		s, err := Find(o.Sessions, Query{ID: idA, Identity: "/ws", Tool: "claude"})
		if err != nil {
			t.Fatalf("%s: %v", step, err)
		}
		if _, err := os.Stat(filepath.Join(s.Dir, ".claude/first")); err != nil {
			t.Errorf("%s: %v", step, err)
		}
		if _, err := os.Lstat(old); err == nil {
			t.Errorf("%s: .old is still there", step)
		}
	}
}

// File systems without an exchange use two renames.
func TestPlaceByTwo(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"stage", "dst"} {
		must(t, os.Mkdir(filepath.Join(dir, d), 0o700), os.WriteFile(filepath.Join(dir, d, d), nil, 0o600))
	}
	f, err := os.Open(dir)
	must(t, err)
	defer func() { _ = f.Close() }()
	must(t, placeByTwo(filepath.Join(dir, "stage"), filepath.Join(dir, "dst"), filepath.Join(dir, ".old"), f))
	if diff := cmp.Diff([]string{"dst", "dst/stage"}, listing(t, dir)); diff != "" {
		t.Error(diff)
	}
	if err := placeByTwo(filepath.Join(dir, "none"), filepath.Join(dir, "dst"), filepath.Join(dir, ".old"), f); err == nil {
		t.Error("a missing stage was placed")
	}
	if diff := cmp.Diff([]string{"dst", "dst/stage"}, listing(t, dir)); diff != "" {
		t.Errorf("after a failure: %s", diff)
	}
}

// S148: another file system is reached by copying; the source goes last.
func TestMoveAcrossFileSystems(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(dir, "other")
	must(t, os.Mkdir(other, 0o700), unix.Mount("tmpfs", other, "tmpfs", 0, "size=1m"))
	t.Cleanup(func() { _ = unix.Unmount(other, unix.MNT_DETACH) })
	src := filepath.Join(dir, "src")
	must(t, os.MkdirAll(filepath.Join(src, "a/b"), 0o700), os.WriteFile(filepath.Join(src, "a/f"), []byte("x"), 0o700),
		os.Chtimes(filepath.Join(src, "a/f"), then, then), os.Chtimes(filepath.Join(src, "a"), then, then))
	must(t, Move(src, filepath.Join(other, "dst")))
	if diff := cmp.Diff([]string{"dst", "dst/a", "dst/a/b", "dst/a/f"}, listing(t, other)); diff != "" {
		t.Error(diff)
	}
	st, err := os.Stat(filepath.Join(other, "dst/a/f"))
	must(t, err)
	sd, err := os.Stat(filepath.Join(other, "dst/a"))
	must(t, err)
	if st.Mode().Perm() != 0o700 || !st.ModTime().Equal(then) || !sd.ModTime().Equal(then) {
		t.Errorf("copy has %v %v, directory %v", st.Mode(), st.ModTime(), sd.ModTime())
	}
	if _, err := os.Lstat(src); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the source is still there")
	}
	must(t, os.MkdirAll(src, 0o700), os.WriteFile(filepath.Join(src, "big"), make([]byte, 2<<20), 0o600))
	if err := Move(src, filepath.Join(other, "dst2")); err == nil {
		t.Error("a file larger than the file system was moved")
	}
	if _, err := os.Stat(filepath.Join(src, "big")); err != nil || len(listing(t, other)) != 4 {
		t.Errorf("after a failed copy: %v, %q", err, listing(t, other))
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	sessions := filepath.Join(dir, "sessions")
	at := then
	begin := func(id, tool, ws string) {
		at = at.Add(time.Hour)
		must(t, Begin(sessions, Meta{SessionID: id, Tool: tool, Identity: ws, Workspace: ws, SavedAt: at}))
	}
	idC := "2222aaaa-2222-4333-8444-555555555555"
	begin(idA, "claude", "/ws")
	begin(idB, "claude", "/ws")
	begin(idC, "pi", "/other dir")
	must(t, os.Mkdir(filepath.Join(dir, "sessions-pi", "junk"), 0o700), os.MkdirAll(filepath.Join(dir, "sessions-pi", "3333aaaa-2222-4333-8444-555555555555"), 0o700))
	for name, tt := range map[string]struct {
		q    Query
		want string // id, or part of the error and hints
	}{
		"newest":          {Query{Identity: "/ws", Tool: "claude"}, idB},
		"none":            {Query{Identity: "/ws", Tool: "pi"}, "coi list --all"},
		"full":            {Query{ID: idA, Identity: "/ws"}, idA},
		"prefix":          {Query{ID: "1111a", Identity: "/ws"}, idB},
		"ambiguous":       {Query{ID: "1111", Identity: "/ws"}, "fits 2"},
		"short":           {Query{ID: "111", Identity: "/ws"}, "too short"},
		"unknown":         {Query{ID: "nosuch", Identity: "/ws"}, "coi list --all"},
		"other workspace": {Query{ID: "2222", Identity: "/ws"}, "-w '/other dir'"},
		"other tool":      {Query{ID: "2222", Identity: "/other dir", Tool: "claude"}, idC},
		"typed tool":      {Query{ID: "2222", Identity: "/other dir", Tool: "claude", ToolTyped: true}, "is one of pi"},
	} {
		s, err := Find(sessions, tt.q)
		var e *cli.Error
		switch {
		case err == nil && s.SessionID != tt.want:
			t.Errorf("%s: found %s; want %s", name, s.SessionID, tt.want)
		case err != nil && (!errors.As(err, &e) || e.Code != 1 || !strings.Contains(e.Text+strings.Join(e.Hints, ""), tt.want)):
			t.Errorf("%s: %v; want %q", name, err, tt.want)
		}
	}
	if _, problems, err := List(sessions); err != nil || len(problems) != 1 {
		t.Errorf("List: problems %q, %v; want the one without metadata", problems, err)
	}
	if err := Begin(sessions, Meta{SessionID: "../../x", Tool: "claude"}); !errors.Is(err, ErrID) {
		t.Errorf("Begin with a path for an id = %v", err)
	}
}

// S40: what was saved comes back, owned by the code user, without credentials.
func TestRestore(t *testing.T) {
	dir := t.TempDir()
	o := options(t, dir, archive(t, tar.Header{Name: ".claude/projects/p.jsonl"}, tar.Header{Name: ".claude/run.sh", Mode: 0o755}))
	o.ResumeID = func(r *beneath.Root) string {
		if _, err := r.Stat(".claude/projects/p.jsonl"); err != nil {
			t.Error(err)
		}
		return "tool-id"
	}
	res, err := Save(o)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(res.Dir, ".claude/.credentials.json"), nil, 0o600), os.Symlink("/etc/shadow", filepath.Join(res.Dir, ".claude/link")))
	s, err := Find(o.Sessions, Query{Identity: "/ws", Tool: "claude"})
	must(t, err)
	if s.ResumeID != "tool-id" || s.SizeBytes == 0 {
		t.Errorf("metadata = %+v", s.Meta)
	}
	var buf bytes.Buffer
	must(t, Restore(s, "/home/code", 1500, o.Exclude, &buf))
	var got []string
	tr := tar.NewReader(&buf)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		got = append(got, h.Name)
		if h.Uid != 1500 || h.Gid != 1500 || h.Name == "home/code/.claude/run.sh" && h.Mode != 0o700 || !h.FileInfo().IsDir() && !h.ModTime.Equal(then) {
			t.Errorf("header %+v", h)
		}
	}
	if diff := cmp.Diff([]string{"home/code/.claude/", "home/code/.claude/projects/", "home/code/.claude/projects/p.jsonl", "home/code/.claude/run.sh"}, got); diff != "" {
		t.Error(diff)
	}
	// Saved again without a stream, as for a tool that never wrote anything.
	o.Stream, o.ResumeID = nil, nil
	if res, err = Save(o); err != nil || len(listing(t, res.Dir)) != 0 {
		t.Errorf("metadata only: %v, %q", err, listing(t, res.Dir))
	}
	must(t, Delete(s))
	if err := Delete(Saved{Dir: "/etc"}); err == nil {
		t.Error("Delete takes any directory")
	}
}

func must2[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

type osSource string

func (o osSource) ReadDir(p string) ([]fs.FileInfo, error) {
	entries, err := os.ReadDir(string(o) + p)
	var out []fs.FileInfo
	for _, e := range entries {
		st, err := e.Info()
		if err != nil {
			return nil, err
		}
		out = append(out, st)
	}
	return out, err
}
func (o osSource) Lstat(p string) (fs.FileInfo, error)  { return os.Lstat(string(o) + p) }
func (o osSource) Open(p string) (io.ReadCloser, error) { return os.Open(string(o) + p) }

func TestStream(t *testing.T) {
	src, dir := t.TempDir(), t.TempDir()
	must(t, os.MkdirAll(filepath.Join(src, "home/code/.claude/d"), 0o755), os.WriteFile(filepath.Join(src, "home/code/.claude/d/f"), []byte("text"), 0o644),
		os.Symlink("/etc/shadow", filepath.Join(src, "home/code/.claude/x")), unix.Mkfifo(filepath.Join(src, "home/code/.claude/fifo"), 0o600))
	mark := must2(Mark(osSource(src), "/home/code", []string{".claude", ".missing"}))
	if again := must2(Mark(osSource(src), "/home/code", []string{".claude", ".missing"})); again != mark {
		t.Errorf("Mark = %s, then %s of the same files", mark, again)
	}
	must(t, os.WriteFile(filepath.Join(src, "home/code/.claude/d/f"), []byte("text2"), 0o644))
	if again := must2(Mark(osSource(src), "/home/code", []string{".claude"})); again == mark {
		t.Error("Mark does not see a change")
	}
	var buf bytes.Buffer
	must(t, Stream(osSource(src), "/home/code", []string{".claude", ".missing"}, &buf))
	res, err := Save(options(t, dir, &buf))
	must(t, err)
	if diff := cmp.Diff([]string{".claude", ".claude/d", ".claude/d/f"}, listing(t, res.Dir)); diff != "" {
		t.Error(diff)
	}
}

// R-OWN-02: no stream writes outside its own directory.
func FuzzSave(f *testing.F) {
	f.Add(archive(&testing.T{}, tar.Header{Name: ".claude/a"}, tar.Header{Name: "../b"}, tar.Header{Name: ".claude/l", Typeflag: tar.TypeSymlink, Linkname: "/"}).Bytes())
	f.Fuzz(func(t *testing.T, stream []byte) {
		dir := t.TempDir()
		o := options(t, dir, bytes.NewReader(stream))
		o.MaxFiles, o.MaxBytes = 50, 1<<16
		_, err := Save(o)
		for _, p := range listing(t, dir) {
			if p != "sessions-claude" && !strings.HasPrefix(p, "sessions-claude/"+idA) {
				t.Fatalf("%v; wrote %s", err, p)
			}
		}
	})
}
