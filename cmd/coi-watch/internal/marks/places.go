package marks

import (
	"bufio"
	"bytes"
	"path"
	"strings"
)

// kind is how closely a place is looked at.
type kind int

const (
	changed  kind = iota // directory: what is made, moved, removed, written
	opened               // directory: also what is opened
	file                 // file: opened, written, replaced
	fileData             // log file: also each change of its size
)

// place is a path to be marked; * in its last part stands for every name there.
type place struct {
	path string
	kind kind
}

// system are the places of every container.
var system = []place{
	{"/etc", changed},
	{"/etc/shadow", file},
	{"/etc/shadow-", file},
	{"/etc/gshadow", file},
	{"/etc/gshadow-", file},
	{"/etc/security/opasswd", file},
	{"/etc/sudoers", file},
	{"/etc/sudoers.d", changed},
	{"/etc/ssh", changed},
	{"/etc/ssh/*_key", file},
	{"/etc/ssl/private", opened},
	{"/etc/pam.d", changed},
	{"/etc/udev/rules.d", changed},
	{"/etc/apt/apt.conf.d", changed},
	{"/etc/dpkg", changed},
	{"/etc/dpkg/dpkg.cfg.d", changed},
	{"/etc/cron.d", changed},
	{"/etc/cron.hourly", changed},
	{"/etc/cron.daily", changed},
	{"/etc/cron.weekly", changed},
	{"/etc/cron.monthly", changed},
	{"/var/spool/cron", changed},
	{"/var/spool/cron/crontabs", changed},
	{"/etc/systemd/system", changed},
	{"/etc/systemd/user", changed},
	{"/usr/lib/systemd/system", changed},
	{"/etc/systemd/system/multi-user.target.wants", changed},
	{"/etc/init.d", changed},
	{"/etc/profile.d", changed},
	{"/etc/update-motd.d", changed},
	{"/etc/ld.so.conf.d", changed},
	{"/etc/logrotate.d", changed},
	{"/etc/rsyslog.d", changed},
	{"/etc/audit", changed},
	{"/etc/audit/rules.d", changed},
	{"/root", changed},
	{"/run/secrets", opened},
	{"/var/log", changed},
	{"/var/log/audit", changed},
	{"/var/log/journal", changed},
	{"/var/mail", changed},
	{"/var/spool/mail", changed},
	{"/var/log/auth.log", fileData},
	{"/var/log/syslog", fileData},
	{"/var/log/messages", fileData},
	{"/var/log/secure", fileData},
	{"/var/log/audit/audit.log", fileData},
	{"/var/log/wtmp", fileData},
	{"/var/log/btmp", fileData},
	{"/var/log/lastlog", fileData},
	{"/run/utmp", fileData},
	{"/dev/shm", changed},
}

// perHome are the places of every home, below it.
var perHome = []place{
	{"", changed},
	{".config", changed},
	{".config/systemd/user", changed},
	{".config/autostart", changed},
	{".config/fish", changed},
	{".ssh", opened},
	{".gnupg", changed},
	{".gnupg/private-keys-v1.d", opened},
	{".config/age", opened},
	{".config/sops/age", opened},
	{".age", opened},
	{".password-store", opened},
	{".aws", opened},
	{".aws/sso/cache", opened},
	{".azure", opened},
	{".config/gcloud", opened},
	{".kube", changed},
	{".kube/config", file},
	{".docker", changed},
	{".docker/config.json", file},
	{".terraform.d", opened},
	{".oci", opened},
	{".vault-token", file},
	{".git-credentials", file},
	{".netrc", file},
	{".npmrc", file},
	{".pypirc", file},
	{".pgpass", file},
	{".my.cnf", file},
	{".s3cfg", file},
	{".boto", file},
	{".cargo", changed},
	{".cargo/credentials", file},
	{".cargo/credentials.toml", file},
	{".gem", changed},
	{".gem/credentials", file},
	{".config/gh", opened},
	{".config/hub", file},
	{".config/glab-cli", opened},
	{".config/git", changed},
	{".config/git/credentials", file},
	{".claude", changed},
	{".claude/.credentials.json", file},
	{".claude/hooks", changed},
	{".codex", changed},
	{".codex/auth.json", file},
	{".gemini", changed},
	{".gemini/oauth_creds.json", file},
	{".local/share/opencode", changed},
	{".local/share/opencode/auth.json", file},
	{".config/opencode", changed},
	{".config/github-copilot", opened},
	{".cursor", changed},
	{".config/rclone", opened},
	{".local/share/keyrings", opened},
	{".mozilla/firefox", changed},
	{".mozilla/firefox/*", changed},
	{".bitcoin", opened},
	{".electrum/wallets", opened},
	{".ethereum/keystore", opened},
	{".config/solana", opened},
	{".bash_history", fileData},
	{".zsh_history", fileData},
}

// noLogin are shells of accounts whose home is nobody's.
var noLogin = []string{"/nologin", "/false", "/sync", "/shutdown", "/halt"}

// Homes lists the home directories of accounts with a shell from the text of
// /etc/passwd, which the container may have filled with anything.
func Homes(passwd []byte) []string {
	var out []string
	seen := map[string]bool{"/": true}
	s := bufio.NewScanner(bytes.NewReader(passwd))
	for s.Scan() && len(out) < 64 {
		f := strings.Split(s.Text(), ":")
		if len(f) < 7 || !strings.HasPrefix(f[5], "/") || len(f[5]) > 1024 {
			continue
		}
		home, shell, login := path.Clean(f[5]), f[6], true
		for _, no := range noLogin {
			login = login && !strings.HasSuffix(shell, no)
		}
		if login && !seen[home] {
			seen[home] = true
			out = append(out, home)
		}
	}
	return out
}
