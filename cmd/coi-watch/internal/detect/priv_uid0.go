package detect

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var privUID0 = Detector{
	ID: "priv.uid0", Level: coi.High, Wants: files,
	Title: "account with the rights of root",
	Why:   "a second account with uid 0, or a new password for root, lasts longer than the exploit",
	Detect: either(uid0, func(ev event.Event, v track.View) []Finding {
		if ev.Type != event.Write && ev.Type != event.Rename && ev.Type != event.Create {
			return nil
		}
		if !oneOf(target(ev), "/etc/passwd", "/etc/shadow") || v.Under(program.Account, program.Package) {
			return nil
		}
		return one(Finding{Level: coi.High, Title: "account file written", Path: target(ev), Op: "write", PID: ev.PID})
	}),
	Fire: append(append(lines(coi.High, "mount /dev/sdb2 /srv/x; echo root:x | chroot /srv/x chpasswd", "echo root:x | chroot /mnt chpasswd", "sudo useradd -ou 0 -g 0 john", "useradd -o -u 0 -M x", "adduser --uid 0 x", "usermod -u 0 -o bob", "echo 'x::0:0::/root:/bin/bash' >> /etc/passwd", "printf 'r:$1$a$b:0:0:root:/root:/bin/sh\\n' | sudo tee -a /etc/passwd",
		"sed -i 's/^root:x:/root::/' /etc/passwd", "echo root:pw | chpasswd", "echo root:pw | /tmp/.x", "f() { \"$@\"; }; f echo 'x::0:0::/root:/bin/bash' >> /etc/passwd", "passwd -d root", "echo -e 'pw\\npw' | passwd root", "usermod -p '$6$x' root", "echo 'root::1:0:::::' > /etc/shadow", "python3 -c \"open('/etc/passwd','a').write('x::0:0::/:/bin/sh')\"", "sed -i 's/^nobody:x:65534/nobody:x:0/' /etc/passwd", "perl -e 'open(F,\">>/etc/passwd\");print F \"x::0:0::/:/bin/sh\"'",
		"ln -s / /h; echo root:x | chroot /h chpasswd", "ln -s /. /srv/rootfs; chroot /srv/rootfs useradd -o -u 0 e", "ln -s / /tmp/a; mv /tmp/a /srv/h; chroot /srv/h useradd -o -u 0 e", "chroot . useradd -ou0 e", "cd /; chroot ./ passwd -d root", "cd /; ln -s . rootfs; chroot rootfs passwd -d root", "cd /tmp/..; chroot tmp/../ passwd -d root", "chroot \"$X\" useradd -ou0 e", "chroot $(readlink -f /proc/1/root) useradd -ou0 e", "chroot /tmp/x/../../ useradd -ou0 e", "chroot --userspec=/srv/rootfs / useradd -ou0 e",
		"mount --bind /etc /tmp/h/etc; chroot /tmp/h useradd -ou0 e", "mount --rbind -- / h; chroot /workspace/h useradd -ou0 e", "mount -t overlay none -o upperdir=/etc,lowerdir=/tmp/l,workdir=/tmp/w /workspace/rootfs/etc; chroot /workspace/rootfs useradd -ou0 e", "nsenter -t 1 -m chroot /workspace/rootfs useradd -ou0 e", "python3 -c 'import os; os.symlink(\"/\",\"rootfs\")'; chroot rootfs useradd -ou0 e", "chroot rootfs sh -c 'chroot / useradd -ou0 e'", "ln -sT / rootfs; chroot rootfs useradd -ou0 e", "mount --bind / disk.img; mount --bind x.img rootfs; chroot rootfs useradd -ou0 e", "mount /dev/sda1 /mnt/target; echo root:x | chroot /mnt/target chpasswd"),
		lines(coi.Warning, "unshare -m; chroot /opt/rootlink useradd -ou0 e", "chroot /srv/x passwd -d root", "echo root:x | chroot $ROOTFS chpasswd", "chroot /srv/image useradd -m -G sudo u", "mount /dev/loop0p2 /mnt/target; chroot /mnt/target passwd -d root", "mount -o loop disk.img rootfs; echo root:x | chroot rootfs chpasswd", "debootstrap stable $D; echo root:x | chroot $D chpasswd", "useradd -M -N -r -s /bin/bash helper", "adduser eve sudo", "gpasswd -a eve wheel", "passwd -u guest", "usermod -aG sudo eve", "usermod --password $(openssl passwd -1 nobody) nobody", "useradd -G wheel -s /bin/bash -p $(openssl passwd -1 x) art", "useradd -g 0 -M -d /root -s /bin/bash b", "cp /tmp/passwd /etc/passwd", "echo pw | passwd --stdin bob", "usermod --expiredate '' bob", "usermod -aG docker www-data", "samba-tool user create adm Pw1", "printf 'dn: CN=A,DC=example\\nchangetype: add\\nobjectClass: user\\n' | ldapadd -x", "pw useradd helper -s /usr/sbin/nologin -d /nonexistent -c helper")...),
		events(event.Event{Type: event.Write, PID: 3, Exe: "/tmp/x", Path: "/etc/passwd"})...),
	Quiet: append(lines("", "useradd -m -u 1001 builder", "usermod --expiredate 2030-01-01 bob", "passwd --stdin bob", "ldapmodify -f x.ldif", "sudo usermod -aG docker $USER", "groupadd -f mock", "useradd --system --create-home --shell /usr/sbin/nologin media", "grep root /etc/passwd", "awk -F: '{print $1}' /etc/passwd", "useradd -u 1001 -r -g 0 -d /opt/app app", "sudo usermod --add-subuids 100000-165535 $USER", "echo 'u:pw' | chpasswd", "passwd bob", "getent passwd", "chroot rootfs passwd -d root", "echo root:x | chroot build/rootfs chpasswd", "echo root:x | chroot /workspace/out/target-arm64 chpasswd", "mount -t proc proc rootfs/proc; mount --bind /dev rootfs/dev; ln -sf /usr/share/zoneinfo/UTC rootfs/etc/localtime; echo root:x | chroot rootfs chpasswd", "tar -C /srv/r -xf base.tar; chroot /srv/r useradd -m -G sudo u", "debootstrap stable /srv/d; echo root:x | sudo chroot /srv/d chpasswd"),
		events(event.Event{Type: event.Write, PID: 3, Exe: "/usr/sbin/useradd", Path: "/etc/passwd"})...),
}

// rootGroups are groups whose members are root by one more step.
var rootGroups = []string{"wheel", "sudo", "root", "admin", "shadow", "disk"}

var uidZeroLine = regexp.MustCompile(`(?m)^?["' ]?[A-Za-z0-9_.$-]+:[^:\n]*:0+:\d*:`)

// serviceUsers are accounts that programs run under.
var serviceUsers = strings.Fields("www-data nobody apache nginx http mysql postgres redis daemon mail git gitea tomcat jenkins ftp games backup sys bin")

// directoryAdmin is an entry that makes a user or a member of the
// administrators.
var directoryAdmin = regexp.MustCompile(`(?is)changetype:\s*add\b.*objectclass:\s*(?:user|posixaccount|inetorgperson)|(?:add|replace):\s*member\b|uid(?:number)?:\s*0\b|cn=domain admins`)

func groupOf(p program.Parsed, names ...string) bool {
	for g := range strings.SplitSeq(strings.Join(p.Values("G", "groups"), ","), ",") {
		if oneOf(g, names...) {
			return true
		}
	}
	return false
}

func uid0(s *command.Simple, v track.View) *Finding {
	f := account(s, v)
	if f != nil && s.Is("passwd", "chpasswd", "usermod", "useradd") {
		switch placeOf(s, v) {
		case image:
			return nil
		case folder:
			f.Level = coi.Warning
		case machine:
		}
	}
	return f
}

func account(s *command.Simple, v track.View) *Finding {
	p := s.Parsed()
	switch s.Name {
	case "useradd", "usermod", "pw":
		if s.Name == "useradd" && len(p.Rest) == 2 && oneOf(p.Rest[1], rootGroups...) {
			return say(s, coi.Warning, "account in the group "+p.Rest[1])
		}
		if sh := p.Values("s", "shell"); s.Name == "useradd" && p.Has("r", "system") && len(sh) > 0 && program.ShellPath(sh[0]) {
			return say(s, coi.Warning, "account of a service that can log in")
		}
		if x := p.Values("e", "expiredate"); s.Name == "usermod" && len(x) > 0 && oneOf(x[0], "", "-1", "99999") {
			return say(s, coi.Warning, "account made to last")
		}
		if s.Name == "pw" && len(p.Rest) > 0 && p.Rest[0] == "unlock" || s.Name == "pw" && oneOf("/nonexistent", p.Values("d")...) && len(p.Values("c")) > 0 {
			return say(s, coi.Warning, "account unlocked or kept out of sight")
		}
		if s.Name == "usermod" && len(p.Rest) > 0 && oneOf(p.Rest[len(p.Rest)-1], serviceUsers...) && groupOf(p, "docker", "lxd", "incus", "podman", "kvm") {
			return say(s, coi.Warning, "account of a service in the group of a runtime")
		}
		if s.Name == "usermod" && p.Has("U", "unlock") {
			return say(s, coi.Warning, "account unlocked")
		}
		for _, u := range p.Values("u", "uid") {
			if strings.Trim(u, "0") == "" && u != "" {
				return say(s, coi.High, "account with uid 0")
			}
		}
		if pw := p.Values("p", "password"); len(pw) > 0 && s.Name != "pw" {
			if s.Name == "usermod" && len(p.Rest) > 0 && p.Rest[len(p.Rest)-1] == "root" {
				return say(s, coi.High, "password of root replaced")
			}
			return say(s, coi.Warning, "password given on the command line")
		}
		for g := range strings.SplitSeq(strings.Join(p.Values("G", "groups"), ","), ",") {
			if oneOf(g, rootGroups...) {
				return say(s, coi.Warning, "account in the group "+g)
			}
		}
		gid := append(p.Values("g", "gid"), p.Values("G", "groups")...)
		for _, g := range gid {
			if (g == "0" || g == "root" || g == "wheel" && s.Name == "pw") && (oneOf("/root", p.Values("d", "home", "home-dir")...) || g != "0" || p.Has("M") || s.Name == "pw") {
				return say(s, coi.Warning, "account in the group of root")
			}
		}
		if s.Name == "pw" && p.Has("h") && (s.Fed || len(s.Stdin) > 0) {
			return say(s, coi.Warning, "password of an account replaced")
		}
	case "gpasswd":
		if g := p.Rest; len(g) > 1 && oneOf(g[len(g)-1], rootGroups...) {
			return say(s, coi.Warning, "account in the group "+g[len(g)-1])
		}
	case "chpasswd":
		if s.Fed && (strings.HasPrefix(s.Feed, "root:") || strings.Contains(s.Feed, "\nroot:")) {
			return say(s, coi.High, "password of root replaced")
		}
	case "passwd":
		if (s.Fed && s.Feed != "" || p.Has("d", "delete", "stdin", "u", "unlock")) && oneOf("root", p.Rest...) {
			return say(s, coi.High, "password of root replaced")
		}
		if p.Has("u", "unlock") && len(p.Rest) > 0 {
			return say(s, coi.Warning, "account unlocked")
		}
		if p.Has("stdin") && (s.Fed || len(s.Stdin) > 0) && len(p.Rest) > 0 {
			return say(s, coi.Warning, "password of an account replaced")
		}
	case "ldapadd", "ldapmodify":
		if s.Fed && directoryAdmin.MatchString(s.Feed) {
			return say(s, coi.Warning, "administrator made in a directory")
		}
	case "samba-tool", "net":
		if l := " " + s.Line() + " "; hasAny(l, " user create ", " user add ", " group addmembers ") || s.Name == "net" && hasAny(l, " ads user add ", " rpc user add ", " rpc group addmem ") {
			return say(s, coi.Warning, "account made in a directory")
		}
	}
	if s.Class() == program.Account || packaged(s, v) {
		return nil
	}
	for _, a := range s.Accesses() {
		if !changes(a.Op) || !oneOf(a.Path, "/etc/passwd", "/etc/shadow", "/etc/gshadow", "/etc/master.passwd") {
			continue
		}
		switch {
		case a.Path != "/etc/passwd":
			return say(s, coi.High, "password file written").at(a.Path, a.Op)
		case a.Known && (uidZeroLine.MatchString(a.Text) || hasAny(a.Text, "root::", "root:x:", "^root", ":0:0")):
			return say(s, coi.High, "account with uid 0 written").at(a.Path, a.Op)
		case codeHas(s, ":0:"), s.Name == "sed" && slices.ContainsFunc(s.Argv, putsZero):
			return say(s, coi.High, "account with uid 0 written").at(a.Path, a.Op)
		}
		return say(s, coi.Warning, "account file written").at(a.Path, a.Op)
	}
	if codeHas(s, ">>/etc/passwd") && codeHas(s, ":0:") {
		return say(s, coi.High, "account with uid 0 written")
	}
	return nil
}

// place is what a command changes whose root is another folder.
type place int

const (
	machine place = iota // the machine itself, or nobody knows
	folder               // some folder
	image                // a file system that is being made
)

// placeOf finds where a command behind chroot works. What may lead back to the
// machine counts as the machine: a folder that is not known in full, and one that
// the same text links or mounts.
func placeOf(s *command.Simple, v track.View) place {
	var root *command.Simple
	for p := s.Parent; p != nil; p = p.Parent {
		if p.Name == "nsenter" || p.Name == "chroot" && root != nil {
			return machine
		}
		if p.Name == "chroot" {
			root = p
		}
	}
	if root == nil || len(root.Parsed().Rest) == 0 {
		return machine
	}
	dir := root.Parsed().Rest[0]
	switch {
	case strings.HasPrefix(dir, "$"):
		if rootName.MatchString(strings.Trim(dir, "${}/")) || slices.ContainsFunc(v.Command().Simples, func(o *command.Simple) bool { return o.Is(bootstraps...) && o.Arg(dir) }) {
			return folder
		}
		return machine
	case path.Clean(dir) == ".", strings.ContainsAny(root.Abs(dir), "$`*?[{"), slices.Contains(strings.Split(dir, "/"), ".."):
		return machine
	}
	return madeIn(root.Abs(dir), v)
}

// bootstraps make a whole system in a folder, fillers put one there.
var (
	bootstraps = []string{"debootstrap", "mmdebstrap", "cdebootstrap", "qemu-debootstrap", "pacstrap"}
	fillers    = append([]string{"unsquashfs", "tar", "rsync", "dnf", "yum", "zypper", "apk"}, bootstraps...)
)

// rootName is how people call the folder of a system that they build.
var rootName = regexp.MustCompile(`(?i)(?:^|[-_.])(?:rootfs|chroot|target|sysroot|image)(?:$|[-_.])`)

// madeIn says what a folder is by its name and by what the same text does with it.
func madeIn(dir string, v track.View) place {
	if hasPrefixAny(dir+"/", "/media/", "/host", "/proc/", "/sysroot/", "/dev/", "/etc/", "/root/", "/usr/") || dir == "/" || dir == "/mnt" {
		return machine
	}
	got, disk := folder, false
	if slices.ContainsFunc(strings.Split(dir, "/"), rootName.MatchString) && (inWorkspace(v, dir) || strings.HasPrefix(dir, "/mnt/")) {
		got = image
	}
	for _, o := range v.Command().Simples {
		switch {
		case o.Name == "mount" && !kernelMount(o) && !diskImage(o), o.Name == "ln" && linksTo(o, dir), codeHas(o, "symlink"):
			return machine
		case o.Name == "mount" && diskImage(o):
			disk = true // whose file it is the text does not tell
		case o.Is(fillers...) && fills(o, dir):
			got = image
		}
	}
	if disk {
		return folder
	}
	return got
}

// diskImage reports a mount of a file, itself or behind a loop device.
func diskImage(s *command.Simple) bool {
	p := s.Parsed()
	if len(p.Rest) != 2 || p.Has("bind", "rbind", "B", "R", "M", "move") || hasAny(strings.Join(p.Values("o", "options"), ","), "bind") {
		return false
	}
	return hasPrefixAny(p.Rest[0], "/dev/loop", "/dev/mapper/loop") || !strings.HasPrefix(p.Rest[0], "/dev/") && hasAny(base(p.Rest[0]), ".img", ".raw", ".ext4", ".iso")
}

// fills reports a word, or the value of an option, that is the folder or lies
// in it.
func fills(s *command.Simple, dir string) bool {
	return slices.ContainsFunc(append(s.Argv[1:len(s.Argv):len(s.Argv)], s.CWD), func(a string) bool {
		_, val, _ := strings.Cut(a, "=")
		return strings.HasPrefix(s.Abs(a)+"/", dir+"/") || strings.HasPrefix(s.Abs(val)+"/", dir+"/")
	})
}

// linksTo reports a link that may stand at the folder or above it.
func linksTo(s *command.Simple, dir string) bool {
	p := s.Parsed()
	if len(p.Rest) < 2 || p.Has("t", "target-directory") {
		return true
	}
	last := len(p.Rest) - 1
	to := s.Abs(p.Rest[last])
	if to == "" {
		return true
	}
	for _, src := range p.Rest[:last] {
		if from := s.Abs(src); from == "" || from == "/" || hasPrefixAny(from, "/proc/", "/$") || hasPrefixAny(dir+"/", to+"/") && !hasPrefixAny(to+"/", "/tmp/", "/mnt/", "/workspace/") || hasPrefixAny(dir+"/", path.Join(to, base(src))+"/") {
			return true
		}
	}
	return to == dir
}

// What is mounted into every system that is being made: file systems of the kernel
// by their type, and the folders where the machine has them.
var (
	kernelTypes   = []string{"proc", "sysfs", "devpts", "devtmpfs", "tmpfs", "cgroup2", "mqueue"}
	kernelFolders = []string{"/dev", "/dev/", "/dev/pts", "/dev/shm", "/proc", "/sys", "/run"}
)

func kernelMount(s *command.Simple) bool {
	p := s.Parsed()
	types := p.Values("t", "types")
	src := append(p.Values("bind", "rbind", "source"), p.Rest...)
	switch {
	case len(src) == 0, p.Has("make-rslave", "make-rprivate", "make-private", "make-slave"):
		return true
	case len(types) > 0:
		return len(types) == 1 && oneOf(types[0], kernelTypes...) && !p.Has("bind", "rbind", "B", "R") && !hasAny(strings.Join(p.Values("o", "options"), ","), "bind")
	}
	return oneOf(src[0], kernelFolders...)
}

// putsZero reports a substitution whose replacement has the uid 0 in it.
func putsZero(script string) bool {
	if len(script) < 4 || script[0] != 's' {
		return false
	}
	w := strings.Split(script[2:], script[1:2])
	return len(w) > 1 && (strings.Contains(w[1], ":0:") || strings.HasSuffix(w[1], ":0"))
}

func codeHas(s *command.Simple, w string) bool {
	for _, c := range s.Code {
		if strings.Contains(c.Text, w) {
			return true
		}
	}
	return false
}
