package scene

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/inside"
)

// MaxImage is the largest program file that is hashed, in bytes.
const MaxImage = 64 << 20

// maxImages bounds the cache of program files.
const maxImages = 8192

// fileKey names a state of a file: what was written since is another program.
// The change time cannot be set back by the container, unlike that of writing.
type fileKey struct {
	dev   uint64
	ino   uint64
	ctime int64 // seconds
}

// settled reports that a file which changed at that second and is changed once
// more gets another one. Of a file that is younger nothing is kept: its next
// state would have the name of this one.
func settled(ctime int64) bool { return time.Now().Unix()-ctime > 1 }

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
	sizes  map[int64]bool    // of those files: only an equal size calls for a look at the content
	own    map[fileKey]image // the programs of the image, by what stat says
	byFile map[fileKey]image // by what the kernel side says
	devs   map[uint32]uint64 // device of the kernel side to device of stat; they differ on btrfs
}

// NewImages returns an empty set.
func NewImages(names Names) *Images {
	return &Images{
		names: names, bySHA: map[string]string{}, sizes: map[int64]bool{}, own: map[fileKey]image{}, byFile: map[fileKey]image{}, devs: map[uint32]uint64{},
	}
}

// programDirs are where an image keeps its own programs.
var programDirs = []string{"/usr/bin", "/usr/sbin", "/bin", "/sbin", "/usr/local/bin"}

// Fill reads the programs of the image that have a class. Files that are not
// owned by root inside (uid rootUID on the host) are left out: their names
// prove nothing. made is when the container was made, zero if that is not known.
func (m *Images) Fill(root *inside.Root, rootUID int, sums *Sums, made time.Time) int {
	for _, dir := range programDirs {
		for _, name := range m.names.Known() {
			in, err := root.Stat(path.Join(dir, name))
			key := fileKey{in.Dev, in.Ino, in.Changed.Unix()}
			if _, seen := m.own[key]; err != nil || seen || in.UID != rootUID || in.Size > MaxImage {
				continue
			}
			lasting := settled(key.ctime)
			sum, err := sums.of(root, in, made)
			if err != nil {
				continue
			}
			// Several names of one file (busybox, sh and dash) go by the file's own name.
			is := path.Base(in.Path)
			im := image{path: in.Path, sha: sum, class: m.names.ClassOf(is), is: is}
			m.bySHA[im.sha], m.sizes[in.Size] = is, true
			if lasting {
				m.own[key] = im
			}
		}
	}
	return len(m.bySHA)
}

// Adopt takes over what another set was filled with.
func (m *Images) Adopt(o *Images) {
	m.bySHA, m.sizes, m.own = o.bySHA, o.sizes, o.own
	clear(m.byFile)
}

// lookKernel finds out about a file that the kernel side named by its own
// device number.
// live opens the file by the process that runs it; it is asked when the name
// leads nowhere, as it does from another mount namespace.
func (m *Images) lookKernel(dev uint32, ino uint64, ctime int64, name func() string, root *inside.Root, live func() (*os.File, error)) image {
	key := fileKey{uint64(dev) | kernelDev, ino, ctime}
	if im, ok := m.byFile[key]; ok {
		return im
	}
	if st, ok := m.devs[dev]; ok {
		if im, ok := m.own[fileKey{st, ino, ctime}]; ok {
			return im
		}
	}
	lasting := settled(ctime) // before it is read
	im, st, sure := m.look(ino, ctime, name(), root)
	if sure {
		m.devs[dev] = st
	} else {
		sure = m.lookLive(&im, ino, ctime, live)
	}
	if sure && lasting {
		m.keep(key, im)
	}
	return im
}

// lookLive recognises the file that a living process runs, by its content.
func (m *Images) lookLive(im *image, ino uint64, ctime int64, live func() (*os.File, error)) bool {
	f, err := live()
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Ino != ino || st.Ctim.Sec != ctime {
		return false
	}
	if !m.sizes[st.Size] {
		return true
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(inside.Yielding(f), MaxImage)); err != nil {
		return false
	}
	im.sha = hex.EncodeToString(h.Sum(nil))
	if is, ok := m.bySHA[im.sha]; ok {
		im.is = is
		if c := m.names.ClassOf(is); c != "" {
			im.class = c
		}
	}
	return true
}

// kernelDev keeps the two kinds of device number apart.
const kernelDev = 1 << 63

// look finds out about the file at name, which must be the one with that inode
// and change time; sure says that it was.
func (m *Images) look(ino uint64, ctime int64, name string, root *inside.Root) (im image, dev uint64, sure bool) {
	im = image{path: name, class: m.names.ClassOf(path.Base(name))}
	if root == nil || !strings.HasPrefix(name, "/") {
		return im, 0, false
	}
	in, err := root.Stat(name)
	if err != nil || in.Ino != ino || in.Changed.Unix() != ctime {
		return im, 0, false // another file has the name by now: nothing is known, nothing is kept
	}
	im.path = in.Path
	if own, ok := m.own[fileKey{in.Dev, ino, ctime}]; ok {
		return own, in.Dev, true
	}
	if m.sizes[in.Size] { // unreadable: known by name only
		sum, now, err := root.Sum(in.Path, MaxImage)
		if err == nil && now != in {
			return im, 0, false // it was changed while it was read
		}
		im.sha = sum
	}
	if is, ok := m.bySHA[im.sha]; ok {
		im.is = is
		if c := m.names.ClassOf(is); c != "" {
			im.class = c
		}
	}
	return im, in.Dev, true
}

func (m *Images) keep(key fileKey, im image) {
	if len(m.byFile) >= maxImages {
		clear(m.byFile) // rare, and cheap to fill again
	}
	m.byFile[key] = im
}

// SHA is the content of a program file, for a record about it.
func SHA(root *inside.Root, name string) string {
	if root == nil {
		return ""
	}
	sum, _, err := root.Sum(name, MaxImage)
	if err != nil {
		return ""
	}
	return sum
}
