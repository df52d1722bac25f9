package check

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/code-on-incus/coi/pkg/config"
	"github.com/code-on-incus/coi/pkg/home"
)

// Setting is one effective value for the verbose output.
type Setting struct{ Name, Value, Origin string }

// friendly gives the long-standing short names of two switches.
var friendly = map[string]string{"auto_pause_on_high": "auto_pause", "auto_kill_on_critical": "auto_kill"}

// Settings lists the effective values of a table ("monitoring.") with where
// each comes from, files of the home written with ~.
func Settings(cfg *config.Config, h home.Home, table string) []Setting {
	section := map[string]any{"monitoring.": &cfg.Monitoring, "security.": &cfg.Security, "network.": &cfg.Network}[table]
	var list []Setting
	walk(reflect.ValueOf(section).Elem(), strings.TrimSuffix(table, "."), func(key string, v reflect.Value) {
		name := strings.TrimPrefix(key, table)
		if short, known := friendly[name]; known {
			list = append(list, Setting{short, render(v), cfg.Origin(key).Shorten(h).String()})
		}
		list = append(list, Setting{name, render(v), cfg.Origin(key).Shorten(h).String()})
	})
	return list
}

// walk visits the fields that carry a key tag, nested tables included.
func walk(v reflect.Value, path string, visit func(string, reflect.Value)) {
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag.Get("key")
		if tag == "" {
			continue
		}
		if f := v.Field(i); f.Kind() == reflect.Struct && f.Type().PkgPath() == v.Type().PkgPath() && f.NumField() > 0 && f.Type().Field(0).Tag.Get("key") != "" {
			walk(f, path+"."+tag, visit)
		} else {
			visit(path+"."+tag, f)
		}
	}
}

func render(v reflect.Value) string {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return "true" // unset: on where it can run
		}
		v = v.Elem()
	}
	if v.Kind() == reflect.Slice && v.Len() == 0 {
		return "[]"
	}
	return fmt.Sprint(v.Interface())
}
