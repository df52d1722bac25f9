// Package redact takes secrets out of every text before it is written: known
// token shapes, values that stand where secrets stand, random words beside a
// telling name, and exact values that only their salted hashes tell.
//
// A secret becomes [redacted:<kind>:<4 hex>]. The hex is an HMAC under a key of
// this ~/.coi, so equal secrets look equal and nothing can be tried offline
// without the key.
package redact

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/home"
)

const keyLen = 32

// Redactor finds and replaces secrets. It is safe for use by several goroutines.
type Redactor struct {
	key   []byte
	exact *exact
}

// New returns the redactor of this home. The first program that needs it makes
// the key, ~/.coi/run/redact.key, exclusively and with mode 0600. Where the key
// can be neither read nor made the error says so and the Redactor still works,
// with a key of its own that ends with the process.
func New(h home.Home) (*Redactor, error) {
	key, err := loadKey(h)
	if err != nil {
		key = newKey()
		err = fmt.Errorf("redaction key: %w", err)
	}
	return &Redactor{key: key}, err
}

func newKey() []byte {
	key := make([]byte, keyLen)
	// crypto/rand.Read never fails: it ends the program where it would.
	_, _ = rand.Read(key)
	return key
}

func loadKey(h home.Home) ([]byte, error) {
	path := h.Run("redact.key")
	if key, err := readKey(path); !home.Missing(err) {
		return key, err
	}
	if _, err := h.Ensure(h.Run()); err != nil {
		return nil, err
	}
	return makeKey(path)
}

func readKey(path string) ([]byte, error) {
	f, err := home.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	key, err := home.ReadCapped(f, keyLen)
	if err == nil && len(key) != keyLen {
		err = fmt.Errorf("%s: %d bytes, want %d", path, len(key), keyLen)
	}
	return key, err
}

// makeKey writes a whole file and links it into place: whoever comes second
// finds the name taken and a complete key behind it.
func makeKey(path string) ([]byte, error) {
	tmp := fmt.Sprintf("%s.%d.%s", path, os.Getpid(), hex.EncodeToString(newKey()[:4]))
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, home.FileMode)
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.Remove(tmp) }()
	key := newKey()
	_, err = f.Write(key)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if err := os.Link(tmp, path); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	return readKey(path)
}

// mark is what a secret becomes.
func (r *Redactor) mark(kind, secret string) string {
	m := hmac.New(sha256.New, r.key)
	m.Write([]byte(secret))
	return marker + kind + ":" + hex.EncodeToString(m.Sum(nil)[:2]) + "]"
}

const marker = "[redacted:"

// Text returns s with its secrets replaced. Text that was redacted before
// stays as it is.
func (r *Redactor) Text(s string) string {
	if len(s) < 4 {
		return s
	}
	spans := find(s)
	if r.exact != nil {
		spans = append(spans, r.exact.find(s)...)
	}
	return r.replace(s, spans)
}

// Argv is Text for a command line: the word after a flag such as --password is
// a secret too, and so is the whole rest of a word NAME=value with a telling
// name. The result has as many words as argv.
func (r *Redactor) Argv(argv []string) []string {
	out := make([]string, len(argv))
	name := clientOf(argv)
	for i, a := range argv {
		if i == 0 {
			out[i] = r.Text(a)
			continue
		}
		if from := r.secretWord(name, argv[i-1], a); from >= 0 {
			out[i] = r.Text(a[:from]) + r.mark("flag", a[from:])
		} else {
			out[i] = r.Text(a)
		}
	}
	return out
}

// secretWord is where the secret begins that word a of a command line ends
// with, -1 if its place tells nothing.
func (r *Redactor) secretWord(name, before, a string) int {
	if secretAfter(name, before) {
		if !clientUser(before) {
			return valueFrom(a, 0)
		}
		if at := strings.IndexByte(a, ':'); at >= 0 {
			return valueFrom(a, at+1)
		}
		return -1
	}
	if v, ok := gluedSecret(name, a); ok {
		return len(a) - len(v)
	}
	// After -c stands a script: its first assignment must not hide the rest.
	n := lead(a, nameClass)
	if before != "-c" && n > 0 && n < len(a) && a[n] == '=' && weigh(a[:n]) == telling && secretValue(a[n+1:], telling) {
		return n + 1
	}
	return -1
}

func valueFrom(a string, from int) int {
	if from < 0 || from > len(a) || !isValue(a[from:]) {
		return -1
	}
	return from
}

// span is a secret in a text: s[from:to].
type span struct {
	from, to int
	kind     string
}

// replace puts marks in the place of spans; where they overlap, the one that
// starts first grows.
func (r *Redactor) replace(s string, spans []span) string {
	if len(spans) == 0 {
		return s
	}
	spans = merge(spans)
	var b strings.Builder
	at := 0
	for _, sp := range spans {
		b.WriteString(s[at:sp.from])
		b.WriteString(r.mark(sp.kind, s[sp.from:sp.to]))
		at = sp.to
	}
	b.WriteString(s[at:])
	return b.String()
}
