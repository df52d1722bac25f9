package detect

import (
	"path"
	"strconv"
	"strings"
)

// liveLogs are names of logs that programs write into now.
var liveLogs = []string{"auth.log", "secure", "syslog", "messages", "wtmp", "btmp", "lastlog", "faillog", "kern.log", "audit.log", "system.journal", "access.log", "mail"}

// takesLive reports whether an expression of find removes a file, or hands one to
// a command, that is a log of today. What it can't judge may be true or false.
func takesLive(argv []string) bool {
	for _, n := range liveLogs {
		f := finder{name: n}
		for i, a := range argv[1:] {
			if strings.HasPrefix(a, "-") && len(a) > 2 || oneOf(a, "(", "!", ")", ",") {
				f.words = argv[i+1:]
				break
			}
		}
		for len(f.words) > 0 && !f.taken {
			f.any(true)
			f.words = f.words[min(1, len(f.words)):] // a bracket too many
		}
		if f.taken {
			return true
		}
	}
	return false
}

// outcome is what a part of an expression can come to.
type outcome struct{ yes, no bool }

// finder walks an expression for one file. reach tells whether a part is ever
// looked at.
type finder struct {
	name  string
	words []string
	taken bool
	depth int
}

func (f *finder) next() string {
	if len(f.words) == 0 {
		return ""
	}
	w := f.words[0]
	f.words = f.words[1:]
	return w
}

func (f *finder) any(reach bool) outcome {
	out := f.all(reach)
	for len(f.words) > 0 {
		switch f.words[0] {
		case "-o", "-or":
			f.next()
			r := f.all(reach && out.no)
			out = outcome{out.yes || out.no && r.yes, out.no && r.no}
		case ",":
			f.next()
			out = f.all(reach)
		default:
			return out
		}
	}
	return out
}

func (f *finder) all(reach bool) outcome {
	out := outcome{yes: true}
	for len(f.words) > 0 && !oneOf(f.words[0], "-o", "-or", ",", ")") {
		r := f.one(reach && out.yes)
		out = outcome{out.yes && r.yes, out.no || out.yes && r.no}
	}
	return out
}

func (f *finder) one(reach bool) outcome {
	w := f.next()
	switch w {
	case "-a", "-and", "-print", "-print0", "-prune", "-true", "-ls", "-depth", "-xdev", "-mount", "-follow", "-daystart", "-quit":
		return outcome{yes: true}
	case "-false":
		return outcome{no: true}
	case "!", "-not":
		r := f.one(reach)
		return outcome{r.no, r.yes}
	case "(":
		if f.depth++; f.depth > 64 {
			f.taken = true // nobody writes that
			f.words = nil
			return outcome{}
		}
		r := f.any(reach)
		f.depth--
		f.next()
		return r
	case "-delete":
		f.taken = f.taken || reach
	case "-exec", "-execdir", "-ok", "-okdir":
		f.taken = f.taken || reach
		for len(f.words) > 0 && !oneOf(f.next(), ";", "+", `\;`) {
			continue
		}
	case "-name", "-iname":
		ok, err := path.Match(strings.ReplaceAll(f.next(), "[!", "[^"), f.name)
		if err == nil {
			return outcome{ok, !ok}
		}
	case "-maxdepth", "-mindepth", "-regextype", "-D":
		f.next()
		return outcome{yes: true}
	case "-mtime", "-ctime", "-mmin", "-cmin":
		return recent(f.next(), strings.HasSuffix(w, "time"))
	case "-path", "-ipath", "-wholename", "-iwholename", "-regex", "-iregex", "-lname", "-type", "-xtype", "-size", "-user", "-group", "-uid", "-gid", "-perm", "-newer", "-anewer", "-cnewer", "-newermt", "-newerct", "-newerat", "-atime", "-amin", "-used", "-links", "-inum", "-samefile", "-fstype", "-printf", "-fprint", "-fls":
		f.next()
	}
	return outcome{true, true}
}

// recent is what a test of age says of a file of the last day.
func recent(v string, days bool) outcome {
	n, err := strconv.ParseFloat(strings.TrimLeft(v, "+-"), 64)
	if err != nil {
		return outcome{true, true}
	}
	if !days {
		n /= 1440
	}
	switch {
	case strings.HasPrefix(v, "+"):
		return outcome{yes: n < 1, no: true}
	case strings.HasPrefix(v, "-"):
		return outcome{yes: true, no: n <= 1}
	}
	return outcome{yes: n < 1, no: true}
}
