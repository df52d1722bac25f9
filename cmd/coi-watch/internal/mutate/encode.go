package mutate

import (
	"bytes"
	"compress/gzip"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"strings"
)

// encodings hand the line to a shell through a decoder.
func encodings() []Mutation {
	b64 := func(l string) string { return base64.StdEncoding.EncodeToString([]byte(l)) }
	list := []Mutation{
		{Name: "echo … | base64 -d | bash", Do: func(l string) string { return "echo " + b64(l) + " | base64 -d | bash" }},
		{Name: `bash -c "$(echo … | base64 -d)"`, Do: func(l string) string { return `bash -c "$(echo ` + b64(l) + ` | base64 -d)"` }},
		{Name: "bash <<< $(base64 -d <<< …)", Do: func(l string) string { return `bash <<< "$(base64 -d <<< ` + b64(l) + `)"` }},
		{Name: "eval \"$(… base64)\"", Do: func(l string) string { return `eval "$(printf %s ` + b64(l) + ` | base64 --decode)"` }},
		{Name: "sh <(… base64)", Do: func(l string) string { return "bash <(echo " + b64(l) + "|base64 -d)" }},
		{Name: "base64 twice", Do: func(l string) string { return "echo " + b64(b64(l)) + " | base64 -d | base64 -d | sh" }},
		{Name: "base64 of gzip", Do: func(l string) string {
			var b bytes.Buffer
			w := gzip.NewWriter(&b)
			_, _ = w.Write([]byte(l)) // memory does not fail
			_ = w.Close()
			return "echo " + b64(b.String()) + " | base64 -d | gunzip | sh"
		}},
		{Name: "base32", Do: func(l string) string {
			return "echo " + base32.StdEncoding.EncodeToString([]byte(l)) + " | base32 -d | bash"
		}},
		{Name: "xxd -r -p", Do: func(l string) string { return "echo " + hex.EncodeToString([]byte(l)) + " | xxd -r -p | sh" }},
		{Name: `printf '\x…' | sh`, Do: func(l string) string { return "printf '" + codes(l, `\x%02x`) + "' | sh" }},
		{Name: "rev", Do: func(l string) string {
			if strings.Contains(l, "\n") {
				return ""
			}
			return "echo " + quoted(backwards(l)) + " | rev | bash"
		}},
		{Name: "openssl base64", Do: func(l string) string { return "openssl base64 -A -d <<< " + b64(l) + " | sh" }},
		{Name: "base64 in a variable", Do: func(l string) string { return "p=" + b64(l) + `; echo "$p" | base64 -d | sh` }},
		{Name: "base64 in a file", Do: func(l string) string {
			return "echo " + b64(l) + " > /tmp/p.b64; base64 -d /tmp/p.b64 > /tmp/p; bash /tmp/p"
		}},
		{Name: "base64 in python", Do: func(l string) string {
			return `python3 -c "import base64,os;os.system(base64.b64decode('` + b64(l) + `').decode())"`
		}},
		{Name: "base64 in perl", Do: func(l string) string {
			return `perl -MMIME::Base64 -e 'system(decode_base64("` + b64(l) + `"))'`
		}},
	}
	for i := range list {
		list[i].Decodes = true
	}
	return list
}
