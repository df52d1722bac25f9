package scene

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/inside"
)

// MaxImage is the largest program file that is hashed, in bytes.
const MaxImage = 64 << 20

// maxImages bounds the cache of program files.
const maxImages = 8192

// fileKey names a state of a file: what was written since is another program.
type fileKey struct {
	dev   uint32
	ino   uint64
	mtime int64
}

// image is what is known of a program file.
type image struct {
	path  string
	sha   string
	class string
	is    string // name in the image's own program folders of the same content
}

// Names tells the class and the usual name of a program from its file name.
// Package program of this tool provides it.
type Names interface {
	ClassOf(name string) string
	Canonical(name string) string
	Known() []string // names worth knowing by content
}

// Images recognises programs by content. It is filled from the program folders
// of the container when that starts and is not safe for concurrent use.
type Images struct {
	names  Names
	bySHA  map[string]string // content to the name it has in the image
	byFile map[fileKey]image
}

// NewImages returns an empty set.
func NewImages(names Names) *Images {
	return &Images{names: names, bySHA: map[string]string{}, byFile: map[fileKey]image{}}
}

// programDirs are where an image keeps its own programs.
var programDirs = []string{"/usr/bin", "/usr/sbin", "/bin", "/sbin", "/usr/local/bin"}

// Fill reads the programs of the image that have a class. Files that are not
// owned by root inside (uid root0 on the host) are left out: their names prove nothing.
func (m *Images) Fill(root *inside.Root, rootUID int) int {
	seen := map[uint64]bool{}
	for _, dir := range programDirs {
		for _, name := range m.names.Known() {
			in, err := root.Stat(path.Join(dir, name))
			if err != nil || seen[in.Ino] || in.UID != rootUID || in.Size > MaxImage {
				continue
			}
			seen[in.Ino] = true
			data, _, err := root.Read(in.Path, 0, MaxImage)
			if err != nil {
				continue
			}
			// Several names of one file (busybox, sh and dash) go by the file's own name.
			m.bySHA[sum(data)] = path.Base(in.Path)
		}
	}
	return len(m.bySHA)
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// look finds out about the file at name, which must be the one in key. read
// may be nil when the file cannot be read any more.
func (m *Images) look(key fileKey, name string, root *inside.Root) image {
	if im, ok := m.byFile[key]; ok {
		return im
	}
	im := image{path: name, class: m.names.ClassOf(path.Base(name)), is: ""}
	if root != nil && strings.HasPrefix(name, "/") {
		in, err := root.Stat(name)
		if err != nil || in.Ino != key.ino || in.Mtime.Unix() != key.mtime {
			return im // another file has the name by now: nothing is known, nothing is kept
		}
		if in.Size <= MaxImage {
			if data, _, err := root.Read(in.Path, 0, MaxImage); err == nil {
				im.sha = sum(data)
			}
		}
		im.path = in.Path
	}
	if is, ok := m.bySHA[im.sha]; ok && im.sha != "" {
		im.is = is
		if c := m.names.ClassOf(is); c != "" {
			im.class = c
		}
	}
	if im.sha != "" {
		m.keep(key, im)
	}
	return im
}

func (m *Images) keep(key fileKey, im image) {
	if len(m.byFile) >= maxImages {
		clear(m.byFile) // rare, and cheap to fill again
	}
	m.byFile[key] = im
}
