package command

import (
	"regexp"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/paths"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
)

// Op is what a command does with a file.
type Op string

// Operations on files.
const (
	Read   Op = "read"
	Write  Op = "write"  // replaces or truncates
	Append Op = "append" // adds, or edits in place
	Delete Op = "delete"
	Attrib Op = "attrib"
	Link   Op = "link" // Path becomes a link to Path2
	Look   Op = "look" // list or stat, not the content
	Search Op = "search"
	Use    Op = "use"  // read for its purpose: ssh -i, curl --key
	Some   Op = "some" // a program nobody knows was given the path
	Exec   Op = "exec"
)

// Access is one file that a command touches.
type Access struct {
	Path  string // absolute and clean; may hold wildcards
	Path2 string
	Op    Op
	Tree  bool // the folder with all below it
	Text  string
	Known bool // Text is what is written

	Classes []paths.Class // what the file means
}

// Accesses lists the files a command touches, as far as its words tell. It is
// computed once.
func (s *Simple) Accesses() []Access {
	if s.touched == nil {
		s.touched = s.accesses()
		for i, a := range s.touched {
			s.touched[i].Classes = paths.Of(a.Path, a.Tree)
		}
	}
	return s.touched
}

// Touch is an access of one path, classes included.
func Touch(p string, op Op, tree bool) Access {
	return Access{Path: p, Op: op, Tree: tree, Classes: paths.Of(p, tree)}
}

func (s *Simple) accesses() []Access {
	out := []Access{}
	add := func(op Op, paths ...string) {
		for _, p := range paths {
			if q := s.Abs(p); q != "" {
				out = append(out, Access{Path: q, Op: op})
			}
		}
	}
	for _, r := range s.Redirs {
		switch {
		case r.Here != "" || r.Path == "" || isDigits(r.Path) || r.Path == "-" || strings.HasPrefix(r.Path, "/dev/fd/"):
		case r.Op == "<":
			add(Read, r.Path)
		case r.Op == ">>" || r.Op == "&>>":
			out = append(out, s.written(s.Abs(r.Path), Append))
		case r.FD == 2 && r.Op == ">":
			add(Write, r.Path)
		default:
			out = append(out, s.written(s.Abs(r.Path), Write))
		}
	}
	if len(s.Argv) > 0 {
		s.operands(add, &out)
	}
	return out
}

// written is a write whose text is known when the command prints constants.
func (s *Simple) written(p string, op Op) Access {
	a := Access{Path: p, Op: op}
	switch s.Name {
	case "echo", "printf":
		a.Text, a.Known = strings.ReplaceAll(strings.Join(s.Argv[1:], " "), `\n`, "\n"), true
	case "cat", "tee", "sponge", "dd", "base64":
		if s.Fed {
			a.Text, a.Known = s.Feed, true
		}
	case "":
		a.Known = true
	}
	return a
}

// Abs makes a word absolute in the folder of the command; "" for words that are
// no paths.
func (s *Simple) Abs(p string) string {
	if p == "" || p == "-" || strings.Contains(p, "://") || len(p) > 4096 {
		return ""
	}
	switch {
	case strings.HasPrefix(p, "/"):
	case p == "~" || strings.HasPrefix(p, "~/"):
		p = "/home/code" + p[1:]
	case strings.HasPrefix(p, "$"):
		if i := strings.IndexByte(p, '/'); i > 0 {
			p = "/$" + p[i:]
		} else {
			return ""
		}
	default:
		p = s.CWD + "/" + p
	}
	return clean(p)
}

// clean is path.Clean that keeps wildcards and a trailing "/*".
func clean(p string) string {
	for strings.Contains(p, "//") {
		p = strings.ReplaceAll(p, "//", "/")
	}
	parts := strings.Split(p, "/")
	var out []string
	for _, x := range parts {
		switch x {
		case "", ".":
		case "..":
			if len(out) > 0 {
				out = out[:len(out)-1]
			}
		default:
			out = append(out, x)
		}
	}
	p = "/" + strings.Join(out, "/")
	for _, root := range []string{"/proc/self/root/", "/proc/1/root/", "/proc/thread-self/root/"} {
		if strings.HasPrefix(p, root) {
			p = "/" + p[len(root):]
		}
	}
	return p
}

// ddOperand splits if=, of= words.
func ddOperand(a, key string) (string, bool) { return strings.CutPrefix(a, key+"=") }

type adder func(op Op, paths ...string)

func (s *Simple) operands(add adder, out *[]Access) {
	p := s.Parsed()
	switch s.Name {
	case "cat", "tac", "head", "tail", "less", "more", "most", "bat", "nl", "od", "hexdump", "xxd", "strings", "base64", "base32", "basenc", "cut",
		"paste", "sort", "uniq", "rev", "fold", "expand", "wc", "diff", "cmp", "comm", "join", "split", "csplit", "iconv", "fmt", "pr",
		"column", "look", "uuencode", "md5sum", "sha1sum", "sha256sum", "sha512sum", "cksum", "sum", "pg", "ul", "file", "bzcat", "zcat", "xzcat", "zstdcat", "xclip", "tsort", "shuf", "mapfile", "readarray", "dos2unix", "vipe":
		add(Read, p.Rest...)
	case "jq", "yq", "sed":
		s.sed(p, add, out)
	case "grep", "rg", "ag", "ack":
		s.grep(p, add, out)
	case "ls", "stat", "tree", "du", "readlink", "realpath", "dir", "vdir", "test", "[":
		add(Look, p.Rest...)
	case "find", "fd":
		s.find(add, out)
	case "cp", "mv", "install", "rsync", "scp":
		s.copies(p, add, out)
	case "ln", "link":
		s.links(p, out)
	case "tee", "sponge":
		op := Write
		if s.Arg("-a", "--append") {
			op = Append
		}
		for _, x := range p.Rest {
			if q := s.Abs(x); q != "" {
				*out = append(*out, s.written(q, op))
			}
		}
	case "dd":
		for _, a := range s.Argv[1:] {
			if x, ok := ddOperand(a, "if"); ok {
				add(Read, x)
			}
			if x, ok := ddOperand(a, "of"); ok {
				*out = append(*out, s.written(s.Abs(x), Write))
			}
		}
	case "rm", "unlink", "shred", "srm", "wipe", "rmdir", "find-delete":
		op := Delete
		for _, x := range p.Rest {
			*out = append(*out, Access{Path: s.Abs(x), Op: op, Tree: p.Has("r", "R", "recursive")})
		}
	case "truncate", "fallocate":
		add(Write, p.Rest...)
	case "touch":
		add(Attrib, p.Rest...)
	case "chmod", "chown", "chgrp", "chattr", "setfacl", "setcap":
		if len(p.Rest) > 0 {
			add(Attrib, p.Rest[1:]...)
		}
	case "tar", "zip", "7z", "rar", "cpio", "pax", "ar", "gzip", "bzip2", "xz", "zstd":
		s.archives(p, add, out)
	case "gpg", "age", "openssl":
		s.crypto(p, add)
	case "curl", "wget", "http", "ab", "ftp", "lftp", "sftp", "rclone", "aws", "gsutil", "s3cmd", "mail", "mutt", "lp", "hping3", "socat":
		for _, u := range s.Uploads() {
			if u.File != "" {
				add(Read, u.File)
			}
		}
		add(Write, p.Values("o", "output", "O", "output-document")...)
		add(Use, p.Values("key", "cert", "cacert", "E", "certificate", "private-key")...)
	case "ssh", "ssh-add", "ssh-keygen", "ssh-copy-id", "autossh", "git", "sshfs", "ssh-keyscan":
		add(Use, p.Values("i", "f", "F")...)
		if s.Name == "ssh-add" || s.Name == "ssh-keygen" {
			add(Use, p.Rest...)
		}
	case "vim", "nano", "emacs", "ed", "pico", "micro", "helix", "code", "joe", "mcedit":
		add(Append, p.Rest...)
		add(Read, p.Rest...)
	case "patch", "visudo", "crontab", "insmod", "modprobe", "echo", "printf", "true", "cd", "export", "kill", "sudo", "mkdir", "docker", "kubectl", "lxc":
	case "source", ".":
		add(Read, p.Rest...)
	case "mysql", "psql", "sqlite3":
		add(Read, p.Rest...)
	case "mount", "umount":
	default:
		s.others(p, add)
	}
	s.codeAccess(add)
}

// others: what shells and interpreters are given is run, what programs nobody
// knows are given is touched somehow.
func (s *Simple) others(p program.Parsed, add adder) {
	switch s.Class() {
	case program.Shell, program.Interpreter:
		for _, x := range p.Rest {
			switch {
			case s.Name == "awk" && len(p.Rest) > 0 && x == p.Rest[0] && !p.Has("f", "file", "e"):
			case len(s.Code) > 0 && s.Class() == program.Interpreter:
				add(Read, x)
			case len(s.Code) == 0:
				add(Some, x)
			}
		}
	case program.None, program.Reader:
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
		if enc {
			op = Read
		}
		add(op, p.Values("in")...)
		add(Use, p.Values("key", "cert", "CAfile")...)
		add(Write, p.Values("out")...)
	default:
		add(Read, p.Rest...)
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
