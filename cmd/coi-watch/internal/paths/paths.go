// Package paths sorts files by what they mean to an attacker: credentials,
// places to stay, logs, doors to the kernel. The sensors mark these files and
// the detectors ask for the class of whatever a command names.
package paths

import (
	"path"
	"slices"
	"strings"
)

// Class is one meaning of a path.
type Class string

// Classes of path.
const (
	Shadow       Class = "shadow"
	Sudoers      Class = "sudoers"
	Accounts     Class = "accounts"
	Keys         Class = "keys"
	Cloud        Class = "cloud"
	Forge        Class = "forge"
	Agent        Class = "agent"
	Browser      Class = "browser"
	Wallet       Class = "wallet"
	Project      Class = "project"
	Token        Class = "token"
	Environ      Class = "environ"
	OwnEnviron   Class = "environ.own"
	ProcMem      Class = "mem"
	Preload      Class = "persist.preload"
	PAM          Class = "persist.pam"
	SSHD         Class = "sshd"
	Udev         Class = "persist.udev"
	AptHook      Class = "persist.apt-hook"
	MOTD         Class = "persist.motd"
	Cron         Class = "persist.cron"
	Unit         Class = "persist.unit"
	RC           Class = "persist.rc"
	AuthKeys     Class = "persist.keys"
	AgentConf    Class = "persist.agent"
	SecurityLog  Class = "log.security"
	OtherLog     Class = "log.other"
	PackageLog   Class = "log.package"
	History      Class = "history"
	KernelFile   Class = "kernel"
	CorePattern  Class = "kernel.core"
	KernelTune   Class = "kernel.sysctl"
	Binfmt       Class = "kernel.binfmt"
	Cgroup       Class = "cgroup"
	CgroupProcs  Class = "cgroup.procs"
	Device       Class = "device"
	RuntimeSock  Class = "runtime.sock"
	LogConfig    Class = "log.config"
	AuditRules   Class = "log.audit-rules"
	SELinuxState Class = "selinux"
	CACerts      Class = "ca"
)

// Credential lists the classes that hold secrets.
var Credential = []Class{Shadow, Keys, Cloud, Forge, Agent, Browser, Wallet, Token}

// Persist lists the classes whose files run by themselves later.
var Persist = []Class{Preload, PAM, Udev, AptHook, MOTD, Cron, Unit, RC, AuthKeys, AgentConf}

// table has the patterns of each class. "~" is any home or any folder at all,
// "**" any number of folders; the rest is path.Match by segment.
var table = []struct {
	class    Class
	patterns string
}{
	{Shadow, "/var/lib/sss/db/* /var/lib/sss/secrets/* /var/lib/samba/private/* /etc/samba/passdb.tdb /etc/shadow /etc/shadow- /etc/gshadow /etc/gshadow- /etc/security/opasswd /etc/shadow.bak /etc/master.passwd /etc/spwd.db /var/backups/shadow.bak /var/backups/gshadow.bak /**/etc/shadow"},
	{Sudoers, "/etc/sudoers /etc/sudoers.d /etc/sudoers.d/* /usr/local/etc/sudoers /usr/local/etc/sudoers.d/* /etc/doas.conf"},
	{Accounts, "/etc/passwd /etc/group /etc/passwd- /etc/group-"},
	{Keys, "~/.ssh/id_* ~/.ssh/*.pem ~/.ssh/*.key ~/.ssh/identity ~/.ssh/*_rsa ~/.ssh/*_ed25519 ~/.ssh/*_ecdsa ~/.ssh/*_dsa ~/.ssh/ ~/.gnupg/private-keys-v1.d ~/.gnupg/private-keys-v1.d/* ~/.gnupg/secring.gpg ~/.gnupg/ ~/.config/age/*.txt ~/.config/sops/age/keys.txt ~/.age/* /etc/ssh/*_key /etc/ssl/private/* /etc/ssl/private/ /etc/letsencrypt/live/*/privkey.pem /etc/letsencrypt/archive/*/privkey*.pem /etc/pki/tls/private/* /etc/kubernetes/pki/*.key ~/.password-store/**/*.gpg ~/.password-store/"},
	{Cloud, "~/.aws/credentials ~/.aws/config ~/.aws/ ~/.aws/sso/cache/* ~/.aws/cli/cache/* ~/.azure/accessTokens.json ~/.azure/azureProfile.json ~/.azure/msal_token_cache.* ~/.azure/*.json ~/.azure/ ~/.config/gcloud/credentials.db ~/.config/gcloud/access_tokens.db ~/.config/gcloud/application_default_credentials.json ~/.config/gcloud/legacy_credentials/** ~/.config/gcloud/ ~/.kube/config ~/.kube/ ~/.docker/config.json ~/.terraform.d/credentials.tfrc.json ~/.terraformrc ~/.oci/config ~/.oci/ ~/.config/doctl/config.yaml ~/.config/hcloud/cli.toml ~/.fly/config.yml ~/.config/heroku/* ~/.s3cfg ~/.boto ~/.vault-token ~/.config/rclone/rclone.conf ~/.rclone.conf /etc/kubernetes/admin.conf /etc/rancher/k3s/k3s.yaml ~/.config/stripe/config.toml ~/.config/op/* ~/.databrickscfg ~/.snowsql/config ~/.cloudflared/*.json ~/.bluemix/config.json ~/.aliyun/config.json"},
	{Cloud, "/tmp/krb5cc_* /tmp/krb5cc*"},
	{Forge, "~/.git-credentials ~/.config/git/credentials ~/.netrc ~/_netrc ~/.npmrc ~/.yarnrc.yml ~/.pypirc ~/.cargo/credentials ~/.cargo/credentials.toml ~/.gem/credentials ~/.config/gh/hosts.yml ~/.config/gh/ ~/.config/hub ~/.config/glab-cli/config.yml ~/.config/glab/config.yml ~/.m2/settings.xml ~/.m2/settings-security.xml ~/.gradle/gradle.properties ~/.nuget/NuGet.Config ~/.composer/auth.json ~/.config/composer/auth.json ~/.pgpass ~/.my.cnf ~/.mylogin.cnf ~/.config/pip/pip.conf ~/.config/containers/auth.json ~/.huggingface/token ~/.cache/huggingface/token ~/.kaggle/kaggle.json ~/.rhosts ~/.subversion/auth/** ~/.htpasswd /etc/mysql/debian.cnf ~/.config/filezilla/*.xml ~/.tsh/keys/**"},
	{Agent, "~/.claude/.credentials.json ~/.claude.json ~/.codex/auth.json ~/.gemini/oauth_creds.json ~/.config/github-copilot/*.json ~/.config/opencode/auth.json ~/.local/share/opencode/auth.json ~/.aider.conf.yml ~/.config/goose/secrets.yaml ~/.cursor/auth.json ~/.config/anthropic/* ~/.openai/*"},
	{Browser, "~/.mozilla/firefox/*/logins.json ~/.mozilla/firefox/*/key4.db ~/.mozilla/firefox/*/cookies.sqlite ~/.mozilla/firefox/ ~/.config/google-chrome/*/Login?Data ~/.config/google-chrome/*/Cookies ~/.config/google-chrome/*/ ~/.config/chromium/*/ ~/.mozilla/firefox/*/ ~/.config/google-chrome/ ~/.config/chromium/*/Login?Data ~/.config/chromium/*/Cookies ~/.config/chromium/ ~/.config/BraveSoftware/** ~/.config/microsoft-edge/*/Login?Data ~/.local/share/keyrings/* ~/.local/share/keyrings/ ~/.password-store ~/.password-store/** ~/.config/Bitwarden/** ~/.config/1Password/** ~/.local/share/kwalletd/* ~/.thunderbird/*/logins.json ~/.config/keepassxc/* ~/*.kdbx ~/.config/Slack/Cookies ~/.config/discord/Local?Storage/** ~/.config/Signal/config.json"},
	{Wallet, "~/.bitcoin/wallet.dat ~/.bitcoin/ ~/.ethereum/keystore/* ~/.ethereum/keystore/ ~/.electrum/wallets/* ~/.electrum/ ~/.config/solana/id.json ~/.monero/** ~/.config/Exodus/** ~/.litecoin/wallet.dat ~/.dogecoin/wallet.dat ~/wallet.dat ~/.near-credentials/** ~/.sui/sui_config/sui.keystore ~/.aptos/config.yaml"},
	{Token, "/run/secrets/kubernetes.io/serviceaccount/* /run/secrets/kubernetes.io/serviceaccount/ /var/run/secrets/kubernetes.io/serviceaccount/* /var/run/secrets/kubernetes.io/serviceaccount/ /var/run/secrets/kubernetes.io/serviceaccount /run/secrets/kubernetes.io/serviceaccount /var/run/secrets/eks.amazonaws.com/serviceaccount/token /var/lib/kubelet/pods/**/token /var/run/secrets/azure/tokens/*"},
	{OwnEnviron, "/proc/self/environ /proc/thread-self/environ"},
	{Environ, "/proc/*/environ /proc/*/task/*/environ"},
	{ProcMem, "/proc/*/mem /proc/*/task/*/mem /proc/kcore"},
	{Preload, "/etc/ld.so.preload /etc/ld.so.conf /etc/ld.so.conf.d/*"},
	{PAM, "/etc/pam.d/* /etc/pam.conf /usr/local/etc/pam.d/* /lib/security/* /lib/*/security/pam_*.so /lib64/security/pam_*.so /usr/lib/*/security/pam_*.so /etc/security/pam_env.conf"},
	{SSHD, "/etc/ssh/sshd_config /etc/ssh/sshd_config.d/*"},
	{Udev, "/etc/udev/rules.d/* /lib/udev/rules.d/* /usr/lib/udev/rules.d/* /run/udev/rules.d/*"},
	{AptHook, "/etc/apt/apt.conf.d/* /etc/apt/apt.conf /etc/dpkg/dpkg.cfg.d/* /etc/dpkg/dpkg.cfg /etc/yum/pluginconf.d/* /etc/dnf/plugins/* /usr/lib/yum-plugins/* /usr/lib/python*/site-packages/dnf-plugins/* /etc/pacman.d/hooks/* /usr/share/libalpm/hooks/*"},
	{MOTD, "/etc/update-motd.d/* /etc/profile.d/motd.sh"},
	{Cron, "/etc/crontab /etc/cron.d/* /etc/cron.d /etc/cron.hourly/* /etc/cron.daily/* /etc/cron.weekly/* /etc/cron.monthly/* /var/spool/cron/* /var/spool/cron/crontabs/* /var/cron/tabs/* /etc/anacrontab /etc/periodic/** /var/spool/at/* /var/spool/cron/atjobs/* /etc/cron.allow /etc/at.allow /etc/cron.deny"},
	{Unit, "/etc/systemd/system/** /lib/systemd/system/** /usr/lib/systemd/system/** /run/systemd/system/** /usr/local/lib/systemd/system/** ~/.config/systemd/user/** /etc/systemd/user/** /usr/lib/systemd/user/** /etc/init.d/* /etc/rc.local /etc/rc.d/** /etc/rc?.d/* /usr/local/etc/rc.d/* /etc/init/*.conf /etc/inittab /etc/systemd/system-generators/* /usr/lib/systemd/system-generators/* /usr/local/lib/systemd/system-generators/* ~/.config/autostart/*.desktop /etc/xdg/autostart/*.desktop /etc/network/if-up.d/* /etc/network/if-pre-up.d/* /etc/dhcp/dhclient-*-hooks.d/* /etc/NetworkManager/dispatcher.d/* /etc/ppp/ip-up.d/* /etc/dbus-1/system.d/* /usr/share/dbus-1/system-services/*"},
	{AuthKeys, "~/.ssh/authorized_keys ~/.ssh/authorized_keys2 ~/.ssh/rc /etc/ssh/authorized_keys/* /etc/ssh/sshrc"},
	{RC, "/**/usercustomize.py /**/sitecustomize.py /**/site-packages/*.pth /**/dist-packages/*.pth ~/.bashrc ~/.bash_profile ~/.bash_login ~/.bash_logout ~/.bash_aliases ~/.profile ~/.zshrc ~/.zshenv ~/.zprofile ~/.zlogin ~/.zlogout ~/.kshrc ~/.shrc ~/.mkshrc ~/.bash_env ~/.cshrc ~/.tcshrc ~/.login ~/.config/fish/config.fish ~/.config/fish/conf.d/* ~/.xinitrc ~/.xprofile ~/.xsession ~/.pam_environment ~/.inputrc ~/.vimrc ~/.config/nvim/init.* /etc/profile /etc/profile.d/* /etc/bash.bashrc /etc/bashrc /etc/zsh/* /etc/zshrc /etc/zshenv /etc/environment /etc/csh.cshrc /etc/csh.login /etc/skel/.* ~/.gitconfig ~/.config/git/config /etc/gitconfig"},
	{AgentConf, "~/.claude/settings.json ~/.claude/settings.local.json ~/.claude/hooks/* ~/.claude/CLAUDE.md ~/.claude/commands/* ~/.claude/agents/* ~/.claude/skills/** ~/.codex/config.toml ~/.codex/AGENTS.md ~/.gemini/settings.json ~/.cursor/mcp.json ~/.cursor/rules/* ~/.config/opencode/*.json ~/.mcp.json ~/.aider.conf.yml ~/.continue/config.*"},
	{SecurityLog, "/var/log/auth.log* /var/log/syslog* /var/log/messages* /var/log/secure* /var/log/security* /var/log/audit /var/log/audit/* /var/log/audit/ /var/log/wtmp* /var/log/btmp* /var/log/utmp* /var/run/utmp /run/utmp /var/log/lastlog /var/log/faillog /var/log/tallylog /var/log/journal /var/log/journal/** /var/log/journal/ /run/log/journal/** /run/log/journal /var/spool/mail/* /var/mail/* /var/log/kern.log* /var/log/daemon.log* /var/log/cron /var/log/cron.log* /var/log/sudo.log* /var/log/maillog* /var/log/mail.log* /var/log/userlog /var/log/utx.log /var/log/utx.lastlogin /var/log/system.log /var/audit/* /var/log/boot.log /var/log/user.log* /var/log/warn /var/log/auth.log"},
	{PackageLog, "/var/log/apt/** /var/log/apt /var/log/apt/ /var/log/dpkg.log* /var/log/alternatives.log* /var/log/yum.log* /var/log/dnf*.log* /var/log/bootstrap.log /var/log/fontconfig.log /var/log/installer/** /var/log/unattended-upgrades/**"},
	{OtherLog, "/var/log/** /var/log"},
	{History, "~/.bash_history ~/.zsh_history ~/.zhistory ~/.history ~/.sh_history ~/.ash_history ~/.ksh_history ~/.local/share/fish/fish_history ~/.python_history ~/.mysql_history ~/.psql_history ~/.lesshst ~/.viminfo ~/.node_repl_history ~/.histfile ~/.wget-hsts ~/.sqlite_history ~/.rediscli_history"},
	{CorePattern, "/**/sys/kernel/core_pattern /*/proc/sys/kernel/core_pattern /*/*/proc/sys/kernel/core_pattern /proc/sys/kernel/core_pattern"},
	{KernelFile, "/*/proc/sys/kernel/modprobe /*/sys/kernel/uevent_helper /*/proc/sysrq-trigger /*/*/proc/sys/kernel/modprobe /sys/kernel/uevent_helper /proc/sys/kernel/modprobe /proc/sys/kernel/hotplug /proc/sysrq-trigger /proc/sys/kernel/sysrq /sys/kernel/debug/** /sys/kernel/tracing/** /sys/kernel/security/** /proc/sys/kernel/poweroff_cmd /sys/firmware/efi/efivars/** /proc/sys/kernel/core_pipe_limit /sys/kernel/vmcoreinfo /sys/module/*/parameters/*"},
	{Binfmt, "/proc/sys/fs/binfmt_misc/register /proc/sys/fs/binfmt_misc/status"},
	{KernelTune, "/proc/sys/kernel/randomize_va_space /proc/sys/kernel/yama/ptrace_scope /proc/sys/kernel/kptr_restrict /proc/sys/kernel/dmesg_restrict /proc/sys/kernel/unprivileged_bpf_disabled /proc/sys/kernel/perf_event_paranoid /proc/sys/kernel/kexec_load_disabled /proc/sys/kernel/modules_disabled /proc/sys/vm/mmap_min_addr /proc/sys/fs/protected_* /proc/sys/fs/suid_dumpable /proc/sys/kernel/unprivileged_userns_clone"},
	{Cgroup, "/**/release_agent /**/notify_on_release"},
	{CgroupProcs, "/**/cgroup.procs /**/tasks"},
	{Device, "/dev/mem /dev/kmem /dev/port /dev/sd[a-z]* /dev/hd[a-z]* /dev/vd[a-z]* /dev/xvd[a-z]* /dev/nvme* /dev/dm-* /dev/mapper/* /dev/disk/** /dev/mmcblk* /dev/kcore /dev/md*"},
	{RuntimeSock, "/var/run/docker.sock /run/docker.sock /run/containerd/containerd.sock /var/run/containerd/containerd.sock /run/podman/podman.sock /var/run/crio/crio.sock /run/crio/crio.sock /var/lib/incus/unix.socket /var/lib/lxd/unix.socket /var/snap/lxd/common/lxd/unix.socket"},
	{LogConfig, "/etc/rsyslog.conf /etc/rsyslog.d/* /etc/syslog.conf /etc/syslog-ng/** /etc/systemd/journald.conf /etc/systemd/journald.conf.d/* /etc/audit/auditd.conf /etc/logrotate.conf /etc/logrotate.d/* /etc/libaudit.conf /etc/security/audit_control /etc/ufw/* /etc/default/ufw /etc/firewalld/** /etc/audisp/** /etc/syslog-ng.conf"},
	{AuditRules, "/etc/audit/audit.rules /etc/audit/rules.d/*"},
	{SELinuxState, "/etc/selinux/config /sys/fs/selinux/enforce /selinux/enforce /etc/sysconfig/selinux"},
	{CACerts, "/usr/local/share/ca-certificates/** /etc/pki/ca-trust/source/anchors/* /etc/ssl/certs/* /usr/share/ca-certificates/**"},
}

type pattern struct {
	class Class
	home  bool     // any prefix
	segs  []string // without the home
	dir   bool     // matches the folder itself, for trees
}

// patterns is the table, and where to look in it: by the first segment of a
// pattern, which a path must have at its root, or anywhere for those of homes.
var patterns, rooted, homes = index()

func index() (all []pattern, rooted, homes map[string][]int) {
	rooted, homes = map[string][]int{}, map[string][]int{}
	for _, t := range table {
		for p := range strings.FieldsSeq(t.patterns + folders(t.class, t.patterns)) {
			x := pattern{class: t.class}
			if rest, ok := strings.CutPrefix(p, "~/"); ok {
				x.home, p = true, rest
			}
			x.dir = strings.HasSuffix(p, "/")
			x.segs = strings.Split(strings.Trim(p, "/"), "/")
			at := rooted
			if x.home {
				at = homes
			}
			first := x.segs[0]
			if strings.ContainsAny(first, "*?") {
				first = ""
			}
			at[first] = append(at[first], len(all))
			all = append(all, x)
		}
	}
	return all, rooted, homes
}

// folders are the folders themselves of patterns for all that is in them, for
// classes that hold secrets: who takes the folder takes those.
func folders(c Class, patterns string) string {
	var out strings.Builder
	for p := range strings.FieldsSeq(patterns) {
		dir := strings.TrimRight(p, "*")
		if dir != p && strings.HasSuffix(dir, "/") && slices.Contains(Credential, c) {
			out.WriteString(" " + dir)
		}
	}
	return out.String()
}

// candidates are the patterns that a path could match.
func candidates(segs []string) []int {
	out := append([]int(nil), rooted[""]...)
	out = append(out, homes[""]...)
	if wild(segs[0]) {
		for k, list := range rooted {
			if k != "" {
				out = append(out, list...)
			}
		}
	} else {
		out = append(out, rooted[segs[0]]...)
	}
	for i, s := range segs {
		if wild(s) {
			for k, list := range homes {
				if k != "" && matchSeg(k, s) {
					out = append(out, list...)
				}
			}
		} else if i < 14 {
			out = append(out, homes[s]...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func wild(s string) bool { return strings.ContainsAny(s, "*?[{") }

// public are file names beside keys that are no secret.
var public = []string{"known_hosts", "known_hosts.old", "config", "authorized_keys", "authorized_keys2", "environment", "rc"}

// Of lists the classes of one absolute path, most specific first. The path may
// hold wildcards; then it is of a class if it can name a file of it. With tree,
// the folder stands for everything below it.
func Of(p string, tree bool) []Class {
	segs := strings.Split(strings.Trim(p, "/"), "/")
	if len(segs) > 64 {
		return nil
	}
	var out []Class
	for _, i := range candidates(segs) {
		x := patterns[i]
		if slices.Contains(out, x.class) || !x.match(segs, tree) {
			continue
		}
		if x.class == Token && (path.Base(p) == "namespace" || path.Base(p) == "ca.crt") {
			continue
		}
		if x.class == Keys && (strings.HasSuffix(p, ".pub") || slices.Contains(public, path.Base(p))) {
			continue
		}
		out = append(out, x.class)
	}
	return narrow(out)
}

// narrow drops a general class when a special one matched.
func narrow(out []Class) []Class {
	drop := func(special, general Class) {
		if slices.Contains(out, special) {
			out = slices.DeleteFunc(out, func(c Class) bool { return c == general })
		}
	}
	drop(SecurityLog, OtherLog)
	drop(PackageLog, OtherLog)
	drop(OwnEnviron, Environ)
	drop(AuthKeys, Keys)
	drop(MOTD, RC)
	return out
}

func (x pattern) match(segs []string, tree bool) bool {
	if x.dir && !tree && !star(segs) {
		return false
	}
	if x.dir && star(segs) && !tree {
		segs = segs[:len(segs)-1]
	}
	if !x.home {
		return matchSegs(x.segs, segs)
	}
	for i := 0; i <= len(segs)-len(x.segs) || i == 0; i++ {
		if i <= len(segs) && matchSegs(x.segs, segs[i:]) {
			return true
		}
		if i > 12 {
			break
		}
	}
	return false
}

// star reports paths that end in "/*".
func star(segs []string) bool { return len(segs) > 1 && segs[len(segs)-1] == "*" }

func matchSegs(pat, segs []string) bool {
	for i, p := range pat {
		if p == "**" {
			if i == len(pat)-1 {
				return len(segs) > i
			}
			for k := i; k <= len(segs); k++ {
				if matchSegs(pat[i+1:], segs[k:]) {
					return true
				}
			}
			return false
		}
		if i >= len(segs) || !matchSeg(p, segs[i]) {
			return false
		}
	}
	return len(pat) == len(segs)
}

// matchSeg compares one pattern with one seen segment, either of which may
// hold wildcards.
func matchSeg(pat, seen string) bool {
	if pat == seen {
		return true
	}
	if strings.ContainsAny(pat, "*?[") {
		if ok, err := path.Match(pat, seen); err == nil && ok {
			return true
		}
	}
	if !strings.ContainsAny(seen, "*?[{") || strings.Trim(seen, "*?.") == "" {
		return false
	}
	ok, err := path.Match(seen, sample(pat))
	return err == nil && ok
}

// sample is a name that a pattern stands for.
func sample(pat string) string {
	switch pat {
	case "id_*":
		return "id_rsa"
	case "*.pem":
		return "key.pem"
	}
	return strings.NewReplacer("*", "x", "?", "x").Replace(pat)
}

// Any reports whether any of the classes is in the list.
func Any(have []Class, want ...Class) bool {
	for _, c := range have {
		if slices.Contains(want, c) {
			return true
		}
	}
	return false
}

// HomeOrRoot reports folders whose whole content is a treasure: /, /home, a
// home, /root, /etc.
func HomeOrRoot(p string) bool {
	p = strings.TrimSuffix(strings.TrimSuffix(p, "*"), "/")
	switch p {
	case "", "/", "/home", "/root", "/etc", "/Users", "/var", "/opt", "/mnt", "/host", "/proc":
		return p != "/opt" && p != "/mnt" && p != "/proc"
	}
	rest, ok := strings.CutPrefix(p, "/home/")
	return ok && !strings.Contains(rest, "/")
}

// secretNames are file names that only somebody hunting for keys searches by
// name.
var secretNames = []string{
	"id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "*.pem", "*.ppk", "*.key", "*id_rsa*", "id_*", ".netrc", "*.kdbx", "credentials", ".aws",
	"credentials.db", "access_tokens.db", ".git-credentials", ".gnupg", "*.gpg", "*.pgp", "shadow", ".pgpass", "wallet.dat", "wallet*", ".npmrc", ".pypirc", "*.p12",
	"*.pfx", "*.asc", "*.ovpn", "*.keystore", "*.jks", "kubeconfig", "application_default_credentials.json", "accessTokens.json", "azureProfile.json",
	".docker", "hosts.yml", "secring.gpg", "key4.db", "logins.json", "Login Data", "keystore", "*.keytab", ".htpasswd", ".my.cnf", "*.crt.key", "private-keys-v1.d", "msal_token_cache*", ".ssh",
	"service_account.json", "credentials.json", ".vault-token", "*.secret", "privkey*", "*_rsa", "*_ed25519", "token", "*.mnemonic", "seed.txt", ".credentials.json", ".env", ".env*", "*.env",
}

// HuntName reports whether a name pattern of find, fd or locate asks for key or
// credential files. strong: key files; weak: words such as password.
func HuntName(name string) (strong, weak bool) {
	n := strings.ToLower(path.Base(strings.TrimRight(name, "/")))
	t := strings.Trim(n, "*.?/\\$")
	if t == "" {
		return false, false
	}
	for _, s := range secretNames {
		if n == strings.ToLower(s) || t == strings.ToLower(strings.Trim(s, "*.")) {
			return true, false
		}
	}
	for _, w := range []string{"id_rsa", "id_dsa", "id_ed25519", "id_ecdsa", "private_key", "privatekey", "private-key", "kdbx", "credential", "gnupg", ".aws", "netrc", "wallet.dat", "keystore", "shadow"} {
		if strings.Contains(n, w) {
			return true, false
		}
	}
	for _, w := range []string{"passw", "secret", "token", "cred", "authorized_keys", "apikey", "api_key", "known_hosts", "history", "places.sqlite", "cookies", "bookmarks"} {
		if strings.Contains(n, w) {
			return false, w != "bookmarks" && w != "places.sqlite"
		}
	}
	return false, false
}
