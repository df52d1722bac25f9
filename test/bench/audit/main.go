// Command audit measures coi audit, coi logs and the appender on generated
// files, compares them with ripgrep and jq in the same run, and checks that the
// answers are those of jq.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "audit bench: error: "+err.Error())
		os.Exit(1)
	}
}

// bench is one run: where the files are and how the results are written.
type bench struct {
	out    io.Writer
	dir    string // COI_HOME
	bin    string
	rounds int
	size   int64 // of the trail in bytes
	sample int64 // of the trail that jq has to read
	wrong  int   // answers
	corpus string
}

func run(args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("audit bench", flag.ContinueOnError)
	size := flags.Int64("size", 1024, "MiB of the generated trail")
	sample := flags.Int64("sample", 32, "MiB of the trail jq reads; its time is scaled")
	rounds := flags.Int("rounds", 3, "how often each thing is done; the best counts")
	corpus := flags.String("corpus", "", "JSON Lines with ordinary command lines in cmd, of which few may be redacted")
	tmp := flags.String("dir", "", "folder for the generated files; a temporary one when empty")
	if err := flags.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(*tmp, "coi-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b := &bench{out: out, dir: filepath.Join(dir, "coi"), bin: filepath.Join(dir, "bin"), rounds: *rounds, size: *size << 20, sample: *sample << 20, corpus: *corpus}
	for _, step := range []func() error{b.build, b.start, b.filters, b.appender, b.follow, b.logs, b.redaction} {
		if err := step(); err != nil {
			return err
		}
	}
	if b.wrong > 0 {
		return fmt.Errorf("%d answers are not those of jq", b.wrong)
	}
	return nil
}

func (b *bench) build() error {
	for _, d := range []string{b.bin, filepath.Join(b.dir, "audit"), filepath.Join(b.dir, "logs")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return err
		}
	}
	for _, p := range []string{"coi-audit", "coi-logs"} {
		cmd := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(b.bin, p), "github.com/code-on-incus/coi/cmd/"+p)
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w: %s", cmd.Args, err, text)
		}
	}
	_, _ = fmt.Fprintf(b.out, "%-34s %12s  %-12s %s\n", "WHAT", "FIGURE", "GOAL", "")
	return nil
}

// row prints one figure with its goal; a missed one fails nothing.
func (b *bench) row(what, figure, goal string, ok bool, note string) {
	verdict := "ok"
	if !ok {
		verdict = "MISSED"
	}
	_, _ = fmt.Fprintf(b.out, "%-34s %12s  %-12s %-6s %s\n", what, figure, goal, verdict, note)
}
