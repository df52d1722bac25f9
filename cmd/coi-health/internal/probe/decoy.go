package probe

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// The workspace of a holds what a real project holds, none of it worth a thing.
const (
	secretLine = "DECOY_TOKEN="
	control    = "control.txt"
)

// workspaces makes the two workspaces, in a directory that nobody can have made
// for us, and outside it what the project will ask for in vain.
func (l *lab) workspaces() error {
	l.dir = folder(l.Facts.Home.UID, strconv.Itoa(os.Getpid()))
	if err := os.Mkdir(l.dir, 0o755); err != nil { //nolint:gosec // a container's mapped user must reach the workspace below
		return err
	}
	l.a.ws, l.b.ws = filepath.Join(l.dir, "a"), filepath.Join(l.dir, "b")
	for _, dir := range []string{l.a.ws, l.b.ws, l.outside(), filepath.Join(l.a.ws, ".coi"), filepath.Join(l.a.ws, "deep")} {
		if err := os.Mkdir(dir, 0o755); err != nil { //nolint:gosec // as above
			return err
		}
	}
	for _, repo := range []string{l.a.ws, filepath.Join(l.a.ws, "deep"), l.b.ws} {
		if err := repository(repo); err != nil {
			return err
		}
	}
	files := map[string]string{
		filepath.Join(l.a.ws, ".env"):                secretLine + l.cookie + "\n",
		filepath.Join(l.a.ws, control):               l.cookie + "\n",
		filepath.Join(l.outside(), "secret"):         l.cookie + "\n",
		filepath.Join(l.a.ws, ".coi", "config.toml"): "[security]\nsecret_paths = [\".env\"]\n\n[[mounts.default]]\nhost = \"" + l.outside() + "\"\ncontainer = \"/mnt/outside\"\n",
	}
	for path, text := range files {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil { //nolint:gosec // decoys
			return err
		}
	}
	return nil
}

func (l *lab) outside() string { return filepath.Join(l.dir, "outside") }

// repository makes an empty git repository, without running git.
func repository(dir string) error {
	git := filepath.Join(dir, ".git")
	for _, d := range []string{"", "hooks", "info", "objects", "refs", "refs/heads"} {
		if err := os.Mkdir(filepath.Join(git, d), 0o755); err != nil { //nolint:gosec // as git does
			return err
		}
	}
	for name, text := range map[string]string{"HEAD": "ref: refs/heads/main\n", "config": "[core]\n\trepositoryformatversion = 0\n\tbare = false\n"} {
		if err := os.WriteFile(filepath.Join(git, name), []byte(text), 0o644); err != nil { //nolint:gosec // as git does
			return err
		}
	}
	return nil
}

// removeFiles removes the folder of a run, if it is this user's. It reports
// whether nothing is left to be removed.
func (l *lab) removeFiles(dir string) bool {
	st, err := os.Lstat(dir)
	if err != nil || !st.IsDir() {
		return true
	}
	if sys, is := st.Sys().(*syscall.Stat_t); !is || int(sys.Uid) != l.Facts.Home.UID {
		return true
	}
	return os.RemoveAll(dir) == nil
}
