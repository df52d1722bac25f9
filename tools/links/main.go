// Command links makes the relative links of all verbs beside the binaries that
// do them: links DIR. A link that is right already is left alone; a verb whose
// binary is not in DIR gets none. With -n it only prints "verb binary" lines.
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/code-on-incus/coi/pkg/cli/verbs"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "links: error: "+err.Error())
		os.Exit(1)
	}
}

func run(args []string, stdout io.Writer) error {
	if len(args) == 1 && args[0] == "-n" {
		return list(stdout)
	}
	if len(args) != 1 {
		return fmt.Errorf("usage: links DIR | -n")
	}
	return link(args[0])
}

func list(w io.Writer) error {
	for _, v := range verbs.All {
		if v.Link() {
			if _, err := fmt.Fprintln(w, "coi-"+v.Name, v.Program); err != nil {
				return err
			}
		}
	}
	return nil
}

func link(dir string) error {
	for _, v := range verbs.All {
		if !v.Link() {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, v.Program)); err != nil {
			continue
		}
		if err := place(v.Program, filepath.Join(dir, "coi-"+v.Name)); err != nil {
			return err
		}
	}
	return nil
}

// place replaces path by a link to target in one step, so that a verb never
// disappears while an installation is in use.
func place(target, path string) error {
	if have, err := os.Readlink(path); err == nil && have == target {
		return nil
	}
	tmp := path + ".new"
	if err := os.Remove(tmp); err != nil && !os.IsNotExist(err) {
		return err
	}
	if err := os.Symlink(target, tmp); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
