package event

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// Append adds an event to b as one line without its newline, in the very form
// that encoding/json would give it. It exists because a storm has thousands of
// events a second, each of which is written.
func Append(b []byte, e Event) ([]byte, error) {
	e.V = Version
	e.Limit()
	w := writer{b: append(b, `{"v":`...)}
	w.b = strconv.AppendInt(w.b, int64(e.V), 10)
	w.uint("seq", e.Seq)
	if !e.TS.IsZero() {
		w.key("ts")
		w.b = append(w.b, '"')
		w.b = e.TS.AppendFormat(w.b, time.RFC3339Nano)
		w.b = append(w.b, '"')
	}
	w.int("mono", e.Mono)
	w.str("container", e.Container)
	w.str("sensor", e.Sensor)
	w.key("type")
	w.text(string(e.Type))
	w.process(&e)
	w.things(&e)
	if e.Wiring != nil && w.err == nil {
		var g bytes.Buffer
		enc := json.NewEncoder(&g)
		enc.SetEscapeHTML(false)
		w.err = enc.Encode(e.Wiring)
		w.key("wiring")
		w.b = append(w.b, bytes.TrimRight(g.Bytes(), "\n")...)
	}
	if w.err != nil {
		return b, w.err
	}
	return append(w.b, '}'), nil
}

func (w *writer) process(e *Event) {
	w.int("pid", int64(e.PID))
	w.int("ppid", int64(e.PPID))
	w.uint("start", e.Start)
	w.int("nspid", int64(e.NSPID))
	w.opt("uid", e.UID)
	w.str("tty", e.TTY)
	w.str("exe", e.Exe)
	w.uint("exe_dev", e.ExeDev)
	w.uint("exe_ino", e.ExeIno)
	w.str("exe_sha", e.ExeSHA)
	w.str("exe_class", e.ExeClass)
	w.str("exe_is", e.ExeIs)
	w.list("exe_flags", e.ExeFlags)
	w.list("argv", e.Argv)
	w.yes("argv_cut", e.ArgvCut)
	w.yes("argv_missed", e.ArgvMissed)
	w.str("cwd", e.CWD)
	w.str("script", e.Script)
	w.str("script_path", e.ScriptPath)
	if len(e.Chain) > 0 {
		w.key("chain")
		for i, a := range e.Chain {
			w.sep(i, '[')
			w.b = append(w.b, `{"pid":`...)
			w.b = strconv.AppendInt(w.b, int64(a.PID), 10)
			w.str("exe", a.Exe)
			w.str("argv0", a.Argv0)
			w.str("class", a.Class)
			w.b = append(w.b, '}')
		}
		w.b = append(w.b, ']')
	}
	if len(e.Stdio) > 0 {
		w.key("stdio")
		for i, s := range e.Stdio {
			w.sep(i, '[')
			w.b = append(w.b, `{"kind":`...)
			w.text(string(s.Kind))
			w.str("id", s.ID)
			w.str("peer", s.Peer)
			w.b = append(w.b, '}')
		}
		w.b = append(w.b, ']')
	}
	w.str("role", e.Role)
	w.yes("setup", e.Setup)
}

func (w *writer) things(e *Event) {
	w.str("path", e.Path)
	w.str("path2", e.Path2)
	w.str("op", e.Op)
	w.uint("mode", uint64(e.Mode))
	w.opt("owner", e.Owner)
	w.str("proto", e.Proto)
	w.str("local", e.Local)
	w.str("peer", e.Peer)
	w.int("port", int64(e.Port))
	w.str("name", e.Name)
	w.str("dir", e.Dir)
	if len(e.NS) > 0 {
		w.key("ns")
		for i, k := range slices.Sorted(maps.Keys(e.NS)) {
			w.sep(i, '{')
			w.text(k)
			w.b = strconv.AppendUint(append(w.b, ':'), e.NS[k], 10)
		}
		w.b = append(w.b, '}')
	}
	if len(e.N) > 0 {
		w.key("n")
		for i, k := range slices.Sorted(maps.Keys(e.N)) {
			w.sep(i, '{')
			w.text(k)
			w.b = append(w.b, ':')
			w.float(e.N[k])
		}
		w.b = append(w.b, '}')
	}
	w.str("text", e.Text)
}

// writer appends JSON. Fields are written as with omitempty.
type writer struct {
	b   []byte
	err error
}

func (w *writer) key(k string) {
	w.b = append(append(append(w.b, `,"`...), k...), `":`...)
}

func (w *writer) sep(i int, open byte) {
	if i > 0 {
		open = ','
	}
	w.b = append(w.b, open)
}

func (w *writer) int(k string, n int64) {
	if n != 0 {
		w.key(k)
		w.b = strconv.AppendInt(w.b, n, 10)
	}
}

func (w *writer) uint(k string, n uint64) {
	if n != 0 {
		w.key(k)
		w.b = strconv.AppendUint(w.b, n, 10)
	}
}

func (w *writer) opt(k string, n *int) {
	if n != nil {
		w.key(k)
		w.b = strconv.AppendInt(w.b, int64(*n), 10)
	}
}

func (w *writer) yes(k string, v bool) {
	if v {
		w.key(k)
		w.b = append(w.b, "true"...)
	}
}

func (w *writer) str(k, s string) {
	if s != "" {
		w.key(k)
		w.text(s)
	}
}

func (w *writer) list(k string, list []string) {
	if len(list) == 0 {
		return
	}
	w.key(k)
	for i, s := range list {
		w.sep(i, '[')
		w.text(s)
	}
	w.b = append(w.b, ']')
}

// float writes the shortest form that reads back as the same number; the few
// that JSON has no form for, and the very large and small, are left to
// encoding/json.
func (w *writer) float(f float64) {
	if abs := math.Abs(f); f == 0 || abs >= 1e-6 && abs < 1e21 {
		w.b = strconv.AppendFloat(w.b, f, 'f', -1, 64)
		return
	}
	b, err := json.Marshal(f)
	if err != nil {
		w.err = err
		return
	}
	w.b = append(w.b, b...)
}

const hex = "0123456789abcdef"

// text writes a string. Control characters and what is no UTF-8 never leave as
// they are.
func (w *writer) text(s string) {
	b := append(w.b, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		size := 1
		var r rune
		if c >= utf8.RuneSelf {
			if r, size = utf8.DecodeRuneInString(s[i:]); !(r == utf8.RuneError && size == 1) && r != '\u2028' && r != '\u2029' {
				i += size
				continue
			}
		}
		b = append(b, s[from:i]...)
		switch {
		case c >= utf8.RuneSelf && size == 1:
			b = append(b, `\ufffd`...)
		case c >= utf8.RuneSelf:
			b = append(append(b, `\u202`...), hex[r&15])
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\b':
			b = append(b, `\b`...)
		case c == '\f':
			b = append(b, `\f`...)
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\r':
			b = append(b, `\r`...)
		case c == '\t':
			b = append(b, `\t`...)
		default:
			b = append(b, `\u00`...)
			b = append(b, hex[c>>4], hex[c&15])
		}
		i += size
		from = i
	}
	w.b = append(append(b, s[from:]...), '"')
}
