package command

import (
	"regexp"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
)

// guess names a program that nobody knows by what its arguments can only be:
// a renamed program keeps the options of its own. Shapes that other programs
// share count only for programs in places that everybody may write.
func guess(s *Simple) string {
	if n := unmistakable(s); n != "" {
		return n
	}
	if !strings.Contains(s.Prog, "/") || !program.Writable(s.Prog) {
		return ""
	}
	if g := shaped(s); g != "" {
		return g
	}
	if shellLike(s) {
		return "sh"
	}
	paths := len(s.Argv) > 1 && onlyPaths(s.Argv[1:])
	switch {
	case s.Pos > 0 && paths:
		return "tee"
	case s.Pos == 0 && s.Len > 1 && paths:
		return "cat"
	case s.Pos > 0 && s.Fed && (len(s.Argv) == 1 || s.Argv[1] == "-") && jobs.MatchString(s.Feed):
		return "crontab"
	}
	return ""
}

// shellLike reports a program without arguments, or with those of a shell, that
// is given text that reads as commands, what a network tool receives, or, if the
// program is hidden, what was decoded.
func shellLike(s *Simple) bool {
	if len(s.Argv) == 2 && s.Argv[1] == "-i" {
		return true
	}
	if len(s.Argv) > 2 || len(s.Argv) == 2 && s.Argv[1] != "-" && s.Argv[1] != "-s" && !strings.HasPrefix(s.Argv[1], "/dev/fd/p") {
		return false
	}
	if s.Fed && s.Feed != "" {
		return !jobs.MatchString(s.Feed) && runsKnown(s.Feed)
	}
	for _, in := range append(s.Stdin, s.From...) {
		switch in.Name {
		case "base64", "base32", "xxd", "openssl", "gunzip", "gzip", "rev":
			if strings.Contains(s.Prog, "/.") {
				return true
			}
		}
		if in.Class() == program.Relay && in.Name != "openssl" {
			return true
		}
	}
	return false
}

// runsKnown reports text that reads as shell and starts a program that is known.
func runsKnown(text string) bool {
	f, whole, foreign := parse(text)
	if f == nil || !whole || foreign {
		return false
	}
	for w := range strings.FieldsSeq(strings.NewReplacer(";", " ", "|", " ", "(", " ", "&", " ").Replace(text)) {
		return program.Known(w)
	}
	return false
}

// jobs are lines of a crontab.
var jobs = regexp.MustCompile(`(?m)^(?:@(?:reboot|hourly|daily|weekly|monthly)|(?:[\d*/,-]+\s+){5})\s*\S`)

// shaped is the program whose arguments look like those of s.
func shaped(s *Simple) string {
	if carriesCode(s.Argv[1:]) {
		return ""
	}
	line := strings.Join(s.Argv[1:], " ")
	for _, g := range shapes {
		if g.re.MatchString(line) {
			return g.name
		}
	}
	return ""
}

// headers are options of downloaders whose values may look like code.
var headers = map[string]bool{"-A": true, "--user-agent": true, "-H": true, "--header": true, "-d": true, "--data": true, "--data-binary": true, "--data-raw": true}

// carriesCode reports arguments that hold program text; that is looked at for
// what it is.
func carriesCode(args []string) bool {
	for i, a := range args {
		text := len(a) > 24 && strings.ContainsAny(a, "(;") && (i == 0 || !headers[args[i-1]])
		if text && !strings.HasPrefix(a, "BEGIN") || i > 0 && args[i-1] == "-c" && strings.Contains(a, " ") {
			return true
		}
	}
	return false
}

func onlyPaths(args []string) bool {
	for _, a := range args {
		if a != "-a" && a != "--append" && !strings.HasPrefix(a, "/") && !strings.HasPrefix(a, "~") {
			return false
		}
	}
	return true
}

// unmistakable are shapes that no two programs share.
func unmistakable(s *Simple) string {
	a := s.Argv[1:]
	addr, hand, url, upload, shell := 0, false, false, false, false
	for i, w := range a {
		l := strings.ToLower(w)
		switch {
		case strings.HasPrefix(l, "exec:") || strings.HasPrefix(l, "system:"):
			hand = true
		case (strings.HasPrefix(l, "tcp") || strings.HasPrefix(l, "udp")) && strings.Contains(l, ":") || strings.HasPrefix(l, "openssl:") || strings.HasPrefix(l, "openssl-") || strings.HasPrefix(l, "vsock-") || strings.HasPrefix(l, "sctp"):
			addr++
		case strings.HasPrefix(l, "http://") || strings.HasPrefix(l, "https://") || strings.HasPrefix(l, "ftp://"):
			url = true
		case (w == "-e" || w == "-c" || w == "--exec" || w == "--sh-exec") && i+1 < len(a) && program.ShellPath(a[i+1]) && (len(strings.Fields(a[i+1])) <= 2 || strings.Contains(a[i+1], " -i")):
			shell = true
		case w == "-T" || w == "--upload-file" || strings.HasPrefix(w, "--data") || (w == "-F" || w == "-d") && i+1 < len(a):
			upload = true
		case strings.HasPrefix(w, "--post-file"):
			return "wget"
		}
	}
	switch {
	case hand && addr > 0:
		return "socat"
	case shell && len(a) >= 3:
		return "nc"
	case url && upload:
		return "curl"
	case len(a) > 2 && a[0] == "s_client":
		return "openssl"
	}
	return ""
}

// shapes are argument lists that give a program away.
var shapes = []struct {
	name string
	re   *regexp.Regexp
}{
	{"find", regexp.MustCompile(`(?:^|\s)-(?:name|iname|path|ipath|perm|type|exec|maxdepth|regex)\s`)},
	{"truncate", regexp.MustCompile(`^(?:-s ?0|--size[= ]0)\s+\S`)},
	{"shred", regexp.MustCompile(`^(?:-n ?\d+ )?-[fvz]*u[fvz]*\s+[~/]|^(?:-n ?\d+ )?-z[fv]*u[fv]*\s+[~/]`)},
	{"journalctl", regexp.MustCompile(`(?:^|\s)--(?:vacuum-(?:time|size|files)|rotate|flush)\b`)},
	{"mount", regexp.MustCompile(`^-t\s+[a-z]\w+\s+(?:-o\s+\S+\s+)?\S+\s+/\S*$`)},
	{"install", regexp.MustCompile(`^-m\s+[0-7]{3,4}\s+\S+\s+\S+$`)},
	{"service", regexp.MustCompile(`^[a-z][\w@.-]+\s+(?:stop|onestop)$`)},
	{"update-rc.d", regexp.MustCompile(`^[a-z][\w@.-]+\s+disable$`)},
	{"usermod", regexp.MustCompile(`^-p\s+\S*\s*root$`)},
	{"apt", regexp.MustCompile(`^(?:purge|remove|autoremove)\s+(?:-\w+\s+)*[a-z]`)},
	{"rpm", regexp.MustCompile(`^-e\s+(?:--nodeps\s+)?[a-z][\w-]+$`)},
	{"pkill", regexp.MustCompile(`^-(?:9|KILL|SIGKILL|STOP)(?:\s+[a-z][\w-]+)+$`)},
	{"scp", regexp.MustCompile(`^(?:-\w+\s+)*(?:[~/]\S*\s+)+\w+@[\w.-]+:`)},
	{"cp", regexp.MustCompile(`^-[arRpfd]+\s+[~/]\S+\s+[~/]\S+$`)},
	{"gdb", regexp.MustCompile(`(?:^|\s)--?(?:batch|ex|nx)\s`)},
	{"openssl", regexp.MustCompile(`^(?:enc|s_client|s_server|base64|des3|aes-\S+)\s+-`)},
	{"gitleaks", regexp.MustCompile(`^detect\s+-|^dir\s+[/~]`)},
	{"git", regexp.MustCompile(`^(?:config\s+--(?:global|system)\s|clone\s+(?:ext::|git@|https?://))`)},
	{"make", regexp.MustCompile(`^-f\s+(?:-$|\S*[Mm]akefile)`)},
	{"aws", regexp.MustCompile(`^s3\s+(?:cp|sync)\s|^configure export-credentials`)},
	{"kubectl", regexp.MustCompile(`^get\s+secrets?\b`)},
	{"gh", regexp.MustCompile(`^auth token$`)},
	{"rclone", regexp.MustCompile(`^(?:copy|sync)\s+[~/]\S+\s+\w+:`)},
	{"setenforce", regexp.MustCompile(`^[Pp]ermissive$`)},
	{"sysctl", regexp.MustCompile(`^-w\s+[a-z]+(?:\.\w+)+=`)},
	{"chmod", regexp.MustCompile(`^(?:-R )?(?:0?[0-7]{3,4}|[ugoa]*[+=-][rwxst]+)\s+[^-\s]`)},
	{"awk", regexp.MustCompile(`^(?:-F\S*\s+|-v\s+\S+\s+)*(?:BEGIN|\{|/[^/]+/\s*\{)`)},
	{"docker", regexp.MustCompile(`^(?:run|exec)\s.*(?:--rm|-it?\b|--privileged|-v\s|--name)`)},
	{"lxc", regexp.MustCompile(`^(?:config device add|init\s.*-c security)`)},
	{"wget", regexp.MustCompile(`(?:^|\s)(?:-q?O\s?-?|--quiet|--post-data|--output-document|-qO\S*)\b.*(?:https?|ftp)://|^(?:https?|ftp)://\S+$`)},
	{"curl", regexp.MustCompile(`(?:^|\s)(?:-[a-zA-Z]*[sSLfkIo][a-zA-Z]*|-X\s\S+|-d|-A|-H|--silent|--unix-socket|--user-agent)\s.*(?:https?://|www\.|\.(?:com|net|org|io|sh)\b)`)},
	{"tar", regexp.MustCompile(`^-?(?:[cx][zjJvpPh]*[zjJf][zjJvpPhf]*|[zjJv]+[cx][zjJvpPhf]*)\s+\S|^-?[cr][zjJvpPhf]*\s+\S+\s+\S`)},
	{"ln", regexp.MustCompile(`^-s[fnv]*\s+\S+\s+\S+$`)},
	{"auditctl", regexp.MustCompile(`^(?:-a (?:always|never|exit|task)|-e ?[012]$|-D$|-W )`)},
	{"rm", regexp.MustCompile(`^-[rRfv]+\s+(?:-[rRfv]+\s+)*[~/$.]`)},
	{"useradd", regexp.MustCompile(`(?:^|\s)(?:-o?u 0|-ou 0|-G (?:wheel|sudo|root)|--create-home|--uid 0)\b`)},
	{"systemctl", regexp.MustCompile(`^(?:--now )?(?:stop|disable|mask|enable|start)\s+(?:--now )?[\w@.-]+$`)},
	{"sed", regexp.MustCompile(`^(?:-i\S*|--in-place\S*)\s+\S`)},
	{"grep", regexp.MustCompile(`^-\w*[rR]\w*i?\s+\S+\s+[/~]|^-[a-zA-Z]*[rR][a-zA-Z]*\s+[^-/~.\s].*\s[/~]`)},
	{"iptables", regexp.MustCompile(`^(?:-t \w+ )?-[ADIF]\s+(?:INPUT|OUTPUT|FORWARD)\b`)},
	{"trufflehog", regexp.MustCompile(`^filesystem\s+\S`)},
	{"python", regexp.MustCompile(`^\S+\.py\b`)},
	{"usermod", regexp.MustCompile(`^--password\s`)},
	{"tcpdump", regexp.MustCompile(`(?:^|\s)-[a-z]*i\w*\s+(?:eth|ens|enp|wlan|em|any|lo|br|veth|docker)\S*`)},
	{"insmod", regexp.MustCompile(`^\S+\.ko\b`)},
	{"setcap", regexp.MustCompile(`^(?:-\w\s+)?cap_\w+.*\s/`)},
	{"touch", regexp.MustCompile(`(?:^|\s)-[acm]*(?:t\s+\d{10,12}|r\s+/)`)},
	{"dig", regexp.MustCompile(`(?:^|\s)(?:@[\w.:]+|\+short)\s|^(?:TXT|AAAA|MX|ANY)\s+\S+\.\S+$`)},
	{"host", regexp.MustCompile(`^[\w.$()-]*\$\(\)[\w.$()-]*\.[a-z]{2,}$`)},
	{"dd", regexp.MustCompile(`(?:^|\s)(?:if|of)=\S`)},
	{"base64", regexp.MustCompile(`^(?:-d|--decode|-D)(?:\s+\S+)?$`)},
	{"xxd", regexp.MustCompile(`^-r -p$|^-p -r$|^-rp$`)},
	{"ssh", regexp.MustCompile(`(?:^|\s)-[fNT]*R\s+[\w.:]+`)},
	{"scp", regexp.MustCompile(`^(?:-\w+\s+)*\S+\s+\w+@[\w.-]+:`)},
	{"nc", regexp.MustCompile(`^(?:-[lnvkup46]+\s+)*(?:-p\s+)?[\w.-]+\s+\d{1,5}$|^-[lnvkup]*l[lnvkup]*\s`)},
	{"cp", regexp.MustCompile(`^(?:-[arRpf]+\s+)?/dev/null\s+\S+$`)},
}
