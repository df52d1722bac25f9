package command

import (
	"encoding/json"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
)

// embedded follows programs that are no interpreters but take commands: vim
// -c ':!x', tar --to-command, git -c core.sshCommand, gdb -ex 'shell x'.
func (e *eval) embedded(s *Simple, f frame) {
	p := s.Parsed()
	var cmds []string
	switch s.Name {
	case "vim":
		for _, c := range vimCommands(s.Argv) {
			c = strings.TrimLeft(c, ": ")
			word, t, _ := strings.Cut(c, " ")
			if shell, ok := strings.CutPrefix(c, "!"); ok {
				cmds = append(cmds, shell)
			} else if strings.HasPrefix(c, "py") || strings.HasPrefix(c, "lua") || strings.HasPrefix(c, "rub") || strings.HasPrefix(c, "perl") || word == "call" || word == "let" || word == "echo" {
				e.code(s, "", t, s.Decoded, f)
			} else if strings.HasPrefix(word, "term") || word == "sil" || word == "silent" || word == "exe" || word == "execute" {
				cmds = append(cmds, strings.TrimLeft(t, `!"':`))
			}
		}
	case "ed":
		for _, l := range fedLines(s) {
			if t, ok := strings.CutPrefix(l, "!"); ok {
				cmds = append(cmds, t)
			}
		}
	case "gdb":
		for _, c := range append(p.Values("ex", "eval-command", "iex"), fedLines(s)...) {
			if t, ok := strings.CutPrefix(c, "!"); ok {
				cmds = append(cmds, t)
			} else if t, ok := strings.CutPrefix(c, "shell "); ok {
				cmds = append(cmds, t)
			} else if t, ok := strings.CutPrefix(c, "python "); ok {
				e.code(s, "python", t, s.Decoded, f)
			}
		}
	case "tar":
		for _, c := range p.Values("to-command", "use-compress-program", "I", "checkpoint-action", "rsh-command", "info-script", "F") {
			cmds = append(cmds, strings.TrimPrefix(c, "exec="))
		}
	case "git":
		for _, c := range p.Values("c") {
			k, v, _ := strings.Cut(c, "=")
			if k = strings.ToLower(k); strings.HasSuffix(k, "command") || strings.HasSuffix(k, "pager") || strings.HasSuffix(k, "editor") || strings.HasPrefix(k, "alias.") {
				cmds = append(cmds, strings.TrimPrefix(v, "!"))
			}
		}
		cmds = append(cmds, gitPrograms(p.Rest)...)
		for _, a := range p.Rest {
			if t, ok := strings.CutPrefix(a, "ext::"); ok { // a transport that is a command; "% " is a blank in a word
				cmds = append(cmds, strings.NewReplacer("%S", "", "%G", "", "% ", " ", "%%", "%").Replace(t))
			}
		}
	case "man":
		for i, a := range s.Argv {
			if v, ok := strings.CutPrefix(a, "--pager="); ok {
				cmds = append(cmds, v)
			} else if (a == "-P" || a == "-H" || a == "--pager") && i+1 < len(s.Argv) {
				cmds = append(cmds, s.Argv[i+1])
			}
		}
	case "sort", "split":
		cmds = append(cmds, p.Values("filter", "compress-program")...)
	case "tcpdump":
		cmds = append(cmds, p.Values("z")...)
	case "apt", "dnf", "yum":
		for _, o := range p.Values("o") { // APT::Update::Pre-Invoke::=COMMAND
			if k, v, ok := strings.Cut(o, "="); ok && strings.Contains(strings.ToLower(k), "-invoke") {
				cmds = append(cmds, v)
			}
		}
	case "nmap":
		for _, n := range p.Values("script") {
			if src, ok := e.scriptText(s, e.abs(n)); ok {
				e.code(s, "lua", src, s.Decoded, f)
			}
		}
	case "rails":
		if len(p.Rest) > 1 && (p.Rest[0] == "runner" || p.Rest[0] == "r") {
			e.code(s, "ruby", p.Rest[1], s.Decoded, f)
		}
	case "cpan":
		for _, l := range fedLines(s) {
			if t, ok := strings.CutPrefix(strings.TrimSpace(l), "!"); ok {
				e.code(s, "perl", t, s.Decoded, f)
			}
		}
	case "ftp", "lftp":
		for _, l := range append(fedLines(s), p.Values("c", "e")...) {
			if t, ok := strings.CutPrefix(strings.TrimSpace(l), "!"); ok {
				cmds = append(cmds, t)
			}
		}
	case "rsync", "scp", "sftp":
		cmds = append(cmds, p.Values("e", "rsh")...)
	case "sqlite3", "psql", "mysql":
		for _, a := range append(s.Argv[1:], s.Feed) {
			if _, t, ok := strings.Cut(a, ".shell "); ok {
				cmds = append(cmds, t)
			} else if _, t, ok := strings.Cut(a, "\\! "); ok {
				cmds = append(cmds, t)
			} else if _, t, ok := strings.Cut(a, "PROGRAM '"); ok {
				t, _, _ = strings.Cut(t, "'")
				cmds = append(cmds, t)
			}
		}
	case "make":
		for _, c := range p.Values("eval") {
			head, t, ok := strings.Cut(c, "\n\t")
			if !ok {
				_, t, ok = strings.Cut(head, ";") // a recipe beside its target
			}
			if ok {
				cmds = append(cmds, strings.TrimLeft(t, "-@ "))
			}
		}
		if s.Fed && slices.Contains(p.Values("f", "file", "makefile"), "-") {
			cmds = append(cmds, recipeLines(s.Feed)...)
		}
		cmds = append(cmds, e.recipes(p)...)
	case "zip":
		for i, a := range s.Argv {
			if t, ok := strings.CutPrefix(a, "--unzip-command="); ok {
				cmds = append(cmds, t)
			} else if (a == "-TT" || a == "--unzip-command") && i+1 < len(s.Argv) {
				cmds = append(cmds, s.Argv[i+1])
			}
		}
	case "npm":
		cmds = append(cmds, e.packageScripts()...)
	case "rake":
		for _, c := range p.Values("e", "E", "p", "execute", "execute-print", "execute-continue") {
			e.code(s, "ruby", c, s.Decoded, f)
		}
		e.buildFiles(s, f)
	case "pip", "cargo", "gem", "bundle", "poetry", "uv", "pytest", "scons", "tox", "nox", "hatch":
		e.buildFiles(s, f)
	case "go":
		e.runsOwnFile(s, f)
	case "gcc", "rustc", "ghc", "crystal":
		e.compiled(s)
		if s.Arg("-run") { // of tcc
			e.sources(s, f)
		}
	case "zig", "ldc", "dmd", "gdc", "javac", "swiftc", "swift", "runghc", "runhaskell":
		e.sources(s, f)
	case "crontab":
		if s.Fed {
			e.cronText(s, f)
		}
	case "nc", "ncat", "socat":
		cmds = append(cmds, relayCommands(s)...)
	}
	g := f.inner(s)
	g.stdin, g.piped, g.redirs, g.n = value{}, false, nil, 0
	for _, c := range cmds {
		if f.depth < MaxDepth {
			e.walk(c, g)
		}
	}
	if !program.Known(s.Name) || s.Class() == program.Suspect {
		e.unknownCode(s, f)
		if rest := handedOn(s); rest != nil {
			e.sub(s, rest, f)
		}
	}
}

// handedOn is the command that a program nobody knows is given to start: all of
// its arguments when the first of them is a program, or what follows "--".
func handedOn(s *Simple) []string {
	if i := dashes(s.Argv); i > 0 && i+1 < len(s.Argv) && program.Known(s.Argv[i+1]) {
		return s.Argv[i+1:]
	}
	if strings.Contains(s.Prog, "/") && startsOther(s.Argv) {
		return s.Argv[1:]
	}
	for i := 1; i+1 < len(s.Argv); i++ { // OWN-ARGUMENTS sh -c TEXT
		if o := s.Argv[i+1]; program.ClassOf(s.Argv[i]) == program.Shell && len(o) > 1 && o[0] == '-' && o[1] != '-' && strings.HasSuffix(o, "c") {
			return s.Argv[i:]
		}
	}
	if len(s.Argv) > 2 && program.Writable(s.Prog) && (program.Writable(s.Argv[1]) || hides(s.Prog) && strings.HasPrefix(s.Argv[1], "./")) && strings.HasPrefix(s.Argv[2], "-") {
		return s.Argv[1:] // PROGRAM OPTIONS…, both where everybody may put programs
	}
	return nil
}

// startsCompound reports shell text that begins with a group or a loop.
func startsCompound(t string) bool {
	for _, w := range []string{"(", "{ ", "for ", "while ", "until ", "if "} {
		if strings.HasPrefix(t, w) {
			_, whole, foreign := parse(t)
			return whole && !foreign
		}
	}
	return false
}

// vimCommands are the commands of -c, --cmd and +; letters of vim before the c
// take no values.
func vimCommands(argv []string) []string {
	var out []string
	for i, a := range argv {
		if t, ok := strings.CutPrefix(a, "+"); ok && i > 0 {
			out = append(out, t)
		} else if (a == "-c" || a == "--cmd") && i+1 < len(argv) {
			out = append(out, argv[i+1])
		}
	}
	return out
}

// fedLines are the lines on the standard input of a program that takes commands
// there.
func fedLines(s *Simple) []string {
	if !s.Fed {
		return nil
	}
	return strings.Split(s.Feed, "\n")
}

// gitPrograms are the commands that "git config KEY VALUE" leaves for later, in
// settings that git starts a program for.
func gitPrograms(words []string) []string {
	if len(words) < 3 || words[0] != "config" {
		return nil
	}
	words = words[1:]
	if words[0] == "set" {
		words = words[1:]
	}
	if len(words) != 2 {
		return nil
	}
	k, v := strings.ToLower(words[0]), words[1]
	switch {
	case strings.HasPrefix(k, "alias."), strings.HasSuffix(k, ".helper"):
		t, shell := strings.CutPrefix(v, "!")
		if shell {
			return []string{t}
		}
	case strings.HasSuffix(k, "command"), strings.HasSuffix(k, "pager"), strings.HasSuffix(k, "editor"), strings.HasPrefix(k, "pager."), strings.HasPrefix(k, "filter."),
		strings.HasSuffix(k, ".external"), strings.HasSuffix(k, ".textconv"), strings.HasSuffix(k, ".cmd"), strings.HasSuffix(k, ".driver"), strings.HasSuffix(k, "fsmonitor"), strings.HasSuffix(k, "askpass"):
		return []string{v}
	}
	return nil
}

// recipes are the commands of a makefile that the text made.
func (e *eval) recipes(p program.Parsed) []string {
	names := append(p.Values("f", "file", "makefile"), "GNUmakefile", "makefile", "Makefile")
	dir := e.cwd
	if c := p.Values("C", "directory"); len(c) > 0 {
		dir = e.abs(c[0])
	}
	for _, n := range names {
		if !strings.HasPrefix(n, "/") {
			n = dir + "/" + n
		}
		f := e.files[path.Clean(n)]
		if f == nil || !f.known {
			continue
		}
		return recipeLines(f.s)
	}
	return nil
}

// recipeLines are the commands of the text of a makefile.
func recipeLines(text string) []string {
	var out []string
	for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", " ")) {
		t, ok := strings.CutPrefix(line, "\t")
		if head, r, semi := strings.Cut(line, ";"); !ok && semi && strings.Contains(head, ":") {
			t, ok = r, true // a recipe beside its target
		}
		if ok {
			out = append(out, strings.ReplaceAll(strings.TrimLeft(t, "@-+ \t"), "$$", "$"))
		}
	}
	return out
}

// buildFiles are programs of their own that package managers and test runners
// run: those that the text made, in the folders it names or where it is.
func (e *eval) buildFiles(s *Simple, f frame) {
	for _, dir := range append([]string{"."}, s.Parsed().Rest...) {
		for _, b := range buildPrograms {
			if fl := e.files[path.Clean(e.abs(dir)+"/"+b[0])]; fl != nil && fl.known && fl.s != "" {
				s.Stdin = merge(s.Stdin, fl.from)
				e.code(s, b[1], fl.s, fl.decoded, f)
			}
		}
	}
}

// buildPrograms are the names of such files, with their language.
var buildPrograms = [][2]string{
	{"setup.py", "python"},
	{"conftest.py", "python"},
	{"noxfile.py", "python"},
	{"SConstruct", "python"},
	{"build.py", "python"},
	{"hatch_build.py", "python"},
	{"build.rs", "rust"},
	{"src/main.rs", "rust"},
	{"Rakefile", "ruby"},
	{"Gemfile", "ruby"},
	{"extconf.rb", "ruby"},
}

// packageScripts are the scripts of a package.json that the text made.
func (e *eval) packageScripts() []string {
	f := e.files[path.Clean(e.cwd+"/package.json")]
	if f == nil || !f.known {
		return nil
	}
	var pkg struct {
		Scripts map[string]string `json:"scripts"`
	}
	if json.Unmarshal([]byte(f.s), &pkg) != nil {
		return nil
	}
	var out []string
	for _, n := range slices.Sorted(maps.Keys(pkg.Scripts)) {
		out = append(out, pkg.Scripts[n])
	}
	return out
}

// sources are program texts of compiled languages that the text made and a
// compiler is given.
func (e *eval) sources(s *Simple, f frame) {
	for _, a := range s.Argv[1:] {
		fl := e.files[e.abs(a)]
		if fl == nil || !fl.known || fl.s == "" {
			continue
		}
		lang := sourceNames[path.Ext(a)]
		if lang == "" {
			lang = "c" // from a pipe
		}
		s.Stdin = merge(s.Stdin, fl.from)
		e.code(s, lang, fl.s, fl.decoded, f)
	}
}

// sourceNames are the languages of source files by the end of their name.
var sourceNames = map[string]string{".c": "c", ".cc": "c", ".cpp": "c", ".d": "d", ".zig": "zig", ".rs": "rust", ".java": "java", ".swift": "swift", ".hs": "haskell"}

// runsOwnFile is go run FILE of a file that the text made.
func (e *eval) runsOwnFile(s *Simple, f frame) {
	if s.Name != "go" || len(s.Argv) < 3 || s.Argv[1] != "run" {
		return
	}
	for _, a := range s.Argv[2:] {
		if (a == "/dev/stdin" || a == "-") && s.Fed {
			e.code(s, "go", s.Feed, s.Decoded, f)
		}
		if src, ok := e.scriptText(s, e.abs(a)); ok && (strings.HasSuffix(a, ".go") || strings.HasPrefix(a, "/dev/fd/")) {
			e.code(s, "go", src, s.Decoded, f)
		}
	}
}

// compiled remembers that an output file carries the code of its source.
func (e *eval) compiled(s *Simple) {
	p := program.Parse(program.Spec{Short: "oILlDxO"}, s.Argv, false)
	out := "a.out"
	if s.Name != "gcc" && len(p.Rest) > 0 { // the others name it after the source
		out = strings.TrimSuffix(path.Base(p.Rest[0]), path.Ext(p.Rest[0]))
	}
	if v := p.Values("o"); len(v) > 0 {
		out = v[0]
	}
	src := ""
	for _, a := range p.Rest {
		if f := e.files[e.abs(a)]; f != nil && f.known {
			src += f.s
		}
	}
	if len(p.Rest) > 0 && p.Rest[0] == "-" && s.Fed {
		src = s.Feed
	}
	if src != "" {
		e.files[e.abs(out)] = &file{value: value{s: "#!c\n" + src, known: true, from: []*Simple{s}}}
	}
}

// cronText walks the commands of a crontab given on standard input.
func (e *eval) cronText(s *Simple, f frame) {
	g := f.inner(s)
	g.stdin, g.piped, g.redirs, g.n = value{}, false, nil, 0
	for line := range strings.Lines(s.Feed) {
		w := strings.Fields(line)
		n := 5
		if len(w) > 0 && strings.HasPrefix(w[0], "@") {
			n = 1
		}
		if len(w) > n && f.depth < MaxDepth && !strings.HasPrefix(w[0], "#") {
			e.walk(strings.Join(w[n:], " "), g)
		}
	}
}

// relayCommands are the programs that a relay hands its connection to.
func relayCommands(s *Simple) []string {
	p := s.Parsed()
	var out []string
	switch s.Name {
	case "nc", "ncat":
		for _, v := range p.Values("e", "c", "exec", "sh-exec") {
			if strings.Contains(v, " ") {
				out = append(out, v)
			}
		}
	case "socat":
		for _, a := range s.Argv[1:] {
			k, v, _ := strings.Cut(a, ":")
			if k = strings.ToLower(k); k == "exec" || k == "system" || k == "shell" {
				out = append(out, strings.Trim(strings.SplitN(v, ",", 2)[0], `"'`))
			}
		}
	}
	return out
}

// unknownCode takes the program text of a program nobody knows by the shape of
// its options.
func (e *eval) unknownCode(s *Simple, f frame) {
	for _, a := range s.Argv[1:] {
		if fl := e.files[e.abs(a)]; fl != nil && fl.known && len(fl.s) > 24 && f.depth < MaxDepth {
			if lang := shebang(fl.s); program.ClassOf(lang) == program.Shell || lang == "" && program.Writable(s.Prog) && runsKnown(fl.s) {
				e.shell(s, fl.s, f)
			} else {
				e.code(s, lang, fl.s, s.Decoded || fl.decoded, f)
			}
		}
	}
	if t := s.Feed; s.Fed && program.Writable(s.Prog) && len(t) > 40 && strings.ContainsAny(t, "([") && (strings.ContainsAny(t, ";{") || strings.HasPrefix(t, "import ")) {
		e.code(s, "", t, s.Decoded, f)
	}
	for i := 1; i < len(s.Argv); i++ {
		if t := s.Argv[i]; len(t) > 40 && strings.Contains(t, "(") && strings.ContainsAny(t, ";{") && !strings.HasPrefix(t, "-") && s.Argv[i-1] != "-c" && s.Argv[i-1] != "-e" {
			e.code(s, "", t, s.Decoded, f)
		} else if w := strings.Fields(t); len(w) > 1 && f.depth < MaxDepth && program.ClassOf(w[0]) == program.Shell {
			e.shell(s, t, f)
		}
		if t := s.Argv[i]; len(t) > 24 && (strings.HasPrefix(t, "-e") || strings.HasPrefix(t, "-c") || strings.HasPrefix(t, "-r") || strings.HasPrefix(t, "-E")) && strings.ContainsAny(t, "(;=") {
			e.code(s, "", t[2:], s.Decoded, f)
		}
		if i+1 == len(s.Argv) {
			break
		}
		switch s.Argv[i] {
		case "-c", "-e", "-r", "-E", "--eval", "-x", "eval":
			t := s.Argv[i+1]
			if len(t) > 12 && strings.ContainsAny(t, "(=;`{ ") {
				e.code(s, "", t, s.Decoded, f)
				if s.Argv[i] == "-c" && !strings.Contains(t, "import") && f.depth < MaxDepth && (runsKnown(t) || startsCompound(t)) {
					e.shell(s, t, f)
				}
			}
		}
	}
}
