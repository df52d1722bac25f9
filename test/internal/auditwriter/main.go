// Command auditwriter appends records to a trail until it is killed. It prints
// the id of each record that Append has acknowledged. Tests kill it.
package main

import (
	"fmt"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/audit"
	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
)

// usage: auditwriter HOME CONTAINER MAXSIZE CUT: with CUT > 0 the process dies
// in the write that would bring the file CUT bytes beyond its present size.
func main() {
	if err := run(os.Args[1:]); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 4 {
		return fmt.Errorf("usage: auditwriter HOME CONTAINER MAXSIZE CUT")
	}
	size, err := strconv.ParseInt(args[2], 10, 64)
	if err != nil {
		return err
	}
	cut, err := strconv.ParseInt(args[3], 10, 64)
	if err != nil {
		return err
	}
	h := home.Home{Dir: args[0], UID: os.Geteuid()}
	a, err := audit.Open(h, args[1], audit.Options{Source: audit.SourceWatch, Journal: "-", MaxSize: size})
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		if i == 1 && cut > 0 {
			if err := limit(h.Audit(args[1]+".jsonl"), cut); err != nil {
				return err
			}
		}
		level := coi.Info
		if i%50 == 7 {
			level = coi.High
		}
		recs, err := a.Append(record(i, level), record(i, coi.Info))
		if err != nil {
			continue // it waits in memory and dies with us: not acknowledged
		}
		for _, r := range recs {
			_, _ = fmt.Fprintln(os.Stdout, r.ID)
		}
	}
}

func record(i int, level coi.Level) audit.Record {
	return audit.Record{Type: audit.TypeExec, Level: level, Category: audit.CategoryExecution, Title: "record " + strconv.Itoa(i), Rule: "exec.seen", PID: os.Getpid()}
}

// limit makes the kernel cut a write short and kill us with the next.
func limit(path string, cut int64) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	// The runtime of Go survives SIGXFSZ. The default action of the kernel is
	// what we want: to die where the write was cut.
	var byDefault [4]uint64
	if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGXFSZ), uintptr(unsafe.Pointer(&byDefault)), 0, 8, 0, 0); errno != 0 {
		return errno
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return err
	}
	n := uint64(max(st.Size()+cut, 4096))
	return unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: n, Max: n})
}
