package redact

import (
	"math"
	"strings"
)

// strong words in a name make any value a secret; weak ones only a value that
// looks like one, since "key" and "auth" are everyday words.
var (
	strong   = []string{"token", "secret", "passw", "passphrase", "passwd", "credential", "apikey", "api_key", "api-key", "access_key", "access-key", "accesskey", "private_key", "private-key"}
	weak     = []string{"key", "pass", "auth"}
	harmless = []string{
		"author", "keyboard", "keymap", "keyring", "keyserver", "keyword", "keyframe", "keycode", "monkey", "hotkey", "keystone",
		"compass", "bypass", "passive", "passthrough", "passenger", "tokenize", "max_token", "num_token", "max-token", "secretary",
		"public_key", "public-key", "pubkey", "publickey", "hostkey", "host_key", "password_file", "password-file", "token_file",
		"token-file", "secret_file", "key_file", "key-file", "keyfile", "secretname", "secret_name", "secret-name", "key_id", "keyid",
		"tokentype", "token_type", "password-stdin", "passwordauthentication", "xauthority", "auth_sock", "auth-no", "keyscan",
	}
)

type weight int

const (
	innocent weight = iota
	doubtful
	telling
)

// weigh says how much a name speaks for a secret behind it.
func weigh(name string) weight {
	if len(name) < 3 || len(name) > 128 {
		return innocent
	}
	if !suspicious(name) {
		return innocent
	}
	// A variable of the environment is named in capitals; there a weak word tells.
	inCapitals := lead(name, upper|digit|under) == len(name)
	name = strings.ToLower(name)
	for _, w := range harmless {
		if strings.Contains(name, w) {
			name = strings.ReplaceAll(name, w, "#")
		}
	}
	for _, w := range strong {
		if strings.Contains(name, w) {
			return telling
		}
	}
	for _, w := range weak {
		if strings.Contains(name, w) {
			if inCapitals {
				return telling
			}
			return doubtful
		}
	}
	return innocent
}

// suspicious is a quick look that turns most names down: every word that tells
// has one of these in it.
func suspicious(name string) bool {
	for i := 0; i+3 <= len(name); i++ {
		switch name[i] | 0x20 {
		case 'k':
			if strings.EqualFold(name[i:i+3], "key") {
				return true
			}
		case 'p', 'a', 't', 's', 'c':
			if i+4 > len(name) {
				return false
			}
			switch strings.ToLower(name[i : i+4]) {
			case "pass", "auth", "toke", "secr", "cred":
				return true
			}
		}
	}
	return false
}

// nameClass is what names of variables, flags and fields consist of.
const nameClass = alnum | dash | under | dot

// nameBefore is the name that ends at i, past one closing quote or space.
func nameBefore(s string, i int) (name string, quoted bool) {
	end := i
	if end > 0 && (s[end-1] == '"' || s[end-1] == '\'') {
		end--
		quoted = true
	} else if end > 0 && s[end-1] == ' ' {
		end--
	}
	if quoted && end > 0 && s[end-1] == '\\' {
		end--
	}
	from := end
	for from > 0 && end-from < 129 && nameClass.has(s[from-1]) {
		from--
	}
	return s[from:end], quoted
}

// valueAt is where the value begins that is assigned at i, and where it ends:
// at its closing quote, or at the first byte that ends a word.
func valueAt(s string, i int) (from, to int) {
	if i < len(s) && s[i] == ' ' {
		i++
	}
	if i < len(s) && s[i] == '\\' {
		i++
	}
	if i < len(s) && (s[i] == '"' || s[i] == '\'') {
		quote := s[i]
		from = i + 1
		if n := strings.IndexByte(s[from:], quote); n >= 0 {
			to = from + n
			if to > from && s[to-1] == '\\' && s[from-1] == quote && from >= 2 && s[from-2] == '\\' {
				to--
			}
			return from, to
		}
		return from, len(s)
	}
	from = i
	for i < len(s) && !wordEnds[s[i]] {
		i++
	}
	return from, i
}

// wordEnds are the bytes that end an unquoted word.
var wordEnds = func() (t [256]bool) {
	for _, b := range []byte(" \t\n\r\"'`;&|()<>") {
		t[b] = true
	}
	return t
}()

// assignment is NAME=value, --name=value and a query value.
func assignment(s string, i int) span {
	if i+1 < len(s) && (s[i+1] == '=' || s[i+1] == ' ' && i > 0 && s[i-1] != ' ') || i > 0 && strings.IndexByte("=!<>~", s[i-1]) >= 0 {
		return span{}
	}
	name, _ := nameBefore(s, i)
	w := weigh(name)
	if w == innocent {
		if !strings.EqualFold(name, "sig") && !strings.EqualFold(name, "signature") {
			return span{}
		}
		w = doubtful
	}
	from, to := valueAt(s, i+1)
	if !secretValue(s[from:to], w) {
		return span{}
	}
	return span{from, to, "assigned"}
}

// colon is a header, a field of JSON or YAML, or a bot token.
func colon(s string, i int) span {
	name, quoted := nameBefore(s, i)
	if len(name) >= 8 && len(name) <= 10 && strings.HasPrefix(s[i:], ":AA") && lead(name, digit) == len(name) {
		if n := lead(s[i+1:], url64); n >= 35 {
			return span{i - len(name), i + 1 + n, "bot-token"}
		}
	}
	if header(name) {
		return headerValue(s, i+1)
	}
	w := weigh(name)
	if w == innocent || !quoted && (w != telling || i+1 >= len(s) || s[i+1] != ' ') {
		return span{}
	}
	from, to := valueAt(s, i+1)
	if quoted && (from == 0 || s[from-1] != '"' && s[from-1] != '\'') || !secretValue(s[from:to], w) {
		return span{}
	}
	if !quoted && w == telling && lead(s[from:to], lower) == to-from && to-from < 12 {
		return span{} // "token: missing" is a message
	}
	return span{from, to, "assigned"}
}

func header(name string) bool {
	if len(name) < 5 || len(name) > 64 {
		return false
	}
	n := strings.ToLower(name)
	switch n {
	case "authorization", "proxy-authorization", "cookie", "set-cookie", "api-key", "private-token", "deploy-token", "job-token":
		return true
	}
	return strings.HasPrefix(n, "x-") && (strings.HasSuffix(n, "-key") || strings.HasSuffix(n, "-token") || strings.HasSuffix(n, "-secret"))
}

// headerValue is the rest of a header line; the scheme of an Authorization
// header stays.
func headerValue(s string, i int) span {
	for i < len(s) && (s[i] == ' ' || s[i] == '"') {
		i++
	}
	to := i
	for to < len(s) && strings.IndexByte("\"'\r\n`", s[to]) < 0 {
		to++
	}
	if sp := strings.IndexByte(s[i:to], ' '); sp > 0 && lead(s[i:], alnum|dash) == sp && sp < 20 && to > i+sp+1 {
		i += sp + 1
	}
	if to <= i || strings.HasPrefix(s[i:], marker) || reference(s[i:to]) {
		return span{}
	}
	return span{i, to, "header"}
}

// flag is a flag in a line of shell with its value in the next word.
func flag(s string, i int) span {
	end := i + lead(s[i:], alnum|dash|under)
	if end >= len(s) || s[end] != ' ' || end-i < 2 {
		return glued(s, i, end)
	}
	name := s[i:end]
	if !secretFlag(name) && (!mayTakeSecret(name) || !secretAfter(clientBefore(s, i), name)) {
		return glued(s, i, end)
	}
	from, to := valueAt(s, end)
	v := s[from:to]
	if clientUser(name) {
		if at := strings.IndexByte(v, ':'); at >= 0 {
			from, v = from+at+1, v[at+1:]
		} else {
			return span{}
		}
	}
	if !isValue(v) {
		return span{}
	}
	return span{from, to, "flag"}
}

// glued is a secret written against its flag: mysql -pSECRET.
func glued(s string, i, end int) span {
	if end-i < 3 || strings.IndexByte("pPuU", s[i+1]) < 0 {
		return span{}
	}
	_, to := valueAt(s, i)
	v, ok := gluedSecret(clientBefore(s, i), s[i:to])
	if !ok {
		return span{}
	}
	return span{to - len(v), to, "flag"}
}

// isValue reports whether a word can be a secret at all.
func isValue(v string) bool {
	return v != "" && v != "-" && v[0] != '-' && !strings.HasPrefix(v, marker) && !reference(v)
}

// reference is a value that only names where the secret is.
func reference(v string) bool {
	if v[0] == '$' || v[0] == '`' || v[0] == '<' || v[0] == '{' || v[0] == '%' && strings.HasSuffix(v, "%") || strings.HasPrefix(v, "@/") {
		return true
	}
	at := strings.IndexByte(v, ':')
	return at >= 0 && at+1 < len(v) && (v[at+1] == '$' || strings.HasPrefix(v[at+1:], marker)) || variable(v)
}

// variable is the name of a variable that holds a secret, as --secret API_KEY or
// --secret API_KEY@host has it.
func variable(v string) bool {
	name, _, _ := strings.Cut(v, "@")
	return lead(name, upper|under) == len(name) && strings.Contains(strings.Trim(name, "_"), "_") && weigh(name) == telling
}

// secretValue reports whether v, assigned to a name of this weight, is a secret.
func secretValue(v string, w weight) bool {
	if !isValue(v) || strings.Trim(v, "*xX.") == "" {
		return false
	}
	switch strings.ToLower(v) {
	case "true", "false", "yes", "no", "on", "off", "null", "none", "nil", "auto", "ask", "prompt", "required", "undefined":
		return false
	}
	if len(v) <= 6 && lead(v, digit) == len(v) {
		return false
	}
	if filePath(v) {
		return false
	}
	if w == telling {
		return true
	}
	return len(v) >= 20 || len(v) >= 6 && strings.ContainsAny(v, "0123456789") && lead(v, alnum) >= 5 && !strings.ContainsAny(v, "/()[]{}")
}

// filePath reports whether v is a path rather than base64 that begins with a slash.
func filePath(v string) bool {
	if strings.HasPrefix(v, "./") || strings.HasPrefix(v, "~/") || strings.HasPrefix(v, "../") || strings.HasPrefix(v, "file:") {
		return true
	}
	if v[0] != '/' {
		return false
	}
	return len(v) < minRandom || strings.ContainsAny(v, "._-") || entropy(v) < 4.3
}

// minRandom is the shortest word that may be a secret for its randomness alone.
const minRandom = 32

const randomClass = alnum | base | dash | under

// random is a long random word beside a telling name. Commit hashes, digests
// and UUIDs stay.
func random(s string, i int) span {
	n := lead(s[i:], randomClass)
	v := s[i : i+n]
	if n < minRandom || n > 4096 {
		return span{}
	}
	if lead(strings.ToLower(v), hexa) == n {
		if n == 40 || n == 64 || n == 96 || n == 128 || entropy(v) < 3.2 {
			return span{}
		}
	} else if entropy(v) < 4.3 || !strings.ContainsAny(v, "0123456789") {
		return span{}
	}
	before := s[max(0, i-40):i]
	if at := strings.LastIndexAny(before, ";|&\n"); at >= 0 {
		before = before[at+1:]
	}
	for _, word := range strings.FieldsFunc(before, func(r rune) bool { return r == ' ' || r == '=' || r == ':' || r == '"' || r == '\'' || r == ',' }) {
		if weigh(word) != innocent {
			return span{i, i + n, "random"}
		}
	}
	return span{}
}

// entropy is Shannon's, in bits a byte.
func entropy(s string) float64 {
	var count [256]int
	for i := range len(s) {
		count[s[i]]++
	}
	var e float64
	for _, c := range count {
		if c > 0 {
			p := float64(c) / float64(len(s))
			e -= p * math.Log2(p)
		}
	}
	return e
}
