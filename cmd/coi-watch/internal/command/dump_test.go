package command

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestDump(t *testing.T) {
	b, _ := os.ReadFile("/tmp/detect-dump.txt")
	for l := range strings.Lines(string(b)) {
		l = strings.TrimSpace(l)
		fmt.Println("==", l)
		c := ParseText(l, Env{})
		for _, s := range c.Simples[1:] {
			fmt.Printf("   %s %q pipe=%d/%d/%d fds=%v dec=%v dyn=%v remote=%v loop=%v", s.Name, s.Argv, s.Pipe, s.Pos, s.Len, s.FDs, s.Decoded, s.Dynamic, s.Remote, s.Loop)
			for _, i := range s.Inputs() {
				fmt.Printf(" <-%s", i.Name)
			}
			for _, k := range s.Code {
				fmt.Printf(" CODE[%s %v %.60q]", k.Lang, k.Decoded, k.Text)
			}
			fmt.Println()
		}
	}
}
