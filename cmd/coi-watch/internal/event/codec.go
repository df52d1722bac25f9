package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Limits of one event, in bytes. What is over a limit is cut on encoding and
// on decoding, so that no reader needs a second check.
const (
	MaxLine   = 1 << 20 // refused, not cut
	MaxArgv   = 4 << 10 // over all arguments
	MaxScript = 64 << 10
	MaxText   = 1 << 10
	MaxPath   = 4 << 10
	MaxChain  = 8
	MaxNodes  = 4096
)

// ErrTooLong is a line over MaxLine.
var ErrTooLong = errors.New("event line over 1 MiB")

// Marshal encodes one event as one line without its newline.
func Marshal(e Event) ([]byte, error) { return Append(nil, e) }

// Unmarshal decodes one line. Unknown fields are ignored, a newer version and
// an unknown type are refused.
func Unmarshal(line []byte) (Event, error) {
	var e Event
	if len(line) > MaxLine {
		return e, ErrTooLong
	}
	if err := json.Unmarshal(line, &e); err != nil {
		return e, err
	}
	if e.V > Version {
		return e, fmt.Errorf("event version %d is newer than %d", e.V, Version)
	}
	if !e.Type.Valid() {
		return e, fmt.Errorf("unknown event type %q", e.Type)
	}
	e.Limit()
	return e, nil
}

// Limit cuts what is over the limits of this package.
func (e *Event) Limit() {
	e.limitArgv()
	e.Script = cut(e.Script, MaxScript)
	e.Text = cut(e.Text, MaxText)
	for _, s := range []*string{&e.Exe, &e.CWD, &e.Path, &e.Path2, &e.Name, &e.ScriptPath} {
		*s = cut(*s, MaxPath)
	}
	if len(e.Chain) > MaxChain {
		e.Chain = e.Chain[:MaxChain]
	}
	if n := len(e.Stdio); n != 0 && n != 3 {
		e.Stdio = nil
	}
	if e.Wiring != nil && len(e.Wiring.Nodes) > MaxNodes {
		e.Wiring.Nodes = e.Wiring.Nodes[:MaxNodes]
	}
}

// limitArgv cuts the arguments at MaxArgv bytes. A caller that has the whole
// text (a replayed line) passes it as Script.
func (e *Event) limitArgv() {
	total := 0
	for i, a := range e.Argv {
		if total+len(a) > MaxArgv {
			short := append([]string(nil), e.Argv[:i]...)
			if rest := MaxArgv - total; rest > 0 {
				short = append(short, cut(a, rest))
			}
			e.Argv, e.ArgvCut = short, true
			return
		}
		total += len(a)
	}
}

// cut shortens s to at most n bytes, on a character boundary.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
