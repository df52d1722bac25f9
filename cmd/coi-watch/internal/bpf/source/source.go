// Package source says what the kernel programs are made of and how they are
// compiled; the generator and the test that keeps the object up to date share it.
package source

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
)

// Commands compile the programs into out. The prefix map and the stripping of
// debug information keep the builder's paths out of the object; the type
// information that the loader needs stays.
func Commands(out string) [][]string {
	return [][]string{
		{
			"clang", "-g", "-O2", "-Wall", "-Werror", "-Wno-unused-function", "-target", "bpf", "-mcpu=v3", "-fdebug-compilation-dir=.",
			"-fno-ident", "-c", "c/watch.bpf.c", "-o", out,
		},
		{"llvm-strip", "-g", out},
	}
}

// Sum is the SHA-256 over the names and contents of all files in dir, in hex.
func Sum(dir string) (string, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.[ch]"))
	if err != nil {
		return "", err
	}
	slices.Sort(names)
	h := sha256.New()
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil {
			return "", err
		}
		h.Write([]byte(filepath.Base(n) + "\x00"))
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
