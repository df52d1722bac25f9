package audit

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"
	"unicode/utf8"
)

// Limits of fields in bytes; what is longer is cut.
const (
	maxTitle       = 120
	maxDescription = 1000
	maxText        = 1 << 10
	maxPath        = 4 << 10
	maxName        = 256
	maxArgv        = 4 << 10
	maxChain       = 8
	maxEvidence    = 4 << 10 // one string of it
	maxItems       = 256     // one list or map of it
	maxDepth       = 6
	maxRef         = 1024
	// overlap is read beyond a limit before secrets are taken out, so that a
	// secret across the limit is seen whole and no half of it stays.
	overlap = 256
)

// Redactor takes secrets out of text. *redact.Redactor is one.
type Redactor interface {
	Text(s string) string
	Argv(argv []string) []string
}

// tidied is a copy of the record with every text redacted and within limits.
func (r Record) tidied(red Redactor) Record {
	text := func(s string, limit int) string { return cut(red.Text(cut(s, limit+overlap)), limit) }
	r.Title = text(r.Title, maxTitle)
	r.Description = text(r.Description, maxDescription)
	r.Rule = text(r.Rule, maxName)
	r.Comm = text(r.Comm, maxName)
	r.Exe = text(r.Exe, maxPath)
	r.Cwd = text(r.Cwd, maxPath)
	r.Path = text(r.Path, maxPath)
	r.Path2 = text(r.Path2, maxPath)
	r.Local = cut(r.Local, maxName)
	r.Peer = text(r.Peer, maxPath)
	r.Name = text(r.Name, maxName)
	r.Text = text(r.Text, maxText)
	r.Argv, r.ArgvCut = argv(r.Argv, r.ArgvCut, red)
	r.Chain = chain(r.Chain, text)
	if r.DNS != nil {
		d := *r.DNS
		d.Name = text(d.Name, maxName)
		d.QType, d.Result = text(d.QType, maxName), text(d.Result, maxName)
		r.DNS = &d
	}
	r.operation()
	if len(r.Ref) > maxRef {
		r.Ref = r.Ref[:maxRef]
	}
	if len(r.Evidence) > 0 {
		tidy := tidier{text: text}
		r.Evidence, _ = tidy.value(r.Evidence, 0).(map[string]any)
	}
	return r
}

// operations are the words that op may hold.
var operations = []string{"", "open", "read", "write", "create", "rename", "delete", "attrib", "exec", "mount", "umount"}

// operation brings op to one of the known words; what has none is kept as
// evidence.
func (r *Record) operation() {
	if slices.Contains(operations, r.Op) {
		return
	}
	word := r.Op
	r.Op = map[string]string{"truncate": "write", "rename_from": "rename"}[word]
	evidence := map[string]any{"op": word}
	maps.Copy(evidence, r.Evidence)
	r.Evidence = evidence
}

// cut shortens s to limit bytes at most without splitting a character.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

func argv(in []string, wasCut bool, red Redactor) ([]string, bool) {
	if len(in) == 0 {
		return nil, wasCut
	}
	first, cutFirst := cutAll(in, maxArgv+overlap)
	out, cutLast := cutAll(red.Argv(first), maxArgv)
	return out, wasCut || cutFirst || cutLast
}

// cutAll keeps the first words of argv up to a sum of limit bytes.
func cutAll(in []string, limit int) (out []string, wasCut bool) {
	for _, a := range in {
		if len(out) >= maxItems*4 || limit <= 0 {
			return out, true
		}
		short := cut(a, limit)
		out = append(out, short)
		limit -= len(short) + 1
		if len(short) < len(a) {
			return out, true
		}
	}
	return out, false
}

func chain(in []Parent, text func(string, int) string) []Parent {
	if len(in) > maxChain {
		in = in[:maxChain]
	}
	out := make([]Parent, len(in))
	for i, p := range in {
		out[i] = Parent{p.PID, text(p.Exe, maxPath), text(p.Argv0, maxName)}
	}
	return out
}

// tidier turns evidence into the few types the encoder writes.
type tidier struct {
	text func(string, int) string
}

func (t tidier) value(v any, depth int) any {
	if depth > maxDepth {
		return "[too deep]"
	}
	switch v := v.(type) {
	case nil, bool, int64:
		return v
	case string:
		return t.text(v, maxEvidence)
	case time.Time:
		return v.UTC().Format(TimeForm)
	case time.Duration:
		return v.Seconds()
	case error:
		return t.text(v.Error(), maxEvidence)
	case fmt.Stringer:
		return t.text(v.String(), maxEvidence)
	}
	return t.reflected(reflect.ValueOf(v), depth)
}

func (t tidier) reflected(v reflect.Value, depth int) any {
	switch v.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return v.Int()
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return int64(v.Uint() & (1<<63 - 1))
	case reflect.Float32, reflect.Float64:
		return v.Float()
	case reflect.Bool:
		return v.Bool()
	case reflect.String:
		return t.text(v.String(), maxEvidence)
	case reflect.Slice, reflect.Array:
		out := []any{}
		for i := range min(v.Len(), maxItems) {
			out = append(out, t.value(v.Index(i).Interface(), depth+1))
		}
		return out
	case reflect.Map:
		return t.mapped(v, depth)
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return t.value(v.Elem().Interface(), depth+1)
	}
	return t.structure(v, depth)
}

func (t tidier) mapped(v reflect.Value, depth int) any {
	out := map[string]any{}
	for it := v.MapRange(); it.Next() && len(out) < maxItems; {
		out[t.text(fmt.Sprint(it.Key().Interface()), maxName)] = t.value(it.Value().Interface(), depth+1)
	}
	return out
}

// structure goes through JSON, which knows the names of the fields.
func (t tidier) structure(v reflect.Value, depth int) any {
	b, err := json.Marshal(v.Interface())
	if err != nil {
		return nil
	}
	var plain any
	if json.Unmarshal(b, &plain) != nil {
		return nil
	}
	return t.value(plain, depth+1)
}
