// Package program knows what kinds of program there are: the class of a name,
// and how each program reads its options. Detectors ask for a class or a
// canonical name and never compare file names, so that a renamed or copied
// program keeps its meaning.
package program

import (
	"path"
	"strings"
)

// Class is what a program is for.
type Class string

// Classes of program.
const (
	None        Class = ""
	Shell       Class = "shell"
	Interpreter Class = "interpreter"
	Relay       Class = "relay"
	Downloader  Class = "downloader"
	Package     Class = "package"
	VCS         Class = "vcs"
	Compiler    Class = "compiler"
	Debugger    Class = "debugger"
	SSH         Class = "ssh"
	Account     Class = "account" // reads and writes passwd and shadow by its purpose
	Runtime     Class = "runtime" // container runtimes
	Uploader    Class = "uploader"
	Editor      Class = "editor"
	Search      Class = "search"
	Reader      Class = "reader" // prints or copies what it is given
	Archiver    Class = "archiver"
	Database    Class = "database"
	Build       Class = "build"
	Init        Class = "init"
	Suspect     Class = "suspect" // tools to get in, to look for secrets, to publish terminals
	Other       Class = "other"   // known, nothing special
)

// classes is the table of names, by class. A name is the base name of the
// program without a version ("python" also for python3.12).
var classes = map[Class]string{
	Shell:       "sh bash dash ash zsh ksh mksh pdksh fish csh tcsh rbash rzsh yash busybox-sh elvish xonsh nu",
	Interpreter: "python pypy perl ruby node nodejs php lua luajit tclsh wish expect awk gawk mawk nawk original-awk jrunscript jjs jshell julia Rscript R guile scheme irb groovy groovysh scala bun deno qjs pwsh powershell ghci ocaml erl elixir iex swipl gforth racket sbcl clisp emacs octave raku crystal gosh node-gyp nim dart tsx ts-node osascript gjs js rhino kotlinc java",
	Relay:       "nc ncat netcat nc.traditional nc.openbsd nc6 pnc socat openssl telnet cryptcat sbd rcat pwncat chisel gs-netcat mosquitto_sub mosquitto_pub kcat kafkacat nats amqp-consume dbclient rlwrap websocat wscat tcpserver socket",
	Downloader:  "curl wget wget2 aria2c axel fetch lwp-download lwp-request GET http https httpie xh lynx links w3m elinks",
	Uploader:    "ftp lftp tftp ncftpput sftp scp rsync rclone s3cmd gsutil mc smbclient croc ffsend transfer wormhole magic-wormhole onionshare",
	Package:     "apt apt-get aptitude dpkg dnf yum rpm apk pacman zypper snap flatpak brew npm pnpm yarn pip easy_install pipx uv uvx poetry pipenv conda mamba micromamba cargo rustup gem bundle bundler composer mvn gradle go npx nvm fnm volta mise asdf nix nix-env corepack cpan cpanm luarocks opam cabal stack hex mix unattended-upgrade dpkg-deb apt-key add-apt-repository",
	VCS:         "git hg svn jj fossil bzr git-lfs gh glab hub",
	Compiler:    "gcc g++ cc c++ clang clang++ ld lld gold as rustc javac tsc ghc nasm tcc zig ldc dmd gdc gfortran cc1 collect2 cpp",
	Debugger:    "gdb lldb strace ltrace dlv perf valgrind rr py-spy rbspy bpftrace bpftool jdb gdbserver uftrace heaptrack",
	SSH:         "ssh sshd ssh-agent ssh-add ssh-keygen ssh-copy-id autossh mosh sshfs ssh-keyscan sshpass sshuttle",
	Account:     "sudo doas su login passwd chpasswd useradd usermod userdel adduser deluser groupadd groupmod groupdel addgroup newusers unix_chkpwd chage cron crond chsh chfn pwck grpck vipw vigr gpasswd pwconv pwunconv newgrp runuser pw pkexec getent visudo polkitd shadowconfig grpconv",
	Runtime:     "docker dockerd podman nerdctl crictl ctr runc crun containerd buildah lxc lxd incus incusd kubectl oc helm k3s minikube kind docker-compose podman-compose conmon skopeo containerd-shim bwrap firejail singularity apptainer nsenter unshare",
	Editor:      "vi vim vim.basic vim.tiny vim.nox vim.gtk3 nvim nano emacs ed ex pico micro helix hx code joe mcedit view vimdiff",
	Search:      "grep egrep fgrep rg ag ack find fd fdfind locate mlocate plocate ripgrep ugrep zgrep pcregrep",
	Reader:      "cat tac head tail less more most bat batcat nl od hexdump xxd hd strings base64 base32 basenc cp mv dd tee install cut paste sort uniq rev fold expand wc diff cmp comm join split csplit iconv fmt pr tr sed jq yq dos2unix column look shuf tsort uuencode uudecode file md5sum sha1sum sha256sum shred rsync vipe sponge readlink realpath stat ls vdir dir pg ul bzcat zcat xzcat zstdcat",
	Archiver:    "tar zip 7z 7za 7zr rar gzip bzip2 xz zstd cpio ar bsdtar pax pigz lz4 brotli unzip gunzip bunzip2 unxz gpg gpg2 age",
	Database:    "kafka-console-consumer psql mysql mysqldump pg_dump mongosh mongo mongodump redis-cli sqlite3 postgres mysqld mariadbd mariadb redis-server mongod",
	Build:       "make gmake cmake ninja bazel buck meson just task rake ant sbt lein bazelisk ctest tox nox pytest jest vitest mocha",
	Init:        "init systemd systemd-udevd systemctl service tmux dbus-daemon journald logrotate systemd-tmpfiles rsyslogd tmpfiles",
	Suspect:     "tmate sshx upterm teleconsole tunshell webtty ttyd gotty wetty shellinaboxd shellinabox dropbear dnscat dnscat2 hydra medusa ncrack patator john hashcat crackmapexec netexec kerbrute responder xmrig minerd cpuminer ccminer nbminer srm memdump avml procdump nsjail proxychains4 utmpdump trufflehog gitleaks lazagne linpeas pspy",
	Other:       "rails debugfs xterm systemd-socket-activate websocketd telnetd run-parts logsave setarch linux32 linux64 aa-exec eatmydata chpst softlimit setlock choom cpulimit multitime pexec start-stop-daemon daemonize chronic echo printf true false test [ : pwd cd env printenv export set unset source . eval exec command builtin type hash which whereis id whoami who w last lastlog uname hostname date sleep kill pkill killall ps top htop pgrep free uptime df du mount umount lsblk blkid fdisk losetup mkfs mkswap swapon chmod chown chgrp chattr lsattr setcap getcap setfacl getfacl touch mkdir rmdir rm unlink ln mkfifo mknod truncate fallocate sync sysctl modprobe insmod rmmod lsmod depmod modinfo dmesg journalctl crontab at atq atrm batch history alias trap ulimit umask wait jobs bg fg disown nohup setsid timeout nice ionice chrt taskset stdbuf time xargs parallel watch script screen flock seq yes ip ifconfig route arp netstat ss lsof iptables ip6tables nft ufw firewall-cmd iptables-restore ping traceroute dig nslookup host drill whois nmap masscan tcpdump tshark dumpcap arp-scan auditctl auditd ausearch augenrules setenforce getenforce aa-status aa-disable aa-teardown apparmor_parser semanage logger loginctl hostnamectl timedatectl update-ca-certificates update-ca-trust openssl mkinitramfs update-initramfs mail sendmail mutt xdg-open base58 getconf locale dirname basename ld.so ldconfig ldd nm objdump objcopy readelf patchelf strip gcore aws gcloud az kubectl terraform tofu pulumi ansible ansible-playbook vault op pass secret-tool security gpg-agent keyctl cloudflared ngrok tailscale frpc ssh-import-id ethtool tc conntrack ipset uuidgen mktemp tput stty tty clear reset man info help xclip xsel wl-paste import scrot shutdown reboot halt poweroff wall write mesg chroot proot fakeroot faketime capsh setpriv prlimit busybox toybox ar rev bc dc expr factor numfmt nproc arch cal groups users logname sha512sum cksum sum b2sum shuf tsort comm read getopts declare typeset local readonly let shift return exit break continue times enable mapfile readarray coproc dpkg-reconfigure update-alternatives update-rc.d chkconfig rc-service rc-update initctl sv s6-svc",
}

var byName = func() map[string]Class {
	m := map[string]Class{}
	// The order decides for names that are in two lists; later ones win.
	for _, c := range []Class{
		Other, Suspect, Archiver, Reader, Editor, Search, Init, Build, Database, Compiler, Package, Account,
		Runtime, Uploader, Downloader, SSH, VCS, Debugger, Interpreter, Relay, Shell,
	} {
		for n := range strings.FieldsSeq(classes[c]) {
			m[n] = c
		}
	}
	return m
}()

// aliases are other names of the same program.
var aliases = map[string]string{
	"easy_install": "pip", "netcat": "nc", "nc.traditional": "nc", "nc.openbsd": "nc", "nc6": "nc", "nodejs": "node", "pypy": "python",
	"gawk": "awk", "mawk": "awk", "nawk": "awk", "original-awk": "awk", "gmake": "make", "luajit": "lua", "wget2": "wget",
	"egrep": "grep", "fgrep": "grep", "zgrep": "grep", "ripgrep": "rg", "fdfind": "fd", "mlocate": "locate", "plocate": "locate",
	"gpg2": "gpg", "batcat": "bat", "g++": "gcc", "cc": "gcc", "c++": "gcc", "clang": "gcc", "clang++": "gcc", "tcc": "gcc",
	"ip6tables": "iptables", "iptables-legacy": "iptables", "iptables-nft": "iptables", "adduser": "useradd", "crond": "cron",
	"bundler": "bundle", "docker-compose": "docker", "nerdctl": "docker", "podman": "docker", "tofu": "terraform",
	"vi": "vim", "vim.basic": "vim", "vim.tiny": "vim", "vim.nox": "vim", "vim.gtk3": "vim", "nvim": "vim", "view": "vim", "vimdiff": "vim", "ex": "vim", "rvim": "vim", "powershell": "pwsh",
	"7za": "7z", "7zr": "7z", "bsdtar": "tar", "rbash": "bash", "rzsh": "zsh", "jjs": "jrunscript", "deluser": "userdel",
	"dbclient": "ssh", "oc": "kubectl", "incus": "lxc", "gtar": "tar", "gsed": "sed", "python2": "python", "python3": "python",
	"kldload": "insmod", "https": "http", "httpie": "http", "xh": "http", "hd": "hexdump", "apt-get": "apt", "aptitude": "apt", "insmod.static": "insmod",
}

// Base is the name of a program as its class table spells it: no folders, no
// version, no ".exe".
func Base(name string) string {
	b := path.Base(strings.TrimSpace(name))
	if b == "." || b == "/" {
		if name == "." {
			return "."
		}
		return ""
	}
	b = strings.TrimSuffix(b, ".exe")
	if _, ok := byName[b]; ok {
		return b
	}
	t := strings.TrimRight(b, "0123456789.-")
	if t != "" && t != b {
		if _, ok := byName[t]; ok {
			return t
		}
	}
	return b
}

// Canonical is the one name of a program: "nc" for nc.traditional, "python"
// for /usr/bin/python3.12. Names it does not know are returned as Base.
func Canonical(name string) string {
	b := Base(name)
	if a, ok := aliases[b]; ok {
		return a
	}
	return b
}

// Known reports whether the name is in the tables.
func Known(name string) bool { _, ok := byName[Base(name)]; return ok }

// ClassOf is the class of a name, None when it is not known.
func ClassOf(name string) Class { return byName[Base(name)] }

// Names lists every name of a class, for filling the content table at arming.
func Names(c Class) []string { return strings.Fields(classes[c]) }

// ShellPath reports whether a word names a shell: "/bin/sh", "bash", "sh -i".
func ShellPath(word string) bool {
	f := strings.Fields(strings.Trim(word, `"'`))
	return len(f) > 0 && ClassOf(f[0]) == Shell
}

// Writable reports whether a path lies where everybody may put programs.
func Writable(p string) bool {
	for _, d := range []string{"/tmp/", "/var/tmp/", "/dev/shm/", "/run/shm/"} {
		if strings.HasPrefix(p, d) {
			return true
		}
	}
	return false
}
