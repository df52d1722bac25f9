package dest

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func TestParseAccepts(t *testing.T) {
	for in, want := range map[string]string{
		"api.example.com":         "api.example.com",
		"API.Example.COM.":        "api.example.com",
		"api.example.com:443":     "api.example.com:443",
		"h:80,443":                "h:80,443",
		"h:443,80,81":             "h:80-81,443",
		"h:8000-8100":             "h:8000-8100",
		"*.example.com:443":       "*.example.com:443",
		"192.0.2.7:443":           "192.0.2.7:443",
		"198.51.100.0/24":         "198.51.100.0/24",
		"198.51.100.0/24:80":      "198.51.100.0/24:80",
		"[2001:db8::1]:443":       "[2001:db8::1]:443",
		"2001:db8::/32":           "2001:db8::/32",
		"[2001:db8::/32]:80":      "[2001:db8::/32]:80",
		"bücher.example":          "xn--bcher-kva.example",
		"_dmarc.example.com":      "_dmarc.example.com",
		"2001:DB8::1":             "2001:db8::1",
		"xn--bcher-kva.example:1": "xn--bcher-kva.example:1",
	} {
		d, err := Parse(in)
		if err != nil {
			t.Errorf("Parse(%q) = %v; want %q", in, err, want)
			continue
		}
		if got := d.String(); got != want {
			t.Errorf("Parse(%q) = %q; want %q", in, got, want)
		}
		if again, err := Parse(d.String()); err != nil || again.String() != d.String() {
			t.Errorf("Parse(%q) again = %v, %v", d, again, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for in, hint := range map[string]string{
		"*": "restricted", "*.*": "*.example.com", "*.com": "*.example.com", "*.co.uk": "*.example.co.uk",
		"a.*.com": "*.example.com", "x*.com": "*.example.com",
		"http://x": "write x", "https://u:p@api.example.com/v1?x": "write api.example.com", "x.example/path": "write x.example", "u@x.example": "write x.example",
		"a b": "", "": "", "a..b": "", ".a": "", strings.Repeat("a", 64) + ".example": "", strings.Repeat("a.", 127) + "example": "",
		"2130706433": "", "0x7f.1": "", "0177.0.0.1": "", "10.1": "", "127.0.0.1.": "", "１２７.0.0.1": "", "1.2.3.4.5": "", "0x7f000001": "",
		"0.0.0.0/0": "restricted", "10.0.0.0/7": "restricted", "2000::/3": "restricted", "::ffff:192.0.2.1": "", "fe80::1%eth0": "",
		"192.0.2.7/24": "write 192.0.2.0/24", "192.0.2.7/33": "", "h:": "", "h:0": "", "h:65536": "", "h:9-1": "", "h:+1": "", "h:080": "", "h:1,,2": "",
		"[2001:db8::1": "", "[h]:1": "", "[2001:db8::1]443": "", "a\x00b": "", "-a.example": "", "a_b.example:x": "", "ex*mple": "",
	} {
		d, err := Parse(in)
		if err == nil {
			t.Errorf("Parse(%q) = %q; want an error", in, d)
			continue
		}
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(e.Hint, hint) {
			t.Errorf("Parse(%q) hint = %v; want %q in it", in, err, hint)
		}
	}
}

func TestShared(t *testing.T) {
	if d, err := Parse("*.github.io"); err != nil || !d.Shared {
		t.Errorf("Parse(*.github.io) = %+v, %v; want Shared", d, err)
	}
	if d, err := Parse("*.me.github.io"); err != nil || d.Shared {
		t.Errorf("Parse(*.me.github.io) = %+v, %v; want not Shared", d, err)
	}
	if d, err := Parse("pаypal.example"); err != nil || !d.Mixed { // Cyrillic а
		t.Errorf("mixed scripts = %+v, %v; want Mixed", d, err)
	}
}

func TestCovers(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"*.example.com", "a.b.example.com", true},
		{"*.example.com", "example.com", false},
		{"*.example.com", "*.b.example.com", true},
		{"example.com", "*.example.com", false},
		{"example.com", "example.com:443", true},
		{"example.com:443", "example.com", false},
		{"example.com:400-500", "example.com:443,450", true},
		{"192.0.2.0/24", "192.0.2.7", true},
		{"192.0.2.7", "192.0.2.0/24", false},
		{"*.example.com", "xexample.com", false},
	} {
		a, err1 := Parse(c.a)
		b, err2 := Parse(c.b)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		if got := a.Covers(b); got != c.want {
			t.Errorf("%q.Covers(%q) = %v; want %v", c.a, c.b, got, c.want)
		}
	}
}

func TestReachOf(t *testing.T) {
	for in, want := range map[string]Reach{
		"192.0.2.1/32": Public, "10.1.2.3/32": Soft, "100.100.100.200/32": Hard, "100.64.0.0/10": Hard, "169.254.169.254/32": Hard,
		"fd00:ec2::254/128": Hard, "fd00::1/128": Soft, "2001:db8::/32": Public, "64:ff9b::a00:1/128": Soft, "64:ff9b::c000:201/128": Public,
		"64:ff9b::a9fe:a9fe/128": Hard, "2606:4700::1/128": Public, "4000::1/128": Hard, "3fff::/20": Public,
	} {
		if got, slug := ReachOf(netip.MustParsePrefix(in)); got != want {
			t.Errorf("ReachOf(%s) = %v (%s); want %v", in, got, slug, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"a.example:80", "*.example.com", "[2001:db8::1]:443", "１.2", "http://u@x/y", "198.51.100.0/24"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := Parse(s)
		if err != nil {
			return
		}
		again, err := Parse(d.String())
		if err != nil || again.String() != d.String() {
			t.Fatalf("Parse(%q) gives %q, which gives %q, %v", s, d, again, err)
		}
		if !d.Covers(d) {
			t.Fatalf("%q does not cover itself", d)
		}
	})
}
