package redact

import (
	"path"
	"strings"
)

// secretFlag reports whether a long flag is followed by a secret.
func secretFlag(f string) bool {
	if !strings.HasPrefix(f, "--") {
		return false
	}
	f = strings.ToLower(strings.ReplaceAll(f[2:], "_", "-"))
	for _, end := range []string{"password", "passwd", "passphrase", "token", "secret", "api-key", "apikey", "secret-key", "access-key", "secret-access-key", "credential", "credentials", "bearer"} {
		if f == end || strings.HasSuffix(f, "-"+end) {
			return true
		}
	}
	return false
}

// client says with which short flags a program takes a secret.
type client struct {
	apart string // letters whose secret is the next word
	glued string // letters whose secret may follow at once
	user  bool   // -u takes user:secret
}

var clients = map[string]client{
	"mysql": {glued: "p"}, "mysqldump": {glued: "p"}, "mysqladmin": {glued: "p"}, "mysqlimport": {glued: "p"},
	"mariadb": {glued: "p"}, "mariadb-dump": {glued: "p"}, "mariadb-admin": {glued: "p"},
	"sshpass": {apart: "p", glued: "p"}, "redis-cli": {apart: "a"}, "keydb-cli": {apart: "a"}, "valkey-cli": {apart: "a"},
	"mongo": {apart: "p"}, "mongosh": {apart: "p"}, "mongodump": {apart: "p"}, "mongorestore": {apart: "p"},
	"docker": {apart: "p"}, "podman": {}, "helm": {}, "oc": {apart: "p"}, "cqlsh": {apart: "p"}, "sqlcmd": {apart: "P", glued: "P"},
	"ldapsearch": {apart: "w"}, "ldapadd": {apart: "w"}, "ldapmodify": {apart: "w"}, "ldapwhoami": {apart: "w"},
	"zip": {apart: "P"}, "unzip": {apart: "P"}, "7z": {glued: "p"}, "7za": {glued: "p"}, "ipmitool": {apart: "P"},
	"curl": {user: true}, "http": {}, "az": {apart: "p"}, "snmpwalk": {apart: "AX"}, "snmpget": {apart: "AX"},
}

// mayTakeSecret reports whether any client takes a secret after this flag.
func mayTakeSecret(flag string) bool {
	return clientUser(flag) || len(flag) == 2 && strings.IndexByte("pPawAX", flag[1]) >= 0
}

// secretAfter reports whether the word after flag is a secret of this client.
func secretAfter(name, flag string) bool {
	if secretFlag(flag) {
		return true
	}
	c, ok := clients[name]
	if !ok || len(flag) < 2 || flag[0] != '-' {
		return false
	}
	if c.user && (clientUser(flag)) {
		return true
	}
	return len(flag) == 2 && strings.IndexByte(c.apart, flag[1]) >= 0 && !(name == "docker" && flag == "-p")
}

func clientUser(flag string) bool {
	return flag == "-u" || flag == "--user" || flag == "-U" || flag == "--proxy-user"
}

// gluedSecret is the secret in a word such as -pSECRET.
func gluedSecret(name, word string) (string, bool) {
	c, ok := clients[name]
	if !ok || len(word) < 3 || word[0] != '-' {
		return "", false
	}
	if c.user && (word[1] == 'u' || word[1] == 'U') {
		if at := strings.IndexByte(word, ':'); at > 1 && isValue(word[at+1:]) {
			return word[at+1:], true
		}
		return "", false
	}
	if strings.IndexByte(c.glued, word[1]) < 0 || !isValue(word[2:]) {
		return "", false
	}
	return word[2:], true
}

// clientBefore is the program of the shell command that the byte at i belongs to.
func clientBefore(s string, i int) string {
	from := strings.LastIndexAny(s[max(0, i-512):i], ";|&\n(`")
	return clientOf(strings.Fields(strings.Trim(s[max(0, i-512)+from+1:i], " \"'")))
}

// clientOf is the base name of the program in argv, past sudo, env and such.
func clientOf(argv []string) string {
	for _, a := range argv {
		b := path.Base(a)
		switch {
		case b == "sudo" || b == "env" || b == "nohup" || b == "time" || b == "exec" || b == "command" || b == "timeout":
		case strings.Contains(a, "=") || strings.HasPrefix(a, "-") || lead(a, digit|dot|lower) == len(a) && digit.has(a[0]):
		default:
			return b
		}
	}
	return ""
}
