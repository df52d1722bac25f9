package scan

import (
	"bytes"
	"unicode/utf8"
)

const maxDepth = 200

// Valid reports whether line is exactly one JSON object in valid UTF-8 without
// duplicate keys. Such lines every JSON reader understands in the same way.
func Valid(line []byte) bool {
	c := checker{b: line}
	c.space()
	if c.i >= len(line) || line[c.i] != '{' || !c.value(0) {
		return false
	}
	c.space()
	return c.i == len(line) && utf8.Valid(line)
}

// checker walks a JSON text once.
type checker struct {
	b []byte
	i int
}

func (c *checker) space() {
	for c.i < len(c.b) && (c.b[c.i] == ' ' || c.b[c.i] == '\t' || c.b[c.i] == '\r' || c.b[c.i] == '\n') {
		c.i++
	}
}

func (c *checker) value(depth int) bool {
	if c.i >= len(c.b) || depth > maxDepth {
		return false
	}
	switch b := c.b[c.i]; b {
	case '"':
		_, ok := c.text()
		return ok
	case '{':
		return c.object(depth)
	case '[':
		return c.array(depth)
	case 't':
		return c.word("true")
	case 'f':
		return c.word("false")
	case 'n':
		return c.word("null")
	}
	return c.number()
}

func (c *checker) word(w string) bool {
	if !bytes.HasPrefix(c.b[c.i:], []byte(w)) {
		return false
	}
	c.i += len(w)
	return true
}

// object also refuses a key that comes twice.
func (c *checker) object(depth int) bool {
	c.i++
	c.space()
	if c.i < len(c.b) && c.b[c.i] == '}' {
		c.i++
		return true
	}
	var k keys
	for {
		c.space()
		if c.i >= len(c.b) || c.b[c.i] != '"' {
			return false
		}
		key, ok := c.text()
		if !ok || !k.add(key) {
			return false
		}
		c.space()
		if c.i >= len(c.b) || c.b[c.i] != ':' {
			return false
		}
		c.i++
		c.space()
		if !c.value(depth + 1) {
			return false
		}
		c.space()
		if c.i >= len(c.b) {
			return false
		}
		c.i++
		switch c.b[c.i-1] {
		case ',':
		case '}':
			return true
		default:
			return false
		}
	}
}

func (c *checker) array(depth int) bool {
	c.i++
	c.space()
	if c.i < len(c.b) && c.b[c.i] == ']' {
		c.i++
		return true
	}
	for {
		c.space()
		if !c.value(depth + 1) {
			return false
		}
		c.space()
		if c.i >= len(c.b) {
			return false
		}
		c.i++
		switch c.b[c.i-1] {
		case ',':
		case ']':
			return true
		default:
			return false
		}
	}
}

// plainByte are the bytes a JSON string holds as they are.
var plainByte = func() (t [256]bool) {
	for b := 0x20; b < 256; b++ {
		t[b] = b != '"' && b != '\\'
	}
	return t
}()

// text reads a string and returns what stands between its quotes.
func (c *checker) text() ([]byte, bool) {
	from := c.i + 1
	for i := from; i < len(c.b); i++ {
		b := c.b[i]
		if plainByte[b] {
			continue
		}
		switch {
		case b == '"':
			c.i = i + 1
			return c.b[from:i], true
		case b != '\\':
			return nil, false
		}
		n := escape(c.b[i:])
		if n == 0 {
			return nil, false
		}
		i += n - 1
	}
	return nil, false
}

// escape is the length of the escape at the start of b, 0 for a bad one. Half
// of a surrogate pair is bad: readers make different things of it.
func escape(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	if bytes.IndexByte([]byte(`"\/bfnrt`), b[1]) >= 0 {
		return 2
	}
	r, ok := hex4(b)
	if !ok || r >= 0xdc00 && r <= 0xdfff {
		return 0
	}
	if r < 0xd800 || r > 0xdbff {
		return 6
	}
	if low, ok := hex4(b[6:]); !ok || low < 0xdc00 || low > 0xdfff {
		return 0
	}
	return 12
}

func hex4(b []byte) (r int, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	for _, c := range b[2:6] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | int(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 | int(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

func (c *checker) digits() bool {
	from := c.i
	for c.i < len(c.b) && c.b[c.i] >= '0' && c.b[c.i] <= '9' {
		c.i++
	}
	return c.i > from
}

func (c *checker) number() bool {
	if c.b[c.i] == '-' {
		c.i++
	}
	switch {
	case c.i < len(c.b) && c.b[c.i] == '0':
		c.i++
	case !c.digits():
		return false
	}
	if c.i < len(c.b) && c.b[c.i] == '.' {
		c.i++
		if !c.digits() {
			return false
		}
	}
	if c.i < len(c.b) && c.b[c.i]|0x20 == 'e' {
		c.i++
		if c.i < len(c.b) && (c.b[c.i] == '+' || c.b[c.i] == '-') {
			c.i++
		}
		return c.digits()
	}
	return true
}

// keys remembers the keys of one object.
type keys struct {
	seen uint64 // one bit for each class of keys that came
	n    int
	few  [40][]byte
	more map[string]bool
}

// add reports whether a key is new. A key with an escape is compared as it
// would be read.
func (k *keys) add(key []byte) bool {
	if bytes.IndexByte(key, '\\') >= 0 {
		key = unescape(key)
	}
	bit := uint64(1) << 63
	if n := len(key); n > 0 {
		bit = 1 << ((uint(key[0])*7 + uint(key[n-1])*5 + uint(key[n/2])*3 + uint(n)) & 63)
	}
	if k.seen&bit != 0 && k.has(key) {
		return false
	}
	k.seen |= bit
	if k.n < len(k.few) {
		k.few[k.n] = key
		k.n++
		return true
	}
	if k.more == nil {
		k.more = map[string]bool{}
	}
	k.more[string(key)] = true
	return true
}

func (k *keys) has(key []byte) bool {
	for _, f := range k.few[:k.n] {
		if bytes.Equal(f, key) {
			return true
		}
	}
	return k.more[string(key)]
}

func unescape(key []byte) []byte {
	out := make([]byte, 0, len(key))
	for i := 0; i < len(key); {
		n := 1
		switch {
		case key[i] != '\\':
			out = append(out, key[i])
		default:
			n = escape(key[i:])
			if n < 6 {
				out = append(out, map[byte]byte{'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}[key[i+1]])
				if last := len(out) - 1; out[last] == 0 {
					out[last] = key[i+1]
				}
				break
			}
			r, _ := hex4(key[i:])
			if n == 12 {
				low, _ := hex4(key[i+6:])
				r = 0x10000 + (r-0xd800)<<10 + (low - 0xdc00)
			}
			out = utf8.AppendRune(out, rune(r))
		}
		i += n
	}
	return out
}
