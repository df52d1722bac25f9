package detect

import (
	"regexp"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/paths"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
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
		"wget -qO- 'http://169.254.169.254/metadata/identity/oauth2/token?resource=x'", "curl 169.254.170.2$AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "python3 -c \"import urllib.request as u;print(u.urlopen('http://169.254.169.254/latest/meta-data/iam/security-credentials/x').read())\"", "curl http://100.100.100.200/latest/meta-data/ram/security-credentials/", "curl http://0xA9FEA9FE/latest/meta-data/iam/security-credentials/"),
		lines(coi.Warning, "curl http://169.254.169.254/latest/meta-data/")...),
	Quiet: lines("", "kubectl get sa", "kubectl create token x", "aws sts get-caller-identity", "curl https://example.com/token", "gh auth token", "rg 169.254.169.254 ."),
}

var metaHost = regexp.MustCompile(`(?i)169\.254\.169\.254|metadata\.google\.internal|169\.254\.170\.2|169\.254\.170\.23|100\.100\.100\.200|fd00:ec2::254|0xa9fea9fe|2852039166|0251\.0376\.0251\.0376|\[::ffff:169\.254\.169\.254\]|instance-data|192\.0\.0\.192`)

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
		if !metaHost.MatchString(a) {
			continue
		}
		if hasAny(strings.ToLower(a), "security-credentials", "/token", "oauth2", "169.254.170.2", "/identity", "user-data", "service-accounts") {
			return say(s, coi.High, "machine token asked of the metadata service").to("169.254.169.254")
		}
		return say(s, coi.Warning, "metadata service asked").to("169.254.169.254")
	}
	return nil
}
