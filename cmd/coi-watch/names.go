package main

import "github.com/code-on-incus/coi/cmd/coi-watch/internal/program"

// names is package program as the sensors ask it.
type names struct{}

// ClassOf is the class of a program of that name, empty when it has none.
func (names) ClassOf(name string) string { return string(program.ClassOf(name)) }

// Canonical is the name that detectors know a program by.
func (names) Canonical(name string) string { return program.Canonical(name) }

// Known lists the names that mean something.
func (names) Known() []string {
	var out []string
	for _, c := range []program.Class{
		program.Shell, program.Interpreter, program.Relay, program.Downloader, program.Package, program.VCS, program.Compiler, program.Debugger,
		program.SSH, program.Account, program.Runtime, program.Uploader, program.Reader, program.Archiver, program.Suspect,
	} {
		out = append(out, program.Names(c)...)
	}
	return append(out, "python3", "busybox")
}
