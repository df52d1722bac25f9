package program

import (
	"slices"
	"strings"
)

// Spec says how a program reads its command line: which options take a value.
type Spec struct {
	Short string   // letters of short options that take a value
	Long  []string // long options that take a value as the next word; "--x=v" always works
	// Single: long options are written with one dash (java, openssl, find).
	Single bool
}

// Parsed is a command line taken apart by a Spec.
type Parsed struct {
	Opts map[string][]string // "e", "exec": values in order; "" for options without
	Rest []string            // operands
	At   int                 // index in argv of the first operand, len(argv) if none
}

// Has reports whether any of the options was given.
func (p Parsed) Has(names ...string) bool {
	for _, n := range names {
		if _, ok := p.Opts[n]; ok {
			return true
		}
	}
	return false
}

// Values are the values of the options, in the order of names.
func (p Parsed) Values(names ...string) []string {
	var out []string
	for _, n := range names {
		out = append(out, p.Opts[n]...)
	}
	return out
}

// Parse reads argv (argv[0] is the program) by the spec. With stop, the first
// operand ends the options, as wrappers such as sudo and env do.
func Parse(s Spec, argv []string, stop bool) Parsed {
	p := Parsed{At: len(argv)}
	var values []string // of all options, mostly one each
	add := func(k, v string) {
		if p.Opts == nil {
			p.Opts, values = map[string][]string{}, make([]string, 0, len(argv))
		}
		if len(p.Opts[k]) > 0 {
			p.Opts[k] = append(p.Opts[k], v)
			return
		}
		values = append(values, v)
		p.Opts[k] = values[len(values)-1 : len(values) : len(values)]
	}
	for i := 1; i < len(argv); i++ {
		a := argv[i]
		switch {
		case a == "--":
			p.operands(argv, i+1)
			return p
		case len(a) < 2 || a[0] != '-':
			if p.At == len(argv) {
				p.At = i
			}
			if stop {
				p.operands(argv, i)
				return p
			}
			p.Rest = append(p.Rest, a)
		case strings.HasPrefix(a, "--") || s.Single:
			name, val, has := strings.Cut(strings.TrimLeft(a, "-"), "=")
			if !has && contains(s.Long, name) && i+1 < len(argv) {
				i++
				val = argv[i]
			}
			add(name, val)
		default:
			for j := 1; j < len(a); j++ {
				c := a[j : j+1]
				if !strings.Contains(s.Short, c) {
					add(c, "")
					continue
				}
				if j+1 < len(a) {
					add(c, a[j+1:])
				} else if i+1 < len(argv) {
					i++
					add(c, argv[i])
				} else {
					add(c, "")
				}
				break
			}
		}
	}
	return p
}

func (p *Parsed) operands(argv []string, from int) {
	if from < len(argv) {
		p.At = min(p.At, from)
		p.Rest = append(p.Rest, argv[from:]...)
	}
}

func contains(list []string, s string) bool {
	return slices.Contains(list, s)
}

func words(s string) []string { return strings.Fields(s) }

// specs are the option tables of the programs whose options matter.
var specs = map[string]Spec{
	"sudo":              {Short: "ugpCcDRThrtU", Long: words("user group prompt chdir host close-from chroot role type other-user command-timeout")},
	"doas":              {Short: "uC"},
	"env":               {Short: "uSC", Long: words("unset chdir split-string")},
	"timeout":           {Short: "ks", Long: words("kill-after signal")},
	"nice":              {Short: "n", Long: words("adjustment")},
	"ionice":            {Short: "cnpPu", Long: words("class classdata pid")},
	"stdbuf":            {Short: "ioe", Long: words("input output error")},
	"time":              {Short: "fo", Long: words("format output")},
	"xargs":             {Short: "adEIiLlnPs", Long: words("arg-file delimiter max-args max-procs replace max-lines max-chars")},
	"parallel":          {Short: "jaIPSNCn", Long: words("jobs arg-file max-procs sshlogin colsep joblog results tmpdir delay timeout retries")},
	"taskset":           {},
	"chrt":              {Short: "TPD"},
	"setsid":            {},
	"nohup":             {},
	"setpriv":           {Long: words("reuid regid groups inh-caps ambient-caps bounding-set securebits selinux-label apparmor-profile")},
	"runuser":           {Short: "ugGcs", Long: words("user group supp-group command shell session-command")},
	"su":                {Short: "gGcsw", Long: words("command session-command group supp-group shell whitelist-environment")},
	"unshare":           {Short: "SGRw", Long: words("setuid setgid root wd propagation mount-proc map-user map-group")},
	"nsenter":           {Short: "tSGW", Long: words("target setuid setgid wdns")},
	"chroot":            {Long: words("userspec groups")},
	"script":            {Short: "cIOBTmEo", Long: words("command log-in log-out log-io log-timing echo output-limit")},
	"watch":             {Short: "nq", Long: words("interval equexit")},
	"flock":             {Short: "wEc", Long: words("wait timeout conflict-exit-code command")},
	"strace":            {Short: "abeEoOpPsSuUXI", Long: words("trace output attach string-limit user")},
	"ltrace":            {Short: "aAeDFlLnopsuwx"},
	"valgrind":          {},
	"ssh":               {Short: "BbcDEeFIiJLlmOopQRSWw"},
	"sshpass":           {Short: "fdpP"},
	"autossh":           {Short: "BbcDEeFIiJLlmMOopQRSWw"},
	"bash":              {Short: "oO", Long: words("rcfile init-file")},
	"sh":                {Short: "o"},
	"zsh":               {Short: "o"},
	"ksh":               {Short: "o"},
	"dash":              {Short: "o"},
	"fish":              {Short: "cC", Long: words("command init-command")},
	"curl":              {Short: "AbcCdDeEFhHIKmoPQrtTuUwxXyYzZ", Long: words("url data data-raw data-binary data-ascii data-urlencode json form form-string upload-file user-agent user header output request proxy connect-timeout max-time retry cacert cert key cookie cookie-jar referer range interface resolve connect-to config unix-socket abstract-unix-socket write-out proto limit-rate dns-servers doh-url retry-delay retry-max-time socks5 socks5-hostname max-redirs output-dir variable oauth2-bearer aws-sigv4 mail-from mail-rcpt quote upload-flags proxy-user noproxy trace trace-ascii stderr netrc-file ciphers max-filesize")},
	"wget":              {Short: "aeioOPQtTUwAXDIRlB", Long: words("post-file post-data body-file body-data method header user-agent output-document output-file input-file directory-prefix tries timeout user password referer load-cookies save-cookies ca-certificate certificate private-key execute use-askpass limit-rate level accept reject bind-address wait")},
	"nc":                {Short: "ceiIkMmOopPqsTVwWXxGgrt"},
	"ncat":              {Short: "cegGimopswdx", Long: words("sh-exec exec lua-exec delay idle-timeout output source source-port proxy proxy-type proxy-auth allow allowfile deny ssl-cert ssl-key wait max-conns hex-dump")},
	"socat":             {Short: "bdlLtT"},
	"socket":            {Short: "pB"},
	"groovysh":          {Short: "eCD"},
	"openssl":           {Single: true, Long: words("connect host port cert key CAfile in out pass passin passout k servername accept starttls www proxy engine inform outform")},
	"telnet":            {Short: "abelnSX"},
	"python":            {Short: "cmWXQ"},
	"perl":              {Short: "eEImMxFC"},
	"ruby":              {Short: "eIrCEFKTWx"},
	"php":               {Short: "rBREFfdcztS", Long: words("run process-begin process-code process-end process-file file define php-ini docroot server")},
	"node":              {Short: "eprC", Long: words("eval print require import conditions loader input-type experimental-loader")},
	"bun":               {Short: "er", Long: words("eval preload cwd")},
	"lua":               {Short: "el"},
	"awk":               {Short: "vfFeEilDLop", Long: words("assign file field-separator source exec include load")},
	"julia":             {Short: "eELpJ", Long: words("eval print load")},
	"jrunscript":        {Short: "eflc", Single: true, Long: words("e f l cp classpath encoding D J")},
	"Rscript":           {Short: "e"},
	"R":                 {Short: "ef"},
	"tclsh":             {},
	"expect":            {Short: "cfb"},
	"pwsh":              {Single: true, Long: words("c command f file enc encodedcommand e executionpolicy ep")},
	"groovy":            {Short: "ecDl"},
	"scala":             {Short: "eC", Long: words("execute")},
	"elixir":            {Short: "erSp", Long: words("eval")},
	"erl":               {Single: true, Long: words("eval s run")},
	"guile":             {Short: "celsL"},
	"pw":                {Short: "nugGdscewkhHLpV"},
	"aria2c":            {Short: "doisjxk", Long: words("dir out input-file split max-concurrent-downloads max-connection-per-server header")},
	"cut":               {Short: "bcdf", Long: words("bytes characters delimiter fields output-delimiter")},
	"irb":               {Short: "rImE"},
	"rake":              {Short: "eEpfrIRD", Long: words("execute execute-print execute-continue rakefile require")},
	"sort":              {Short: "kotTS", Long: words("key output field-separator temporary-directory buffer-size compress-program parallel")},
	"split":             {Short: "abClnt", Long: words("filter suffix-length bytes lines number")},
	"apt":               {Short: "oct", Long: words("option target-release")},
	"logsave":           {},
	"cpulimit":          {Short: "lpe", Long: words("limit pid exe")},
	"perf":              {Short: "eoFCptc", Long: words("event output freq pid")},
	"chpst":             {Short: "uUbeldosfpcrtn/"},
	"start-stop-daemon": {Short: "xapnucgNPIkdrs", Long: words("exec startas pidfile name user chuid chdir group nicelevel")},
	"aa-exec":           {Short: "pn", Long: words("profile namespace")},
	"sbcl":              {Long: words("eval load core")},
	"emacs":             {Single: true, Long: words("eval f l load funcall execute")},
	"octave":            {Long: words("eval")},
	"raku":              {Short: "eIM"},
	"osascript":         {Short: "el"},
	"deno":              {},
	"gdb":               {Single: true, Long: words("ex eval-command x command p pid iex c core s symbols e exec ix d directory cd")},
	"vim":               {Short: "cTuUSwWsri", Long: words("cmd")},
	"make":              {Short: "CfIjlOoW", Long: words("directory file makefile include-dir jobs eval assume-old what-if")},
	"tar":               {Short: "fCTXbgHVILFKN", Long: words("file directory files-from exclude rsh-command to-command checkpoint-action checkpoint use-compress-program transform owner group mode info-script new-volume-script")},
	"find":              {Single: true, Long: words("name iname path ipath wholename iwholename type perm user group size mtime newer maxdepth mindepth regex iregex regextype uid gid links mmin atime amin ctime cmin newermt fstype samefile printf fprintf fprint fprint0 lname inum used")},
	"grep":              {Short: "efmABCdD", Long: words("regexp file max-count include exclude exclude-dir exclude-from after-context before-context context directories devices label color")},
	"rg":                {Short: "efgmtTABCMjrEd", Long: words("regexp file glob iglob max-count type type-not after-context before-context context max-columns threads replace encoding max-depth sort pre ignore-file max-filesize")},
	"fd":                {Short: "tedEScjxXo", Long: words("type extension max-depth exclude size exec exec-batch search-path owner base-directory")},
	"locate":            {Short: "dln", Long: words("database limit")},
	"useradd":           {Short: "bcdefgGkKpsuZR", Long: words("base-dir comment home-dir expiredate inactive gid groups skel key password shell uid root prefix home ingroup gecos")},
	"usermod":           {Short: "cdefgGlpsuvVwWZR", Long: words("comment home expiredate inactive gid groups login password shell uid add-subuids add-subgids del-subuids del-subgids root prefix")},
	"chmod":             {Long: words("reference")},
	"chown":             {Long: words("reference from")},
	"mktemp":            {Short: "p", Long: words("tmpdir suffix")},
	"touch":             {Short: "drt", Long: words("date reference time")},
	"truncate":          {Short: "sor", Long: words("size reference")},
	"dd":                {},
	"install":           {Short: "gmotSZ", Long: words("group mode owner target-directory suffix strip-program")},
	"cp":                {Short: "tS", Long: words("target-directory suffix")},
	"mv":                {Short: "tS", Long: words("target-directory suffix")},
	"ln":                {Short: "tS", Long: words("target-directory suffix")},
	"sed":               {Short: "efl", Long: words("expression file line-length")},
	"systemctl":         {Short: "tpsnoHMq", Long: words("type property signal root host machine state job-mode lines output")},
	"crontab":           {Short: "u"},
	"docker":            {Short: "Hlcvweupmf", Long: words("host context config log-level volume mount env user publish network name workdir entrypoint privileged pid device cap-add security-opt hostname label platform memory cpus restart file env-file add-host dns ipc userns uts runtime gpus shm-size project-name detach-keys cidfile link log-driver ulimit tmpfs filter format")},
	"kubectl":           {Short: "nclfos", Long: words("namespace context kubeconfig container cluster user image overrides filename output selector server token as")},
	"mknod":             {Short: "m", Long: words("mode")},
	"modprobe":          {Short: "CdS", Long: words("config dirname set-version")},
	"sysctl":            {Short: "prfP", Long: words("load pattern")},
	"mount":             {Short: "toLUON", Long: words("types options bind rbind source target namespace")},
	"tcpdump":           {Short: "ciwrsFGCWBTEyzZMjm"},
	"tshark":            {Short: "ciwrsfYTeEbaBzjNoXtFLdDKu"},
	"nmap":              {Short: "pDSegToMi", Long: words("script script-args exclude source-port data-length dns-servers top-ports min-rate max-rate")},
	"dig":               {Short: "bcfkpqtxy"},
	"nslookup":          {},
	"rsync":             {Short: "efTBM", Long: words("rsh exclude include files-from exclude-from rsync-path password-file port bwlimit temp-dir compare-dest link-dest log-file out-format chmod chown filter timeout")},
	"scp":               {Short: "cDFiJloPSX"},
	"sftp":              {Short: "aBbcDFiJloPRSsX"},
	"systemd-run":       {Short: "EpuMHCt", Long: words("unit property description slice uid gid nice working-directory setenv on-calendar on-active on-boot on-unit-active timer-property service-type machine host")},
	"cloudflared":       {Long: words("url name hostname config origincert credentials-file loglevel token")},
	"iptables":          {Short: "tADIRCNXPEspdiojgmc", Long: words("table append delete insert replace check policy source destination protocol jump match in-interface out-interface dport sport")},
	"auditctl":          {Short: "abdefrskFCAwpWRiS"},
	"setcap":            {Short: "n"},
	"git":               {Short: "Cc", Long: words("git-dir work-tree namespace exec-path config-env")},
	"at":                {Short: "qft"},
	"trap":              {},
	"ab":                {Short: "nctspuTvwxyzCHAPXegrkZfEIb"},
	"http":              {Short: "apobsA", Long: words("auth output session verify proxy body raw")},
	"ftp":               {Short: "oPprsTNku"},
	"lftp":              {Short: "ecufp"},
	"smbclient":         {Short: "cUWIpDT"},
	"age":               {Short: "irRo", Long: words("identity recipient recipients-file output")},
	"gpg":               {Short: "oruN", Long: words("output recipient local-user homedir passphrase passphrase-file keyring pinentry-mode")},
	"zip":               {Short: "btnixOPsT"},
	"7z":                {},
}

// SpecOf is the option table of a canonical name; the zero Spec for others.
func SpecOf(name string) Spec { return specs[name] }
