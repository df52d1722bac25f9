// Command gen writes the files that are made from the schema: the built-in
// values as TOML and the manual page. Its argument is the top of the tree.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/code-on-incus/coi/pkg/config"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gen: error: "+err.Error())
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: gen TOP")
	}
	for path, text := range map[string]string{
		"pkg/config/defaults.toml": config.WriteDefaults(),
		"docs/configuration.md":    config.Manual(),
	} {
		if err := os.WriteFile(filepath.Join(args[0], path), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
