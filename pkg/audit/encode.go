package audit

import (
	"maps"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/code-on-incus/coi/pkg/plain"
)

// TimeForm is the form of ts and until.
const TimeForm = "2006-01-02T15:04:05.000000000Z"

// Encode appends the record as one line of JSON without the newline. The same
// record always gives the same bytes.
func (r *Record) Encode(b []byte) []byte {
	e := encoder{b: append(b, '{')}
	e.integer("v", r.V, true)
	e.integer("seq", r.Seq, true)
	e.time("ts", r.TS)
	e.always("container", r.Container)
	e.str("session_id", r.SessionID)
	e.always("source", r.Source)
	e.always("type", r.Type)
	e.always("level", string(r.Level))
	e.always("category", r.Category)
	e.always("title", r.Title)
	e.str("description", r.Description)
	e.always("rule", r.Rule)
	e.always("action", r.Action)
	e.always("id", r.ID)
	e.integer("count", r.Count, false)
	if !r.Until.IsZero() {
		e.time("until", r.Until)
	}
	e.ints("ref", r.Ref)
	e.process(r)
	e.target(r)
	e.str("text", r.Text)
	if len(r.Evidence) > 0 {
		e.key("evidence")
		e.value(r.Evidence)
	}
	e.integer("late_ms", int(r.LateMS), false)
	e.str("host", r.Host)
	e.always("prev", r.Prev)
	return append(e.b, '}')
}

func (e *encoder) process(r *Record) {
	e.integer("pid", r.PID, false)
	e.integer("ppid", r.PPID, false)
	e.integer("nspid", r.NSPID, false)
	if r.UID != nil {
		e.integer("uid", *r.UID, true)
	}
	e.str("comm", r.Comm)
	e.str("exe", r.Exe)
	e.str("exe_sha", r.ExeSHA)
	e.str("cwd", r.Cwd)
	if len(r.Argv) > 0 {
		e.key("argv")
		e.list(len(r.Argv), func(i int) { e.quote(r.Argv[i]) })
	}
	if r.ArgvCut {
		e.key("argv_cut")
		e.b = append(e.b, "true"...)
	}
	if len(r.Chain) > 0 {
		e.key("chain")
		e.list(len(r.Chain), func(i int) {
			p := r.Chain[i]
			e.object(func() {
				e.integer("pid", p.PID, true)
				e.always("exe", p.Exe)
				e.str("argv0", p.Argv0)
			})
		})
	}
}

func (e *encoder) target(r *Record) {
	e.str("path", r.Path)
	e.str("path2", r.Path2)
	e.str("op", r.Op)
	e.str("proto", r.Proto)
	e.str("local", r.Local)
	e.str("peer", r.Peer)
	e.integer("port", r.Port, false)
	e.str("name", r.Name)
	if d := r.DNS; d != nil {
		e.key("dns")
		e.object(func() {
			e.always("name", d.Name)
			e.str("qtype", d.QType)
			e.str("result", d.Result)
			e.integer("names", d.Names, false)
		})
	}
	if n := r.N; n != nil {
		e.key("n")
		e.object(func() {
			e.number("value", n.Value, true)
			e.number("threshold", n.Threshold, false)
			e.number("window_s", n.WindowS, false)
			e.str("unit", n.Unit)
		})
	}
}

type encoder struct{ b []byte }

// key starts a member; only a brace or bracket before it saves the comma.
func (e *encoder) key(k string) {
	if e.b[len(e.b)-1] != '{' {
		e.b = append(e.b, ',')
	}
	e.b = append(e.b, '"')
	e.b = append(e.b, k...)
	e.b = append(e.b, '"', ':')
}

func (e *encoder) always(k, v string) { e.key(k); e.quote(v) }

func (e *encoder) str(k, v string) {
	if v != "" {
		e.always(k, v)
	}
}

func (e *encoder) integer(k string, v int, always bool) {
	if v != 0 || always {
		e.key(k)
		e.b = strconv.AppendInt(e.b, int64(v), 10)
	}
}

func (e *encoder) number(k string, v float64, always bool) {
	if v != 0 || always {
		e.key(k)
		e.float(v)
	}
}

// float writes what JSON can say; it has no word for infinity or NaN.
func (e *encoder) float(v float64) {
	if v != v || v > 1e300 || v < -1e300 {
		v = 0
	}
	e.b = strconv.AppendFloat(e.b, v, 'f', -1, 64)
}

func (e *encoder) time(k string, t time.Time) {
	e.key(k)
	e.b = append(e.b, '"')
	e.b = t.UTC().AppendFormat(e.b, TimeForm)
	e.b = append(e.b, '"')
}

func (e *encoder) ints(k string, v []int) {
	if len(v) > 0 {
		e.key(k)
		e.list(len(v), func(i int) { e.b = strconv.AppendInt(e.b, int64(v[i]), 10) })
	}
}

func (e *encoder) list(n int, item func(int)) {
	e.b = append(e.b, '[')
	for i := range n {
		if i > 0 {
			e.b = append(e.b, ',')
		}
		item(i)
	}
	e.b = append(e.b, ']')
}

func (e *encoder) object(members func()) {
	e.b = append(e.b, '{')
	members()
	e.b = append(e.b, '}')
}

// value writes one of the types that tidy lets through.
func (e *encoder) value(v any) {
	switch v := v.(type) {
	case string:
		e.quote(v)
	case bool:
		e.b = strconv.AppendBool(e.b, v)
	case int64:
		e.b = strconv.AppendInt(e.b, v, 10)
	case float64:
		e.float(v)
	case []any:
		e.list(len(v), func(i int) { e.value(v[i]) })
	case map[string]any:
		e.object(func() {
			for _, k := range slices.Sorted(maps.Keys(v)) {
				if e.b[len(e.b)-1] != '{' {
					e.b = append(e.b, ',')
				}
				e.quote(k)
				e.b = append(e.b, ':')
				e.value(v[k])
			}
		})
	default:
		e.b = append(e.b, "null"...)
	}
}

const hexDigits = "0123456789abcdef"

// quote writes a JSON string. Whatever could steer a terminal or hide text is
// written as \uXXXX, so that cat of the file is safe; bytes that are no UTF-8
// become U+FFFD.
func (e *encoder) quote(s string) {
	e.b = append(e.b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c < 0x7f && c != '"' && c != '\\' {
			i++
			continue
		}
		e.b = append(e.b, s[start:i]...)
		n := 1
		switch {
		case c == '"' || c == '\\':
			e.b = append(e.b, '\\', c)
		case c < utf8.RuneSelf:
			e.unicode(uint16(c))
		default:
			var r rune
			r, n = utf8.DecodeRuneInString(s[i:])
			e.rune(r)
		}
		i += n
		start = i
	}
	e.b = append(e.b, s[start:]...)
	e.b = append(e.b, '"')
}

func (e *encoder) rune(r rune) {
	switch {
	case !plain.Unprintable(r):
		e.b = utf8.AppendRune(e.b, r)
	case r > 0xffff:
		r -= 0x10000
		e.unicode(uint16(0xd800 + r>>10))
		e.unicode(uint16(0xdc00 + r&0x3ff))
	default:
		e.unicode(uint16(r))
	}
}

func (e *encoder) unicode(v uint16) {
	e.b = append(e.b, '\\', 'u', hexDigits[v>>12], hexDigits[v>>8&15], hexDigits[v>>4&15], hexDigits[v&15])
}
