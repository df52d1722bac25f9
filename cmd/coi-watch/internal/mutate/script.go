package mutate

import "strings"

// scripts put the line into a file, a function, or another program's hands.
func scripts() []Mutation {
	return []Mutation{
		{Name: "here-document, sh FILE", Do: func(l string) string {
			return "cat > /tmp/x.sh <<'EOF'\n" + l + "\nEOF\nsh /tmp/x.sh"
		}},
		{Name: "here-document, ./FILE", Do: func(l string) string {
			return "cat > ./run.sh <<'EOS'\n#!/bin/bash\n" + l + "\nEOS\nchmod +x ./run.sh && ./run.sh"
		}},
		{Name: "printf > FILE; ./FILE", Do: func(l string) string {
			return `printf '%s\n' '#!/bin/sh' ` + quoted(l) + " > /tmp/f; chmod 755 /tmp/f; /tmp/f"
		}},
		{Name: "echo > FILE; . FILE", Do: func(l string) string { return "echo " + quoted(l) + " > s; . ./s" }},
		{Name: "tee FILE; bash < FILE", Do: func(l string) string {
			return "tee /tmp/t <<< " + quoted(l) + " >/dev/null; bash < /tmp/t"
		}},
		{Name: "cat FILE | bash", Do: func(l string) string { return "echo " + quoted(l) + " > /tmp/c && cat /tmp/c | bash" }},
		{Name: "bash << EOF", Do: func(l string) string { return "bash <<'END'\n" + l + "\nEND" }},
		{Name: "echo … | sh", Do: func(l string) string { return "echo " + quoted(l) + " | sh" }},
		{Name: "bash -c", Do: func(l string) string { return "bash -c " + quoted(l) }},
		{Name: "timeout, nohup, setsid", Do: func(l string) string {
			return "nohup timeout 600 setsid sh -c " + quoted(l) + " >/dev/null 2>&1 &"
		}},
		{Name: "env -i", Do: func(l string) string { return "env -i PATH=/usr/bin /bin/bash --norc -c " + quoted(l) }},
		{Name: "function", Do: func(l string) string { return "f() {\n" + l + "\n}; f" }},
		{Name: "variable", Do: func(l string) string { return "c=" + quoted(l) + `; eval "$c"` }},
		{Name: "xargs", Do: func(l string) string { return "echo x | xargs -I@@ sh -c " + quoted(l) }},
		{Name: "find -exec", Do: func(l string) string { return "find . -maxdepth 0 -exec sh -c " + quoted(l) + ` \;` }},
		{Name: "trap EXIT", Do: func(l string) string { return "trap " + quoted(l) + " EXIT; exit" }},
		{Name: "python os.system", Do: func(l string) string { return "python3 -c " + quoted("import os\nos.system("+pythonText(l)+")") }},
		{Name: "perl system", Do: func(l string) string {
			if strings.ContainsAny(l, "$@\\\"") {
				return ""
			}
			return "perl -e " + quoted(`system("`+l+`")`)
		}},
		{Name: "awk system", Do: func(l string) string {
			if strings.ContainsAny(l, "\\\"\n") {
				return ""
			}
			return "awk " + quoted(`BEGIN{system("`+l+`")}`)
		}},
		{Name: "python file", Do: func(l string) string {
			return "cat > /tmp/r.py <<'EOF'\nimport subprocess\nsubprocess.run(" + pythonText(l) + ", shell=True)\nEOF\npython3 /tmp/r.py"
		}},
		{Name: "Makefile", Do: func(l string) string {
			if strings.ContainsAny(l, "\n") {
				return ""
			}
			return "printf 'all:\\n\\t@%s\\n' " + quoted(strings.ReplaceAll(l, "$", "$$")) + " > Makefile; make"
		}},
		{Name: "background", Do: func(l string) string { return "(\n" + l + "\n) > /dev/null 2>&1 & disown" }},
	}
}

// pythonText is a string constant of Python.
func pythonText(l string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(l) + `"`
}
