package seed

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// value is JSON that remembers the order of its keys and the text of its
// numbers, which a map would lose.
type value struct {
	object  *object
	array   []value
	isArray bool
	scalar  string // JSON text of anything else
}

type object struct {
	keys []string
	vals map[string]value
}

// maxDepth bounds the nesting of foreign JSON.
const maxDepth = 200

// parse reads exactly one JSON value; the error names the line.
func parse(text []byte) (value, error) {
	dec := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))))
	dec.UseNumber()
	v, err := read(dec, 0)
	if err == nil {
		if _, terr := dec.Token(); !errors.Is(terr, io.EOF) {
			err = errors.New("text after the end")
		}
	}
	if err != nil {
		at := min(dec.InputOffset(), int64(len(text)))
		return value{}, fmt.Errorf("line %d: %w", 1+bytes.Count(text[:at], []byte("\n")), err)
	}
	return v, nil
}

func read(dec *json.Decoder, depth int) (value, error) {
	if depth > maxDepth {
		return value{}, errors.New("nested too deep")
	}
	tok, err := dec.Token()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return value{}, err
	}
	switch t := tok.(type) {
	case json.Delim:
		if t == '{' {
			return readObject(dec, depth)
		}
		return readArray(dec, depth)
	case string:
		return scalar(t), nil
	case json.Number:
		return value{scalar: t.String()}, nil
	case bool:
		return scalar(t), nil
	}
	return value{scalar: "null"}, nil
}

func readObject(dec *json.Decoder, depth int) (value, error) {
	o := &object{vals: map[string]value{}}
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return value{}, err
		}
		key, ok := tok.(string)
		if !ok {
			return value{}, fmt.Errorf("key %v is no string", tok)
		}
		v, err := read(dec, depth+1)
		if err != nil {
			return value{}, err
		}
		o.set(key, v)
	}
	_, err := dec.Token()
	return value{object: o}, err
}

func readArray(dec *json.Decoder, depth int) (value, error) {
	v := value{isArray: true}
	for dec.More() {
		item, err := read(dec, depth+1)
		if err != nil {
			return value{}, err
		}
		v.array = append(v.array, item)
	}
	_, err := dec.Token()
	return v, err
}

func scalar(v any) value {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // a string or bool cannot fail
	return value{scalar: strings.TrimSuffix(b.String(), "\n")}
}

func (o *object) set(key string, v value) {
	if _, ok := o.vals[key]; !ok {
		o.keys = append(o.keys, key)
	}
	o.vals[key] = v
}

func empty() value { return value{object: &object{vals: map[string]value{}}} }

// merge lays over on base: objects key by key at any depth, lists joined
// without duplicates, everything else replaced. Keys keep base's order.
func merge(base, over value) value {
	switch {
	case base.object != nil && over.object != nil:
		for _, k := range over.object.keys {
			v := over.object.vals[k]
			if old, ok := base.object.vals[k]; ok {
				v = merge(old, v)
			}
			base.object.set(k, v)
		}
		return base
	case base.isArray && over.isArray:
		seen := map[string]bool{}
		out := value{isArray: true}
		for _, item := range append(append([]value{}, base.array...), over.array...) {
			if text := item.compact(); !seen[text] {
				seen[text] = true
				out.array = append(out.array, item)
			}
		}
		return out
	}
	return over
}

// put sets the value at a path of keys, making objects on the way.
func (v value) put(val value, path ...string) {
	if v.object == nil || len(path) == 0 {
		return
	}
	if len(path) == 1 {
		v.object.set(path[0], val)
		return
	}
	next, ok := v.object.vals[path[0]]
	if !ok || next.object == nil {
		next = empty()
		v.object.set(path[0], next)
	}
	next.put(val, path[1:]...)
}

func (v value) compact() string {
	var b strings.Builder
	v.write(&b, "", "")
	return b.String()
}

// text is the value with two spaces of indent and a final newline.
func (v value) text() []byte {
	var b strings.Builder
	v.write(&b, "\n", "  ")
	b.WriteByte('\n')
	return []byte(b.String())
}

func (v value) write(b *strings.Builder, line, indent string) {
	switch {
	case v.object != nil:
		writeList(b, '{', '}', len(v.object.keys), line, indent, func(i int, inner string) {
			k := v.object.keys[i]
			b.WriteString(scalar(k).scalar)
			b.WriteByte(':')
			if line != "" {
				b.WriteByte(' ')
			}
			v.object.vals[k].write(b, inner, indent)
		})
	case v.isArray:
		writeList(b, '[', ']', len(v.array), line, indent, func(i int, inner string) { v.array[i].write(b, inner, indent) })
	default:
		b.WriteString(v.scalar)
	}
}

func writeList(b *strings.Builder, open, end byte, n int, line, indent string, item func(i int, inner string)) {
	b.WriteByte(open)
	inner := line
	if line != "" {
		inner += indent
	}
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(inner)
		item(i, inner)
	}
	if n > 0 {
		b.WriteString(line)
	}
	b.WriteByte(end)
}
