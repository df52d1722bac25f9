package redact

import (
	"slices"
	"strings"
)

// find lists the secrets of s that can be told from their shape or place. It
// reads s once; every look to the side is bounded.
func find(s string) []span {
	var out []span
	prev := byte(' ')
	for i := 0; i < len(s); i++ {
		c := s[i]
		kind := starts[c]
		if kind != 0 {
			var sp span
			switch {
			case kind&startWord != 0 && !alnum.has(prev):
				sp = word(s, i)
			case kind&startPlace != 0:
				sp = place(s, i)
			}
			if sp.to > 0 {
				out = append(out, sp)
				if sp.from <= i || c != '=' && c != ':' {
					i = max(i, sp.to-1)
					c = s[i]
				}
			}
		}
		prev = c
	}
	return out
}

const (
	startWord  = 1 << iota // a letter or digit: a token may begin here
	startPlace             // = : - and such, beside which secrets stand
)

var starts = func() (t [256]uint8) {
	for b := range 256 {
		if alnum.has(byte(b)) {
			t[b] = startWord
		}
	}
	for _, b := range []byte("=:-/") {
		t[b] = startPlace
	}
	return t
}()

// word looks for a token that starts at i.
func word(s string, i int) span {
	if i+1 < len(s) && pairs[s[i]][s[i+1]>>6]&(1<<(s[i+1]&63)) != 0 {
		for _, r := range byFirst[s[i]] {
			if strings.HasPrefix(s[i:], r.prefix) {
				if n := r.match(s[i:]); n > 0 {
					return span{i, i + n, r.kind}
				}
			}
		}
	}
	switch s[i] {
	case 'e':
		if n := webToken(s[i:]); n > 0 {
			return span{i, i + n, "web-token"}
		}
	case 'B', 'b':
		if n := bearer(s[i:]); n > 0 {
			return span{i + len("Bearer "), i + n, "header"}
		}
	case 'M', 'N', 'O':
		if n := dotted(s[i:]); n > 0 {
			return span{i, i + n, "bot-token"}
		}
	case 'h', 'd':
		if from, to := hook(s[i:]); to > 0 {
			return span{i + from, i + to, "chat-token"}
		}
	}
	if i+minRandom <= len(s) && randomClass.has(s[i+minRandom-1]) && randomClass.has(s[i+minRandom/2]) {
		return random(s, i)
	}
	return span{}
}

// match is the length of the token at the start of s, which begins with the
// rule's prefix; 0 when it is none.
func (r *rule) match(s string) int {
	n := len(r.prefix)
	for n < len(s) && r.class.has(s[n]) {
		n++
	}
	body := n - len(r.prefix)
	if body < r.min || r.max > 0 && (body > r.max || n < len(s) && alnum.has(s[n])) {
		return 0
	}
	return n
}

// lead is the length of the start of s that consists of class c.
func lead(s string, c class) int {
	n := 0
	for n < len(s) && c.has(s[n]) {
		n++
	}
	return n
}

// webToken is a signed web token: three dotted parts of base64 whose first two
// are JSON objects.
func webToken(s string) int {
	if !strings.HasPrefix(s, "eyJ") {
		return 0
	}
	a := lead(s, url64)
	if a < 10 || a >= len(s) || s[a] != '.' || !strings.HasPrefix(s[a+1:], "ey") {
		return 0
	}
	b := a + 1 + lead(s[a+1:], url64)
	if b-a < 10 {
		return 0
	}
	if b < len(s) && s[b] == '.' {
		return b + 1 + lead(s[b+1:], url64)
	}
	return b
}

// bearer is the word Bearer with a token behind it, outside a header too.
func bearer(s string) int {
	const scheme = "bearer "
	if len(s) < len(scheme)+16 || !strings.EqualFold(s[:len(scheme)], scheme) {
		return 0
	}
	if n := lead(s[len(scheme):], url64|dot|base|special); n >= 16 {
		return len(scheme) + n
	}
	return 0
}

// dotted is a bot token of three parts: 23 to 28, 6 and 27 or more characters.
func dotted(s string) int {
	a := lead(s, url64)
	if a < 23 || a > 28 || a+8 >= len(s) || s[a] != '.' {
		return 0
	}
	b := lead(s[a+1:], url64)
	if b != 6 || a+8 >= len(s) || s[a+7] != '.' {
		return 0
	}
	if c := lead(s[a+8:], url64); c >= 27 {
		return a + 8 + c
	}
	return 0
}

// hook is the secret path of a chat web hook.
func hook(s string) (from, to int) {
	for _, p := range []string{"hooks.slack.com/services/", "discord.com/api/webhooks/", "discordapp.com/api/webhooks/"} {
		if strings.HasPrefix(s, p) {
			if n := lead(s[len(p):], url64|base); n >= 20 {
				return len(p), len(p) + n
			}
		}
	}
	return 0, 0
}

// place looks for a secret beside the sign at i.
func place(s string, i int) span {
	switch s[i] {
	case '=':
		return assignment(s, i)
	case ':':
		if strings.HasPrefix(s[i:], "://") {
			return userinfo(s, i+3)
		}
		return colon(s, i)
	case '-':
		if strings.HasPrefix(s[i:], "-----BEGIN ") {
			return keyBlock(s, i)
		}
		if i == 0 || s[i-1] == ' ' || s[i-1] == '\t' || s[i-1] == '\n' {
			return flag(s, i)
		}
	case '/':
		if i+minRandom <= len(s) && randomClass.has(s[i+minRandom-1]) && i > 0 && !randomClass.has(s[i-1]) {
			return random(s, i)
		}
	}
	return span{}
}

// keyBlock is a private key in armour, up to its end or the end of the text.
func keyBlock(s string, i int) span {
	head := s[i:min(len(s), i+80)]
	if !strings.Contains(head, "PRIVATE KEY") {
		return span{}
	}
	to := len(s)
	if end := strings.Index(s[i:], "-----END "); end >= 0 {
		to = i + end + len("-----END ")
		if close := strings.Index(s[to:min(len(s), to+80)], "-----"); close >= 0 {
			to += close + 5
		}
	}
	return span{i, to, "private-key"}
}

// userinfo is what stands before the @ of a URL whose authority starts at i. A
// short plain name such as git@ stays.
func userinfo(s string, i int) span {
	end := i
	at := -1
	for end < len(s) && end < i+4096 && strings.IndexByte("/?# \t\n\"'`<>", s[end]) < 0 {
		if s[end] == '@' {
			at = end
		}
		end++
	}
	if at <= i {
		return span{}
	}
	user := s[i:at]
	if !strings.Contains(user, ":") && len(user) < 16 || strings.HasPrefix(user, marker) || reference(user) {
		return span{}
	}
	return span{i, at, "url"}
}

// merge sorts spans and joins those that overlap.
func merge(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int {
		if a.from != b.from {
			return a.from - b.from
		}
		return b.to - a.to
	})
	out := spans[:1]
	for _, sp := range spans[1:] {
		if last := &out[len(out)-1]; sp.from < last.to {
			last.to = max(last.to, sp.to)
		} else {
			out = append(out, sp)
		}
	}
	return out
}
