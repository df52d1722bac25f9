package engine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// hostile fills a folder of rules with what is none.
func hostile(t *testing.T, dir, suffix string) (names []string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	at := func(name string) string {
		names = append(names, name+suffix)
		return filepath.Join(dir, name+suffix)
	}
	must(unix.Mkfifo(at("fifo"), 0o600))
	must(os.Symlink("loop"+suffix, at("loop")))
	must(os.Symlink("/dev/zero", at("zero")))
	must(os.Symlink("/etc/passwd", at("elsewhere")))
	must(os.WriteFile(at("huge"), nil, 0o600))
	must(os.Truncate(filepath.Join(dir, "huge"+suffix), 1<<40))
	var laughs strings.Builder
	laughs.WriteString("a0: &a0 [x, x]\n")
	for i := '1'; i <= '9'; i++ {
		laughs.WriteString("a" + string(i) + ": &a" + string(i) + " [" + strings.Repeat("*a"+string(i-1)+", ", 20) + "x]\n")
	}
	for name, text := range map[string]string{
		"binary": "\x7fELF\x00\xff\xfe\x80", "laughs": laughs.String() + "title: x\ndetection: *a9\n", "deep": strings.Repeat("[", 1<<16), "deeper": "a:\n  " + strings.Repeat("- ", 1<<16),
		"control": "title: \"\x1b[2J\"\n", "half": "[[pattern]]\nid = \"x", "regex": "[[pattern]]\nid = \"r\"\ntitle = \"r\"\nlevel = \"high\"\nexec = { argv = 're:(((a{1000}){1000}){1000}' }\nfire = [\"a\"]\nquiet = [\"b\"]\n",
	} {
		must(os.WriteFile(at(name), []byte(text), 0o600))
	}
	return names
}

// R-REG-24: whatever lies in the folders of rules, those that can be read are
// loaded, the rest is named, and nothing hangs, grows or ends.
func TestHostileRuleFolders(t *testing.T) {
	sigma, patterns, gtfo := t.TempDir(), t.TempDir(), t.TempDir()
	bad := map[string][]string{}
	bad[sigma] = hostile(t, sigma, ".yml")
	bad[patterns] = hostile(t, patterns, ".toml")
	bad[gtfo] = hostile(t, gtfo, ".md")
	good := map[string]string{
		filepath.Join(sigma, "good.yml"):     "title: good\nid: 00000000-0000-4000-8000-000000000001\nlogsource: {product: linux, category: process_creation}\ndetection: {a: {Image|endswith: /good}, condition: a}\nlevel: high\n",
		filepath.Join(patterns, "good.toml"): "[[pattern]]\nid = \"good\"\ntitle = \"good\"\nlevel = \"warning\"\nexec = { argv = 're:good' }\nfire = [\"good\"]\nquiet = [\"bad\"]\n",
	}
	for path, text := range good {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	set, err := LoadRules(Config{SigmaDir: sigma, PatternD: patterns, GTFODir: gtfo})
	if err != nil {
		t.Fatal(err)
	}
	if len(set.sigma.Rules) != 1 || len(set.patterns) != 1 {
		t.Errorf("%d Sigma rules and %d patterns are loaded; want the good ones", len(set.sigma.Rules), len(set.patterns))
	}
	said := strings.Join(set.problems(), "\n")
	for dir, names := range bad {
		for _, name := range names {
			if strings.HasPrefix(name, "regex") {
				name = "pattern:r:" // it has got as far as to have an id
			}
			if dir != gtfo && !strings.Contains(said, name) {
				t.Errorf("%s is neither loaded nor named", name)
			}
		}
	}
	if strings.ContainsRune(said, 0x1b) {
		t.Errorf("control characters of a rule: %q", said)
	}
}
