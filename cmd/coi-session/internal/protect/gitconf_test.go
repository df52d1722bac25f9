package protect

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// R-REG-09: the keys that run programs or redirect, in every spelling.
func TestDangerous(t *testing.T) {
	for _, text := range []string{
		"[core]\nhooksPath = x", "[CORE] FSMonitor = x", "[core]\n\tsshCommand=x", "[core]editor=x", "[core]\npager", "[core]\ngitProxy=x",
		"[core]askPass=x", "[core]alternateRefsCommand=x", "[filter \"lfs\"]\nclean=x", "[filter.lfs]\nsmudge=x", "[diff \"a\"]\ncommand=x",
		"[diff \"a\"]textconv=x", "[merge \"a\"]driver=x", "[alias]\nst = !x", "[alias]\nst = \"!x\"", "[alias]\nst = \" !x\"", "[credential]\nhelper=x",
		"[credential \"https://example.com\"]\nhelper=x", "[include]\npath=x", "[includeIf \"gitdir:/\"]\npath=x", "[url \"x\"]\ninsteadOf=y",
		"[gpg]\nprogram=x", "[gpg \"ssh\"]\nprogram=x", "[gpg \"ssh\"]defaultKeyCommand=x", "[remote \"o\"]\nvcs=x", "[remote \"o\"]uploadpack=x",
		"[remote \"o\"]receivepack=x", "[submodule \"s\"]\nupdate=!x", "[init]templateDir=x", "[sequence]editor=x", "[interactive]diffFilter=x",
		"[protocol \"ext\"]allow=always", "[core]\nfsmonitor = x\\\ny", "[pager]\nlog = x", "[diff]external=x", "[core]worktree=/home/u", "[core]worktree=../../..",
		"[diff.x \"y\"]command=z", "\xef\xbb\xbf[core]\r\nfsmonitor=x\r\n",
	} {
		vars, err := gitConfig([]byte(text))
		if err != nil {
			t.Errorf("gitConfig(%q): %v", text, err)
			continue
		}
		if _, gone := split(vars, "sub/.git"); len(gone) == 0 {
			t.Errorf("%q is taken for harmless: %+v", text, vars)
		}
	}
	for _, text := range []string{
		"[core]\nbare = false", "[alias]\nst = status", "[remote \"o\"]\nurl = https://example.com/x", "[submodule \"s\"]\nupdate = rebase",
		"[user]\nname = x ; fsmonitor", "[core] # fsmonitor = x\nautocrlf", "[core]worktree = ../../sub", "[branch \"[core]fsmonitor=x\"]\nremote = o",
	} {
		vars, err := gitConfig([]byte(text))
		if _, gone := split(vars, "a/b/c"); err != nil || len(gone) != 0 {
			t.Errorf("%q: %v, %v; want harmless", text, gone, err)
		}
	}
	for _, text := range []string{"[core", "x = 1", "[core]\n=x", "[core]\nx = \"a", "[core]\nx = \\q", "[core \"a\nb\"]\nx=1", "[co\x00re]", "[core]\nx y", "[]\nx=1"} {
		if vars, err := gitConfig([]byte(text)); err == nil {
			t.Errorf("gitConfig(%q) = %+v; want an error", text, vars)
		}
	}
}

// R-OWN-02: whatever we keep, git reads from our writing as we did.
func FuzzGitConfig(f *testing.F) {
	f.Add([]byte("[core]\n\tx = \"a;b\" c \\\n d # e\n[a \"b\\\"c\"]k\n[s.T]z=\"\\t\\n\\b\\\\\""))
	f.Fuzz(func(t *testing.T, text []byte) {
		vars, err := gitConfig(text)
		if err != nil {
			return
		}
		again, err := gitConfig(writeConfig(vars))
		if err != nil || len(again) != len(vars) {
			t.Fatalf("%q: written as %q, read as %+v, %v", text, writeConfig(vars), again, err)
		}
		for i := range vars {
			if again[i] != vars[i] {
				t.Fatalf("%q: %+v became %+v", text, vars[i], again[i])
			}
		}
	})
}

// The same file is given to git itself.
func TestAgreesWithGit(t *testing.T) {
	for _, text := range []string{
		"[core]\n\tx = \"a;b\" c \\\n d # e\n", "[a \"b\\\"c\"]\nk\n", "[s.T]\nz=\"\\t\\\\\"\n", "[a] b = c  d  \n", "[a \"X y\"] b=\"  \"\n", "[a]\r\nb = c\r\n", "[A]\nB = C ; d\n",
	} {
		vars, err := gitConfig([]byte(text))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		dir := t.TempDir()
		original, ours := filepath.Join(dir, "a"), filepath.Join(dir, "b")
		must(t, os.WriteFile(original, []byte(text), 0o600), os.WriteFile(ours, writeConfig(vars), 0o600))
		if a, b := gitList(t, original), gitList(t, ours); a != b || a == "" {
			t.Errorf("%q: git reads %q, and from our writing %q", text, a, b)
		}
	}
}

func gitList(t *testing.T, file string) string {
	t.Helper()
	out, err := exec.Command("git", "config", "--file", file, "--list", "-z").Output()
	must(t, err)
	return strings.ReplaceAll(string(out), "\x00", "|")
}
