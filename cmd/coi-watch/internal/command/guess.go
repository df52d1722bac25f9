package command

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/paths"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
)

// guess names a program that nobody knows by what its arguments can only be:
// a renamed program keeps the options of its own. Shapes that other programs
// share count only for programs in places that everybody may write.
func guess(s *Simple) string {
	if n := unmistakable(s); n != "" {
		return n
	}
	if !strings.Contains(s.Prog, "/") {
		return ""
	}
	public := program.Writable(s.Prog)
	if !public && (systemFolder(s.Prog) || isScript(s.Prog) || s.Len < 2 && !telling(s)) {
		return ""
	}
	if startsOther(s.Argv) {
		return "" // what it starts is looked at
	}
	if g := leading(s); g != "" {
		return g
	}
	if g := shaped(s); g != "" {
		return g
	}
	if shellLike(s, public) || len(s.Argv) == 1 && slices.ContainsFunc(s.Redirs, func(r Redir) bool { return r.FD == 0 && DevNet(r.Path) }) {
		return "sh"
	}
	if !public {
		return ""
	}
	bare := len(s.Argv) == 1 || s.Argv[1] == "-"
	switch {
	case len(s.Argv) > 1 && onlyPaths(s.Argv[1:]):
		return pathsOnly(s)
	case s.Pos > 0 && bare && jobs.MatchString(fedText(s)):
		return "crontab"
	case s.Pos > 0 && s.Fed && bare && passwords.MatchString(s.Feed):
		return "chpasswd"
	case len(s.Argv) == 2 && strings.Contains(s.Argv[1], "@") && transfer.MatchString(s.Feed):
		return "sftp"
	}
	return ""
}

// told are parts of words that say something about a program which lies where
// those of a project do: without one of them its name does not matter, and the
// shapes are not looked through for each of them.
var told = []string{"/etc/", "/var/log", "/var/spool", "/dev/", "/proc/", "/root", "/tmp/", "shadow", ".ssh", ".aws", ".gnupg", ".kube", "id_rsa", "passw", "://", "_history", "docker.sock", "u+s", "4755", "4777", "NOPASSWD", "stratum", "serviceaccount", "release_agent", "/bin/sh", "/bin/bash", "-perm", "-name", "$()", "kernel.", ".ko", "tcp", "LHOST", "auditd", "syslog", "journald"}

func telling(s *Simple) bool {
	for _, a := range s.Argv[1:] {
		for _, w := range told {
			if strings.Contains(a, w) {
				return true
			}
		}
	}
	return slices.ContainsFunc(s.Redirs, func(r Redir) bool { return r.FD == 0 && (DevNet(r.Path) || r.Here != "") })
}

// leading is the program that the first words tell, whatever follows.
func leading(s *Simple) string {
	a := s.Argv[1:]
	switch {
	case len(a) > 0 && perlModule.MatchString(a[0]):
		return "perl"
	case len(a) > 2 && inPlaceFlags.MatchString(a[0]) && a[1] == "-e":
		return "perl"
	case len(a) > 1 && sudoFlag.MatchString(a[0]) && program.Known(a[1]):
		return "sudo"
	case len(a) > 1 && strings.HasPrefix(a[0], "/") && program.ClassOf(a[1]) == program.Shell:
		return "chroot"
	case len(a) > 2 && strings.HasPrefix(a[0], "-") && program.ClassOf(a[1]) == program.Relay:
		return "stdbuf"
	case s.Pos == 0 && s.Len > 1 && len(a) > 1 && a[0] == "-a" && onlyPaths(a):
		return "cat"
	case len(a) == 0 && s.Fed && intoSystem(s):
		return "cat"
	case s.Pos > 0 && len(a) > 1 && (a[0] == "-a" || a[0] == "--append") && onlyPaths(a):
		return "tee"
	}
	return ""
}

// intoSystem reports output that goes into a file of the system's settings.
func intoSystem(s *Simple) bool {
	return slices.ContainsFunc(s.Redirs, func(r Redir) bool {
		return r.FD == 1 && strings.HasPrefix(r.Op, ">") && strings.HasPrefix(r.Path, "/etc/")
	})
}

// fedText is what a program reads, as far as it is known: the words of an echo
// when other commands write into the same pipe.
func fedText(s *Simple) string {
	if s.Fed {
		return s.Feed
	}
	var b strings.Builder
	for _, in := range s.Stdin {
		if in.Is("echo", "printf") {
			b.WriteString(strings.Join(in.Argv[1:], " ") + "\n")
		}
	}
	return b.String()
}

// pathsOnly guesses what a program does that is given nothing but paths: at the
// end of a pipe it writes them, at the start it reads them. Alone, one that
// hides copies the first onto the second, or takes a log away.
func pathsOnly(s *Simple) string {
	fed, stored := false, false
	for _, r := range s.Redirs {
		fed = fed || r.Op == "<"
		stored = stored || r.FD == 1 && strings.HasPrefix(r.Op, ">")
	}
	switch {
	case s.Pos > 0 || fed:
		return "tee"
	case s.Len > 1, s.Subst:
		return "cat"
	case !hides(s.Prog) || stored:
	case len(s.Argv) == 3:
		return "cp"
	case len(s.Argv) == 2 && paths.Any(paths.Of(s.Abs(s.Argv[1]), false), paths.SecurityLog, paths.History, paths.AuditRules):
		return "rm"
	}
	return ""
}

// hides reports places where nobody looks for programs.
func hides(p string) bool {
	return strings.Contains(p, "/.") || strings.HasPrefix(p, "/dev/shm/")
}

// startsOther reports arguments that are a command of their own, as those of
// sudo and nohup are.
func startsOther(argv []string) bool {
	if len(argv) < 3 {
		return false
	}
	switch argv[1] {
	case "exec", "test", "run", "install", "base64", "config", "set", "write", "read", "history": // also verbs
		return false
	}
	if strings.Contains(argv[1], "/") && !systemFolder(argv[1]) && !program.Writable(argv[1]) {
		return false // a file that is named as a program is
	}
	return program.Known(argv[1])
}

var (
	inPlaceFlags = regexp.MustCompile(`^-(?:[np0a]+i\S*|i\S*p\w*)$`)
	sudoFlag     = regexp.MustCompile(`^-[nEHSbi]{1,3}$`)
	perlModule   = regexp.MustCompile(`^-M[A-Z]\w*(?:::\w+)*$`)
	passwords    = regexp.MustCompile(`^[a-z_][\w-]*:[^\s:]+\s*$`) // what chpasswd reads
	transfer     = regexp.MustCompile(`^(?:put|mput|get|mget)\s+\S`)
	shellFlags   = regexp.MustCompile(`^-[silh]*[si][silh]*$`)
)

// shellLike reports a program without arguments, or with those of a shell, that
// is given text that reads as commands, what a network tool receives, or, if the
// program is hidden, what was decoded.
func shellLike(s *Simple, public bool) bool {
	text := len(s.Argv) == 3 && s.Argv[1] == "-c" && (strings.HasPrefix(s.Argv[2], "$()") || s.wordsDecoded && hides(s.Prog))
	if len(s.Argv) == 2 && s.Argv[1] == "-i" || hides(s.Prog) && len(s.Argv) > 2 && (s.Argv[1] == "-" || s.Argv[1] == "-s") && slices.ContainsFunc(s.Stdin, brings) {
		return true
	}
	if !text && (len(s.Argv) > 2 || len(s.Argv) == 2 && s.Argv[1] != "-" && !shellFlags.MatchString(s.Argv[1]) && !strings.HasPrefix(s.Argv[1], "/dev/fd/p")) {
		return false
	}
	for _, in := range append(s.Stdin, s.From...) {
		switch in.Name {
		case "base64", "base32", "xxd", "openssl", "gunzip", "gzip", "rev", "tr", "curl", "wget":
			if hides(s.Prog) {
				return true
			}
		}
		if in.Class() == program.Relay && in.Name != "openssl" || DevNet(in.FDs[0]) {
			return true
		}
	}
	return public && s.Fed && s.Feed != "" && !jobs.MatchString(s.Feed) && runsKnown(s.Feed)
}

// runsKnown reports text that reads as shell and starts a program that is known.
func runsKnown(text string) bool {
	f, whole, foreign := parse(text)
	if f == nil || !whole || foreign {
		return false
	}
	for w := range strings.FieldsSeq(strings.NewReplacer(";", " ", "|", " ", "(", " ", "&", " ", "{", " ", ",", " ").Replace(text)) {
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
		a = strings.ReplaceAll(a, "$()", "")
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
	addr, hand, url, upload, shell, port := 0, false, false, false, false, false
	for i, w := range a {
		l := strings.ToLower(w)
		port = port || isDigits(strings.TrimLeft(w, "-lvnpk")) || strings.HasPrefix(w, "$") || strings.Contains(w, ":")
		switch {
		case strings.HasPrefix(l, "exec:") || strings.HasPrefix(l, "system:"):
			hand = true
		case (strings.HasPrefix(l, "tcp") || strings.HasPrefix(l, "udp")) && strings.Contains(l, ":") && !strings.Contains(l, "://") || strings.HasPrefix(l, "openssl:") || strings.HasPrefix(l, "openssl-") || strings.HasPrefix(l, "vsock-") || strings.HasPrefix(l, "sctp"):
			addr++
		case strings.HasPrefix(l, "http://") || strings.HasPrefix(l, "https://") || strings.HasPrefix(l, "ftp://"):
			url = true
		case (w == "-e" || w == "-c" || w == "--exec" || w == "--sh-exec") && i+1 < len(a) && program.ShellPath(a[i+1]) && !(i+2 < len(a) && isScript(a[i+2])) && (len(strings.Fields(a[i+1])) <= 2 || strings.Contains(a[i+1], " -i")):
			shell = true
		case w == "-T" || w == "--upload-file" || strings.HasPrefix(w, "--data") || (w == "-F" || w == "-d") && i+1 < len(a):
			upload = true
		case strings.HasPrefix(w, "--post-file"):
			return "wget"
		}
	}
	switch {
	case hand && addr > 0, addr > 0 && len(a) > 1 && slices.ContainsFunc(a, fileAddress):
		return "socat"
	case shell && port && len(a) >= 3:
		return "nc"
	case url && upload:
		return "curl"
	case len(a) > 2 && a[0] == "s_client":
		return "openssl"
	}
	return ""
}

// isScript reports file names of scripts, which are no programs renamed.
func isScript(p string) bool {
	switch path.Ext(p) {
	case ".sh", ".bash", ".py", ".rb", ".pl", ".js", ".ts", ".php":
		return true
	}
	return false
}

// fileAddress reports an address of socat that is no network.
func fileAddress(w string) bool {
	l := strings.ToLower(w)
	return l == "-" || l == "stdio" || strings.HasPrefix(l, "file:") || strings.HasPrefix(l, "open:") || strings.HasPrefix(l, "pty,")
}

// shapes are argument lists that give a program away.
var shapes = []struct {
	name string
	re   *regexp.Regexp
}{
	{"find", regexp.MustCompile(`(?:^|\s)-(?:name|iname|path|ipath|perm|type|exec|maxdepth|regex)\s`)},
	{"truncate", regexp.MustCompile(`^(?:-s ?0|--size[= ]0)\s+\S`)},
	{"shred", regexp.MustCompile(`^(?:-[fvzn]+\s?(?:\d+\s+)?)*-[fvz]*u[fvz]*\s+(?:-[fvzn]+\s?(?:\d+\s+)?)*[~/]`)},
	{"journalctl", regexp.MustCompile(`(?:^|\s)--(?:vacuum-(?:time|size|files)|rotate|flush)\b`)},
	{"mount", regexp.MustCompile(`^-t\s+[a-z]\w+\s+(?:-o\s+\S+\s+)?\S+\s+/\S*$`)},
	{"mount", regexp.MustCompile(`^/dev/(?:[shv]d|xvd|nvme|mapper|loop|dm-|mmcblk)\S*\s+/\S*$`)},
	{"mknod", regexp.MustCompile(`^\S+\s+(?:p|[bcu]\s+\d+\s+\d+)$`)},
	{"install", regexp.MustCompile(`^(?:-[og]\s+\S+\s+)*-m\s+[0-7]{3,4}\s+(?:-[og]\s+\S+\s+)*\S+\s+\S+$`)},
	{"getent", regexp.MustCompile(`^g?shadow(?:\s+\w+)?$`)},
	{"ttyd", regexp.MustCompile(`^(?:-\S+\s+)*-p\s+\d{2,5}\s+(?:-\S+\s+)*(?:/bin/)?(?:ba|z|da)?sh$`)},
	{"telnetd", regexp.MustCompile(`(?:^|\s)-l\s+/bin/\w*sh\b`)},
	{"socket", regexp.MustCompile(`^-[a-z]*p\s+/bin/\w*sh\b`)},
	{"ssh", regexp.MustCompile(`^[\w-]+(?:\.[\w-]+)+\s+(?:cat|dd|tee|tar|sh|bash)\b`)},
	{"rcat", regexp.MustCompile(`^connect\s+-s\s+\S`)},
	{"msfvenom", regexp.MustCompile(`^-p\s+\w+/\S+\s.*\bLHOST=`)},
	{"whois", regexp.MustCompile(`^-h\s+\S+\s+-p\s+\d+\s`)},
	{"finger", regexp.MustCompile(`^\$\(\)@[\w.-]+$`)},
	{"smbclient", regexp.MustCompile(`^(?://|\\\\?)[\w.]\S*\s+-[cNU]`)},
	{"rg", regexp.MustCompile(`^(?:--no-ignore|-uu+)\s`)},
	{"aria2c", regexp.MustCompile(`^-d\s+\S+\s+-o\s+\S+\s+\w+://`)},
	{"kcat", regexp.MustCompile(`^-b\s+\S+\s+(?:\S+\s+)*-[tC]\b`)},
	{"nats", regexp.MustCompile(`^(?:sub|pub|request)\s.*\bnats://`)},
	{"gcore", regexp.MustCompile(`^-o\s+\S+\s+(?:\d+|\$\(\))$`)},
	{"cp", regexp.MustCompile(`^[\w./-]+\s+/etc/(?:cron|udev|systemd|pam|sudoers|profile|init|ld\.so)\S*$`)},
	{"git", regexp.MustCompile(`^(?:-C\s+\S+\s+)?(?:push|commit|add|init)\s+\S`)},
	{"mosquitto_sub", regexp.MustCompile(`^-h\s+\S+\s+(?:\S+\s+)*-t\s+\S+`)},
	{"redis-cli", regexp.MustCompile(`\bP?SUBSCRIBE\s+\S`)},
	{"php", regexp.MustCompile(`^-S\s+[\w.]+:\d+`)},
	{"tftp", regexp.MustCompile(`^(?:-g\s+-r|-r\s+\S+\s+-g)\b`)},
	{"sh", regexp.MustCompile(`^[\w./-]+\.sh(?:\s+[^/\s]\S*)*$`)},
	{"cp", regexp.MustCompile(`^[~/]\S+\s+\.{1,2}/\S+$`)},
	{"websocat", regexp.MustCompile(`^(?:-\S+\s+)*wss?://\S+$`)},
	{"systemd-socket-activate", regexp.MustCompile(`(?:^|\s)--inetd\s(?:\S+\s)*(?:/bin/)?(?:ba|z|da)?sh\b`)},
	{"xterm", regexp.MustCompile(`(?:^|\s)-display\s+\S+:\d`)},
	{"xargs", regexp.MustCompile(`^-I\s?\S+\s+\w`)},
	{"at", regexp.MustCompile(`^(?:-m\s+)?(?:now|midnight|noon|teatime)\b`)},
	{"debugfs", regexp.MustCompile(`(?:^|\s)-R\s+(?:dump|cat|rdump|set_inode_field|write)\s`)},
	{"sqlite3", regexp.MustCompile(`(?:^|\s)\.(?:shell|system|dump)\b`)},
	{"hydra", regexp.MustCompile(`^-[lL]\s+\S+\s+-[pP]\s+\S+\s+.*(?:\w+://|ssh|ftp)`)},
	{"service", regexp.MustCompile(`^[a-z][\w@.-]+\s+(?:stop|onestop)$`)},
	{"update-rc.d", regexp.MustCompile(`^[a-z][\w@.-]+\s+disable$`)},
	{"usermod", regexp.MustCompile(`^-p\s+\S*\s*root$`)},
	{"dpkg", regexp.MustCompile(`^(?:-r|-P|--purge|--remove)\s+[a-z][\w.-]+$`)},
	{"chattr", regexp.MustCompile(`^[+-][iau]\s+[~/][\w./*-]+$`)},
	{"crontab", regexp.MustCompile(`^-u\s+\w+\s+-$`)},
	{"ssh", regexp.MustCompile(`(?:^|\s)(?:ProxyCommand|LocalCommand)=`)},
	{"docker", regexp.MustCompile(`^(?:run|exec)\s.*(?:--rm|-it?\b|-d\b|--privileged|-v\s|--name)`)},
	{"lwp-download", regexp.MustCompile(`^(?:https?|ftp)://\S+\s+[/~.]\S+$`)},
	{"apt", regexp.MustCompile(`^(?:-\w+\s+)*(?:purge|remove|autoremove)\s+(?:-\w+\s+)*[a-z]`)},
	{"rpm", regexp.MustCompile(`^-e\s+(?:--nodeps\s+)?[a-z][\w-]+$`)},
	{"pkill", regexp.MustCompile(`^-(?:9|KILL|SIGKILL|STOP|f)(?:\s+-[fx])*(?:\s+[a-z][\w-]+)+$`)},
	{"mail", regexp.MustCompile(`^-s\s+.*\s[\w.]+@[\w.-]+$`)},
	{"scp", regexp.MustCompile(`^(?:-\w+\s+(?:\w+=\S+\s+)?)*(?:[~/]\S*\s+)+\w+@[\w.-]+:`)},
	{"cp", regexp.MustCompile(`^-[arRpfd]+\s+[~/]\S+\s+[~/]\S+$`)},
	{"gdb", regexp.MustCompile(`(?:^|\s)--?(?:batch|ex|nx)\s`)},
	{"openssl", regexp.MustCompile(`^(?:enc|s_client|s_server|base64|des3|aes-\S+)\s+-`)},
	{"gitleaks", regexp.MustCompile(`^detect\s+-|^dir\s+[/~]`)},
	{"git", regexp.MustCompile(`^(?:config\s+--(?:global|system)\s|clone\s+(?:ext::|git@|https?://))`)},
	{"make", regexp.MustCompile(`^(?:-\w+\s+)*--eval=\S*:`)},
	{"make", regexp.MustCompile(`^-f\s+(?:-$|\S*[Mm]akefile)`)},
	{"aws", regexp.MustCompile(`^s3\s+(?:cp|sync)\s|^configure export-credentials`)},
	{"kubectl", regexp.MustCompile(`^get\s+secrets?\b`)},
	{"gh", regexp.MustCompile(`^auth token$|^gist create\s`)},
	{"rclone", regexp.MustCompile(`^(?:copy|sync)\s+[~/]\S+\s+\w+:`)},
	{"setenforce", regexp.MustCompile(`^[Pp]ermissive$`)},
	{"sysctl", regexp.MustCompile(`^(?:-w\s+)?(?:kernel|net|vm|fs)(?:\.\w+)+=`)},
	{"chmod", regexp.MustCompile(`^(?:-R )?(?:0?[0-7]{3,4}|(?:[ugoa]*[+=]|[ugoa]+-)[rwxst]+)\s+[^-\s]|^-x\s+/`)},
	{"awk", regexp.MustCompile(`^(?:-F\S*\s+|-v\s+\S+\s+)*(?:BEGIN|\{|/[^/]+/\s*\{)`)},
	{"lxc", regexp.MustCompile(`^(?:config device add|init\s.*-c security)`)},
	{"sed", regexp.MustCompile(`^(?:-i\S*|--in-place\S*)\s+(?:-[eE]\s+)?(?:s[^\w\s]|[/\d$]\S*)`)},
	{"wget", regexp.MustCompile(`(?:^|\s)(?:-q?O\s?-?|--quiet|--post-data|--output-document|-qO\S*)\b.*(?:https?|ftp)://|^(?:https?|ftp)://\S+(?:\s+-O\s?\S+)?$|\s-O\s?-$`)},
	{"curl", regexp.MustCompile(`^(?:https?|ftp)://\S+\s+-o\s?\S+$`)},
	{"curl", regexp.MustCompile(`(?:^|\s)(?:-[a-zA-Z]*[sSLfkIo][a-zA-Z]*|-X\s\S+|-d|-A|-H|--silent|--unix-socket|--user-agent)\s.*(?:https?://|www\.|\.(?:com|net|org|io|sh)\b)`)},
	{"rm", regexp.MustCompile(`^-[rRfv]+\s+(?:-[rRfv]+\s+)*[~/$.]`)},
	{"tar", regexp.MustCompile(`^-?(?:[cx][zjJvpPh]*[zjJf][zjJvpPhf]*|[zjJv]+[cx][zjJvpPhf]*)\s+\S|^-?c[zjJvpPhf]*\s+\S+\s+\S|^-?r[vzjJpP]*f\S*\s+\S+\s+\S|^-?x[zjJv]*\s+-C\s`)},
	{"ln", regexp.MustCompile(`^-s[fnv]*\s+\S+\s+\S+$`)},
	{"auditctl", regexp.MustCompile(`^(?:-a (?:always|never|exit|task)|-e ?[012]$|-D$|-W )`)},
	{"useradd", regexp.MustCompile(`(?:^|\s)(?:-o?u 0|-ou 0|-G (?:wheel|sudo|root)|--create-home|--uid 0)\b`)},
	{"systemctl", regexp.MustCompile(`^(?:--now )?(?:stop|disable|mask|enable|start)\s+(?:--now )?[\w@.-]+(?:\s+[\w@.-]+)*$`)},
	{"grep", regexp.MustCompile(`^(?:-\w+\s+)*-\w*[rR]\w*\s+(?:-\w+\s+)*\S+\s+[/~]|^-[a-zA-Z]*[rR][a-zA-Z]*\s+[^-/~.\s].*\s[/~]`)},
	{"grep", regexp.MustCompile(`^-[iEFhvnowc]*e\s+\S`)},
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
	{"tr", regexp.MustCompile(`^\S*\w-\w\S*\s+\S*\w-\w\S*$`)},
	{"rsync", regexp.MustCompile(`^-[avzrPuh]+\s+[~/]\S*\s.*(?:rsync://|[\w.-]+::?)\S+$`)},
	{"dd", regexp.MustCompile(`(?:^|\s)(?:if|of)=\S`)},
	{"base64", regexp.MustCompile(`^(?:-d|-di|-id|--decode|-D)(?:\s+\S+)?$`)},
	{"xxd", regexp.MustCompile(`^-r -p$|^-p -r$|^-rp$`)},
	{"ssh", regexp.MustCompile(`(?:^|\s)-[fNT]*R\s+[\w.:]+`)},
	{"scp", regexp.MustCompile(`^(?:-\w+\s+)*\S+\s+\w+@[\w.-]+:`)},
	{"ssh", regexp.MustCompile(`^(?:-\w+\s+(?:\w+=\S+\s+)?)*[\w.-]+@[\w-]+(?:\.[\w-]+)+\s+\w`)},
	{"nc", regexp.MustCompile(`^(?:-[lnvkupwqN46]+\d*\s+)*(?:-p\s+)?[\w.-]+\s+\d{1,5}$|^-[lnvkup]*l[lnvkup]*\s`)},
	{"cp", regexp.MustCompile(`^(?:-[arRpf]+\s+)?/dev/null\s+\S+$`)},
}
