package command

import (
	"net/url"
	"slices"
	"strings"

	"github.com/code-on-incus/coi/cmd/coi-watch/internal/program"
)

// Upload is one thing that a command sends away.
type Upload struct {
	Host string // as written: a name or an address; "" when it is not known
	File string // path of the file sent; "" for data or standard input
	Data string // literal data, if any
	Pipe bool   // standard input is sent
	URL  string
}

// Hosts are the network hosts that a command names, as written.
func (s *Simple) Hosts() []string {
	if s.hosts == nil {
		s.hosts = s.namedHosts()
	}
	return s.hosts
}

func (s *Simple) namedHosts() []string {
	out := []string{}
	for _, a := range s.Argv[min(1, len(s.Argv)):] {
		if s.Class() == program.Shell {
			break // its text is commands of their own
		}
		if h := HostOf(a); h != "" {
			out = append(out, h)
		}
	}
	switch s.Name {
	case "nc", "ncat", "telnet", "cryptcat", "pwncat", "ftp", "lftp", "tftp", "ssh", "sftp", "curl", "wget", "http":
		for _, a := range s.Parsed().Rest {
			if isDigits(a) || strings.Contains(a, "://") || strings.HasPrefix(a, "/") && s.Name != "ssh" {
				continue
			}
			a = a[strings.LastIndexByte(a, '@')+1:]
			a, _, _ = strings.Cut(a, "/")
			if !strings.HasPrefix(a, "[") && strings.Count(a, ":") == 1 {
				a, _, _ = strings.Cut(a, ":")
			}
			if a != "" {
				out = append(out, a)
			}
			if s.Name != "curl" && s.Name != "wget" {
				break
			}
		}
	case "scp", "rsync":
		for _, a := range s.Parsed().Rest {
			if remotePath(a) && !strings.Contains(a, "://") {
				h, _, _ := strings.Cut(a, ":")
				out = append(out, h[strings.LastIndexByte(h, '@')+1:])
			}
		}
	case "mosquitto_sub", "mosquitto_pub", "redis-cli", "kcat", "kafkacat", "nats", "amqp-consume", "kafka-console-consumer":
		for i, a := range s.Argv {
			if i+1 < len(s.Argv) && slices.Contains([]string{"-h", "--host", "-b", "--bootstrap-server", "-s", "--server"}, a) {
				h, _, _ := strings.Cut(s.Argv[i+1], ":")
				out = append(out, h)
			}
		}
	case "socat":
		for _, a := range s.Argv[1:] {
			w := strings.SplitN(a, ":", 3)
			k := strings.ToLower(w[0])
			if len(w) == 3 && !strings.Contains(k, "listen") && (strings.HasPrefix(k, "tcp") || strings.HasPrefix(k, "udp") || strings.HasPrefix(k, "openssl") || strings.HasPrefix(k, "ssl") || strings.HasPrefix(k, "sctp")) {
				out = append(out, w[1])
			}
		}
	case "openssl":
		for _, v := range s.Parsed().Values("connect", "host") {
			h, _, _ := strings.Cut(v, ":")
			out = append(out, h)
		}
	}
	for _, p := range s.FDs {
		if h := DevNetHost(p); h != "" {
			out = append(out, h)
		}
	}
	return out
}

// DevNetHost is the host of a /dev/tcp or /dev/udp path.
func DevNetHost(p string) string {
	if !strings.HasPrefix(p, "/dev/tcp/") && !strings.HasPrefix(p, "/dev/udp/") {
		return ""
	}
	h, _, _ := strings.Cut(p[len("/dev/tcp/"):], "/")
	return h
}

// HostOf is the host of a URL, or "".
func HostOf(a string) string {
	i := strings.Index(a, "://")
	if i < 0 {
		return ""
	}
	if j := strings.LastIndexAny(a[:i], "=@\"' "); j >= 0 {
		a = a[j+1:]
	}
	a = strings.TrimSpace(a)
	if u, err := url.Parse(a); err == nil && u.Host != "" {
		return u.Hostname()
	}
	_, rest, _ := strings.Cut(a, "://")
	end := strings.IndexAny(rest, "/?# \"'")
	if end >= 0 {
		rest = rest[:end]
	}
	rest = rest[strings.LastIndexByte(rest, '@')+1:]
	h, _, _ := strings.Cut(rest, ":")
	return h
}

// Loopback reports hosts that are this machine.
func Loopback(h string) bool {
	h = strings.ToLower(strings.Trim(h, "[]"))
	return h == "localhost" || strings.HasPrefix(h, "127.") || h == "::1" || strings.HasSuffix(h, ".localhost") || h == "0.0.0.0" || h == "0" || h == "ip6-localhost"
}

// Uploads are what a command sends away, by its own options.
func (s *Simple) Uploads() []Upload {
	p := s.Parsed()
	host, link := "", ""
	if hs := s.Hosts(); len(hs) > 0 {
		host = hs[0]
	}
	for _, a := range s.Argv[min(1, len(s.Argv)):] {
		if strings.Contains(a, "://") {
			link = a
		}
	}
	var out []Upload
	add := func(u Upload) { u.Host, u.URL = host, link; out = append(out, u) }
	switch s.Name {
	case "curl":
		for _, v := range p.Values("d", "data", "data-binary", "data-ascii", "data-urlencode", "json") {
			add(dataUpload(v))
		}
		for _, v := range p.Values("data-raw", "form-string") {
			add(Upload{Data: v})
		}
		for _, v := range p.Values("F", "form") {
			_, val, _ := strings.Cut(v, "=")
			if strings.HasPrefix(val, "<") {
				val = "@" + val[1:]
			}
			f := dataUpload(val)
			f.File, _, _ = strings.Cut(f.File, ";")
			add(f)
		}
		for _, v := range p.Values("T", "upload-file") {
			if v == "-" || v == "." {
				add(Upload{Pipe: true})
			} else {
				add(Upload{File: v})
			}
		}
	case "wget":
		for _, v := range p.Values("post-file", "body-file") {
			if v == "-" || v == "/dev/stdin" {
				add(Upload{Pipe: true})
			} else {
				add(Upload{File: v})
			}
		}
		for _, v := range p.Values("post-data", "body-data") {
			add(Upload{Data: v})
		}
	case "http":
		for _, v := range p.Rest {
			if _, f, ok := strings.Cut(v, "@"); ok && !strings.Contains(v, "://") {
				add(Upload{File: f})
			}
		}
		if s.FDs[0] == "pipe" {
			add(Upload{Pipe: true})
		}
	case "ab":
		for _, v := range p.Values("p", "u") {
			add(Upload{File: v})
		}
	case "nc", "ncat", "telnet", "socat", "openssl", "ssh", "cryptcat", "pwncat", "ftp", "lftp", "mail", "sendmail", "mutt", "websocat", "mosquitto_pub", "kcat", "kafkacat":
		if len(s.Stdin) > 0 {
			add(Upload{Pipe: true})
		}
		for _, r := range s.Redirs {
			if r.Op == "<" && r.FD == 0 {
				add(Upload{File: r.Path})
			}
		}
		if s.Name == "socat" {
			for _, a := range s.Argv[1:] {
				k, v, _ := strings.Cut(a, ":")
				if k = strings.ToLower(k); k == "file" || k == "open" {
					f, _, _ := strings.Cut(v, ",")
					if !strings.HasPrefix(f, "/dev/") && !strings.HasPrefix(f, "$") {
						add(Upload{File: f})
					}
				}
			}
		}
		if s.Name == "mail" || s.Name == "mutt" {
			for _, v := range p.Values("a", "A") {
				add(Upload{File: v})
			}
		}
	case "tftp", "ncftpput", "ftp-upload":
		for _, v := range p.Values("l") {
			add(Upload{File: v})
		}
	case "gh", "glab":
		own := 2 // gist create FILE
		if len(p.Rest) > 0 && p.Rest[0] == "release" {
			own = 3 // release upload TAG FILE
		}
		if len(p.Rest) > own && slices.Contains([]string{"gist create", "snippet create", "release create", "release upload"}, p.Rest[0]+" "+p.Rest[1]) {
			for _, x := range p.Rest[own:] {
				add(Upload{File: x, Pipe: x == "-"})
			}
		}
	case "sftp":
	case "scp", "rsync":
		if n := len(p.Rest); n > 1 && remotePath(p.Rest[n-1]) {
			for _, x := range p.Rest[:n-1] {
				if !remotePath(x) {
					host = strings.SplitN(p.Rest[n-1], ":", 2)[0]
					host = host[strings.LastIndexByte(host, '@')+1:]
					add(Upload{File: x})
				}
			}
		}
	case "aws", "gsutil", "s3cmd", "rclone", "mc", "gcloud", "az":
		if s.Name == "rclone" {
			q := program.Parse(program.Spec{Long: strings.Fields("config max-age min-age max-size min-size bwlimit transfers checkers exclude include filter log-file log-level retries")}, s.Argv, false)
			if n := len(q.Rest); n > 2 && strings.Contains(q.Rest[n-1], ":") && !strings.Contains(q.Rest[n-2], ":") {
				add(Upload{File: q.Rest[n-2]})
			}
			break
		}
		for i, x := range p.Rest {
			if (x == "cp" || x == "sync" || x == "mv" || x == "put" || x == "copy" || x == "move" || x == "rcat") && i+2 < len(p.Rest) {
				if dst := p.Rest[i+2]; strings.Contains(dst, ":") && p.Rest[i+1] == "-" {
					add(Upload{Pipe: true})
				} else if strings.Contains(dst, ":") {
					add(Upload{File: p.Rest[i+1]})
				}
			}
		}
	}
	if s.Is("ftp", "lftp", "sftp", "smbclient", "ncftp") {
		for _, t := range append(p.Values("c", "e"), s.Feed) {
			for line := range strings.Lines(strings.ReplaceAll(t, ";", "\n")) {
				if w := strings.Fields(line); len(w) > 1 && (w[0] == "put" || w[0] == "mput" || w[0] == "send" || w[0] == "mirror" && strings.Contains(line, "-R")) {
					add(Upload{File: w[len(w)-1-len(w)/3]})
				}
			}
		}
	}
	for fd, path := range s.FDs {
		if h := DevNetHost(path); h != "" && fd == 1 {
			host = h
			add(Upload{Pipe: len(s.Stdin) > 0 || len(s.From) > 0, Data: strings.Join(s.Argv[1:], " ")})
		}
	}
	return out
}

func dataUpload(v string) Upload {
	if i := strings.IndexByte(v, '@'); i >= 0 && (i == 0 || !strings.ContainsAny(v[:i], " {}\"'&=:.")) {
		f := v[i+1:]
		if f == "-" || f == "/dev/stdin" {
			return Upload{Pipe: true}
		}
		return Upload{File: f}
	}
	return Upload{Data: v}
}
