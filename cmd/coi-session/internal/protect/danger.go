package protect

import (
	"path"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/beneath"
)

// dangerKeys run a program or send git elsewhere; "*" stands for any
// subsection. Keys are in lower case.
var dangerKeys = map[string]bool{
	"core.hookspath": true, "core.fsmonitor": true, "core.sshcommand": true, "core.editor": true, "core.pager": true,
	"core.gitproxy": true, "core.askpass": true, "core.alternaterefscommand": true, "core.attributesfile": true, "core.excludesfile": true,
	"diff.external": true, "diff.*.command": true, "diff.*.textconv": true, "merge.*.driver": true,
	"sequence.editor": true, "interactive.difffilter": true, "init.templatedir": true,
	"credential.helper": true, "credential.*.helper": true, "url.*.insteadof": true, "url.*.pushinsteadof": true,
	"remote.*.vcs": true, "remote.*.uploadpack": true, "remote.*.receivepack": true,
	"http.proxy": true, "http.*.proxy": true, "http.sslverify": true, "http.*.sslverify": true, "http.sslcainfo": true, "http.*.sslcainfo": true,
	"trailer.*.command": true, "trailer.*.cmd": true, "tar.*.command": true, "imap.tunnel": true,
	"difftool.*.cmd": true, "difftool.*.path": true, "mergetool.*.cmd": true, "mergetool.*.path": true, "browser.*.cmd": true, "browser.*.path": true,
	"man.*.cmd": true, "man.*.path": true, "guitool.*.cmd": true, "hook.*.command": true, "uploadpack.packobjectshook": true, "gc.recentobjectshook": true,
	"svn.authorsprog": true, "remote.*.proxy": true,
	"sendemail.sendmailcmd": true, "sendemail.*.sendmailcmd": true, "sendemail.smtpserver": true, "sendemail.tocmd": true, "sendemail.cccmd": true, "sendemail.headercmd": true,
	"instaweb.httpd": true, "instaweb.browser": true, "web.browser": true,
}

// dangerSections hold nothing that a repository needs to bring along.
var dangerSections = map[string]bool{"filter": true, "protocol": true, "include": true, "includeif": true, "pager": true}

// dangerous reports whether a variable of a repository that appeared during a
// session must not be obeyed on the host. gitdir is the repository's directory
// in the tree.
func dangerous(v variable, gitdir string) bool {
	if dangerSections[v.section] {
		return true
	}
	name := v.section + "." + v.key
	if v.hasSub {
		name = v.section + ".*." + v.key
	}
	switch {
	case dangerKeys[name]:
		return true
	case v.section == "alias":
		return !plainAlias(v.value)
	case v.section == "gpg":
		return strings.HasSuffix(v.key, "program") || v.key == "defaultkeycommand"
	case v.section == "submodule" && v.key == "update":
		return strings.HasPrefix(strings.TrimSpace(v.value), "!")
	case v.section == "lfs" && (v.sub == "customtransfer" || strings.HasPrefix(v.sub, "customtransfer.") || strings.HasPrefix(v.sub, "extension.")):
		return true
	case name == "core.worktree":
		return leaves(gitdir, v.value)
	}
	return false
}

// plainAlias reports whether an alias only gives a git command another name:
// options run programs too (grep -O, rebase -x, difftool -x, --exec-path).
func plainAlias(value string) bool {
	for _, c := range []byte(value) {
		if !isAlnum(c) && c != '-' {
			return false
		}
	}
	return value != "" && value[0] != '-'
}

// leaves reports whether a path written in dir leads out of the tree. A
// submodule's core.worktree is relative and stays inside.
func leaves(dir, p string) bool {
	if path.IsAbs(p) {
		return true
	}
	joined := path.Join(dir, p)
	return joined == ".." || strings.HasPrefix(joined, "../")
}

// hooksPaths are the places in the tree that core.hooksPath of the
// configuration files of a git directory names. A value that leads out of the
// tree is left out: the container cannot write there.
func hooksPaths(t Tree, gitdir string) []string {
	var out []string
	worktree := gitdir
	if path.Base(gitdir) == ".git" {
		worktree = cleanDir(path.Dir(gitdir))
	}
	for _, name := range []string{"config", "config.worktree"} {
		b, err := t.Root.ReadFile(path.Join(gitdir, name), maxGitConfig)
		if err != nil {
			continue
		}
		vars, err := gitConfig(b)
		if err != nil {
			continue
		}
		for _, v := range vars {
			if v.section == "core" && v.key == "worktree" && !leaves(gitdir, v.value) {
				worktree = cleanDir(path.Join(gitdir, v.value))
			}
			if v.section == "core" && v.key == "hookspath" {
				if rel, ok := t.rel(worktree, v.value); ok {
					out = append(out, rel)
				}
			}
		}
	}
	return out
}

// rel finds where a path that is written in dir lies in the tree; both its name
// on the host and its name inside count.
func (t Tree) rel(dir, p string) (string, bool) {
	if !path.IsAbs(p) {
		if leaves(dir, p) {
			return "", false
		}
		return cleanDir(path.Join(dir, p)), true
	}
	p = path.Clean(p)
	for _, base := range []string{t.Root.Path(), t.Inside} {
		if base != "" && beneath.Below(p, base) {
			return strings.TrimPrefix(strings.TrimPrefix(p, base), "/"), true
		}
	}
	return "", false
}

// cleanDir writes the root as "".
func cleanDir(p string) string {
	if p == "." {
		return ""
	}
	return p
}
