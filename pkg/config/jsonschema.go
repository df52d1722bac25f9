package config

import (
	"encoding/json"
	"fmt"
	"strings"
)

// JSONSchema is the JSON Schema 2020-12 of a main configuration file
// ("config") or of a profile ("profile").
func JSONSchema(kind string) ([]byte, error) {
	if kind != "config" && kind != "profile" {
		return nil, fmt.Errorf("no schema of kind %q", kind)
	}
	profile := kind == "profile"
	root := object("Configuration of coi")
	if profile {
		root = object("Profile of coi")
		props := root["properties"].(map[string]any)
		props["inherits"] = map[string]any{"type": "string", "description": "Parent profile."}
		props["context"] = map[string]any{"type": "string", "description": "Markdown file beside the profile, added to SANDBOX_CONTEXT.md."}
		props["clear"] = map[string]any{"type": "array", "items": map[string]any{"enum": clearable}, "description": "Lists that start empty."}
	}
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	for i := range Schema {
		row := &Schema[i]
		if profile && row.MainOnly {
			continue
		}
		property(root, strings.Split(row.Key, "."), rowSchema(row))
		if row.Key == "mounts" {
			list := rowSchema(row)
			property(root, []string{"mounts"}, map[string]any{"oneOf": []any{list, map[string]any{
				"type": "object", "additionalProperties": false, "properties": map[string]any{"default": list},
			}}})
		}
	}
	for _, key := range rootKeys {
		property(root, []string{key}, rowSchema(byKey["defaults."+key]))
	}
	return json.MarshalIndent(root, "", "  ")
}

func object(description string) map[string]any {
	o := map[string]any{"type": "object", "additionalProperties": false, "properties": map[string]any{}}
	if description != "" {
		o["description"] = description
	}
	return o
}

func property(o map[string]any, path []string, schema map[string]any) {
	props := o["properties"].(map[string]any)
	if len(path) == 1 {
		props[path[0]] = schema
		return
	}
	sub, ok := props[path[0]].(map[string]any)
	if !ok {
		sub = object("")
		props[path[0]] = sub
	}
	property(sub, path[1:], schema)
}

func rowSchema(row *Row) map[string]any {
	var s map[string]any
	switch row.Kind {
	case Map:
		s = map[string]any{"type": "object", "additionalProperties": kindSchema(Text, row.Rule)}
	case Texts:
		s = map[string]any{"type": "object", "additionalProperties": map[string]any{"oneOf": []any{
			map[string]any{"type": "string"},
			map[string]any{"type": "object", "required": []string{"file"}, "additionalProperties": false, "properties": map[string]any{"file": map[string]any{"type": "string"}}},
		}}}
	case Rules:
		entry := object("")
		property(entry, []string{"profile"}, map[string]any{"type": "string"})
		s = map[string]any{"type": "object", "additionalProperties": entry}
	case Tables:
		item, required := object(""), []string{}
		for _, f := range row.Fields {
			fs := kindSchema(f.Kind, f.Rule)
			fs["description"] = f.Doc
			if f.Default != nil {
				fs["default"] = f.Default
			}
			property(item, []string{f.Name}, fs)
			if f.Required {
				required = append(required, f.Name)
			}
		}
		if len(required) > 0 {
			item["required"] = required
		}
		s = map[string]any{"type": "array", "items": item}
	default:
		s = kindSchema(row.Kind, row.Rule)
	}
	s["description"] = row.Doc
	if row.Rule.Words != "" {
		s["description"] = row.Doc + " Allowed: " + row.Rule.Words + "."
	}
	if row.Default != nil {
		s["default"] = row.Default
	}
	return s
}

func kindSchema(kind Kind, rule Rule) map[string]any {
	text := map[string]any{"type": "string"}
	if rule.Enum != nil {
		text["enum"] = rule.Enum
	}
	if rule.Pattern != "" {
		text["pattern"] = rule.Pattern
	}
	number := map[string]any{"type": map[Kind]string{Int: "integer", Float: "number"}[kind]}
	if rule.Max != 0 && rule.Check == nil {
		number["minimum"], number["maximum"] = rule.Min, rule.Max
	}
	port := map[string]any{"oneOf": []any{map[string]any{"type": "integer", "minimum": 1, "maximum": 65535}, map[string]any{"type": "string", "pattern": `^[0-9]+(-[0-9]+)?$`}}}
	switch kind {
	case Bool:
		return map[string]any{"type": "boolean"}
	case Int, Float:
		return number
	case List:
		return map[string]any{"type": "array", "items": text}
	case PortList:
		return map[string]any{"type": "array", "items": port}
	case WordOrList:
		return map[string]any{"oneOf": []any{text, map[string]any{"type": "array", "items": text}}}
	case TextOrInt:
		return map[string]any{"type": []string{"string", "integer"}}
	case TextOrBool:
		return map[string]any{"type": []string{"string", "boolean"}}
	}
	return text
}
