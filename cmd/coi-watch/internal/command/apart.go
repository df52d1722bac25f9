package command

import (
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/paths"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
)

// apart expands a word that may be written apart by variables that nobody set:
// w${u}get, /e${u}tc/shadow. They are empty when the word then names a program
// or a file that means something, and did not before. After such a program all
// words of the command are read so.
func (e *eval) apart(w *syntax.Word, program bool) []string {
	if !pieced(w) {
		return e.fields(w)
	}
	saved := e.dyn
	e.dyn = false
	fs := e.fields(w)
	dyn := e.dyn
	e.dyn = saved || dyn
	if !dyn || e.drop || len(fs) != 1 {
		return fs
	}
	taint, dec := e.taint, e.dec
	e.drop = true
	gone := e.fields(w)
	e.taint, e.dec = taint, dec
	if len(gone) == 1 && better(gone[0], fs[0], program) {
		e.drop, e.dyn = program, saved
		return gone
	}
	e.drop = false
	return fs
}

// pieced reports words with a variable between two pieces of plain text.
func pieced(w *syntax.Word) bool {
	for i := 1; i+1 < len(w.Parts); i++ {
		_, before := w.Parts[i-1].(*syntax.Lit)
		v, variable := w.Parts[i].(*syntax.ParamExp)
		_, after := w.Parts[i+1].(*syntax.Lit)
		if before && after && variable && v.Exp == nil {
			return true
		}
	}
	return false
}

// better reports that a word means something without its unknown variables and
// nothing with them.
func better(gone, kept string, isProgram bool) bool {
	if DevNet(gone) || program.Writable(path.Clean(gone)) && !program.Writable(path.Clean(kept)) {
		return true
	}
	if isProgram {
		return program.Known(gone) && (!program.Known(kept) || systemFolder(gone) && !systemFolder(kept))
	}
	return strings.HasPrefix(gone, "/") && len(paths.Of(path.Clean(gone), false)) > 0 && len(paths.Of(path.Clean(kept), false)) == 0
}

// wildProgram is the program that a word with wildcards finds in the folders of
// the system: /usr/bin/n?, /???/b??e64. Of several it is the one that matters
// most, or that its arguments give away.
func wildProgram(s *Simple) string {
	dir, base := path.Split(s.Prog)
	if !strings.ContainsAny(base, "?*[") && !strings.ContainsAny(dir, "?*[") || dir == "" || strings.Trim(base, "?*") == "" && !strings.Contains(base, "?") {
		return ""
	}
	home := false
	for _, d := range []string{"/bin", "/usr/bin", "/sbin", "/usr/sbin", "/usr/local/bin"} {
		if ok, err := path.Match(strings.TrimSuffix(dir, "/"), d); err == nil && ok {
			home = true
		}
	}
	if !home {
		return ""
	}
	if g := shaped(s); g != "" {
		if ok, err := path.Match(base, g); err == nil && ok {
			return g
		}
	}
	for _, c := range []program.Class{
		program.Relay, program.Shell, program.Downloader, program.Interpreter, program.Reader, program.Account, program.Search, program.SSH,
		program.Uploader, program.Archiver, program.Runtime, program.Compiler, program.Suspect, program.Other, program.Debugger, program.Editor, program.Init, program.Package, program.VCS, program.Build, program.Database,
	} {
		names := program.Names(c)
		slices.Sort(names)
		for _, n := range names {
			if ok, err := path.Match(base, n); err == nil && ok {
				return program.Canonical(n)
			}
		}
	}
	if n, ok := strings.CutSuffix(base, "?"); ok && program.Known(n) {
		return program.Canonical(n) // the last letter is a version
	}
	return ""
}
