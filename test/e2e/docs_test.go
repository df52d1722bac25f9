//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/code-on-incus/coi/pkg/cli/verbs"
	"github.com/code-on-incus/coi/test/internal/house"
)

// block is a fenced block of a page. Its kind is the whole info string:
//
//	sh                run here, in the page's own workspace, in order
//	sh terminal       run in a terminal until a session runs
//	sh dry-run        targets of make, shown and not made: CI makes them
//	sh clean-machine  for a bare machine: make clean-machine runs it in one
//	toml              a configuration of the user's, validated
//	toml profile      a profile of the user's, validated
//	json              parsed
//	text              output, or something that is no command
type block struct {
	page, kind, text string
	line             int
}

func (b block) String() string { return fmt.Sprintf("%s:%d (%s)", b.page, b.line, b.kind) }

// pages are all Markdown files of the sources.
func pages(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("git", "-C", the.Root, "ls-files", "-co", "--exclude-standard", "*.md").Output()
	if err != nil {
		t.Fatal(err)
	}
	list := strings.Fields(string(out))
	if len(list) < 10 {
		t.Fatalf("pages = %v", list)
	}
	return list
}

func blocks(t *testing.T, page string) (list []block) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(the.Root, page))
	if err != nil {
		t.Fatal(err)
	}
	var open *block
	for i, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "~~~") {
			t.Errorf("%s:%d: write ``` fences, which this test reads", page, i+1)
		}
		info, fence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case fence && open == nil:
			open = &block{page: page, kind: info, line: i + 1}
		case fence:
			list = append(list, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		}
	}
	if open != nil {
		t.Errorf("%s: the block is not closed", open)
	}
	return list
}

// Every command block in every page is run as a reader would paste it, and every
// configuration is validated; a block without a kind fails.
func TestEveryBlockOfThePages(t *testing.T) {
	ran := 0
	for _, page := range pages(t) {
		var dir string
		for _, b := range blocks(t, page) {
			if dir == "" {
				dir = workspace(t)
			}
			switch b.kind {
			case "sh":
				ran++
				runBlock(t, dir, b, b.text)
			case "sh terminal":
				terminal(t, dir, b)
			case "sh dry-run":
				runBlock(t, the.Root, b, "make() { command make -n \"$@\" > /dev/null; }\n"+b.text)
			case "toml":
				validate(t, dir, b, "config.toml")
			case "toml profile":
				validate(t, dir, b, "profiles/page/config.toml")
			case "json":
				if !json.Valid([]byte(b.text)) {
					t.Errorf("%s: not JSON", b)
				}
			case "sh clean-machine":
				if b.page != "README.md" {
					t.Errorf("%s: only the README's is run on a clean machine", b)
				}
			case "text":
				// What a reader would paste must not hide among output. (docs/tools is help.)
				if m := pasted.FindString(b.text); m != "" && !strings.HasPrefix(b.page, "docs/tools/") {
					t.Errorf("%s: %q is a command; want it in a block that is run", b, m)
				}
			default:
				t.Errorf("%s: no kind that a test knows", b)
			}
		}
	}
	if ran < 4 {
		t.Errorf("%d blocks ran; the guides have more", ran)
	}
}

// runBlock runs a block: a line that fails fails the test.
func runBlock(t *testing.T, dir string, b block, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	// bash gets the block as a file of its own, not as a line of ours.
	script := filepath.Join(t.TempDir(), "block")
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	like := the.Command(ctx, house.Call{Dir: dir, Args: []string{"version"}})
	cmd := exec.CommandContext(ctx, "bash", "-e", "-o", "pipefail", script)
	cmd.Dir, cmd.Env = dir, append(like.Env, "PATH="+filepath.Dir(like.Path)+":"+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s\n%s", b, err, strings.TrimSpace(text), out)
	}
}

// terminal runs a block in a terminal until its session runs, then ends it.
func terminal(t *testing.T, dir string, b block) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "tmux")
	tmux := func(args ...string) ([]byte, error) {
		cmd := exec.Command("tmux", append([]string{"-S", socket}, args...)...)
		cmd.Dir, cmd.Env = dir, the.Env()
		return cmd.CombinedOutput()
	}
	if out, err := tmux("new-session", "-d", "-x", "100", "-y", "30", "bash", "-c", strings.TrimSpace(b.text)+" 2>err"); err != nil {
		t.Fatalf("%s: %v: %s", b, err, out)
	}
	defer func() { _, _ = tmux("kill-server") }()
	said := func() []byte {
		text, _ := os.ReadFile(filepath.Join(dir, "err"))
		return text
	}
	err := house.Eventually(t.Context(), time.Minute, func() error {
		r := do(t, dir, "tmux", "list", "--json")
		var sessions []struct{ Container string }
		if err := json.Unmarshal([]byte(r.Stdout), &sessions); err != nil {
			return fmt.Errorf("%w: %s", err, r)
		}
		if len(sessions) == 0 {
			return fmt.Errorf("no session runs: %s: %s", r, said())
		}
		return nil
	})
	if err != nil {
		t.Errorf("%s: %v", b, err)
	}
	if r := do(t, dir, "kill", "--all", "--force"); r.Code != 0 {
		t.Errorf("%s: %s: %s", b, r, said())
	}
}

// validate has coi judge a configuration as the user's own.
func validate(t *testing.T, dir string, b block, name string) {
	t.Helper()
	top := t.TempDir()
	path := filepath.Join(top, "config.toml")
	files := map[string]string{path: "", filepath.Join(top, name): b.text}
	for file, text := range files {
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if r := doIn(t, house.Call{Dir: dir, Args: []string{"validate"}, Env: []string{"COI_CONFIG=" + path}}); r.Code != 0 {
		t.Errorf("%s: %s", b, r)
	}
}

var (
	pasted = regexp.MustCompile(`(?m)^\s*(\$ |sudo |make |apt-get )\S+`)
	inline = regexp.MustCompile("`(coi [^`]+)`")
	flag   = regexp.MustCompile(`(^|\s)(--[a-z][a-z-]*)`)
)

// Commands named in a sentence or a table exist, and so do their flags.
func TestCommandsNamedInPages(t *testing.T) {
	helps := map[string]string{}
	named := 0
	for _, page := range pages(t) {
		if page == "CHANGELOG.md" {
			continue // it speaks of what was
		}
		text, err := os.ReadFile(filepath.Join(the.Root, page))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range inline.FindAllStringSubmatch(string(text), -1) {
			command := strings.ReplaceAll(strings.ReplaceAll(m[1], `\|`, "|"), "\n", " ")
			command, _, _ = strings.Cut(command, " | ")
			command, _, _ = strings.Cut(command, " -- ")
			words := strings.Fields(command)
			verb := words[1]
			if strings.HasPrefix(verb, "-") || strings.ToUpper(verb) == verb {
				continue
			}
			named++
			if _, known := verbs.Find(verb); !known {
				t.Errorf("%s: %q: no such verb", page, m[1])
				continue
			}
			for _, f := range flag.FindAllStringSubmatch(command, -1) {
				if !takes(t, helps, words, f[2]) {
					t.Errorf("%s: %q: %s is no flag of it", page, m[1], f[2])
				}
			}
		}
	}
	if named < 30 {
		t.Errorf("%d commands found in the pages", named)
	}
}

// takes looks for a flag in the help of a verb and of its commands.
func takes(t *testing.T, helps map[string]string, words []string, flag string) bool {
	t.Helper()
	for n := 2; n <= min(4, len(words)); n++ {
		key := strings.Join(words[1:n], " ")
		if _, have := helps[key]; !have {
			helps[key] = do(t, the.Dir, append([]string{"help"}, words[1:n]...)...).Stdout
		}
		if strings.Contains(helps[key], flag) {
			return true
		}
	}
	return false
}

// The pages of the tools are what their help says now.
func TestToolPagesAreCurrent(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command("go", "run", "./tools/man", "--markdown", the.Bin, dir)
	cmd.Dir = the.Root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	have := filepath.Join(the.Root, "docs", "tools")
	n := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		n++
		want, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		got, err := os.ReadFile(filepath.Join(have, d.Name()))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("docs/tools/%s is not current (%v): run make docs", d.Name(), err)
		}
		return nil
	})
	old, _ := filepath.Glob(filepath.Join(have, "*.md"))
	if err != nil || len(old) != n {
		t.Errorf("%d pages, %d wanted (%v): run make docs", len(old), n, err)
	}
}
