package scan

import (
	"bytes"

	"github.com/tidwall/gjson"
)

// Members calls f for each member of a JSON object for which Valid is true:
// the key as it is written between its quotes, and the value as it is written.
func Members(line []byte, f func(key, raw []byte)) {
	i := bytes.IndexByte(line, '{') + 1
	for i < len(line) {
		for i < len(line) && line[i] != '"' && line[i] != '}' {
			i++
		}
		if i >= len(line) || line[i] == '}' {
			return
		}
		end := stringEnd(line, i)
		key := line[i+1 : end-1]
		for i = end; line[i] == ' ' || line[i] == ':' || line[i] == '\t' || line[i] == '\r'; i++ {
		}
		end = valueEnd(line, i)
		f(key, line[i:end])
		i = end
	}
}

// stringEnd is the offset behind the string that starts at i.
func stringEnd(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return len(b)
}

func valueEnd(b []byte, i int) int {
	switch b[i] {
	case '"':
		return stringEnd(b, i)
	case '{', '[':
		return nestedEnd(b, i)
	}
	for i < len(b) && b[i] != ',' && b[i] != '}' && b[i] != ' ' && b[i] != '\t' && b[i] != '\r' {
		i++
	}
	return i
}

func nestedEnd(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			i = stringEnd(b, i)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
		i++
	}
	return len(b)
}

// Text is a value as text: strings without quotes and escapes, the rest as it
// is written.
func Text(raw []byte) string {
	if len(raw) < 2 || raw[0] != '"' {
		return string(raw)
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1])
	}
	return gjson.ParseBytes(raw).Str
}
