package detect

import "github.com/code-on-incus/coi/pkg/coi"

// lines makes samples of command lines. For Fire, level is the least they must
// reach; for Quiet, the level they must stay below (empty: warning).
func lines(level coi.Level, text ...string) []Sample {
	out := make([]Sample, len(text))
	for i, t := range text {
		out[i] = Sample{Line: t, Level: level}
	}
	return out
}
