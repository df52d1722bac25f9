package mutate

import "fmt"

// renames run every program of the line under another name.
func renames() []Mutation {
	return []Mutation{
		{Name: "copied", Do: staged(`cp "$(command -v %s)" %s`)},
		{Name: "copied with cat", Do: staged("cat /usr/bin/%s > %[2]s; chmod +x %[2]s")},
		{Name: "copied with install", Do: staged("install -m 755 /bin/%s %s")},
		{Name: "symbolic link", Do: staged("ln -s $(which %s) %s")},
		{Name: "hard link", Do: staged("ln /usr/bin/%s %s")},
		{Name: "renamed before", Do: func(l string) string {
			return replace(l, programs(l), func(s span) string { return fmt.Sprintf("/tmp/.x%d", s.from) })
		}},
		{Name: "/proc/self/root", Do: prefixed("/proc/self/root/usr/bin/")},
		{Name: "/proc/self/cwd", Do: prefixed("/proc/self/cwd/../usr/bin/")},
		{Name: "loader", Do: prefixed("/lib64/ld-linux-x86-64.so.2 /usr/bin/")},
		{Name: "loader of musl", Do: prefixed("/lib/ld-musl-x86_64.so.1 -- /bin/")},
		{Name: "exec -a", Do: func(l string) string {
			list := programs(l)
			if len(list) != 1 || list[0].from != 0 {
				return ""
			}
			return "(exec -a kworker " + l + ")"
		}},
	}
}

// staged makes a copy of each program first, by the given command.
func staged(command string) func(string) string {
	return func(l string) string {
		list := programs(l)
		prefix, names := "", map[string]string{}
		for _, s := range list {
			if names[s.text] == "" {
				names[s.text] = fmt.Sprintf("/tmp/q%d", len(names)+1)
				prefix += fmt.Sprintf(command, s.text, names[s.text]) + "; "
			}
		}
		out := replace(l, list, func(s span) string { return names[s.text] })
		if out == "" {
			return ""
		}
		return prefix + out
	}
}

func prefixed(with string) func(string) string {
	return func(l string) string {
		return replace(l, programs(l), func(s span) string { return with + s.text })
	}
}
