package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/code-on-incus/coi/pkg/cli/near"
	"github.com/code-on-incus/coi/pkg/cli/verbs"
)

// The exit codes of pkg/coi, repeated because that package starts a hash and a
// regular expression engine, which every start of every verb would pay for. A
// test compares them.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// world is what the dispatcher takes from outside; tests put their own in.
type world struct {
	stdout, stderr io.Writer
	environ        []string
	self           string   // own executable, links resolved
	path           []string // directories searched for external verbs, none when privileged
	exec           func(path string, argv, environ []string) error
}

func host() world {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		self, _ = os.Executable()
	}
	w := world{stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ(), self: self, exec: syscall.Exec}
	if !privileged() {
		w.path = searchPath(os.Getenv("PATH"))
	}
	return w
}

// privileged is true where a file on PATH must never be started: for root, and
// for a program that runs with rights its caller does not have.
func privileged() bool {
	return os.Geteuid() == 0 || os.Getuid() != os.Geteuid() || os.Getgid() != os.Getegid()
}

// isVerb reports whether a word may become the name of a program: a lower-case
// letter, then letters, digits and hyphens.
func isVerb(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (i == 0 || (c < '0' || c > '9') && c != '-') {
			return false
		}
	}
	return s != ""
}

// options that may stand before the verb; true means that a value follows.
var options = map[string]bool{
	"-w": true, "--workspace": true, "--profile": true, "--slot": true, "--tool": true, "--image": true, "--network": true,
	"--resume": false, "--continue": false, "--persistent": false, "--tmux": false, "--no-tmux": false,
	"-q": false, "--quiet": false, "--no-color": false,
}

// split finds the verb. Options in front of it are moved behind it; without a
// verb everything belongs to shell.
func split(args []string) (verb string, rest []string) {
	i := 0
	for i < len(args) && strings.HasPrefix(args[i], "-") && args[i] != "-" {
		name, _, attached := strings.Cut(args[i], "=")
		takes, known := options[name]
		if strings.HasPrefix(args[i], "-w") && len(args[i]) > 2 {
			takes, known, attached = true, true, true
		}
		if !known {
			return "shell", args
		}
		if i++; takes && !attached {
			i++
		}
	}
	if i >= len(args) {
		return "shell", args
	}
	return args[i], append(append([]string{}, args[:i]...), args[i+1:]...)
}

func run(argv []string, w world) int {
	args := argv[1:]
	if len(args) > 0 {
		if done, code := w.option(args); done {
			return code
		}
	}
	verb, rest := split(args)
	switch verb {
	case "help":
		return w.help(rest)
	case "version":
		return w.version(rest)
	case "completion":
		return w.completion(rest)
	}
	return w.start(verb, rest)
}

// option answers the options that stand for a verb of the dispatcher itself.
func (w world) option(args []string) (done bool, code int) {
	name, value, _ := strings.Cut(args[0], "=")
	switch name {
	case "--help", "-h":
		return true, w.help(args[1:])
	case "--version":
		return true, w.version(args[1:])
	case "--exec-path":
		w.say(dirOf(w.self))
		return true, exitOK
	case "--list-cmds":
		return true, w.listCommands(value)
	}
	return false, 0
}

// start becomes coi-<verb>. It returns only when that failed.
func (w world) start(verb string, args []string) int {
	if !isVerb(verb) {
		hints := []string{`run "coi help" for all verbs`}
		if strings.ContainsAny(verb, "/.~") {
			hints = []string{"coi -w " + strconv.QuoteToASCII(verb)}
		}
		return w.fail(exitUsage, "not a verb: "+strconv.QuoteToASCII(verb), hints...)
	}
	path, err := w.find(verb)
	if err != nil {
		return w.fail(exitFailed, fmt.Sprintf("cannot start coi-%s: %v", verb, err), "install coi again, or run it from a complete build directory")
	}
	if path == "" {
		return w.unknown(verb)
	}
	err = w.exec(path, append([]string{"coi-" + verb}, args...), w.environ)
	return w.fail(exitFailed, fmt.Sprintf("cannot start coi-%s: %s: %v", verb, path, err), "check the file's mode and owner")
}

func (w world) unknown(verb string) int {
	var hints []string
	for _, n := range near.Words(verb, names(verbs.All)) {
		hints = append(hints, "coi "+n)
	}
	return w.fail(exitUsage, "unknown verb "+strconv.QuoteToASCII(verb), append(hints, `run "coi help" for all verbs`)...)
}

func names(table []verbs.Verb) []string {
	out := make([]string, len(table))
	for i, v := range table {
		out[i] = v.Name
	}
	return out
}

func (w world) say(lines ...string) {
	_, _ = fmt.Fprintln(w.stdout, strings.Join(lines, "\n"))
}

func (w world) fail(code int, text string, hints ...string) int {
	_, _ = fmt.Fprintf(w.stderr, "coi: error: %s\n", text)
	for _, h := range hints {
		_, _ = fmt.Fprintf(w.stderr, "hint: %s\n", h)
	}
	return code
}
