package mask

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

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
	f := finder{set: s, dirs: map[string]bool{}}
	err = readIndex(b, 20, f.see)
	if errors.Is(err, errIndex) {
		f = finder{set: s, dirs: map[string]bool{}}
		err = readIndex(b, 32, f.see) // SHA-256 repositories
	}
	switch {
	case errors.Is(err, errWork):
		return append(f.out, "the git index is too large: not all of the history is looked at for secrets")
	case err != nil:
		return []string{"the git index cannot be read: secrets in the history are not looked for"}
	case f.more > 0:
		f.out = append(f.out, fmt.Sprintf("%d more hidden files are tracked by git", f.more))
	}
	return f.out
}

// An index is as long as the agent likes, and a few bytes of its version 4 make
// a name of thousands: what is matched and what is told are bounded.
const (
	maxMatched = 64 << 20 // bytes of paths
	maxTold    = 100
)

var (
	errIndex = errors.New("not a git index")
	errWork  = errors.New("too much to match")
)

// finder matches tracked files; each directory once.
type finder struct {
	set  *Set
	dirs map[string]bool // looked at before → hidden
	work int
	out  []string
	more int
}

// hidden reports whether a directory above name is.
func (f *finder) hidden(name string) bool {
	i := strings.LastIndexByte(name, '/')
	if i < 0 {
		return false
	}
	dir := name[:i]
	was, known := f.dirs[dir]
	if !known {
		f.work += len(dir)
		was = f.hidden(dir) || f.set.matches(dir)
		f.dirs[dir] = was
	}
	return was
}

func (f *finder) see(name string) error {
	hidden := f.hidden(name)
	if f.work += len(name); f.work > maxMatched {
		return errWork
	}
	switch {
	case !hidden && !f.set.matches(name):
	case len(f.out) == maxTold:
		f.more++
	default:
		f.out = append(f.out, fmt.Sprintf("%s is hidden, but git tracks it: its content stays readable in .git", cli.Escape(name)))
	}
	return nil
}

// Layout of an entry: ten 32-bit numbers, the object id, 16 bits of flags, 16
// more when extended, the name.
const (
	statBytes    = 40
	flagExtended = 0x4000
	maxNames     = 5_000_000
)

// readIndex gives the paths of an index, gitformat-index(5), versions 2 to 4,
// whose object ids have id bytes.
func readIndex(b []byte, id int, see func(name string) error) error {
	if len(b) < 12 || string(b[:4]) != "DIRC" {
		return errIndex
	}
	version, count := binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
	if version < 2 || version > 4 || count > maxNames {
		return errIndex
	}
	last, at := "", 12
	for range count {
		name, next, err := readEntry(b, at, id, version, last)
		if err == nil && len(name) > unix.PathMax {
			err = errIndex
		}
		if err == nil {
			err = see(name)
		}
		if err != nil {
			return err
		}
		last, at = name, next
	}
	return nil
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
