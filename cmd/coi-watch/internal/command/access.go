package command

import (
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/paths"
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
	case "chattr": // a mode that starts with a dash is no operand
		for _, x := range p.Rest {
			if !strings.HasPrefix(x, "+") && !strings.HasPrefix(x, "=") {
				add(Attrib, x)
			}
		}
	case "chmod", "chown", "chgrp", "setfacl", "setcap":
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
	case "xargs", "parallel":
		add(Read, append(p.Values("a", "arg-file"), p.Values("arg-file")...)...)
	case "ed", "ex", "red":
		for line := range strings.Lines(s.Feed) {
			if w := strings.Fields(line); len(w) == 2 && (w[0] == "e" || w[0] == "E" || w[0] == "r") {
				add(Read, w[1])
			}
		}
		add(Append, p.Rest...)
		add(Read, p.Rest...)
	case "vim", "nano", "emacs", "pico", "micro", "helix", "code", "joe", "mcedit":
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
