package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/bundle"
	"github.com/code-on-incus/coi/cmd/coi-session/internal/launch"
	"github.com/code-on-incus/coi/pkg/run"
)

// enterPath starts a command with the variables of the session. They lie in a
// file that only the code user reads: an environment handed to Incus, or to
// tmux, would stand on command lines that every user of the host can see.
const (
	enterPath = run.EnterPath
	envPath   = "/run/coi/env"
)

const enterScript = "#!/bin/sh\nunset " + launch.InitVariable + "\n. " + envPath + "\nexec \"$@\"\n"

// enterFiles are the script and the variables.
func enterFiles(env map[string]string, uid int) []bundle.File {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(env)) {
		b.WriteString("export " + name + "='" + strings.ReplaceAll(env[name], "'", `'\''`) + "'\n")
	}
	return []bundle.File{
		{Path: enterPath, Mode: 0o755, Content: []byte(enterScript)},
		{Path: envPath, Mode: 0o600, UID: uid, GID: uid, Content: []byte(b.String())},
	}
}
