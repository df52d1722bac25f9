// Package evidence keeps what a finding was found in: processes, descriptors,
// sockets, mounts, the last events and the programs themselves, in a folder
// that nobody else can read. Text goes through the redactor first; nothing in
// the folder is ever executable.
package evidence

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/inside"
	"github.com/code-on-incus/coi/pkg/home"
)

// Limits of one folder, in bytes.
const (
	MaxFolder  = 64 << 20
	MaxProgram = 32 << 20
)

// Redactor takes secrets out of text.
type Redactor interface {
	Text(s string) string
	Argv(argv []string) []string
}

// Process is one line of the process tree.
type Process struct {
	PID    int               `json:"pid"`
	PPID   int               `json:"ppid"`
	NSPID  int               `json:"nspid,omitempty"`
	UID    int               `json:"uid"`
	Exe    string            `json:"exe,omitempty"`
	Class  string            `json:"class,omitempty"`
	Role   string            `json:"role,omitempty"`
	Argv   []string          `json:"argv,omitempty"`
	CWD    string            `json:"cwd,omitempty"`
	NS     map[string]uint64 `json:"ns,omitempty"`
	Gone   bool              `json:"gone,omitempty"`
	Script string            `json:"-"`
}

// Case is what is to be kept.
type Case struct {
	Container, ID string
	Finding       any
	Processes     []Process
	Wiring        any
	Mounts        []byte // mountinfo of the container's init
	Events        string // host path of the last events
	Guard         string // host path of the guard's status
	Programs      []string
	Root          *inside.Root // nil: programs are not kept
	Redactor      Redactor
}

// Folder is where a case is kept, relative to ~/.coi.
func Folder(container, id string) string {
	return path.Join("storage", "evidence", container, id)
}

// saver counts what goes into a folder.
type saver struct {
	dir  string
	left int64
	sums map[string]string
}

// Save writes the folder and its list of sums. What cannot be had is left out;
// the error is about the folder itself.
func Save(h home.Home, c Case) error {
	dir := h.Path(Folder(c.Container, c.ID))
	if _, err := h.Ensure(dir); err != nil {
		return err
	}
	s := &saver{dir: dir, left: MaxFolder, sums: map[string]string{}}
	for i := range c.Processes {
		c.Processes[i].Argv = c.Redactor.Argv(c.Processes[i].Argv)
	}
	s.json("finding.json", c.Finding)
	s.json("processes.json", c.Processes)
	if c.Wiring != nil {
		s.json("wiring.json", c.Wiring)
	}
	s.put("mounts.txt", c.Mounts)
	for name, from := range map[string]string{"events.jsonl": c.Events, "guard.json": c.Guard} {
		if b, err := home.ReadFile(from); err == nil {
			s.put(name, []byte(c.Redactor.Text(string(b))))
		}
	}
	if c.Root != nil {
		s.programs(c)
	}
	return s.finish()
}

func (s *saver) json(name string, v any) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err == nil {
		s.put(name, append(b, '\n'))
	}
}

// put writes one file, unless the folder is full.
func (s *saver) put(name string, b []byte) {
	if int64(len(b)) > s.left || len(b) == 0 {
		return
	}
	f, err := os.OpenFile(filepath.Join(s.dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, home.FileMode)
	if err != nil {
		return
	}
	_, err = f.Write(b)
	if cerr := f.Close(); err != nil || cerr != nil {
		return
	}
	s.left -= int64(len(b))
	sum := sha256.Sum256(b)
	s.sums[name] = hex.EncodeToString(sum[:])
}

// programs keeps the files that ran, under numbered names of our own.
func (s *saver) programs(c Case) {
	names := slices.Clone(c.Programs)
	slices.Sort(names)
	list := map[string]string{}
	for i, p := range slices.Compact(names) {
		b, in, err := c.Root.Read(p, 0, MaxProgram+1)
		if err != nil || len(b) > MaxProgram {
			continue
		}
		name := fmt.Sprintf("program-%02d.bin", i+1)
		if isText(b) {
			name, b = fmt.Sprintf("script-%02d.txt", i+1), []byte(c.Redactor.Text(string(b)))
		}
		s.put(name, b)
		list[name] = in.Path
	}
	if len(list) > 0 {
		s.json("programs.json", list)
	}
}

func isText(b []byte) bool { return !strings.ContainsRune(string(b[:min(len(b), 4096)]), 0) }

func (s *saver) finish() error {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(s.sums)) {
		fmt.Fprintf(&b, "%s  %s\n", s.sums[name], name)
	}
	return home.WriteFile(filepath.Join(s.dir, "SHA256SUMS"), []byte(b.String()))
}
