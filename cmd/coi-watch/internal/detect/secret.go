package detect

import (
	"regexp"
	"slices"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/paths"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
)

// secret says what a command puts out that nobody outside should have: "" if
// nothing.
func secret(s *command.Simple, v track.View) string {
	switch s.Name {
	case "env", "printenv":
		if s.Name == "printenv" && len(s.Parsed().Rest) > 0 && !secretVar(s.Parsed().Rest[0]) {
			return ""
		}
		if len(s.Parsed().Rest) == 0 || s.Name == "printenv" {
			return "the environment"
		}
	case "set", "declare", "typeset":
		if len(s.Argv) == 1 || s.Arg("-p", "-x", "-px", "-xp") {
			return "the environment"
		}
	case "export":
		if len(s.Argv) == 1 || s.Arg("-p") {
			return "the environment"
		}
	case "history":
		if len(s.Argv) == 1 {
			return "the shell history"
		}
	case "gh", "gcloud", "aws", "az", "vault", "op", "pass", "kubectl", "git", "docker", "security", "secret-tool", "gpg":
		if w := tokenCommand(s); w != "" {
			return w
		}
	case "crontab":
		return ""
	case "getent":
		if s.Arg("shadow") {
			return "password hashes"
		}
	}
	if hiddenProgram(s) {
		return "what a hidden program says"
	}
	for _, a := range s.Accesses() {
		if a.Op != command.Read && a.Op != command.Some && a.Op != command.Search {
			continue
		}
		if w := secretFile(v, a); w != "" && (a.Op != command.Search || !a.Tree || len(classes(v, a)) > 0) {
			return w
		}
	}
	for _, c := range s.Code {
		if hasAny(c.Text, "os.environ", "process.env)", "process.env,", "ENV.to_h", "ENV.inspect", "getenv()", "%ENV", "System.getenv()", "JSON.stringify(process.env") {
			return "the environment"
		}
	}
	return ""
}

// hiddenProgram reports a program of a hidden name in a place that everybody may
// write, which nobody knows and which is given nothing.
func hiddenProgram(s *command.Simple) bool {
	return len(s.Argv) == 1 && s.Class() == program.None && program.Writable(s.Prog) && strings.HasPrefix(base(s.Prog), ".") && len(s.Stdin) == 0
}

func secretVar(n string) bool {
	return hasAny(strings.ToUpper(n), "TOKEN", "SECRET", "KEY", "PASS", "CRED")
}

func tokenCommand(s *command.Simple) string {
	l := " " + s.Line() + " "
	for _, w := range []string{
		"auth token", "auth print-access-token", "auth application-default print", "configure export-credentials", "get-session-token", "account get-access-token", "kv get", "read secret", "item get", "get secret", "credential fill", "find-generic-password", "lookup", "export-secret-keys", "config view --raw", "print-identity-token",
	} {
		if strings.Contains(l, " "+w) || strings.Contains(l, w+" ") {
			return "a credential"
		}
	}
	return ""
}

// secretFile says what a file is that a command takes in.
func secretFile(v track.View, a command.Access) string {
	b := base(a.Path)
	if strings.HasPrefix(b, ".env") && b != ".env.example" && b != ".env.sample" && b != ".env.template" && b != ".envrc" {
		return "a file of project secrets"
	}
	if strings.HasSuffix(b, ".tfstate") || oneOf(b, "id_rsa", "id_ed25519", "credentials.json", "service_account.json", ".npmrc", ".netrc", "kubeconfig", ".pypirc", ".git-credentials", "secrets.yml", "secrets.yaml", "secrets.json", "secrets.env") {
		return "a credential file"
	}
	c := classes(v, a)
	switch {
	case paths.Any(c, paths.Credential...):
		return "a credential file"
	case paths.Any(c, paths.Accounts):
		return "the account list"
	case paths.Any(c, paths.Environ, paths.OwnEnviron):
		return "the environment"
	case paths.Any(c, paths.History):
		return "the shell history"
	case paths.Any(c, paths.SecurityLog, paths.Sudoers):
		return "a system file"
	case a.Tree && (paths.HomeOrRoot(a.Path) || (strings.HasSuffix(a.Path, "/.config") || strings.HasSuffix(a.Path, "/.local/share")) && paths.HomeOrRoot(strings.TrimSuffix(strings.TrimSuffix(a.Path, "/.config"), "/.local/share"))):
		return "an archive of " + a.Path
	}
	return ""
}

// sends reports programs that carry data to a host.
func sends(s *command.Simple) bool {
	switch s.Class() {
	case program.Relay, program.Downloader, program.Uploader:
		return s.Name != "openssl" || s.Arg("s_client", "s_server")
	}
	return s.Is("gh", "glab", "ssh", "mail", "sendmail", "mutt", "aws", "gsutil", "gcloud", "az", "ab", "sftp", "autossh", "hping3", "whois", "finger") || s.Name != "" && command.DevNet(s.FDs[1])
}

// ownHeader is a header of one's own with the output of a command in it.
var ownHeader = regexp.MustCompile(`^(?:--header=)?X[\w-]*:\s*\S*\$\(\)`)

// echoesSecret is the variable of a secret that a command prints.
func echoesSecret(s *command.Simple) bool {
	if !s.Is("echo", "printf") {
		return false
	}
	for _, a := range s.Argv[1:] {
		if m := variable.FindStringSubmatch(a); m != nil && secretVar(m[1]) {
			return true
		}
	}
	return false
}

// stolen finds secret data on its way into s: by pipe, in its words, or in a
// file that it sends.
func stolen(s *command.Simple, v track.View) string {
	for _, u := range s.Uploads() {
		if u.Pipe {
			if s.Class() == program.Relay && s.Name != "openssl" && slices.ContainsFunc(s.Stdin, echoesSecret) {
				return "a secret of the environment"
			}
			if w := firstSecret(s.Stdin, v); w != "" {
				return w
			}
		}
		if strings.Contains(u.Data, "$()") || strings.Contains(u.URL, "$()") {
			if w := firstSecret(s.From, v); w != "" {
				return w
			}
		}
		if u.File != "" {
			if w := firstSecret(writers(s.Abs(u.File), v), v); w != "" {
				return w
			}
		}
	}
	for _, a := range s.Argv[min(1, len(s.Argv)):] {
		if strings.Contains(a, "$()") && (strings.Contains(a, "://") || s.Class() == program.Uploader || s.Is("ssh", "whois", "finger")) {
			if w := firstSecret(s.From, v); w != "" {
				return w
			}
		}
		if ownHeader.MatchString(a) && s.Class() == program.Downloader && len(s.Hosts()) > 0 && !hasAny(strings.ToLower(a), "auth", "token", "key", "cookie", "secret") {
			if w := firstSecret(s.From, v); w != "" {
				return w
			}
		}
		if strings.Contains(a, "$()") && s.Class() == program.Downloader && len(s.Hosts()) > 0 {
			if w := firstSecret(s.From, v); w != "" && w != "a credential" && w != "a credential file" && w != "a file of project secrets" {
				return w // in a header; a token there is how one logs in
			}
		}
		if strings.Contains(a, "=$()") && s.Is("gh", "glab") && s.Arg("api") {
			if w := firstSecret(s.From, v); w != "" {
				return w
			}
		}
		if strings.Contains(a, "{}") && len(s.From) > 0 {
			if w := firstSecret(s.From, v); w != "" {
				return w
			}
		}
	}
	if command.DevNet(s.FDs[1]) {
		if w := firstSecret(append(s.Inputs(), s), v); w != "" {
			return w
		}
	}
	return ""
}

func firstSecret(list []*command.Simple, v track.View) string {
	for _, p := range list {
		if w := secret(p, v); w != "" {
			return w
		}
	}
	return ""
}

// writers are the commands of the same text whose output went into a file.
func writers(file string, v track.View) []*command.Simple {
	var out []*command.Simple
	if v.Command() == nil || file == "" {
		return nil
	}
	for _, s := range v.Command().Simples {
		for _, a := range s.Accesses() {
			if changes(a.Op) && a.Path == file {
				out = append(append(out, s), s.Inputs()...)
			}
		}
		if s.Class() == program.Archiver {
			for _, w := range s.Argv[1:] {
				if s.Abs(w) == file {
					out = append(out, s)
				}
			}
		}
	}
	return out
}
