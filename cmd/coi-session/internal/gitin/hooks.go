package gitin

import (
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-session/internal/bundle"
)

// hookNames are all hooks of githooks(5) that git looks up in core.hooksPath;
// each needs a stand-in, since a repository's own is not found there.
var hookNames = []string{
	"applypatch-msg", "pre-applypatch", "post-applypatch", "pre-commit", "pre-merge-commit", "prepare-commit-msg", "commit-msg", "post-commit",
	"pre-rebase", "post-checkout", "post-merge", "pre-push", "pre-receive", "update", "proc-receive", "post-receive", "post-update",
	"reference-transaction", "push-to-checkout", "pre-auto-gc", "post-rewrite", "sendemail-validate", "post-index-change",
	"p4-changelist", "p4-prepare-changelist", "p4-post-changelist", "p4-pre-submit",
}

// own ends every stand-in: it becomes the repository's own hook, with the same
// arguments, input and exit code.
const own = `own=$(git config --local --get core.hooksPath 2>/dev/null) || own=$(git config --global --get core.hooksPath 2>/dev/null) || own=
case "$own" in
"") own=$(git rev-parse --git-common-dir 2>/dev/null)/hooks ;;
"~/"*) own=$HOME/${own#"~/"} ;;
esac
hook=$own/${0##*/}
[ "$own" != ` + HooksDir + ` ] && [ -x "$hook" ] || exit 0
`

const runOwn = `exec "$hook" "$@"
`

// refuse is the function that guards a branch. case patterns are the globs.
const refuse = `refuse() {
  while IFS= read -r glob; do
    case "$1" in
    $glob) printf 'coi: %s on branch "%s" is refused here (git.protected_branches = "%s")\n' "$2" "$1" "$glob" >&2; return 0 ;;
    esac
  done <` + etc + `/protected-branches
  return 1
}
`

const head = "#!/bin/sh\n# Written by coi at every start.\n"

const commitGuard = refuse + `branch=$(git symbolic-ref --short -q HEAD) && refuse "$branch" "${0##*/}" && exit 1
`

// pushGuard reads the list of references and hands it on to the own hook.
const pushGuard = refuse + `refs=$(cat)
printf '%s\n' "$refs" | (
  bad=0
  while read -r _ _ remote _; do
    case "$remote" in
    refs/heads/*) refuse "${remote#refs/heads/}" push && bad=1 ;;
    esac
  done
  exit $bad
) || exit 1
`

const pushOwn = `if [ -n "$refs" ]; then printf '%s\n' "$refs"; fi | "$hook" "$@"
`

// strip drops attribution lines. A message of which nothing would be left stays
// as it is, and so does one when a pattern is bad: it never blocks a commit.
const strip = `if grep -Eqf ` + etc + `/attribution "$1" 2>/dev/null; then
  new=$(mktemp) || new=
  if [ -n "$new" ]; then
    grep -Evf ` + etc + `/attribution "$1" | sed -e :a -e '/^\n*$/{$d;N;ba' -e '}' >"$new"
    if grep -Evq '^[[:space:]]*(#|$)' "$new"; then cat "$new" >"$1"; fi
    rm -f "$new"
  fi
fi
`

func (g *Git) files(c Config) {
	dir := func(p string) bundle.File { return bundle.File{Path: p, Mode: 0o755, Dir: true} }
	g.Files = append(g.Files, dir(etc), dir(HooksDir))
	list := func(name string, lines []string) {
		text := strings.Join(lines, "\n")
		if text != "" {
			text += "\n"
		}
		g.Files = append(g.Files, bundle.File{Path: etc + "/" + name, Mode: 0o644, Content: []byte(text)})
	}
	list("git-exclude", c.Excludes)
	list("protected-branches", oneLine(c.Branches))
	list("attribution", oneLine(c.Patterns))
	for _, name := range hookNames {
		g.Files = append(g.Files, bundle.File{Path: HooksDir + "/" + name, Mode: 0o755, Content: []byte(hook(name, c))})
	}
}

// oneLine leaves out empty entries, which would match everything, and entries
// that would be two lines.
func oneLine(list []string) []string {
	var out []string
	for _, s := range list {
		if s != "" && !strings.ContainsAny(s, "\n\r") {
			out = append(out, s)
		}
	}
	return out
}

func hook(name string, c Config) string {
	switch {
	case name == "commit-msg" && c.Strip && len(oneLine(c.Patterns)) > 0:
		return head + strip + own + runOwn
	case (name == "pre-commit" || name == "pre-merge-commit") && len(c.Branches) > 0:
		return head + commitGuard + own + runOwn
	case name == "pre-push" && len(c.Branches) > 0:
		return head + pushGuard + own + pushOwn
	}
	return head + own + runOwn
}
