package detect

import (
	"regexp"
	"slices"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
)

// The features of program text, independent of its language: what reaches the
// network, what hands over to a shell, what decodes, what fetches. Each list is
// of lower-case fragments.
var (
	netWords = []string{
		"[socket ", "require('socket')", "require(\"socket\")", "require'socket'", "require\"socket\"", "socket.socket", "socket(", "create_connection", "sockaddr_in", "io::socket", "io.socket", "fsockopen", "pfsockopen", "stream_socket", "socket_connect", "socket_create",
		"socketserver", "tcp_server", "tcpsocket", "tcpserver", "tcp_server", "udpsocket", "socket.tcp", "socket.connect", "socket.bind", "net.connect", "net.createconnection", "net.socket", "net.createserver", "net.createconnection",
		"require('net')", `require("net")`, "require('tls')", `require("tls")`, "dgram", "java.net", "serversocket", "socketchannel", "new socket", "net.dial", "net.listen", "tls.dial",
		"syscall.connect", "syscall.socket", "syscall.bind", "using sockets", "sockets.connect", "/inet/tcp", "/inet/udp", "/inet6/tcp", "sockets.tcpclient", "tcplistener", "tcpclient", "tcpstream::connect",
		"gen_tcp", "network.socket", "socketconnection", "newsocket", "asyncio.open_connection", "open_connection", "af_inet", "pf_inet", "websocket", "ztcp", "addr_inet", "peeraddr", "localport", "make_socket", "connect_tcp", "a(\"socket\")", `__import__("socket")`, "__import__('socket')", "import socket", "import*from socket", "from socket", "socket as ", "bun.connect", "deno.connect", "deno.listen", "std.socket", "std.net.", "socket -server", "make-network-process", "open-network-stream", "socket-connect", "tcpconnect",
	}
	netActs = []string{
		"connect", "dial", "bind", "listen", "accept", "socketserver", "tcp_server", "inet->new(", "inet.new(", "make-network-process", "tcpconnect", "inet6->new(", "ssl->new(", "unix->new(", "fsockopen", "tcpsocket", "tcpserver", "stream_socket", "peeraddr", "peerhost", "peerport", "newsocket", "newjava.net.socket", "java.net.socket", "serve_forever", "tcpclient", "localport", "/inet", "gen_tcp", "new java.net.socket", "socket(", "open-network-stream", "socketconnection", "ztcp", "new socket", "[socket",
	}
	// strongHands join a socket to a program's standard streams.
	strongHands = []string{
		"dup2", "dup3", "from_raw_fd(", ">&s", ">&c", ">&$", "<&3", ">&3", "<&4", "<&%d", "fdopen($c", "stdin->fdopen", "stdout->fdopen", "$~->fdopen", "stdin.reopen(", "0=>$",
		"sh.stdin", "p.stdin)", "pipe(cp.stdin", ".pipe(sh", ".stdin=c", "stdio:[s", "stdio:[c", ":err]=>tcps", "outputstream<<", "\"<&\",$", "process.stdin)",
	}
	// received is text that came from the other side.
	received = []string{
		"recv", "gets", "receive", "readline(", "socket_read", "fgetc", "getline", "<>", ".on('data'", ".on(\"data\"", "fread(", "getinputstream", "read_line", "input_line", "rfile", "$d", "read(c", "read(s", "stdin=\"piped\"", "readlines(c", "readlines(s", "process-filter", "fromcharcodes(", ".get;", ".get->", "read-line", "onmessage", ".read(b", "sysread(",
	}
	// shellWords name a shell.
	shellWords = []string{"/bin/sh", "/bin/bash", "/bin/zsh", "/bin/dash", "/bin/ksh", "sh -i", "bash -i", "'sh'", `"sh"`, `"bash"`, "'bash'", "cmd.exe", "zsh -i", "executeshell("}
	// hands start programs.
	hands = []string{
		"pty.spawn", "subprocess", "os.system", "popen", "/bin/sh", "/bin/bash", "/bin/zsh", "bash -i", "sh -i", "cmd.exe", "system(", "exec(", "execve", "execv(", "deno.command(", "execl", "executeshell", "run-program", "shell_exec", "passthru", "proc_open", "spawn", "child_process", "processbuilder",
		"getruntime", "exec.command", "syscall.exec", "os.execute", "invoke-expression", "iex ", "iex(", "pipeline(", "run(`", "qx", "|& getline", "|&getline", "shell=true", "command::new", "execprocess", "readprocess", "createprocess", "process.spawn", "process.child", "process.new(", "process.start(", "open3", "posix_spawn", "callprocess", "shell-command", "capture2", "getoutput", "system.cmd(", "system.shell(", ":os.cmd(", "os:cmd(", "open_process", "sys.command", "exec $", "[exec ", "exec sh", "exec bash", "exec /bin", "exec {", ".execute()", "].execute(", "`$", "open(\"|", "system $", "exec \"", "exec '", "eval(",
	}
	decodes = []string{
		"b64decode", "base64", "decode64", "unhexlify", "fromhex", "hex2bin", "atob(", "buffer.from", "fromcharcode", "decompress", "gzinflate", "str_rot13", "rot13", "unpack(", "pack(", "codecs.decode", "decode_base64", "marshal.loads", "convert]::frombase64", "bytes.fromhex", "unescape(", "\\x",
	}
	evals = []string{
		"exec(", "eval(", "eval ", "os.system", "popen", "subprocess", "system(", "function(", "compile(", "shell_exec", "passthru", "assert(", "child_process", "iex", "invoke-expression", "loadstring", "load(", "instance_eval", "new function", "marshal.loads", "exec ", "runpy", "execsync", "`",
	}
	fetches = []string{
		"urlopen", "urllib", "requests.get", "http\").get(", "https\").get(", "http').get(", "https').get(", "http.get", "https.get", "fetch(", "lwp::simple", "lwp::useragent", "net::http", "open-uri", "file_get_contents('http", "file_get_contents(\"http", "downloadstring", "webclient", "invoke-webrequest", "iwr ", "http.client", "urlretrieve", "httpx.get", "axios", "uri.open", "open(\"http", "open('http", "http::tiny", "curl_exec", "net/http", "socket.http",
	}
)

// lowered is the text that features are looked for in, bounded.
func lowered(c command.Code) string {
	t := c.Text
	if len(t) > 32<<10 {
		t = t[:32<<10]
	}
	return strings.ToLower(t)
}

// squeeze takes blanks away, so that `connect ( s` and `connect(s` are one.
func squeeze(s string) string {
	return strings.NewReplacer(" ", "", "\t", "", "\n", "", "\r", "").Replace(s)
}

type codeTraits struct {
	net, hand, strong, shell, received, decode, eval, fetch bool
	loopback                                                bool // every address constant is this machine
}

// joined reports a socket handed over as a standard stream: stdin=s,
// stdin=c.fileno(), but not stdin=PIPE.
var joinedStream = regexp.MustCompile(`(?:stdin|[,({]:?in)[=:]>?([a-z]\w{0,7})(?:\.fileno\(\)|\(\))?[,)}\]]`)

// readsHandle is a line read from a handle in Perl.
var readsHandle = regexp.MustCompile(`<\$?\w{1,12}>`)

func joinsSocket(q string) bool {
	for _, m := range joinedStream.FindAllStringSubmatch(q, 8) {
		if !oneOf(m[1], "pipe", "none", "devnull", "sys", "true", "false", "inherit", "open", "null", "stdin") {
			return true
		}
	}
	return lispStream.MatchString(q)
}

// lispStream is one stream that a program both reads and writes.
var lispStream = regexp.MustCompile(`:input([a-z]\w{0,7}):output`)

func traits(c command.Code) codeTraits {
	t := lowered(c)
	q := squeeze(t)
	has := func(list []string) bool { return hasAny(t, list...) || hasAny(q, list...) }
	x := codeTraits{
		net: has(netWords) && hasAny(q, netActs...), strong: hasAny(q, strongHands...) || joinsSocket(q), hand: has(hands),
		shell: hasAny(t, shellWords...), received: hasAny(q, received...) || readsHandle.MatchString(q),
		decode: c.Decoded || has(decodes), eval: has(evals), fetch: has(fetches),
	}
	if oneOf(c.Lang, "ruby", "perl", "php", "julia", "") && strings.Count(t, "`") >= 2 {
		x.hand = true
	}
	if c.Lang == "awk" && x.hand && !awkHands(t) {
		x.hand = false
	}
	x.loopback = loopbackCode(c.Text)
	return x
}

// awkCoprocess is what awk starts and reads from; awkNet is a variable that
// holds a connection, which is no program.
var (
	awkCoprocess = regexp.MustCompile(`([\w$"']+)\s*\|&?\s*getline`)
	awkNet       = regexp.MustCompile(`(\w+)\s*=\s*"/inet`)
)

// awkHands reports awk text that starts a program: reading from a connection
// looks the same.
func awkHands(t string) bool {
	if hasAny(t, "system(", "popen", "/bin/sh", "/bin/bash", "sh -i", "bash -i") {
		return true
	}
	var nets []string
	for _, m := range awkNet.FindAllStringSubmatch(t, 8) {
		nets = append(nets, m[1])
	}
	for _, m := range awkCoprocess.FindAllStringSubmatch(t, 16) {
		if !slices.Contains(nets, m[1]) && !strings.HasPrefix(m[1], `"/inet`) {
			return true
		}
	}
	return false
}

func loopbackCode(src string) bool {
	found := false
	for _, l := range command.Literals(src) {
		h, _, _ := strings.Cut(l.Text, ":")
		if w := strings.Split(l.Text, "/"); len(w) == 6 && strings.HasPrefix(l.Text, "/inet") { // /inet/tcp/LPORT/HOST/PORT
			if w[4] == "0" {
				return false // listens
			}
			h = w[4]
		}
		switch {
		case command.Loopback(h) && h != "0.0.0.0" && h != "0":
			found = true
		case looksHost(h):
			return false
		}
	}
	return found
}

// looksHost reports constants that can be a host: dotted numbers or a name
// with a dot and no path.
func looksHost(h string) bool {
	if strings.ContainsAny(h, "/ \\$(){}") || !strings.Contains(h, ".") || len(h) < 4 || len(h) > 80 {
		return false
	}
	dots := strings.Split(h, ".")
	if slices.Contains(dots, "") {
		return false
	}
	last := dots[len(dots)-1]
	return len(dots) == 4 && strings.Trim(h, "0123456789.") == "" || len(last) >= 2 && strings.Trim(last, "abcdefghijklmnopqrstuvwxyz") == "" && len(dots) >= 2 && !oneOf(last, "py", "js", "sh", "go", "rb", "txt", "json", "log", "so", "socket", "path", "system")
}

// scripted reports that the code came from a file that was there before, so
// that it may be any large program.
func scripted(s *command.Simple) bool {
	for _, c := range s.Code {
		if c.File {
			return true
		}
	}
	return false
}
