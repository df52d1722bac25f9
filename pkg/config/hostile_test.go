package config_test

import (
	"strings"
	"testing"
	"time"
)

// Files made to be slow end soon, one way or the other.
func TestHostileFiles(t *testing.T) {
	const size = 1 << 20
	for name, text := range map[string]string{
		"unknown keys":   many(size, "k%=1\n"),
		"unknown tables": many(size, "[t%]\n"),
		"deep arrays":    "a = " + strings.Repeat("[", size/2-10) + strings.Repeat("]", size/2-10),
		"deep tables":    "[" + strings.Repeat("a.", size/2-10) + "a]",
		"deep inline":    "a = " + strings.Repeat("{a=", size/8) + "1" + strings.Repeat("}", size/8),
		"one long list":  "forward_env = [" + strings.Repeat("\"A\",", size/4-20) + "]",
		"long domains":   "[network]\nallowed_domains = [" + strings.Repeat("\"ＡА.example\",", size/18) + "]",
		"many mounts":    many(size, "[[mounts]]\nhost=\"~/a\"\ncontainer=\"/a%\"\n"),
		"list within":    "forward_env = [" + strings.Repeat("\"A\",", 9900) + "]",
		"mounts within":  many(120_000, "[[mounts]]\nhost=\"~/a\"\ncontainer=\"/a%\"\n"),
		"keys within":    many(90_000, "k%=1\n"),
		"names within":   "[network]\nallowed_domains = [" + strings.Repeat("\"ＡА.example\",", 9900) + "]",
		"array tables":   many(size, "[[mounts.x.y%]]\n"),
	} {
		w := newWorld(t)
		if len(text) > size {
			text = text[:strings.LastIndexByte(text[:size], '\n')+1]
		}
		w.project(text)
		start := time.Now()
		_, err := w.try()
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%s: %s", name, took)
		} else {
			t.Logf("%s: %s, %.60v", name, took.Round(time.Millisecond), err)
		}
	}
}

// many repeats a line with % counted up.
func many(size int, line string) string {
	var b strings.Builder
	for n := 0; b.Len() < size-len(line)-10; n++ {
		b.WriteString(strings.ReplaceAll(line, "%", strings.Repeat("a", n%7)+string(rune('a'+n/7%26))+string(rune('a'+n/182%26))+string(rune('a'+n/4732%26))+string(rune('a'+n/123032%26))))
	}
	return b.String()
}
