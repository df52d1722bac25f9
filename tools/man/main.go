// Command man makes a man page of each verb out of its own help: man BINDIR
// OUTDIR. With --markdown it makes a page of each tool, with the help of all its
// verbs and their commands. The help is the source; nothing is written twice.
package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/code-on-incus/coi/pkg/cli/verbs"
	"github.com/code-on-incus/coi/pkg/cli/version"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "man: error: "+err.Error())
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 3 && args[0] == "--markdown" {
		return markdown(args[1], args[2])
	}
	if len(args) != 2 {
		return fmt.Errorf("usage: man [--markdown] BINDIR OUTDIR")
	}
	seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	date := time.Unix(seconds, 0).UTC().Format("2006-01-02")
	top, err := help(args[0], "help")
	if err != nil {
		return err
	}
	if err := write(args[1], "coi", "run agents in machines of their own", date, top); err != nil {
		return err
	}
	for _, v := range verbs.All {
		text, err := whole(args[0], v.Name)
		if err != nil {
			return err
		}
		if err := write(args[1], "coi-"+v.Name, v.Summary, date, text); err != nil {
			return err
		}
	}
	return nil
}

func help(bin string, args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(bin, "coi"), args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Env = []string{"HOME=/nonexistent", "NO_COLOR=1", "COLUMNS=80"}
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, errs.String())
	}
	return out.String(), nil
}

func write(dir, name, summary, date, text string) error {
	return os.WriteFile(filepath.Join(dir, name+".1"), page(name, summary, date, text), 0o644)
}

// page is a man page with the help as it is printed. A line of the help that
// ends in a colon and starts at the margin becomes a heading.
func page(name, summary, date, text string) []byte {
	var b bytes.Buffer
	_, _ = fmt.Fprintf(&b, ".TH %s 1 %s %s coi\n.SH NAME\n%s \\- %s\n.SH DESCRIPTION\n.nf\n",
		strings.ToUpper(name), quote(date), quote("coi "+version.Number), escape(name), escape(summary))
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if head, ok := strings.CutSuffix(line, ":"); ok && head != "" && head[0] != ' ' && !strings.Contains(head, "  ") {
			_, _ = fmt.Fprintf(&b, ".fi\n.SH %s\n.nf\n", quote(strings.ToUpper(head)))
			continue
		}
		b.WriteString(escape(line) + "\n")
	}
	b.WriteString(".fi\n.SH SEE ALSO\n.BR coi (1)\n")
	return b.Bytes()
}

func quote(s string) string { return `"` + strings.ReplaceAll(escape(s), `"`, `\(dq`) + `"` }

// escape keeps roff from reading anything in a line as a request.
func escape(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}
