package config

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func schemaOf(t *testing.T, kind string) map[string]any {
	t.Helper()
	text, err := JSONSchema(kind)
	if err != nil {
		t.Fatal(err)
	}
	var s map[string]any
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// What the loader accepts, the published schema accepts.
func TestJSONSchemaAcceptsWhatLoads(t *testing.T) {
	h, workspace := propertyWorld(t)
	g := &generator{rand.New(rand.NewPCG(3, 4)), h, workspace, nil}
	for _, kind := range []string{"config", "profile"} {
		schema, loaded := schemaOf(t, kind), 0
		for range 2000 {
			tree := g.tree(kind == "profile", 20)
			var ps problems
			decode(&document{src: &source{kind: UserFile, trusted: true, isProf: kind == "profile", hostDir: "/x", fileDir: "/x"}, tree: tree, pos: map[string]position{}}, h, &ps)
			if len(ps) > 0 {
				continue
			}
			loaded++
			data, err := json.Marshal(tree)
			if err != nil {
				t.Fatal(err)
			}
			var v any
			if err := json.Unmarshal(data, &v); err != nil {
				t.Fatal(err)
			}
			if why := validate(schema, v, kind); why != "" {
				t.Fatalf("%s\n%s", why, data)
			}
		}
		if loaded < 1000 {
			t.Errorf("%s: only %d of 2000 trees load", kind, loaded)
		}
	}
}

// And it refuses what is plainly wrong.
func TestJSONSchemaRefuses(t *testing.T) {
	schema := schemaOf(t, "config")
	for _, text := range []string{
		`{"contaner": {}}`, `{"container": {"imagee": "x"}}`, `{"network": {"mode": "closed"}}`, `{"network": {"mode": 3}}`, `{"container": {"shutdown_timeout": 0}}`,
		`{"mounts": [{"host": "x"}]}`, `{"inherits": "x"}`, `{"network": {"allowed_ports": [0]}}`,
	} {
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		if validate(schema, v, "") == "" {
			t.Errorf("%s is accepted", text)
		}
	}
}

// validate is as much of JSON Schema as the schema uses; a keyword it does not know is a failure.
func validate(schema map[string]any, v any, at string) string {
	for keyword, arg := range schema {
		ok := true
		switch keyword {
		case "$schema", "description", "default":
		case "type":
			ok = slices.ContainsFunc(asList(arg), func(t any) bool { return isType(t.(string), v) })
		case "enum":
			ok = slices.Contains(arg.([]any), v)
		case "pattern":
			s, isText := v.(string)
			ok = !isText || matches(arg.(string), s)
		case "minimum":
			n, isNumber := v.(float64)
			ok = !isNumber || n >= arg.(float64)
		case "maximum":
			n, isNumber := v.(float64)
			ok = !isNumber || n <= arg.(float64)
		case "oneOf":
			n := 0
			for _, s := range arg.([]any) {
				if validate(s.(map[string]any), v, at) == "" {
					n++
				}
			}
			ok = n == 1
		case "items":
			list, _ := v.([]any)
			for i, e := range list {
				if why := validate(arg.(map[string]any), e, fmt.Sprintf("%s[%d]", at, i)); why != "" {
					return why
				}
			}
		case "required":
			table, isTable := v.(map[string]any)
			for _, name := range arg.([]any) {
				if _, has := table[name.(string)]; isTable && !has {
					ok = false
				}
			}
		case "properties", "additionalProperties":
			if why := properties(schema, v, at); why != "" {
				return why
			}
		default:
			return "unknown keyword " + keyword
		}
		if !ok {
			return fmt.Sprintf("%s: %v breaks %s %v", at, v, keyword, arg)
		}
	}
	return ""
}

func properties(schema map[string]any, v any, at string) string {
	table, _ := v.(map[string]any)
	known, _ := schema["properties"].(map[string]any)
	for name, value := range table {
		sub, ok := known[name].(map[string]any)
		if !ok {
			sub, ok = schema["additionalProperties"].(map[string]any)
		}
		if !ok {
			return at + "." + name + " is not allowed"
		}
		if why := validate(sub, value, at+"."+name); why != "" {
			return why
		}
	}
	return ""
}

func asList(v any) []any {
	if list, ok := v.([]any); ok {
		return list
	}
	return []any{v}
}

func isType(t string, v any) bool {
	switch t {
	case "string":
		_, ok := v.(string)
		return ok
	case "boolean":
		_, ok := v.(bool)
		return ok
	case "number":
		_, ok := v.(float64)
		return ok
	case "integer":
		n, ok := v.(float64)
		return ok && n == float64(int64(n))
	case "array":
		_, ok := v.([]any)
		return ok
	}
	_, ok := v.(map[string]any)
	return ok
}
