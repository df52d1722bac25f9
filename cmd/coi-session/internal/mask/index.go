package mask

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/beneath"
	"github.com/code-on-incus/coi/pkg/cli"
)

// maxIndex is the largest git index that is read, in bytes.
const maxIndex = 256 << 20

// Tracked warns of hidden files that git has in its history, where they stay
// readable. The index is read here and not by git, which would obey the
// configuration of the repository.
func (s *Set) Tracked(root *beneath.Root) []string {
	if len(s.res) == 0 {
		return nil
	}
	b, err := root.ReadFile(".git/index", maxIndex)
	if err != nil {
		return nil
	}
	names, err := indexNames(b)
	if err != nil {
		return []string{"the git index cannot be read: secrets in the history are not looked for"}
	}
	var out []string
	for _, n := range names {
		if _, ok := s.Match(n); ok {
			out = append(out, fmt.Sprintf("%s is hidden, but git tracks it: its content stays readable in .git", cli.Escape(n)))
		}
	}
	return out
}

var errIndex = errors.New("not a git index")

// indexNames reads the paths of an index, gitformat-index(5), versions 2 to 4.
func indexNames(b []byte) ([]string, error) {
	names, err := readIndex(b, 20)
	if err != nil {
		names, err = readIndex(b, 32) // SHA-256 repositories
	}
	return names, err
}

// Layout of an entry: ten 32-bit numbers, the object id, 16 bits of flags, 16
// more when extended, the name.
const (
	statBytes    = 40
	flagExtended = 0x4000
	maxNames     = 5_000_000
)

func readIndex(b []byte, id int) ([]string, error) {
	if len(b) < 12 || string(b[:4]) != "DIRC" {
		return nil, errIndex
	}
	version, count := binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
	if version < 2 || version > 4 || count > maxNames {
		return nil, errIndex
	}
	var names []string
	last, at := "", 12
	for range count {
		name, next, err := readEntry(b, at, id, version, last)
		if err != nil {
			return nil, err
		}
		names, last, at = append(names, name), name, next
	}
	return names, nil
}

func readEntry(b []byte, at, id int, version uint32, last string) (name string, next int, err error) {
	p := at + statBytes + id
	if p+2 > len(b) {
		return "", 0, errIndex
	}
	flags := binary.BigEndian.Uint16(b[p:])
	p += 2
	if flags&flagExtended != 0 {
		if version < 3 {
			return "", 0, errIndex
		}
		p += 2
	}
	if version == 4 {
		return readShort(b, p, last)
	}
	if p > len(b) {
		return "", 0, errIndex
	}
	n := bytes.IndexByte(b[p:], 0)
	if n <= 0 || flags&0xfff != 0xfff && int(flags&0xfff) != n {
		return "", 0, errIndex
	}
	size := p + n - at
	return string(b[p : p+n]), at + (size+8)/8*8, nil
}

// readShort reads a name of version 4: how much of the last one to drop, and
// what follows.
func readShort(b []byte, p int, last string) (name string, next int, err error) {
	drop := 0
	for i := 0; ; i++ {
		if p >= len(b) || i > 4 {
			return "", 0, errIndex
		}
		c := b[p]
		p++
		drop = drop<<7 | int(c&0x7f)
		if c&0x80 == 0 {
			break
		}
		drop++
	}
	n := bytes.IndexByte(b[p:], 0)
	if n < 0 || drop > len(last) {
		return "", 0, errIndex
	}
	return last[:len(last)-drop] + string(b[p:p+n]), p + n + 1, nil
}
