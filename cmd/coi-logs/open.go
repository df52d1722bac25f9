package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/code-on-incus/coi/pkg/home"
)

// opener opens log files: regular ones of the user, or links to such in the
// same folder.
func opener(dir string) func(string) (*os.File, error) {
	return func(path string) (*os.File, error) {
		f, err := home.Open(path)
		if err == nil || !errors.Is(err, home.ErrUnsafe) {
			return f, err
		}
		real, rerr := filepath.EvalSymlinks(path)
		folder, ferr := filepath.EvalSymlinks(dir)
		if rerr != nil || ferr != nil || real == path || !strings.HasPrefix(real, folder+"/") {
			return nil, err
		}
		return home.Open(real)
	}
}
