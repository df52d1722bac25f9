package protect

import (
	"bytes"
	"path"
	"strings"

	"github.com/code-on-incus/coi/pkg/coi"
)

// isTodo reports whether a file is the list of steps that a git operation in
// progress still has to do. "git rebase --continue" runs its exec lines
// (git-rebase(1), --exec), so a list from inside is a program for the host.
func isTodo(rel string) bool {
	dir, base := path.Split(rel)
	switch base {
	case "git-rebase-todo":
		return strings.HasSuffix(dir, "/rebase-merge/")
	case "todo":
		return strings.HasSuffix(dir, "/sequencer/")
	}
	return false
}

// todo takes the lines that run programs out of a list that is new or changed;
// the original stays in quarantine, so that nothing of the user's is lost.
func (c *checker) todo(tree int, rel string) {
	root := c.root(tree)
	if old, ok := c.b.GitFiles[root.Abs(rel)]; ok && old != "" && old == fileHash(root, rel) {
		return
	}
	text, err := root.ReadFile(rel, maxGitConfig)
	if err != nil {
		c.find(coi.High, tree, rel, "is a list of git's next steps that cannot be read", true)
		return
	}
	keep, ran := steps(text)
	if !ran {
		return
	}
	c.find(coi.High, tree, rel, "makes git run a program at the next step", true)
	if err := root.WriteNew(rel, keep, 0o644); err != nil {
		c.notVerified(tree, rel, err)
		return
	}
	if st, err := root.Stat(rel); err == nil && st.UID != c.UID {
		_ = root.Chown(rel, st, c.UID, c.GID)
	}
}

// steps gives a list without its exec lines.
func steps(text []byte) (keep []byte, ran bool) {
	for line := range bytes.Lines(text) {
		word, _, _ := strings.Cut(strings.TrimLeft(strings.Map(blank, string(line)), " "), " ")
		if word == "exec" || word == "x" {
			ran = true
			continue
		}
		keep = append(keep, line...)
	}
	return keep, ran
}

func blank(r rune) rune {
	if strings.ContainsRune("\t\r\v\f\n", r) {
		return ' '
	}
	return r
}
