// Command generate compiles the kernel programs of coi-watch into the object
// that is kept in the repository, together with the sum of what it was made of.
package main

import (
	"fmt"
	"os"
	"os/exec"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/bpf/source"
)

func main() {
	if err := generate(); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

// generate runs where go generate puts it: in the folder of package bpf.
func generate() error {
	for _, argv := range source.Commands("watch.o") {
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s: %w", argv[0], err)
		}
	}
	sum, err := source.Sum("c")
	if err != nil {
		return err
	}
	return os.WriteFile("watch.sum", []byte(sum+"\n"), 0o644) //nolint:gosec // a file of the repository
}
