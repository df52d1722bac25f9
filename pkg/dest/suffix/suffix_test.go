package suffix

import (
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/net/publicsuffix"
)

// The copy is the list of the module in use and answers as that does.
func TestCopyIsCurrent(t *testing.T) {
	if want := publicsuffix.List.String(); version != want {
		t.Fatalf("the copy is of %q, the module has %q: go generate ./pkg/dest/suffix", version, want)
	}
	names := []string{"com", "example.com", "a.b.example.co.uk", "co.uk", "github.io", "x.github.io", "kawasaki.jp", "a.kawasaki.jp", "city.kawasaki.jp", "no-such-tld", "a.no-such-tld", "192.0.2.1", "xn--p1ai", "s3.amazonaws.com", "ck", "www.ck", "a.ck"}
	for i := range uint32(numTLD) {
		tld := nodeLabel(i)
		names = append(names, tld, "example."+tld, "co."+tld, "a.b.com."+tld)
	}
	for _, name := range names {
		got, icann := PublicSuffix(name)
		want, wantICANN := publicsuffix.PublicSuffix(name)
		if got != want || icann != wantICANN {
			t.Errorf("PublicSuffix(%q) = %q, %v; want %q, %v", name, got, icann, want, wantICANN)
		}
	}
}

// What the copy is for: the reader of destinations links no HTTP client.
func TestNoHTTP(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "..").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v: %s", err, out)
	}
	for dep := range strings.FieldsSeq(string(out)) {
		if dep == "net/http" || dep == "crypto/tls" {
			t.Errorf("pkg/dest links %s", dep)
		}
	}
}
