package command

import (
	"regexp"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
)

// others: what shells and interpreters are given is run, what programs nobody
// knows are given is touched somehow.
func (s *Simple) others(p program.Parsed, add adder) {
	if (s.Name == "perl" || s.Name == "ruby") && len(s.Code) > 0 && inPlace(s.Argv) {
		add(Append, p.Rest...)
		return
	}
	switch s.Class() {
	case program.Shell, program.Interpreter:
		for i, x := range p.Rest {
			switch {
			case i == 0 && s.Class() == program.Shell && p.Has("c"): // the text, whose commands are judged themselves
			case s.Name == "awk" && len(p.Rest) > 0 && x == p.Rest[0] && !p.Has("f", "file", "e"):
			case len(s.Code) > 0 && s.Class() == program.Interpreter:
				add(Read, x)
			case len(s.Code) == 0:
				add(Some, x)
			}
		}
	case program.None, program.Reader, program.Suspect:
		for _, a := range s.Argv[1:] {
			if _, v, ok := strings.Cut(a, "="); ok {
				a = v
			}
			a = strings.TrimPrefix(a, "@")
			if strings.HasPrefix(a, "/") || strings.HasPrefix(a, "~/") || strings.HasPrefix(a, "./") || strings.HasPrefix(a, "../") || strings.HasPrefix(a, ".") && len(a) > 2 {
				add(Some, a)
			}
		}
	}
}

// inPlace reports perl -i and ruby -i, alone or joined to other letters.
func inPlace(argv []string) bool {
	for _, a := range argv[1:] {
		if len(a) > 1 && a[0] == '-' && a[1] != '-' {
			if i := strings.IndexByte(a, 'i'); i > 0 && strings.Trim(a[1:i], "pnlaw0s") == "" {
				return true
			}
		}
	}
	return false
}

func (s *Simple) sed(p program.Parsed, add adder, out *[]Access) {
	rest := p.Rest
	inPlace := false
	for _, a := range s.Argv[1:] {
		inPlace = inPlace || strings.HasPrefix(a, "-i") || strings.HasPrefix(a, "--in-place")
	}
	if !p.Has("e", "f", "expression", "file") && len(rest) > 0 {
		rest = rest[1:]
	}
	for _, x := range rest {
		if !inPlace || s.Name != "sed" {
			add(Read, x)
			continue
		}
		if q := s.Abs(x); q != "" {
			*out = append(*out, Access{Path: q, Op: Append, Text: strings.Join(s.Argv[1:], " "), Known: true})
		}
	}
}

func (s *Simple) grep(p program.Parsed, add adder, out *[]Access) {
	rest := p.Rest
	if !p.Has("e", "regexp", "f", "file") && len(rest) > 0 {
		rest = rest[1:]
	}
	deep := p.Has("r", "R", "recursive", "dereference-recursive") || s.Name != "grep"
	for _, x := range rest {
		if deep {
			*out = append(*out, Access{Path: s.Abs(x), Op: Search, Tree: true})
		} else {
			add(Read, x)
		}
	}
}

func (s *Simple) find(add adder, out *[]Access) {
	for _, x := range s.Roots() {
		op := Search
		if s.Arg("-delete") {
			op = Delete
		}
		*out = append(*out, Access{Path: s.Abs(x), Op: op, Tree: true})
	}
	for i, a := range s.Argv {
		if (a == "-fprint" || a == "-fprintf" || a == "-fls") && i+1 < len(s.Argv) {
			add(Write, s.Argv[i+1])
		}
	}
}

// Roots are the folders that find or fd starts from.
func (s *Simple) Roots() []string {
	if s.Name == "fd" {
		p := s.Parsed()
		roots := p.Values("search-path", "base-directory")
		if len(p.Rest) > 1 {
			roots = append(roots, p.Rest[1:]...)
		}
		return roots
	}
	var out []string
	for _, a := range s.Argv[min(1, len(s.Argv)):] {
		if a == "-L" || a == "-H" || a == "-P" {
			continue
		}
		if strings.HasPrefix(a, "-") || a == "(" || a == "!" || a == `\(` {
			break
		}
		out = append(out, a)
	}
	return out
}

func (s *Simple) copies(p program.Parsed, add adder, out *[]Access) {
	src := p.Rest
	var dst string
	if t := p.Values("t", "target-directory"); len(t) > 0 {
		dst = t[0]
	} else if len(src) > 1 {
		dst, src = src[len(src)-1], src[:len(src)-1]
	}
	if s.Name == "install" && p.Has("d", "directory") {
		return
	}
	deep := p.Has("r", "R", "a", "recursive", "archive", "rr") || s.Name == "mv" || s.Name == "rsync"
	for _, x := range src {
		if remotePath(x) {
			continue
		}
		if q := s.Abs(x); q != "" {
			*out = append(*out, Access{Path: q, Op: Read, Tree: deep})
			if s.Name == "mv" {
				*out = append(*out, Access{Path: q, Op: Delete, Path2: s.Abs(dst)})
			}
		}
	}
	if dst != "" && !remotePath(dst) {
		d := s.Abs(dst)
		if strings.HasSuffix(dst, "/") && len(src) > 0 {
			d += "/" + src[0][strings.LastIndexByte(src[0], '/')+1:]
		}
		a := Access{Path: d, Op: Write}
		if len(src) > 0 {
			a.Path2 = s.Abs(src[0])
		}
		*out = append(*out, a)
	}
	add(Use, p.Values("i")...)
}

// remotePath reports host:path operands of scp and rsync.
func remotePath(x string) bool {
	i := strings.IndexByte(x, ':')
	return i > 0 && !strings.Contains(x[:i], "/") || strings.Contains(x, "://")
}

func (s *Simple) links(p program.Parsed, out *[]Access) {
	if len(p.Rest) < 1 {
		return
	}
	to := p.Rest[0]
	name := ""
	if len(p.Rest) > 1 {
		name = p.Rest[len(p.Rest)-1]
	} else {
		name = to[strings.LastIndexByte(to, '/')+1:]
	}
	*out = append(*out, Access{Path: s.Abs(name), Path2: s.Abs(to), Op: Link})
	*out = append(*out, Access{Path: s.Abs(to), Path2: s.Abs(name), Op: Look})
}

func (s *Simple) archives(p program.Parsed, add adder, out *[]Access) {
	creating := true
	rest := p.Rest
	switch s.Name {
	case "tar":
		mode := strings.Join(s.Argv[1:min(3, len(s.Argv))], " ")
		first := ""
		if len(s.Argv) > 1 {
			first = strings.TrimPrefix(s.Argv[1], "-")
		}
		creating = p.Has("c", "create", "r", "append", "u") || strings.ContainsAny(strings.SplitN(first, "=", 2)[0], "cru") && !strings.HasPrefix(s.Argv[1], "--")
		if !strings.HasPrefix(mode, "-") && len(rest) > 0 { // old style: tar czf out src
			rest = rest[1:]
			if strings.Contains(first, "f") && len(rest) > 0 {
				rest = rest[1:]
			}
		}
		if c := p.Values("C", "directory"); len(c) > 0 && creating {
			for _, x := range rest {
				*out = append(*out, Access{Path: clean(s.Abs(c[0]) + "/" + x), Op: Read, Tree: true})
			}
			return
		}
	case "zip", "7z", "rar":
		if s.Name == "7z" || s.Name == "rar" {
			if len(rest) > 0 {
				creating = rest[0] == "a" || rest[0] == "u"
				rest = rest[1:]
			}
		}
		if len(rest) > 0 {
			add(Write, rest[0])
			rest = rest[1:]
		}
	case "gzip", "bzip2", "xz", "zstd":
		add(Read, rest...)
		return
	}
	if !creating {
		return
	}
	for _, x := range rest {
		if q := s.Abs(x); q != "" {
			*out = append(*out, Access{Path: q, Op: Read, Tree: true})
		}
	}
}

func (s *Simple) crypto(p program.Parsed, add adder) {
	switch s.Name {
	case "openssl":
		enc := len(s.Argv) > 1 && (s.Argv[1] == "enc" || s.Argv[1] == "base64" || strings.HasPrefix(s.Argv[1], "aes") || strings.HasPrefix(s.Argv[1], "des") || s.Argv[1] == "smime" || s.Argv[1] == "cms")
		op := Use
		shows := len(s.Argv) > 1 && (s.Argv[1] == "rsa" || s.Argv[1] == "ec" || s.Argv[1] == "dsa" || s.Argv[1] == "pkey" || s.Argv[1] == "pkcs8") && !p.Has("noout") && !p.Has("pubout")
		if enc || shows {
			op = Read
		}
		add(op, p.Values("in")...)
		add(Use, p.Values("key", "cert", "CAfile")...)
		add(Write, p.Values("out")...)
	default:
		add(Read, p.Rest...)
		if s.Name == "age" {
			add(Use, p.Values("i", "identity")...)
		}
		add(Write, p.Values("o", "output")...)
	}
}

var openWrite = regexp.MustCompile(`^\s*,\s*(?:mode\s*=\s*)?["']([rwaxb+]+)["']`)

// codeAccess takes the path constants of inline code as files it opens.
func (s *Simple) codeAccess(add adder) {
	for _, c := range s.Code {
		for _, l := range Literals(c.Text) {
			t := strings.TrimSpace(l.Text)
			if len(t) < 4 || len(t) > 256 || strings.ContainsAny(t, " \n;|&<>()") || !strings.Contains(t, "/") {
				continue
			}
			b := strings.ToLower(l.Before)
			tail := b[max(0, len(b)-28):]
			m := openWrite.FindStringSubmatch(l.After)
			switch {
			case m != nil && strings.ContainsAny(m[1], "wx"):
				add(Write, t)
			case m != nil && strings.ContainsAny(m[1], "a+"):
				add(Append, t)
			case strings.Contains(tail, "writefile") || strings.Contains(tail, "file_put_contents") || strings.Contains(tail, "write("):
				add(Write, t)
			case strings.Contains(tail, "appendfile"):
				add(Append, t)
			case strings.Contains(tail, "unlink") || strings.Contains(tail, "remove") || strings.Contains(tail, "rmtree") || strings.Contains(tail, "rmsync") || strings.Contains(tail, "delete") || strings.Contains(tail, "rm("):
				add(Delete, t)
			case strings.Contains(tail, "truncate"):
				add(Write, t)
			case strings.Contains(tail, "exists") || strings.Contains(tail, "stat(") || strings.Contains(tail, "isfile") || strings.Contains(tail, "isdir") || strings.Contains(tail, "access("):
				add(Look, t)
			case strings.Contains(tail, "chmod") || strings.Contains(tail, "chown") || strings.Contains(tail, "utime"):
				add(Attrib, t)
			case c.Lang == "awk" && strings.Contains(tail, ">"):
				add(Write, t)
			default:
				add(Read, t)
			}
		}
	}
}
