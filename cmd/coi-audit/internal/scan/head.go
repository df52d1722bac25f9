package scan

import (
	"bytes"

	"github.com/code-on-incus/coi/pkg/audit"
)

// head is the start of a line in the form our encoder writes: fields in fixed
// order, none of which can hold a quote.
type head struct {
	ts, source, typ, level, category []byte
	next                             int // where the title begins
	// same is container and session_id of an earlier line, which most lines
	// have in common with it.
	same []byte
}

const (
	lineStart = `{"v":1,"seq":`
	tsKey     = `,"ts":"`
	tsLen     = len(audit.TimeForm)
)

// parse reads the head. ok is false for a line in another form. Keys are
// compared as constants, which the compiler turns into a few words each.
func (h *head) parse(line []byte) (ok bool) {
	const least = len(lineStart) + 1 + len(tsKey) + tsLen + 40
	if len(line) < least || string(line[:len(lineStart)]) != lineStart {
		return false
	}
	i := len(lineStart)
	for i < len(lineStart)+20 && line[i] >= '0' && line[i] <= '9' {
		i++
	}
	if i+len(tsKey)+tsLen >= len(line) || string(line[i:i+len(tsKey)]) != tsKey {
		return false
	}
	i += len(tsKey)
	h.ts = line[i : i+tsLen]
	i += tsLen
	if line[i] != '"' {
		return false
	}
	i++
	if len(h.same) > 0 && bytes.HasPrefix(line[i:], h.same) && !bytes.HasPrefix(line[i+len(h.same):], []byte(`,"session_id"`)) {
		i += len(h.same)
	} else if i, ok = h.who(line, i); !ok {
		return false
	}
	return h.words(line, i)
}

// who passes container and session_id.
func (h *head) who(line []byte, i int) (next int, ok bool) {
	from := i
	if _, i, ok = field(line, i, `,"container":"`); !ok {
		return i, false
	}
	if _, j, has := field(line, i, `,"session_id":"`); has {
		i = j
	}
	h.same = append(h.same[:0], line[from:i]...)
	return i, true
}

// words reads source, type, level and category.
func (h *head) words(line []byte, i int) bool {
	const source, typ, level, category = `,"source":"`, `,"type":"`, `,"level":"`, `,"category":"`
	if i+80 > len(line) {
		return false
	}
	if string(line[i:i+len(source)]) != source {
		return false
	}
	i += len(source)
	n := short(line, i)
	h.source = line[i : i+n]
	if i += n + 1; i+60 > len(line) || string(line[i:i+len(typ)]) != typ {
		return false
	}
	i += len(typ)
	n = short(line, i)
	h.typ = line[i : i+n]
	if i += n + 1; i+40 > len(line) || string(line[i:i+len(level)]) != level {
		return false
	}
	i += len(level)
	n = short(line, i)
	h.level = line[i : i+n]
	if i += n + 1; i+len(category) > len(line) || string(line[i:i+len(category)]) != category {
		return false
	}
	i += len(category)
	n = short(line, i)
	h.category = line[i : i+n]
	h.next = i + n + 1
	return h.next <= len(line)
}

// short is the length of the word that starts at i, whose quote must be near.
func short(line []byte, i int) int {
	end := min(len(line), i+24)
	for j := i; j < end; j++ {
		if line[j] == '"' {
			return j - i
		}
	}
	return end - i
}

// field reads a string that follows key at i.
func field(line []byte, i int, key string) (value []byte, next int, ok bool) {
	from := i + len(key)
	if from > len(line) || string(line[i:from]) != key {
		return nil, i, false
	}
	n := bytes.IndexByte(line[from:], '"')
	if n < 0 {
		return nil, i, false
	}
	return line[from : from+n], from + n + 1, true
}

// ruleAndAction reads on behind the head.
func (h *head) ruleAndAction(line []byte) (rule, action []byte, ok bool) {
	i, ok := text(line, h.next, `,"title":"`)
	if !ok {
		return nil, nil, false
	}
	if j, has := text(line, i, `,"description":"`); has {
		i = j
	}
	rule, i, ok = field(line, i, `,"rule":"`)
	if !ok || bytes.IndexByte(rule, '\\') >= 0 {
		return nil, nil, false
	}
	action, _, ok = field(line, i, `,"action":"`)
	return rule, action, ok
}

// text passes a string that may hold escapes.
func text(line []byte, i int, key string) (next int, ok bool) {
	from := i + len(key)
	if from > len(line) || string(line[i:from]) != key {
		return i, false
	}
	for {
		n := bytes.IndexByte(line[from:], '"')
		if n < 0 {
			return i, false
		}
		from += n + 1
		back := from - 2
		for line[back] == '\\' {
			back--
		}
		if (from-2-back)%2 == 0 {
			return from, true
		}
	}
}
