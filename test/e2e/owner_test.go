//go:build e2e

package e2e

import (
	"io/fs"
	"syscall"
)

// owner is the uid of a file, -1 when it is not known.
func owner(st fs.FileInfo) int {
	if st == nil {
		return -1
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		return int(sys.Uid)
	}
	return -1
}
