package daemon

import (
	"strconv"
	"strings"
)

// users names the uids of a container, from its own /etc/passwd: for display only.
type users map[int]string

func (u users) name(uid int) string {
	if n, ok := u[uid]; ok {
		return n
	}
	return strconv.Itoa(uid)
}

// parseUsers reads the text of /etc/passwd.
func parseUsers(b []byte) users {
	u := users{}
	for line := range strings.SplitSeq(string(b), "\n") {
		f := strings.SplitN(line, ":", 4)
		if len(f) < 4 || len(u) >= 4096 || len(f[0]) > 64 {
			continue
		}
		if n, err := strconv.Atoi(f[2]); err == nil {
			if _, taken := u[n]; !taken {
				u[n] = f[0]
			}
		}
	}
	return u
}

// plural is "1 event", "2 events".
func plural(n uint64, what string) string {
	if n != 1 {
		what += "s"
	}
	return strconv.FormatUint(n, 10) + " " + what
}
