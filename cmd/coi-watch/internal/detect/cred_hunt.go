package detect

import (
	"path"
	"regexp"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/paths"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var credHunt = Detector{
	ID: "cred.hunt", Level: coi.High, Wants: execs,
	Title:  "search for credentials",
	Why:    "somebody looks for keys and passwords over whole homes or the whole system",
	Detect: onCommands(hunt),
	Fire: append(lines(coi.High, "find / -name id_rsa 2>/dev/null", "find /home -type f -name .netrc", "find ~ -name '*.pem'", "locate id_rsa", "find / -name '*.kdbx' -o -name '*.key'", "find //.aws -name credentials -type f", "grep -r 'BEGIN RSA PRIVATE KEY' /home", "fd id_ed25519 /", "find /root -iname '*wallet.dat*'",
		"ls -R /home | grep id_rsa", "find / -type d -name .gnupg -exec rsync -R {} /tmp/g \\;", "for f in $(find /home -name .git-credentials); do cat $f; done", "rg -uu 'PRIVATE KEY' /", "find / -path '*/.aws/credentials'", "cp /usr/bin/find /tmp/f; /tmp/f / -name id_rsa", "find $HOME -name credentials.db", "grep -rl AKIA /home /root", "find / \\( -name '*.pem' -o -name id_dsa \\) -print", "tree -a / | grep id_rsa"),
		lines(coi.Warning, "grep -ri password /", "find / -name authorized_keys 2>/dev/null", "locate password | more", "find . -type f -exec grep -i -I PASSWORD {} /dev/null \\;", "find /tmp -maxdepth 1 -iname .aws/credentials", "find / -name '*passw*'", "grep -rn api_key ~", "grep -r secret /etc /home", "locate pass | more", "find / -type f -name '*config*' -exec grep -i pass {} \\;", "env | grep -iE 'token|secret|key' > /tmp/e.txt")...),
	Quiet: lines("", "find . -name '*.pem'", "grep -rn password src/", "rg password", "env | grep -i token", "locate passenger.rb", "find / -name '*.h'", "grep -rn TODO ~/project", "find . -name .env -not -path './node_modules/*'", "fd token src", "find /usr/lib -name 'libssl*'", "locate libc.so", "git grep -n password", "find path/to/directory -type f -empty -delete", "ls ~/.ssh", "find ~/project -name '*.key'", "find /lib/modules -name '*.ko'"),
}

// wide reports search roots that are no project: the system, homes, and
// credential folders.
func wide(s *command.Simple, roots []string) (system, any bool) {
	for _, r := range roots {
		p := s.Abs(r)
		if r == "$HOME" {
			p = "/home/code"
		}
		switch {
		case p == "": // not known
		case paths.HomeOrRoot(p), secretFolder(p):
			return true, true
		case hasPrefixAny(p, "/tmp", "/var", "/opt", "/mnt", "/srv", "/usr/local"):
			any = true
		}
	}
	return false, any
}

// secretFolder reports folders that hold credentials, and those below them.
func secretFolder(p string) bool {
	for p != "/" && p != "." && p != "" {
		if len(paths.Of(p, true)) > 0 {
			return true
		}
		p = path.Dir(p)
	}
	return false
}

var (
	keyWords  = regexp.MustCompile(`(?i)BEGIN\b.{0,12}PRIVATE|PRIVATE.KEY|AKIA|ASIA\[|aws_secret|id_rsa|id_ed25519|gh[pousr]_|github_pat_|glpat-|xox[a-z[]|AIza|sk-ant|sk_live|aws_access_key|client_secret`)
	passWords = regexp.MustCompile(`(?i)passw|^pass$|^pwd$|secret|token|api_?key|credential|pwd=`)
)

func hunt(s *command.Simple, _ track.View) *Finding {
	p := s.Parsed()
	strong, weak := false, false
	note := func(n string) {
		a, b := paths.HuntName(n)
		strong, weak = strong || a, weak || b
	}
	switch s.Name {
	case "find":
		system, any := wide(s, s.Roots())
		for i, a := range s.Argv {
			if oneOf(a, "-name", "-iname", "-path", "-ipath", "-wholename", "-regex", "-iregex") && i+1 < len(s.Argv) {
				note(s.Argv[i+1])
			}
		}
		return hunted(s, system, any, strong, weak)
	case "fd", "tree":
		if len(p.Rest) > 0 && s.Name == "fd" {
			note(p.Rest[0])
		}
		system, any := wide(s, s.Roots())
		return hunted(s, system, any, strong, weak)
	case "locate":
		for _, a := range p.Rest {
			note(a)
			weak = weak || passWords.MatchString(a)
		}
		return hunted(s, true, true, strong, weak)
	case "grep", "rg", "ag", "ack":
		return huntText(s, p)
	}
	return nil
}

// readsHistory reports commands that search a shell history.
func readsHistory(s *command.Simple) bool {
	for _, in := range append(s.Inputs(), s) {
		for _, a := range in.Accesses() {
			if a.Op == command.Read && paths.Any(a.Classes, paths.History) {
				return true
			}
		}
	}
	return false
}

// storesOutput reports commands whose output goes into a file in a place that
// anybody may write.
func storesOutput(s *command.Simple) bool {
	for _, r := range s.Redirs {
		if r.FD == 1 && strings.HasPrefix(r.Op, ">") && program.Writable(s.Abs(r.Path)) {
			return true
		}
	}
	return false
}

func hunted(s *command.Simple, system, any, strong, weak bool) *Finding {
	switch {
	case system && strong:
		return say(s, coi.High, "search for key files")
	case system && weak, any && (strong || weak):
		return say(s, coi.Warning, "search for credentials")
	}
	return nil
}

func huntText(s *command.Simple, p program.Parsed) *Finding {
	if hasAny(strings.ToLower(s.Line()), "pass", "token", "secret", "ssh ", "key", " -p") && readsHistory(s) {
		return say(s, coi.High, "search for passwords in the shell history")
	}
	words := p.Values("e", "regexp")
	roots := p.Rest
	if len(words) == 0 && len(roots) > 0 {
		words, roots = roots[:1], roots[1:]
	}
	text := strings.Join(words, " ")
	strong, weak := keyWords.MatchString(text), passWords.MatchString(text)
	if !strong && !weak {
		return nil
	}
	for _, in := range s.Stdin {
		if storesOutput(s) && in.Is("env", "printenv", "export", "set", "declare") && len(in.Argv) < 3 {
			return say(s, coi.Warning, "secrets of the environment put into a file")
		}
	}
	deep := p.Has("r", "R", "recursive") || s.Name != "grep"
	system, any := wide(s, roots)
	if deep && len(roots) > 0 {
		return hunted(s, system, any, strong, weak)
	}
	for _, in := range s.Inputs() {
		listing := in.Name == "find" || in.Name == "tree" || in.Name == "ls" && in.Parsed().Has("R", "recursive") || in.Name == "locate"
		if sys, _ := wide(in, append(in.Roots(), in.Parsed().Rest...)); listing && sys {
			return hunted(s, true, true, strong, weak)
		}
	}
	if s.Parent != nil && s.Parent.Name == "find" && weak {
		sys, _ := wide(s.Parent, s.Parent.Roots())
		return hunted(s, sys, true, strong && sys, true)
	}
	return nil
}
