package detect

import (
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/paths"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/inet"
)

var credToken = Detector{
	ID: "cred.token", Level: coi.High, Wants: files,
	Title: "machine token taken",
	Why:   "service account tokens and metadata services give the rights of the machine",
	Detect: either(token, func(ev event.Event, v track.View) []Finding {
		if !readEvent(ev) || !paths.Any(v.PathClasses(ev.Path), paths.Token) || !generic(v.Proc()) {
			return nil
		}
		return one(Finding{Level: coi.High, Title: "service account token read", Path: ev.Path, Op: "open", PID: ev.PID})
	}),
	Fire: append(lines(coi.High, "cat /var/run/secrets/kubernetes.io/serviceaccount/token", "kubectl exec p -- cat /run/secrets/kubernetes.io/serviceaccount/token", "T=$(cat /var/run/secrets/kubernetes.io/serviceaccount/token)", "curl http://169.254.169.254/latest/meta-data/iam/security-credentials/", "curl -H 'Metadata-Flavor: Google' http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token",
		"wget -qO- 'http://169.254.169.254/metadata/identity/oauth2/token?resource=x'", "curl 169.254.170.2$AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "python3 -c \"import urllib.request as u;print(u.urlopen('http://169.254.169.254/latest/meta-data/iam/security-credentials/x').read())\"", "curl http://100.100.100.200/latest/meta-data/ram/security-credentials/", "curl http://0xA9FEA9FE/latest/meta-data/iam/security-credentials/",
		"curl -H 'Metadata-Flavor: Google' http://metadata/computeMetadata/v1/instance/service-accounts/default/token", "curl http://169.254.43518/latest/meta-data/iam/security-credentials/", "curl 'http://[::ffff:a9fe:a9fe]/latest/meta-data/iam/security-credentials/'", "curl http://169.254.169%2e254/latest/user-data", "curl http://0xa9.0376.43518/latest/user-data",
		"curl 'http://[fd00:ec2::254]:80/latest/user-data'", "curl 'http://[fd20:ce::254]/computeMetadata/v1/instance/service-accounts/default/token'", "curl http://169.254.170.23/v1/credentials", "wget -qO- http://2852039166:80/latest/user-data", "curl http://168.63.129.16/machine/?comp=goalstate/identity"),
		lines(coi.Warning, "curl http://169.254.169.254/latest/meta-data/", "curl http://169.254.169.253/", "nc -z 168.63.129.16 80", "curl metadata.goog/computeMetadata/v1/", "curl http://192.192/", "wget -qO- 192.192", "nc 192.192 80", "curl http://0300.192/", "curl http://inſtance-data/", "curl http://ｍetadata.google.internal/", "curl http://①⑥⑨.②⑤④.①⑥⑨.②⑤④/", "curl 'http://[fd00:ec2:a:a:a:a:a:a]/'")...),
	Quiet: lines("", "cat /var/run/secrets/kubernetes.io/serviceaccount/namespace", "curl --cacert /var/run/secrets/kubernetes.io/serviceaccount/ca.crt https://kubernetes.default.svc/version", "kubectl get sa", "kubectl create token x", "aws sts get-caller-identity", "curl https://example.com/token", "gh auth token", "rg 169.254.169.254 .", "curl https://example.com/v169.254", "python3 -c 'print(169254.169254, 0xa9fe, \"1:2:3\")'", "curl http://198.51.100.7:8080/token", "curl http://169.254.0.1:8080/", "nc -z 169.254.0.1 53", "curl http://[2001:db8::1]/token", "node -e 'setTimeout(f, 1700000000)'", "curl http://192.193/", "curl http://größe.example.com/straße", "python3 -c 'print(\"①②③ ſ\")'"),
}

// Names of metadata services, and what in a text may be a spelling of an address.
var (
	metaName = regexp.MustCompile(`(?i)\bmetadata\.google\.internal\b|\bmetadata\.goog\b|\bmetadata\.tencentyun\.com\b|\binstance-data\b|//metadata/computemetadata\b`)
	metaForm = regexp.MustCompile(`[0-9A-Fa-f:]*::?[0-9A-Fa-f:.]+|[0-9０-９][0-9A-Fa-fx０-９X]*(?:[.。．｡][0-9A-Fa-fx０-９X]+)*`)
)

// keyHosts answer with nothing but credentials.
var keyHosts = []netip.Addr{netip.MustParseAddr("169.254.170.2"), netip.MustParseAddr("169.254.170.23"), netip.MustParseAddr("fd00:ec2::23")}

// metaHost finds a metadata service in a text, by name or by address in any
// spelling that programs read.
func metaHost(text string) (host string, keys bool) {
	if beyondASCII(text) {
		text = strings.Map(ascii, text)
	}
	if lower := strings.ToLower(text); strings.Contains(lower, "metadata") || strings.Contains(lower, "instance-data") {
		if h := metaName.FindString(text); h != "" {
			return h, false
		}
	}
	if !mayHaveAddress(text) {
		return "", false
	}
	if strings.Contains(text, "%") {
		if plain, err := url.PathUnescape(text); err == nil {
			text = plain
		}
	}
	for _, form := range metaForm.FindAllString(text, 64) {
		// A port may follow, and in a URL without slashes a colon come before.
		for _, f := range []string{form, cutPort(form), strings.TrimLeft(form, ":")} {
			if a, ok := inet.Literal(f); ok && inet.IsMetadata(a) {
				return a.String(), slices.Contains(keyHosts, a)
			}
		}
	}
	return "", false
}

// mayHaveAddress is a quick look that spares most texts a search: the shortest
// spellings (192.192) have six decimal digits, two colons in a row or seven in
// one address, or begin with 0x.
func mayHaveAddress(text string) bool {
	digits, colons := 0, 0
	for i := range len(text) {
		switch c := text[i]; {
		case c >= '0' && c <= '9':
			digits++
		case c >= 0x80, c == '%', i > 0 && c|0x20 == 'x' && text[i-1] == '0', i > 0 && c == ':' && text[i-1] == ':':
			return true
		case c == ':':
			colons++
		case c|0x20 < 'a' || c|0x20 > 'f':
			colons = 0
		}
		if digits >= 6 || colons >= 7 {
			return true
		}
	}
	return false
}

func beyondASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= 0x80 {
			return true
		}
	}
	return false
}

// ascii maps the letters and digits that programs take for plain ones in the name
// of a host: full-width, in circles, of mathematics, raised or lowered, and the two
// that fold to plain letters.
func ascii(r rune) rune {
	switch {
	case r < 0x80:
		return r
	case r >= '！' && r <= '～':
		return r - '！' + '!'
	case r == '\u017f': // long s
		return 's'
	case r == '\u212a': // sign of the kelvin
		return 'k'
	case r >= '①' && r <= '⑨':
		return r - '①' + '1'
	case r == '⓪', r == '⁰':
		return '0'
	case r >= 'ⓐ' && r <= 'ⓩ':
		return r - 'ⓐ' + 'a'
	case r >= 'Ⓐ' && r <= 'Ⓩ':
		return r - 'Ⓐ' + 'a'
	case r == '¹':
		return '1'
	case r == '²', r == '³':
		return r - '²' + '2'
	case r >= '⁴' && r <= '⁹':
		return r - '⁴' + '4'
	case r >= '₀' && r <= '₉':
		return r - '₀' + '0'
	case r >= 0x1d7ce && r <= 0x1d7ff:
		return (r-0x1d7ce)%10 + '0'
	case r >= 0x1d400 && r <= 0x1d6a3: // 26 alphabets
		return (r-0x1d400)%26 + 'a'
	}
	return inet.Narrow(r)
}

func cutPort(s string) string {
	h, _, _ := strings.Cut(s, ":")
	return h
}

func token(s *command.Simple, v track.View) *Finding {
	if s.Name == "kubectl" && s.Arg("get") && s.Arg("secret", "secrets") && s.Arg("-A", "--all-namespaces") {
		return say(s, coi.Warning, "secrets of all namespaces listed")
	}
	for _, a := range s.Accesses() {
		if taken(a) && paths.Any(classes(v, a), paths.Token) {
			return say(s, coi.High, "service account token read by "+s.Name).at(a.Path, a.Op)
		}
	}
	if textual(s) {
		return nil
	}
	text := s.Argv[min(1, len(s.Argv)):]
	for _, c := range s.Code {
		if !scripted(s) {
			text = append(text, c.Text)
		}
	}
	if s.Class() != program.Downloader && s.Class() != program.Relay && s.Class() != program.Interpreter && s.Class() != program.None {
		return nil
	}
	for _, a := range text {
		host, keys := metaHost(a)
		if host == "" {
			continue
		}
		if keys || hasAny(strings.ToLower(a), "security-credentials", "/token", "oauth2", "/identity", "user-data", "service-accounts", "pod-identity", "/v2/credentials", "/v1/credentials") {
			return say(s, coi.High, "machine token asked of the metadata service").to(host)
		}
		return say(s, coi.Warning, "metadata service asked").to(host)
	}
	return nil
}
