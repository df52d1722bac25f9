package redact

import "testing"

func TestQuick(t *testing.T) {
	r := &Redactor{key: make([]byte, 32)}
	for _, s := range []string{
		"curl -H 'Authorization: Bearer abcdefghijklmnop' https://x", "mysql -u root -phunter2 db", "PASSWORD=hunter2 make",
		"git clone https://user:tok@example.com/x", "git clone ssh://git@example.com/x", "ls --author=Bob", "x --token abc123 y", "curl -u me:secretpw https://e", `{"api_key":"zzz123"}`,
		"aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "StrictHostKeyChecking=no", "TOKEN=$X", "gpg --recv-keys 0123456789ABCDEF0123456789ABCDEF01234567",
		"GET /a?api_key=abcd1234&x=1", "Cookie: a=b; c=d",
	} {
		t.Log(s, "=>", r.Text(s))
	}
}
