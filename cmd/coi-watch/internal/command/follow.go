package command

import (
	"errors"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/paths"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
)

// follow does what is known about a program: changes of state, commands it
// starts, code it runs, and its output.
func (e *eval) follow(s *Simple, f frame) value {
	if len(s.Argv) == 0 {
		return value{known: true}
	}
	if out, ok := e.function(s, f); ok {
		return out
	}
	cwd := e.cwd
	if out, ok := e.shorthand(s, f); ok {
		if !program.Known(s.Prog) {
			return out
		}
		e.cwd = cwd // only people at a terminal have aliases: the program itself may run
	}
	e.environment(s, f)
	if s.Name == "sed" {
		for _, c := range sedRuns(s) {
			e.shell(s, c, f)
		}
	}
	if out, ok := e.output(s); ok {
		return out
	}
	switch s.Name {
	case "cd", "pushd":
		if len(s.Argv) > 1 && !strings.HasPrefix(s.Argv[1], "-") {
			e.cwd = e.abs(s.Argv[1])
		}
		return text("")
	case "cp", "ln", "mv", "install", "link":
		e.copyProgram(s)
	case "tee", "sponge":
		for _, p := range s.Parsed().Rest {
			v := value{s: s.Feed, known: s.Fed, from: s.Stdin, decoded: s.Decoded, prog: s.feedProg}
			e.write(e.abs(p), v, s.Arg("-a", "--append"))
		}
		return value{s: s.Feed, known: s.Fed, from: s.Stdin}
	case "dd":
		e.dd(s)
	case "eval":
		s.Decoded = s.Decoded || s.wordsDecoded
		return e.shell(s, strings.Join(s.Argv[1:], " "), f)
	case "export", "declare", "typeset", "readonly":
		for _, a := range s.Argv[1:] {
			if t, ok := strings.CutPrefix(a, "PROMPT_COMMAND="); ok {
				e.shell(s, t, f)
			}
		}
	case "trap":
		if len(s.Argv) > 2 {
			return e.shell(s, s.Argv[1], f)
		}
	case "set":
		if i := dashes(s.Argv); i > 0 {
			e.hand(s, i+1)
		}
	case "unset":
		for _, n := range s.Argv[1:] {
			if e.funcs[n] != nil {
				if e.unsure == nil {
					e.unsure = map[string]bool{}
				}
				e.unsure[n] = true // the function, or the program of that name
			}
		}
	case "shift":
		n := 1
		if len(s.Argv) > 1 {
			n, _ = strconv.Atoi(s.Argv[1])
		}
		if n > 0 && n <= len(e.args) && !f.loop {
			e.args = e.args[n:]
			e.given = e.given[min(n, len(e.given)):]
		}
	case "read", "mapfile", "readarray":
		v := value{s: strings.TrimRight(s.Feed, "\n"), known: true, from: s.Stdin, decoded: s.Decoded}
		if !s.Fed {
			v.s = "$()" // the output of commands, as a substitution would be
		}
		if !s.Fed && slices.ContainsFunc(s.Redirs, fromSecret) {
			v.from = merge(v.from, []*Simple{s})
		}
		if n := len(s.Argv); n > 1 && (s.Fed || len(v.from) > len(s.Stdin) || slices.ContainsFunc(s.Stdin, brings)) && !strings.HasPrefix(s.Argv[n-1], "-") {
			e.vars[s.Argv[n-1]] = variable{value: v}
		}
	case "run-parts":
		for _, d := range s.Parsed().Rest {
			for _, p := range e.ownScripts(e.abs(d)) {
				e.sub(s, []string{p}, f)
			}
		}
	case ".", "source":
		if len(s.Argv) > 1 && fromStdin(s.Argv[1]) && s.Fed {
			g := f
			g.stdin, g.piped = value{}, false
			return e.shell(s, s.Feed, g)
		}
		if len(s.Argv) > 1 {
			return e.scriptFile(s, s.Argv[1], f)
		}
	case "alias":
		for _, a := range s.Argv[1:] {
			if name, cmd, ok := strings.Cut(a, "="); ok {
				e.shell(s, cmd, f)
				e.abbreviate(name, cmd)
			}
		}
	}
	if out, ok := e.wrapper(s, f); ok {
		return out
	}
	switch s.Class() {
	case program.Shell:
		return e.runShell(s, f)
	case program.Interpreter:
		e.interpreter(s, f)
		return value{}
	}
	if e.ownFile(s, f) {
		return value{}
	}
	e.embedded(s, f)
	return value{}
}

// function runs a function that the text defined.
func (e *eval) function(s *Simple, f frame) (value, bool) {
	body, ok := e.funcs[s.Prog]
	if s.started {
		return value{}, false // programs know no functions
	}
	again := strings.Contains(" "+f.fn+" ", " "+s.Prog+" ") && (len(s.Argv) < 2 || len(s.Argv) > len(e.args)) // with no fewer arguments
	if !ok || f.depth >= MaxDepth || again {
		return value{}, ok
	}
	cwd := e.cwd
	defer e.hand(s, 1)()
	f.depth++
	f.fn = strings.TrimSpace(f.fn + " " + s.Prog)
	out := e.stmt(body, e.scoped(f))
	if e.unsure[s.Prog] {
		e.cwd = cwd
		return value{}, false
	}
	return out, true
}

// abbreviate remembers an alias as a function that hands its arguments on.
func (e *eval) abbreviate(name, text string) {
	if len(text) > 1024 || len(e.short) >= 64 {
		return
	}
	file, err := read(syntax.NewParser(syntax.Variant(syntax.LangBash)), "{ "+text+" \"$@\"\n}")
	if err != nil || len(file.Stmts) != 1 {
		return
	}
	if e.short == nil {
		e.short = map[string]*syntax.Stmt{}
	}
	e.short[name] = file.Stmts[0]
}

// shorthand runs what an alias of the text stands for. Within it the name is that
// of the program.
func (e *eval) shorthand(s *Simple, f frame) (value, bool) {
	body, ok := e.short[s.Prog]
	if !ok || s.started || f.depth >= MaxDepth || strings.Contains(f.aliased+" ", " "+s.Prog+" ") {
		return value{}, false
	}
	defer e.hand(s, 1)()
	f.depth++
	f.aliased += " " + s.Prog
	return e.stmt(body, f), true
}

// copyProgram remembers that a file of the text is a program under a new name,
// or a copy of a file of the text.
func (e *eval) copyProgram(s *Simple) {
	p := s.Parsed()
	src := p.Rest
	var dst string
	if t := p.Values("t", "target-directory"); len(t) > 0 {
		dst = t[0] + "/"
	} else if len(src) >= 2 {
		dst, src = src[len(src)-1], src[:len(src)-1]
	} else if s.Name == "ln" && len(src) == 1 {
		dst = "."
	} else {
		return
	}
	for _, from := range src {
		to := e.abs(dst)
		if strings.HasSuffix(dst, "/") || dst == "." || dst == "/tmp" || dst == "/dev/shm" {
			to = path.Join(to, path.Base(from))
		}
		old := e.files[e.abs(from)]
		switch {
		case old != nil:
			e.files[to] = old
		case strings.Contains(from, "/") && (program.Known(from) || systemFolder(from)):
			e.files[to] = &file{value{prog: program.Canonical(from)}}
		default:
			e.files[to] = &file{value: value{from: []*Simple{s}}}
		}
	}
}

// dd copies its input, a file or what is piped in, to its output file.
func (e *eval) dd(s *Simple) {
	in := value{s: s.Feed, known: s.Fed, from: s.Stdin, prog: s.feedProg}
	for _, a := range s.Argv {
		if p, ok := strings.CutPrefix(a, "if="); ok {
			in = value{}
			if f := e.files[e.abs(p)]; f != nil {
				in = f.value
			} else if systemFolder(e.abs(p)) {
				in.prog = program.Canonical(p)
			}
		}
	}
	for _, a := range s.Argv {
		if p, ok := strings.CutPrefix(a, "of="); ok && (in.known || in.prog != "") {
			e.write(e.abs(p), in, false)
		}
	}
}

// systemFolder reports paths where the image keeps its programs.
func systemFolder(p string) bool {
	switch path.Dir(p) {
	case "/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin":
		return true
	}
	return false
}

// fromSecret reports standard input from a file that holds secrets.
func fromSecret(r Redir) bool {
	return r.FD == 0 && r.Op == "<" && (strings.HasPrefix(r.Path, "/") || strings.HasPrefix(r.Path, "~")) && paths.Any(paths.Of(r.Path, false), paths.Credential...)
}

// brings reports commands whose output comes from the network.
func brings(s *Simple) bool {
	return s.Class() == program.Relay || s.Class() == program.Downloader || s.Is("redis-cli", "kafka-console-consumer", "ssh")
}

// inner is the frame of commands that s starts.
func (f frame) inner(s *Simple) frame {
	g := frame{
		parent: s, depth: f.depth + 1, remote: f.remote, nested: f.nested, root: f.root, bg: f.bg, loop: f.loop,
		decoded: s.Decoded, sub: f.sub, pipe: f.pipe, pos: f.pos, n: f.n,
		stdin: f.stdin, piped: f.piped, redirs: f.redirs, env: f.env, fn: f.fn, scope: f.scope, aliased: f.aliased,
	}
	return g
}

// shell parses text as shell and walks it as what s runs.
func (e *eval) shell(s *Simple, src string, f frame) value {
	if f.depth >= MaxDepth {
		e.cmd.Cut = true
		return value{}
	}
	g := f.inner(s)
	return e.walk(src, g)
}

// walk parses and walks a text.
func (e *eval) walk(src string, f frame) value {
	if len(src) > MaxText {
		src, e.cmd.Cut = src[:MaxText], true
	}
	file, whole, foreign := parse(src)
	e.cmd.Cut = e.cmd.Cut || !whole
	if foreign {
		if f.parent != nil && f.depth == 1 && strings.ContainsAny(src, "(;") {
			e.code(f.parent, "", src, f.decoded, f) // text of another language
		}
	}
	if file == nil {
		return value{}
	}
	return e.stmts(file.Stmts, f)
}

// runShell handles a shell: -c text, a script, or text on standard input.
func (e *eval) runShell(s *Simple, f frame) value {
	p := program.Parse(program.SpecOf(s.Name), s.Argv, true)
	args, given, arg0, given0 := e.args, e.given, e.arg0, e.given0
	defer func() { e.args, e.given, e.arg0, e.given0 = args, given, arg0, given0 }()
	if s.Name == "fish" {
		if v := p.Values("c", "command"); len(v) > 0 {
			return e.shell(s, v[0], f)
		}
	}
	if p.Has("c") && s.Name != "fish" {
		if len(p.Rest) == 0 {
			return value{}
		}
		if len(p.Rest) > 2 {
			e.hand(s, len(s.Argv)-len(p.Rest)+2)
		}
		if len(p.Rest) > 1 {
			e.arg0, e.given0 = p.Rest[1], source{from: s.Sources(len(s.Argv) - len(p.Rest) + 1), decoded: s.wordsDecoded}
		}
		s.Decoded = s.Decoded || s.wordsDecoded
		return e.shell(s, p.Rest[0], f)
	}
	if len(p.Rest) > 0 && !p.Has("s") && p.Rest[0] != "-" && !fromStdin(p.Rest[0]) {
		e.hand(s, len(s.Argv)-len(p.Rest)+1)
		return e.scriptFile(s, p.Rest[0], f)
	}
	if s.Fed {
		s.Decoded = s.Decoded || f.stdin.decoded
		g := f
		g.stdin, g.piped = value{}, false
		return e.shell(s, s.Feed, g)
	}
	return value{}
}

// fromStdin reports the names of standard input as a file.
func fromStdin(p string) bool {
	return p == "/dev/stdin" || p == "/dev/fd/0" || p == "/proc/self/fd/0"
}

// scriptFile walks a script that the text made, or one that can be read.
func (e *eval) scriptFile(s *Simple, name string, f frame) value {
	p := name
	if !strings.HasPrefix(p, "/dev/") {
		p = e.abs(p)
	}
	src, ok := e.scriptText(s, p)
	if !ok {
		return value{}
	}
	return e.shell(s, src, f)
}

func (e *eval) scriptText(s *Simple, p string) (string, bool) {
	e.disk = false
	if fl := e.files[p]; fl != nil {
		s.Stdin = merge(s.Stdin, fl.from)
		s.Decoded = s.Decoded || fl.decoded
		return fl.s, fl.known
	}
	if p == e.env.ScriptPath && e.env.Script != "" {
		e.disk = true
		return e.env.Script, true
	}
	if e.env.Read != nil && strings.HasPrefix(p, "/") {
		src := e.env.Read(p)
		e.disk = src != ""
		return src, src != ""
	}
	return "", false
}

// ownFile runs a file that the text made: ./x.sh, or a program written before.
func (e *eval) ownFile(s *Simple, f frame) bool {
	if !strings.Contains(s.Prog, "/") {
		return false
	}
	src, ok := e.scriptText(s, e.abs(s.Prog))
	if !ok || src == "" {
		return false
	}
	lang := shebang(src)
	defer e.hand(s, 1)()
	if lang == "" || program.ClassOf(lang) == program.Shell {
		if lang == "" && strings.ContainsRune(src, 0) {
			return false
		}
		e.shell(s, src, f)
		return true
	}
	e.code(s, lang, src, s.Decoded, f)
	return true
}

// shebang is the interpreter that the first line names.
func shebang(src string) string {
	line, ok := strings.CutPrefix(src, "#!")
	if !ok {
		return ""
	}
	line, _, _ = strings.Cut(line, "\n")
	w := strings.Fields(line)
	for i, x := range w {
		if i > 0 && strings.HasPrefix(x, "-") || path.Base(x) == "env" || strings.Contains(x, "=") {
			continue
		}
		return program.Canonical(x)
	}
	return ""
}

// parse reads shell text; when it is not quite shell, what can be read of it,
// and whole is false. foreign reports text that bash would refuse.
func parse(src string) (file *syntax.File, whole, foreign bool) {
	src = placeholders(src)
	bash := syntax.NewParser(syntax.Variant(syntax.LangBash))
	if f, err := read(bash, src); err == nil {
		return f, true, false
	}
	if f, err := read(syntax.NewParser(syntax.Variant(syntax.LangZsh)), src); err == nil {
		return f, true, true
	}
	out := &syntax.File{}
	for _, part := range pieces(bash, src) {
		f, err := read(bash, part)
		if err != nil {
			f, err = read(bash, plain(part))
		}
		if err == nil {
			out.Stmts = append(out.Stmts, f.Stmts...)
		}
	}
	return out, false, true
}

// errTangled is text that no person wrote: the parser goes down one level for
// each of its brackets, and would take seconds for some thousand.
var errTangled = errors.New("too deep or too long a chain")

func read(p *syntax.Parser, src string) (*syntax.File, error) {
	if tangled(src) {
		return nil, errTangled
	}
	return p.Parse(strings.NewReader(src), "")
}

// Bounds of what is given to the parser as a whole; what is over them is read in
// pieces, as text that is no shell is. They are far from what scripts with other
// languages, tables and prose in their here-documents have.
const (
	maxNest = 500  // brackets open at once
	maxOpen = 2000 // compound commands open at once
	maxPipe = 4000 // commands of one pipeline
	maxHere = 200  // here-documents
)

// tangled reports text that is over one of the bounds. It counts without regard
// to quotes: what they hold only the parser knows.
func tangled(src string) bool {
	var nest, open, pipe, here, word int
	last := byte(0)
	for i := range len(src) {
		c := src[i]
		if c >= 'a' && c <= 'z' {
			last = c
			continue
		}
		switch src[word:i] {
		case "if", "case", "do":
			open++
		case "fi", "esac", "done":
			open = max(0, open-1)
		}
		word = i + 1
		switch c {
		case '(', '{':
			nest++
		case ')', '}':
			nest = max(0, nest-1)
		case '|':
			pipe++
		case ';', '&':
			pipe = 0
		case '\n':
			if last != '|' {
				pipe = 0
			}
		case '<':
			if last == '<' {
				here++
			}
		}
		if c > ' ' {
			last = c
		}
		if nest > maxNest || open > maxOpen || pipe > maxPipe || here > maxHere {
			return true
		}
	}
	return false
}

// pieces cuts text that does not parse into lines, and those at ; && ||.
func pieces(bash *syntax.Parser, src string) []string {
	var out []string
	for line := range strings.Lines(src) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if len(out) >= MaxNodes {
			break // nobody would look at more
		}
		if _, err := read(bash, line); err == nil {
			out = append(out, line)
			continue
		}
		r := strings.NewReplacer("&&", "\n", "||", "\n", ";", "\n")
		for p := range strings.Lines(r.Replace(line)) {
			if p = strings.TrimSpace(p); p != "" && len(out) < 256 {
				out = append(out, p)
			}
		}
	}
	return out
}

// plain takes the characters away that keep a piece from parsing.
func plain(part string) string {
	drop := "(){}`\"'"
	for _, kw := range []string{"if ", "then ", "do ", "else ", "while ", "until ", "for "} {
		part = strings.TrimPrefix(part, kw)
	}
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(drop, r) || r < ' ' && r != '\t' {
			return ' '
		}
		return r
	}, part)
}

// blank is a placeholder of documentation, "<your-host>".
var blank = regexp.MustCompile(`<([A-Za-z_][\w.-]*)>([\s:/]|$)`)

// placeholders makes ${{ template }} expressions parse as variables.
func placeholders(src string) string {
	src = blank.ReplaceAllString(src, "$1$2")
	for range 64 {
		i := strings.Index(src, "${{")
		if i < 0 {
			break
		}
		j := strings.Index(src[i:], "}}")
		if j < 0 {
			break
		}
		src = src[:i] + "${TEMPLATE}" + src[i+j+2:]
	}
	return src
}
