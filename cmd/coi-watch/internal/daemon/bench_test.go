package daemon

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/bpf"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/engine"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/inside"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/scene"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/trail"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// BenchmarkProgram is the life of one short program: fork, exec, exit.
func BenchmarkProgram(b *testing.B) {
	dir := b.TempDir()
	h := home.Home{Dir: dir, User: dir}
	if _, err := h.Ensure(h.Run()); err != nil {
		b.Fatal(err)
	}
	records := trail.New(h, io.Discard)
	defer records.Close()
	d := New(Options{Home: h, Names: names{}, Trail: records, NewJudge: func(c engine.Config) Judge { return engine.New(c) }})
	d.source = &bpfSource{d: d}
	w := run.Watch{SchemaVersion: 1, Container: "bench-1"}
	records.Watch(w)
	c := newContainer(d, w, 1)
	c.cfg, c.judge, c.scene = w, d.NewJudge(c.settings()), scene.New(w.Container, nil, names{})
	root, err := inside.At(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer root.Close()
	c.scene.Root = root
	if err := os.WriteFile(filepath.Join(dir, "cc1"), []byte("\x7fELF"), 0o700); err != nil {
		b.Fatal(err)
	}
	in, err := root.Stat("/cc1")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		pid := 100000 + i%20000
		c.takeRecord(&bpf.Record{Kind: bpf.KindFork, PID: 99999, Child: pid, ChildStart: uint64(i), Mono: uint64(i) * 400000})
		c.takeRecord(&bpf.Record{
			Kind: bpf.KindExec, PID: pid, PPID: 99999, Start: uint64(i), Mono: uint64(i) * 400000, File: "/cc1", Interp: "/cc1", Name: "cc1", TTY: -1, Ino: in.Ino, Ctime: in.Changed.Unix(), Nlink: 1, Mode: 0o100755,
			Argv: []string{"cc1", "-quiet", "-O2", fmt.Sprintf("file%d.c", i), "-o", "/tmp/x.s"},
		})
		c.takeRecord(&bpf.Record{Kind: bpf.KindExit, PID: pid, PPID: 99999, Start: uint64(i), Mono: uint64(i) * 400000})
		c.stream.buf = c.stream.buf[:0]
	}
}
