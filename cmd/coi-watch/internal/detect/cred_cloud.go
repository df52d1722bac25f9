package detect

import (
	"path"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/event"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/paths"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var credCloud = Detector{
	ID: "cred.cloud", Level: coi.High, Wants: files,
	Title: "credential file read",
	Why:   "tools read their own credential files; a generic reader has no need to",
	Detect: either(cloud, func(ev event.Event, v track.View) []Finding {
		c := v.PathClasses(ev.Path)
		if !readEvent(ev) || !paths.Any(c, paths.Cloud, paths.Forge, paths.Agent, paths.Browser, paths.Wallet) || inWorkspace(v, ev.Path) || !generic(v.Proc()) {
			return nil
		}
		return one(Finding{Level: coi.Warning, Title: "credential file read by " + v.Proc().Name, Path: ev.Path, Op: "open", PID: ev.PID})
	}),
	Fire: append(append(lines(coi.Warning, "cat ~/.aws/credentials", "cp ~/.kube/config /tmp/k", "grep token ~/.config/gh/hosts.yml", "cat ~/.git-credentials", "base64 ~/.docker/config.json", "tar czf /tmp/a.tgz ~/.aws", "cat ~/.netrc", "cat ~/.npmrc ~/.pypirc", "strings ~/.config/gcloud/credentials.db", "cat ~/.claude/.credentials.json", "cat /home/*/.npmrc", "python3 -c \"print(open('/root/.aws/credentials').read())\"", "sudo cat /root/.pgpass"),
		lines(coi.High, "tar czf /tmp/a.tgz ~/.aws ~/.config/gcloud ~/.azure", "cp -r ~/.aws ~/.kube /tmp/s", "cp ~/.mozilla/firefox/x.default/logins.json /tmp", "cp -r ~/.config/google-chrome/Default /tmp/c", "cat ~/.bitcoin/wallet.dat | base64", "tar cf /tmp/b.tar ~/.config/google-chrome", "tar czf /tmp/w.tgz ~/.config/Exodus", "sqlite3 '/home/code/.config/chromium/Default/Login Data' .dump")...), events(event.Event{Type: event.Open, PID: 3, Exe: "/usr/bin/cat", Path: "/home/code/.aws/credentials"})...),
	Quiet: append(lines("", "aws s3 ls", "npm publish", "kubectl get pods", "docker login", "echo x > ~/.npmrc", "cat .npmrc", "ls ~/.aws", "chmod 600 ~/.kube/config", "cp ~/.kube/config ~/.kube/config.bak", "mkdir -p ~/.kube && cp admin.conf ~/.kube/config", "npm config set //r/:_authToken x", "test -f ~/.netrc", "aws configure sso", "chmod 0600 $HOME/.gem/credentials", "git config credential.helper store"),
		events(event.Event{Type: event.Open, PID: 3, Exe: "/usr/bin/npm", Path: "/home/code/.npmrc"})...),
}

// generic reports programs that have no credential files of their own.
func generic(p track.Process) bool {
	if p.Role != "" {
		return false
	}
	switch p.Class {
	case program.Reader, program.Search, program.Shell, program.Archiver, program.Relay, program.Uploader:
		return true
	}
	return program.Writable(p.Exe)
}

func cloud(s *command.Simple, v track.View) *Finding {
	if packaged(s, v) || s.Class() == program.Package || s.Class() == program.VCS {
		return nil
	}
	if n := stores(s, v); n > 1 && (s.Class() == program.Archiver || s.Is("cp", "rsync", "scp", "install")) && !installs(s) {
		return say(s, coi.High, "credential files of several services collected")
	}
	var best *Finding
	for _, a := range s.Accesses() {
		c := classes(v, a)
		if !taken(a) || !paths.Any(c, paths.Cloud, paths.Forge, paths.Agent, paths.Browser, paths.Wallet) {
			continue
		}
		level := coi.Warning
		switch {
		case installs(s):
			level = coi.Info
		case paths.Any(c, paths.Browser, paths.Wallet):
			level = coi.High
		case (shown(s) || s.Class() == program.Editor) && settingsFile(a.Path) && !strings.Contains(a.Path, "*"):
			level = coi.Info
		}
		if best == nil || level.Rank() > best.Level.Rank() {
			best = say(s, level, "credential file read by "+s.Name).at(a.Path, a.Op)
		}
	}
	if best != nil {
		return best
	}
	if s.Name == "sqlite3" {
		for _, w := range s.Argv[1:] {
			if paths.Any(paths.Of(w, false), paths.Browser) {
				return say(s, coi.High, "browser store read").at(w, command.Read)
			}
		}
	}
	return nil
}

// stores counts the credential folders and files that a command takes.
func stores(s *command.Simple, v track.View) int {
	seen := map[string]bool{}
	for _, a := range s.Accesses() {
		if taken(a) && paths.Any(classes(v, a), paths.Cloud, paths.Forge, paths.Agent, paths.Browser, paths.Wallet, paths.Keys) {
			seen[a.Path] = true
		}
	}
	return len(seen)
}

// installs reports commands that put a credential file into the place of one.
func installs(s *command.Simple) bool {
	for _, a := range s.Accesses() {
		if a.Op == command.Write && (paths.Any(a.Classes, paths.Cloud, paths.Forge) || a.Path2 != "" && path.Dir(a.Path) == path.Dir(a.Path2)) {
			return true
		}
	}
	return false
}

// shown reports commands that print to where they were typed: no pipe, no file.
func shown(s *command.Simple) bool {
	return s.Is("cat", "less", "more", "head", "tail", "bat", "jq", "yq", "grep", "nl") && s.FDs[1] == "" && !s.Subst && s.Parent != nil && s.Parent.Parent == nil
}

// settingsFile reports files that hold settings first and a secret now and then.
func settingsFile(p string) bool {
	return oneOf(base(p), "config.json", "config", ".npmrc", ".yarnrc.yml", "settings.xml", "gradle.properties", "pip.conf", "config.yml", "config.toml", "NuGet.Config", ".claude.json", ".aider.conf.yml", "rclone.conf", "cli.toml", ".terraformrc")
}
