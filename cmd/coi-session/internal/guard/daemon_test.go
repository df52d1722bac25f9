package guard

import (
	"os"
	"path/filepath"
	"testing"
)

// A guard that ends at once is quoted with its error, not with its advice alone.
func TestLastWords(t *testing.T) {
	for log, want := range map[string]string{
		"": "",
		"2026/01/01 00:00:00 [network] in force\n":                                        "2026/01/01 00:00:00 [network] in force",
		"coi-netguard: error: table coi is another's\nhint: use the same HOME\n":          "table coi is another's; hint: use the same HOME",
		"coi-netguard: error: old\nx\nx\nx\nx\nx\ncoi-netguard: error: no right\n":        "no right",
		"coi-netguard: error: of an earlier run\n1\n2\n3\n4\n5\nwatching as 4711: ebpf\n": "watching as 4711: ebpf",
	} {
		path := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(path, []byte(log), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := lastWords(path); got != want {
			t.Errorf("lastWords(%q) = %q; want %q", log, got, want)
		}
	}
	if got := lastWords("/nonexistent/log"); got != "see /nonexistent/log" {
		t.Errorf("without a log: %q", got)
	}
}
