package main

import (
	"github.com/code-on-incus/coi/cmd/coi-session/internal/tool"
)

// resume makes the start of the tool go on with an earlier conversation, when
// that was asked for.
func (b *begin) resume(_ *tool.Start) {}
