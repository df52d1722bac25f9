package config_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/code-on-incus/coi/pkg/config"
)

// text is the effective configuration as config show prints it.
func text(c *config.Config) string {
	var b strings.Builder
	for _, e := range c.Entries() {
		if e.Value != nil {
			b.WriteString(e.Key + " = " + config.Format(e.Value) + "\n")
		}
	}
	return b.String()
}

// What is shown can be written into a file and means the same.
func TestShowRoundTrips(t *testing.T) {
	w := newWorld(t)
	complete, err := os.ReadFile("testdata/complete.toml")
	if err != nil {
		t.Fatal(err)
	}
	w.user(string(complete) + "[defaults.environment2]\n")
	if _, err := w.try(); err == nil {
		t.Fatal("an unknown table is accepted")
	}
	w.user(string(complete))
	first := text(w.load())
	w.user(first)
	if diff := cmp.Diff(first, text(w.load())); diff != "" {
		t.Errorf("shown and read again:\n%s", diff)
	}
}

// Every key of the schema is shown once, and has an origin.
func TestShowHasEveryKey(t *testing.T) {
	entries := newWorld(t).load().Entries()
	seen := map[string]int{}
	for _, e := range entries {
		seen[e.Key]++
		if e.Origin.Kind != config.BuiltIn {
			t.Errorf("%s comes from %v in an empty home", e.Key, e.Origin)
		}
	}
	for _, row := range config.Schema {
		want := 1
		switch row.Kind {
		case config.Map, config.Texts, config.Rules:
			want = 0
		}
		if seen[row.Key] != want {
			t.Errorf("%s is shown %d times; want %d", row.Key, seen[row.Key], want)
		}
	}
}

// Values of variables whose name looks secret are hidden, others are not.
func TestMasked(t *testing.T) {
	w := newWorld(t)
	w.user("[environment]\nGH_TOKEN = \"abc\"\nmy_password = \"abc\"\nEDITOR = \"vim\"\n")
	shown := map[string]any{}
	for _, e := range w.load().Entries() {
		shown[e.Key] = e.Masked().Value
	}
	for key, want := range map[string]string{"GH_TOKEN": "***", "my_password": "***", "EDITOR": "vim"} {
		if got := shown["defaults.environment."+key]; got != want {
			t.Errorf("%s is shown as %v; want %s", key, got, want)
		}
	}
}

func TestSelect(t *testing.T) {
	entries := newWorld(t).load().Entries()
	for _, c := range []struct {
		keys    []string
		n       int
		unknown string
		nearest string
	}{
		{nil, len(entries), "", ""},
		{[]string{"ssh"}, 1, "", ""},
		{[]string{"limits.memory", "ssh.forward_agent"}, 4, "", ""},
		{[]string{"netwrk"}, 0, "netwrk", "network"},
		{[]string{"net"}, 0, "net", "git"},
		{[]string{"defaults.environment"}, 0, "", ""},
	} {
		got, unknown, nearest := config.Select(entries, c.keys)
		if len(got) != c.n || unknown != c.unknown || c.unknown == "netwrk" && nearest != c.nearest {
			t.Errorf("Select(%v) = %d entries, %q, %q; want %d, %q, %q", c.keys, len(got), unknown, nearest, c.n, c.unknown, c.nearest)
		}
	}
}

// A starter file sets nothing and is valid.
func TestStarter(t *testing.T) {
	w := newWorld(t)
	empty := text(w.load())
	w.user(config.Starter())
	if diff := cmp.Diff(empty, text(w.load())); diff != "" {
		t.Errorf("the starter file changes:\n%s", diff)
	}
	var bare []string
	for line := range strings.Lines(config.Starter()) {
		if strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "# ") {
			line = line[1:]
		}
		bare = append(bare, line)
	}
	w.user(strings.Join(bare, ""))
	if diff := cmp.Diff(empty, text(w.load())); diff != "" {
		t.Errorf("the starter file with every # removed changes:\n%s", diff)
	}
}
