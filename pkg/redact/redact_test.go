package redact

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/run"
)

func testRedactor() *Redactor { return &Redactor{key: make([]byte, keyLen)} }

// body is n bytes that a token of this class may have.
func body(c class, n int) string {
	const letters = "a7Kd9Qf2Zx4Lm8Rt0Bv5Hn3Wj6Yp1Gs-_.+/~"
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		if ch := letters[(i*7+i/3)%len(letters)]; c.has(ch) {
			b.WriteByte(ch)
		}
	}
	return b.String()
}

// T-A-08: each token shape fires on a made-up token in every place a token can
// stand, and stays quiet on what only begins like one.
func TestTokenShapes(t *testing.T) {
	r := testRedactor()
	for _, rule := range rules {
		n := max(rule.min, 1)
		token := rule.prefix + body(rule.class, n)
		for _, form := range []string{"%s", "run --x %s now", "X=%s", `{"a":"%s"}`, "'%s'", "https://host.example/%s", "(%s)"} {
			text := fmt.Sprintf(form, token)
			if got := r.Text(text); strings.Contains(got, token) || !strings.Contains(got, marker) {
				t.Errorf("Text(%q) = %q; the %s is still there", text, got, rule.kind)
			}
		}
		if got := r.Text("see " + rule.quiet + " there"); strings.Contains(got, marker) {
			t.Errorf("Text(%q) = %q; want it as it is", rule.quiet, got)
		}
	}
}

// T-A-08: what stands where secrets stand.
func TestPlaces(t *testing.T) {
	r := testRedactor()
	for _, c := range []struct{ in, secret string }{
		{"curl -H 'Authorization: Bearer abcdefgh.ijklmnop' https://x.example", "abcdefgh.ijklmnop"},
		{"curl -H \"Authorization: Basic dXNlcjpodW50ZXIy\" x", "dXNlcjpodW50ZXIy"},
		{"Cookie: sid=abc; other=def", "sid=abc; other=def"},
		{"X-Api-Key: 12345abc", "12345abc"},
		{"PASSWORD=hunter2 make", "hunter2"},
		{"export DB_PASS='two words'", "two words"},
		{"GITHUB_TOKEN=abc", "abc"},
		{"--password hunter2 x", "hunter2"},
		{"--password=hunter2 x", "hunter2"},
		{"--client-secret s3cr3t", "s3cr3t"},
		{"mysql -u root -phunter2 db", "hunter2"},
		{"sshpass -p hunter2 ssh x", "hunter2"},
		{"redis-cli -a hunter2 ping", "hunter2"},
		{"curl -u me:hunter2 https://x.example", "hunter2"},
		{"git clone https://user:hunter2@git.example/x", "hunter2"},
		{"git clone https://abcdefghijklmnopqrst@git.example/x", "abcdefghijklmnopqrst"},
		{"postgres://app:hunter2@db.example:5432/x", "hunter2"},
		{"Server=db;User=sa;Password=hunter2;", "hunter2"},
		{"AccountName=x;AccountKey=" + strings.Repeat("Ab3+", 21) + "==", strings.Repeat("Ab3+", 21)},
		{"GET /a?api_key=abcd1234&x=1", "abcd1234"},
		{"https://h.example/?access_token=zzz999&y", "zzz999"},
		{"aws_secret_access_key = " + "wJalrXUtnFEMI/K7MDENG/" + "bPxRfiCYzzzz", "wJalrXUtnFEMI"},
		{`{"api_key": "zzz123"}`, "zzz123"},
		{`{\"token\":\"zzz123\"}`, "zzz123"},
		{"the token is Zx8Kd9Qf2Zx4Lm8Rt0Bv5Hn3Wj6Yp1GsA7", "Zx8Kd9Qf2Zx4Lm8Rt0Bv5Hn3Wj6Yp1GsA7"},
		{"-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----", "abc"},
		{"-----BEGIN RSA PRIVATE KEY-----\\nMIIabc cut off", "MIIabc"},
		{"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U", "dozjgNryP4J3"},
		{"https://hooks.slack.com/services/T0000/B0000/" + "XXXXYYYYZZZZ0123", "XXXXYYYYZZZZ0123"},
		{"1234567890:AA" + "Hdqtcvbn5678ASDFGHJKLqwertyuiop12345", "Hdqtcvbn5678"},
	} {
		got := r.Text(c.in)
		if strings.Contains(got, c.secret) || !strings.Contains(got, marker) {
			t.Errorf("Text(%q) = %q; want %q gone", c.in, got, c.secret)
		}
		if again := r.Text(got); again != got {
			t.Errorf("a second time changes %q into %q", got, again)
		}
	}
}

// What only looks like a secret stays.
func TestQuietTexts(t *testing.T) {
	r := testRedactor()
	for _, s := range []string{
		"git log --author=Bob", "ssh -o StrictHostKeyChecking=no x", "curl -H \"Authorization: Bearer $TOKEN\" x", "TOKEN=$X ./y", "PASSWORD=${P} z",
		"gpg --recv-keys 0123456789ABCDEF0123456789ABCDEF01234567", "git show 3f786850e387550fdab836ed7e6dc881de23001b",
		"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "uuid 6f1d2a34-0b5c-4d6e-8f70-123456789abc",
		"git clone ssh://git@git.example/x", "sort --key=2", "python -c 'sorted(x, key=len)'", "TOKENIZERS_PARALLELISM=false", "SSL_KEY=/etc/ssl/key.pem",
		"npm run build --if-present", "docker run -p 8080:80 nginx", "mkdir -p /a/b", "cp -p a b", "SSH_AUTH_SOCK=/run/agent.sock", "max_tokens=4096",
		"tar -xzf package.tgz", "keyboard=us", "token: missing", "ls -la /etc/ssl/private", "make PASS=1", "grep -r apiKey= src", "const key == value",
		"go test ./... -run TestToken", "pip install -r requirements.txt", "curl -u name https://x.example", "",
		"tool run --secret MODEL_API_KEY", "tool run --secret MODEL_API_KEY@api.example -it", "tool create --credential 'MODEL_API_KEY'",
	} {
		if got := r.Text(s); got != s {
			t.Errorf("Text(%q) = %q; want it as it is", s, got)
		}
	}
}

func TestArgv(t *testing.T) {
	r := testRedactor()
	for _, c := range []struct {
		argv   []string
		secret string
		keeps  string
	}{
		{[]string{"mysql", "--password", "hunter2", "db"}, "hunter2", "db"},
		{[]string{"curl", "-u", "me:hunter2", "https://x.example"}, "hunter2", "me:"},
		{[]string{"sshpass", "-phunter2", "ssh"}, "hunter2", "ssh"},
		{[]string{"env", "DB_PASSWORD=two words", "make"}, "two words", "make"},
		{[]string{"sudo", "redis-cli", "-a", "hunter2"}, "hunter2", "redis-cli"},
		// The first assignment of a script must not hide what it does.
		{[]string{"sh", "-c", "TOKEN=hunter2 curl https://evil.example"}, "hunter2", "evil.example"},
	} {
		got := r.Argv(c.argv)
		text := strings.Join(got, "\x00")
		if len(got) != len(c.argv) || strings.Contains(text, c.secret) || !strings.Contains(text, c.keeps) {
			t.Errorf("Argv(%q) = %q; want %q gone and %q kept", c.argv, got, c.secret, c.keeps)
		}
	}
	for _, argv := range [][]string{{"curl", "-u", "name", "x"}, {"mkdir", "-p", "dir"}, {"docker", "run", "-p", "80:80"}, {"ssh", "-p", "22", "h"}, {}} {
		if got := r.Argv(argv); strings.Join(got, " ") != strings.Join(argv, " ") {
			t.Errorf("Argv(%q) = %q; want it as it is", argv, got)
		}
	}
}

// Values are found by their hashes alone, and only by those.
func TestExactValues(t *testing.T) {
	producer := testRedactor()
	values := []string{"correct horse", "tiny", "battery-staple-9", "battery-staple-9"}
	hashes := producer.Hashes(values)
	if len(hashes) != 2 {
		t.Fatalf("Hashes = %v; want two, without the short and the double one", hashes)
	}
	for _, h := range hashes {
		for _, v := range values {
			if strings.Contains(h.Hash, v) || strings.Contains(h.Hash, fmt.Sprintf("%x", v)) {
				t.Errorf("hash %s tells the value", h.Hash)
			}
		}
	}
	consumer := testRedactor().With(append(hashes, run.SecretHash{Hash: "zz", Len: 3}, run.SecretHash{Hash: "", Len: 100}))
	for in, want := range map[string]string{
		"xcorrect horsex":                      "x[redacted:value:",
		"battery-staple-9":                     "[redacted:value:",
		"battery-staple-8":                     "battery-staple-8",
		"correct hors":                         "correct hors",
		"tiny":                                 "tiny",
		"a correct horse, twice correct horse": "a [redacted:value:",
	} {
		got := consumer.Text(in)
		if !strings.HasPrefix(got, want) || strings.Contains(got, "correct horse") {
			t.Errorf("Text(%q) = %q; want %q…", in, got, want)
		}
	}
	other := (&Redactor{key: []byte(strings.Repeat("k", keyLen))}).With(hashes)
	if got := other.Text("correct horse"); got != "correct horse" {
		t.Errorf("a redactor with another key found the value: %q", got)
	}
}

func TestEqualSecretsLookEqual(t *testing.T) {
	r := testRedactor()
	a, b := r.Text("PASSWORD=hunter2"), r.Text("curl -u x:hunter2 y")
	if a[len(a)-5:len(a)-1] != b[strings.Index(b, "]")-4:strings.Index(b, "]")] {
		t.Errorf("%q and %q have different marks", a, b)
	}
}

// The key is made once, for the user alone, and is the same for all.
func TestKey(t *testing.T) {
	h := home.Home{Dir: filepath.Join(t.TempDir(), "coi"), UID: os.Geteuid()}
	const n = 8
	got := make(chan string, n)
	for range n {
		go func() {
			r, err := New(h)
			if err != nil {
				got <- err.Error()
				return
			}
			got <- string(r.key)
		}()
	}
	first := <-got
	for range n - 1 {
		if k := <-got; k != first {
			t.Errorf("two programs made different keys")
		}
	}
	st, err := os.Stat(h.Run("redact.key"))
	if err != nil || st.Mode().Perm() != 0o600 || st.Size() != keyLen {
		t.Errorf("redact.key: %v, %v", st, err)
	}
	if files, _ := os.ReadDir(h.Run()); len(files) != 1 {
		t.Errorf("left over: %v", files)
	}
	if err := os.Truncate(h.Run("redact.key"), 3); err != nil {
		t.Fatal(err)
	}
	if r, err := New(h); err == nil || r.Text("PASSWORD=hunter2") == "PASSWORD=hunter2" {
		t.Errorf("a bad key: %v; want an error and a redactor that works", err)
	}
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"PASSWORD=x", "a://b:c@d", "-----BEGIN PRIVATE KEY", "Authorization: Bearer x", `{"token":"`, "mysql -p", "eyJ.ey."} {
		f.Add(s)
	}
	r := testRedactor().Values([]string{"secret-value"})
	f.Fuzz(func(t *testing.T, s string) {
		once := r.Text(s)
		if strings.Contains(once, "secret-value") {
			t.Fatalf("Text(%q) = %q", s, once)
		}
		if len(once) > 64+24*len(s) {
			t.Fatalf("Text(%q) has %d bytes", s, len(once))
		}
		_ = r.Argv(strings.Fields(s))
	})
}

func BenchmarkText(b *testing.B) {
	s := strings.Repeat("git -C /workspace/src commit -m 'fix the parser' --author=Bob && curl https://host.example/path?x=1 | tar -xz; ", 100)
	r := testRedactor().Values([]string{"one-secret-value", "another-secret", "third secret here"})
	b.SetBytes(int64(len(s)))
	for b.Loop() {
		_ = r.Text(s)
	}
}
