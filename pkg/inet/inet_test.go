package inet

import (
	"net/netip"
	"testing"
)

// R-MON-06: metadata is a range, in every form that reaches it.
func TestMetadata(t *testing.T) {
	for _, a := range []string{
		"169.254.169.254", "169.254.170.2", "169.254.170.23", "169.254.169.253", "168.63.129.16", "100.100.100.200", "192.0.0.192",
		"fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fe80::a9fe:a9fe", "fe80::a9fe:a9fe%eth0",
		"::ffff:169.254.170.2", "64:ff9b::a9fe:a9fe", "64:ff9b::a83f:8110", "2002:a9fe:a9fe::1", "2002:6464:64c8::",
	} {
		if !IsMetadata(netip.MustParseAddr(a)) {
			t.Errorf("IsMetadata(%s) = false; want true", a)
		}
	}
	for _, a := range []string{"169.253.169.254", "168.63.129.17", "100.100.100.201", "10.0.0.1", "192.0.2.1", "fd00:ec3::254", "fe80::1", "64:ff9b::a00:1", "2001:db8::a9fe:a9fe", "::1", Gateway.String(), "::ffff:169.254.0.1"} {
		if IsMetadata(netip.MustParseAddr(a)) {
			t.Errorf("IsMetadata(%s) = true; want false", a)
		}
	}
	for i, p := range Metadata {
		for _, q := range Metadata[i+1:] {
			if p.Overlaps(q) {
				t.Errorf("%s and %s overlap", p, q)
			}
		}
	}
}

func TestLiteral(t *testing.T) {
	for text, want := range map[string]string{
		"169.254.169.254": "169.254.169.254", "2852039166": "169.254.169.254", "0xA9FEA9FE": "169.254.169.254", "0251.0376.0251.0376": "169.254.169.254", "0xa9.254.0251.254": "169.254.169.254",
		"169.254.43518": "169.254.169.254", "169.16689662": "169.254.169.254", "169.254.169.254.": "169.254.169.254", "１６９.254。169.254": "169.254.169.254",
		"[::ffff:a9fe:a9fe]": "169.254.169.254", "::ffff:169.254.169.254": "169.254.169.254", "[fd00:ec2::254]": "fd00:ec2::254", "fe80::1%eth0": "fe80::1", "0": "0.0.0.0", "127.1": "127.0.0.1",
	} {
		if a, ok := Literal(text); !ok || a.String() != want {
			t.Errorf("Literal(%q) = %v, %v; want %s", text, a, ok, want)
		}
	}
	for _, text := range []string{"", ".", "a", "1.2.3.4.5", "256.1.1.1", "1.2.3.256", "4294967296", "0x", "08.1.1.1", "1..2", "-1", "+1", "1_0", "example.com", "::g", "0x1g"} {
		if a, ok := Literal(text); ok {
			t.Errorf("Literal(%q) = %v; want none", text, a)
		}
	}
}

func FuzzLiteral(f *testing.F) {
	for _, s := range []string{"127.0.0.1", "0xa9fea9fe", "[::1]", "1.2", "０"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, ok := Literal(s)
		if ok != a.IsValid() {
			t.Fatalf("Literal(%q) = %v, %v", s, a, ok)
		}
		if ok {
			if b, again := Literal(a.String()); !again || b != a {
				t.Errorf("Literal(%q) = %v, read again %v", s, a, b)
			}
		}
	})
}
