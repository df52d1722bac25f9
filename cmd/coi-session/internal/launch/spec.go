// Package launch starts a container the one safe way: guards first, one create
// request that holds everything, read back and compared, started, set up inside
// by one exec, and only then let onto the network. What goes wrong on the way is
// undone by the supervisor that was started before the container.
package launch

import (
	"context"
	"io"
	"time"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/bundle"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/incus"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/record"
	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

// Door is what a launch asks of Incus.
type Door interface {
	Create(ctx context.Context, r incus.Request) error
	Update(ctx context.Context, i incus.Instance, config map[string]string, devices map[string]incus.Device) error
	Instance(ctx context.Context, name string) (incus.Instance, error)
	Start(ctx context.Context, name string) error
	Exec(ctx context.Context, name string, e incus.Exec) (int, error)
	Boot(ctx context.Context, name string, files []bundle.File) error
	StartLog(ctx context.Context, name string) string
	ConsoleLog(ctx context.Context, name string) string
}

// Spec is the whole of a wanted session, resolved and validated; nothing in it
// is decided later but the address, which the guard gives.
type Spec struct {
	Record  record.Record
	Source  incus.Source
	Old     *incus.Instance // the stopped container to reuse; nil for a new one
	Config  map[string]string
	Devices map[string]incus.Device
	Net     run.Net // policy and events; phases are set here
	Watch   run.Watch
	Monitor Monitor
	// OpenNIC is the nic that open mode falls back to when the guard is not
	// there; nil in every other mode.
	OpenNIC incus.Device
	// Boot are files for the stopped container of an image that was not made
	// for a static address.
	Boot []bundle.File
	// Restore, when set, writes an archive of what was saved of the code user's
	// home; it is unpacked before Files, which lie over it.
	Restore func(w io.Writer) error
	// Files and Script are the set-up inside; Script runs as root in /bin/sh
	// after the files are there.
	// Before runs ahead of the question who the code user is.
	Files  []bundle.File
	Before string
	Script string
	Ready  time.Duration
	// Reopen compares the sources of mounts with what was checked, from the
	// host's side; the monitor does it from inside the container's mounts.
	Reopen func() error
	// Env are the variables of every process of the session, beyond the base.
	Env map[string]string
}

// Monitor says whether the session is watched.
type Monitor int

// Off: not wanted. Wanted: go on with a warning without it. Required: fail.
const (
	Off Monitor = iota
	Wanted
	Required
)

// Env is what surrounds a launch.
type Env struct {
	Door   Door
	Home   home.Home
	Getenv func(string) string
	Lock   *home.Lock // run/<c>.lock, handed to the supervisor
	// Created is called when Incus has the container.
	Created func()
	Warn    func(text string, hints ...string)
	Mark    func(step string) // timeline, may be nil
}

func (e Env) mark(step string) {
	if e.Mark != nil {
		e.Mark(step)
	}
}
