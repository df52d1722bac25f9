package command

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
)

// codeOpts are the options of each interpreter that take program text.
var codeOpts = map[string][]string{
	"python": {"c"}, "perl": {"e", "E"}, "ruby": {"e"}, "php": {"r", "R", "B", "E", "run"}, "node": {"e", "p", "eval", "print"},
	"bun": {"e", "eval"}, "lua": {"e"}, "julia": {"e", "E", "eval"}, "jrunscript": {"e"}, "Rscript": {"e"}, "R": {"e"},
	"expect": {"c"}, "pwsh": {"c", "command"}, "groovy": {"e"}, "scala": {"e", "execute"}, "elixir": {"e", "eval"},
	"erl": {"eval"}, "guile": {"c"}, "emacs": {"eval"}, "octave": {"eval"}, "raku": {"e"}, "osascript": {"e"},
	"awk": {"e", "source"}, "racket": {"e"}, "swipl": {"g"}, "ghc": {"e"}, "irb": {"e"}, "crystal": {"e"}, "tclsh": {"c"}, "sbcl": {"eval"}, "clisp": {"x"},
}

// loads are the options that load a module before the program text, and the
// statement each stands for.
var loads = map[string]struct{ option, statement string }{
	"perl": {"M", "use %s;"}, "ruby": {"r", "require '%s';"}, "node": {"r", "require('%s');"}, "lua": {"l", "require('%s');"},
}

// prelude is what the options of an interpreter load, as program text.
func prelude(name string, p program.Parsed) string {
	l, ok := loads[name]
	if !ok {
		return ""
	}
	var b strings.Builder
	for _, m := range p.Values(l.option) {
		fmt.Fprintf(&b, l.statement, m)
	}
	return b.String()
}

// runVerb is the word after which an interpreter takes the name of its program.
var runVerb = map[string]string{"nim": "r", "deno": "run", "dart": "run", "crystal": "run"}

// interpreter finds the code that an interpreter will run: from an option,
// from a file the text made, or from standard input.
func (e *eval) interpreter(s *Simple, f frame) {
	s.Decoded = s.Decoded || s.wordsDecoded
	spec := program.SpecOf(s.Name)
	p := program.Parse(spec, s.Argv, true)
	found := false
	opts := codeOpts[s.Name]
	if opts == nil {
		opts = []string{"e", "c", "eval"}
		spec.Short += "ec"
		p = program.Parse(spec, s.Argv, true)
	}
	for _, o := range opts {
		if len(o) == 1 && !strings.Contains(spec.Short, o) {
			spec.Short += o
			p = program.Parse(spec, s.Argv, true)
		}
	}
	for _, c := range p.Values(opts...) {
		e.code(s, s.Name, prelude(s.Name, p)+c, s.Decoded, f)
		found = true
	}
	switch {
	case found:
	case s.Name == "awk":
		if len(p.Rest) > 0 && !p.Has("f", "file") {
			e.code(s, "awk", p.Rest[0], s.Decoded, f)
			found = true
		}
	case (s.Name == "deno" || s.Name == "crystal") && len(p.Rest) > 1 && p.Rest[0] == "eval":
		lang := s.Name
		if lang == "deno" {
			lang = "node"
		}
		e.code(s, lang, p.Rest[1], s.Decoded, f)
		found = true
	}
	if v := p.Values("enc", "encodedcommand"); s.Name == "pwsh" && len(v) > 0 {
		if t, err := unbase64(v[0]); err == nil {
			e.code(s, s.Name, strings.ReplaceAll(t, "\x00", ""), true, f)
		}
		return
	}
	if found {
		return
	}
	if v := p.Values("f", "file"); s.Name == "awk" && len(v) > 0 {
		p.Rest = v
	}
	if len(p.Rest) > 0 && p.Rest[0] == runVerb[s.Name] {
		p.Rest = p.Rest[1:]
		for len(p.Rest) > 1 && strings.HasPrefix(p.Rest[0], "-") && p.Rest[0] != "-" { // options of the verb
			p.Rest = p.Rest[1:]
		}
	}
	if len(p.Rest) > 0 && p.Rest[0] != "-" && p.Rest[0] != "/dev/stdin" {
		name := p.Rest[0]
		for _, r := range p.Rest[1:] { // options with values that no table knows come before the file
			if f := e.files[e.abs(r)]; f != nil && f.known && e.files[e.abs(name)] == nil && !strings.HasPrefix(name, "/dev/") {
				name = r
			}
		}
		if !strings.HasPrefix(name, "/dev/") {
			name = e.abs(name)
		}
		if src, ok := e.scriptText(s, name); ok {
			e.code(s, s.Name, src, s.Decoded, f)
		}
		return
	}
	if s.Fed {
		e.code(s, s.Name, s.Feed, s.Decoded, f)
	}
}

// code records program text, with its decoded parts, and walks the shell
// commands that it hands to a shell.
func (e *eval) code(s *Simple, lang, src string, decoded bool, f frame) {
	if len(src) > MaxText {
		src, e.cmd.Cut = src[:MaxText], true
	}
	src = e.fillEnv(src)
	if t := unpack(src); t != "" {
		src, decoded = src+"\n"+t, true
	}
	s.Code = append(s.Code, Code{Lang: lang, Text: src, Decoded: decoded, File: e.disk})
	e.disk = false
	if f.depth >= MaxDepth {
		return
	}
	g := f.inner(s)
	g.stdin, g.piped, g.redirs, g.n = value{}, false, nil, 0
	g.decoded = decoded
	for _, c := range shellCalls(lang, src) {
		e.walk(c, g)
	}
}

var getenv = regexp.MustCompile(`(?:os\.)?(?:getenv|environ(?:\.get)?|ENV|\$ENV|process\.env\.?)\s*[\(\[\{]?\s*["']?([A-Za-z_][A-Za-z0-9_]*)["']?\s*[\)\]\}]?`)

// fillEnv puts constants of the surrounding shell text where code reads them
// from its environment.
func (e *eval) fillEnv(src string) string {
	if len(e.vars) == 0 || !strings.Contains(strings.ToLower(src), "env") {
		return src
	}
	return getenv.ReplaceAllStringFunc(src, func(m string) string {
		n := getenv.FindStringSubmatch(m)[1]
		if v, ok := e.vars[n]; ok && v.known && len(v.s) < 256 {
			return `"` + v.s + `"`
		}
		return m
	})
}

var (
	encoded = regexp.MustCompile(`["']([A-Za-z0-9+/_-]{12,}={0,2})["']`)
	hexed   = regexp.MustCompile(`["']((?:[0-9a-fA-F]{2}){8,})["']`)
	hexEsc  = regexp.MustCompile(`(?:\\x[0-9a-fA-F]{2}){4,}`)
	decoder = regexp.MustCompile(`(?i)b64decode|base64|decode64|unhexlify|fromhex|hex2bin|hex2str|decode\(|unpack|atob|buffer\.from|fromCharCode|decompress|gzinflate|str_rot13|pack\(`)
)

// unpack decodes the string constants of code that calls a decoder.
func unpack(src string) string {
	if !decoder.MatchString(src) && !hexEsc.MatchString(src) {
		return ""
	}
	var out []string
	for _, m := range encoded.FindAllStringSubmatch(src, 16) {
		if t, err := unbase64(m[1]); err == nil && printable(t) {
			out = append(out, t)
		} else if t, err := unbase64(reverse(m[1])); err == nil && printable(t) {
			out = append(out, t)
		}
	}
	for _, m := range hexed.FindAllStringSubmatch(src, 16) {
		if t, err := unhex(m[1]); err == nil && printable(t) {
			out = append(out, t)
		}
	}
	for _, m := range hexEsc.FindAllString(src, 16) {
		if t, err := unhex(m); err == nil && printable(t) {
			out = append(out, t)
		}
	}
	return strings.Join(out, "\n")
}

func printable(s string) bool {
	if len(s) < 6 || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if r < ' ' && r != '\n' && r != '\t' && r != '\r' {
			return false
		}
	}
	return true
}

var (
	callRE   = regexp.MustCompile(`(?:\b(?:system|popen|popen2|popen3|exec|execSync|execvp?e?|execlp?e?|execFile|execFileSync|shell_exec|passthru|proc_open|spawn|spawnSync|spawnlp?|call|check_call|check_output|check_output|run|Popen|getoutput|getstatusoutput|qx|capture2e?|capture3|os\.execute|io\.popen|Command|shell-command|cmd|command|posix_spawn|eval|exec_command|ProcessBuilder|sh|open|open3|readpipe|term|ansi-term|send-string|Process\.spawn|Exec|do\s+shell\s+script|halt)\s*\(?\s*\(?(?:new\s+String\s*\[\s*\]\s*)?[\[{]?\s*(?:shell\s*=\s*True\s*,\s*)?|%x[\{\(\[]|\|&?\s*|print\s*\|\s*)$`)
	backtick = regexp.MustCompile("`([^`]{2,})`")
	listNext = regexp.MustCompile(`^\s*,\s*\[?\s*$`)
	percentX = regexp.MustCompile(`(?:%x|qx)\s*[\{\(\[/!|]([^\}\)\]/!|]{2,})[\}\)\]/!|]`)
)

// awkReads follows the command whose output awk reads.
var awkReads = regexp.MustCompile(`^\s*\|&?\s*getline`)

// virtual are languages that hand commands over as lists of constants.
var virtual = map[string]bool{"": true, "jshell": true, "java": true, "groovy": true, "scala": true, "kotlin": true, "clojure": true}

// pipesToShell are constants of a language nobody knows that are shell text.
var pipesToShell = regexp.MustCompile(`\|\s*(?:/bin/|/usr/bin/)?(?:ba|z|da|k)?sh\b|/dev/(?:tcp|udp)/`)

// Literal is a string constant of code, with the text before it.
type Literal struct {
	Text   string
	Before string // up to 96 characters before the opening quote
	After  string // up to 48 characters after the closing quote
	Raw    string // as written
}

// Literals are the string constants of program text. It knows quotes and
// backslashes, not the language.
func Literals(src string) []Literal {
	var out []Literal
	for i := 0; i < len(src) && len(out) < 256; i++ {
		q := src[i]
		if q != '"' && q != '\'' {
			continue
		}
		open, triple := i, false
		if strings.HasPrefix(src[i:], strings.Repeat(string(q), 3)) {
			triple = true
			i += 2
		}
		var b strings.Builder
		j := i + 1
		closed := false
		for ; j < len(src); j++ {
			if src[j] == '\\' && j+1 < len(src) {
				j++
				switch src[j] {
				case 'n':
					b.WriteByte('\n')
				case 't':
					b.WriteByte('\t')
				default:
					b.WriteByte(src[j])
				}
				continue
			}
			if src[j] == q && (!triple || strings.HasPrefix(src[j:], strings.Repeat(string(q), 3))) {
				closed = true
				break
			}
			b.WriteByte(src[j])
		}
		if !closed {
			if q == '\'' && !triple {
				continue // an apostrophe
			}
			break
		}
		end := j + 1
		if triple {
			end = j + 3
		}
		out = append(out, Literal{Text: b.String(), Before: src[max(0, open-96):open], After: src[min(end, len(src)):min(end+48, len(src))], Raw: src[i+1 : j]})
		i = end - 1
	}
	return out
}

// shellCalls are the commands that code hands to a shell or to exec, as shell
// text.
func shellCalls(lang, src string) []string {
	var out []string
	if lang == "go" { // its raw strings
		src = backtick.ReplaceAllStringFunc(src, func(t string) string { return strconv.Quote(t[1 : len(t)-1]) })
	}
	lits := Literals(src)
	for i := 0; i < len(lits) && len(out) < 32; i++ {
		l := lits[i]
		if !callRE.MatchString(l.Before) && !(lang == "awk" && awkReads.MatchString(l.After)) {
			continue
		}
		words := []string{l.Text}
		for i+1 < len(lits) && listNext.MatchString(between(l, lits[i+1])) {
			i++
			words = append(words, lits[i].Text)
			l = lits[i]
		}
		switch {
		case len(words) > 1 && words[0] == words[1] && program.Known(words[0]):
			out = append(out, quoteAll(words[1:])) // execl("/bin/sh", "/bin/sh", ...)
		case len(words) > 1 && program.Known(words[0]):
			out = append(out, quoteAll(words))
		default:
			out = append(out, words[0])
		}
	}
	for _, l := range lits {
		if len(out) < 32 && (virtual[lang] && pipesToShell.MatchString(l.Text) || strings.Contains(l.Text, "/dev/tcp/") && strings.ContainsAny(l.Text, "<>")) {
			out = append(out, l.Text)
		}
	}
	if lang == "tclsh" || lang == "expect" || lang == "wish" {
		out = append(out, tclCommands(src)...)
	}
	if lang == "perl" || lang == "ruby" || lang == "php" || lang == "julia" || lang == "" {
		for _, m := range backtick.FindAllStringSubmatch(src, 16) {
			out = append(out, m[1])
		}
		for _, m := range percentX.FindAllStringSubmatch(src, 16) {
			out = append(out, m[1])
		}
	}
	return out
}

// between is what lies between two literals that follow each other closely.
func between(a, b Literal) string {
	n := len(b.Before)
	for k := 1; k <= 6 && k <= n; k++ {
		t := b.Before[n-k:]
		if strings.HasPrefix(a.After, t) && listNext.MatchString(t) {
			return t
		}
	}
	return "x"
}

func quoteAll(words []string) string {
	q := make([]string, len(words))
	for i, w := range words {
		q[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
	}
	return strings.Join(q, " ")
}
