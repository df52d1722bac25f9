package config

import (
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/code-on-incus/coi/pkg/dest"
)

// slot is one tagged field of Config.
type slot struct {
	index []int
	row   *Row
	t     reflect.Type
}

// slots lists the tagged fields; the schema says which of them are keys.
var slots = sync.OnceValue(func() []slot { return slotsOf(reflect.TypeFor[Config](), "", nil) })

func slotsOf(t reflect.Type, prefix string, index []int) []slot {
	var out []slot
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("key")
		if tag == "" {
			continue
		}
		at := append(slices.Clone(index), i)
		if row, isKey := byKey[prefix+tag]; isKey {
			out = append(out, slot{at, row, f.Type})
		} else if f.Type.Kind() == reflect.Struct {
			out = append(out, slotsOf(f.Type, prefix+tag+".", at)...)
		}
	}
	return out
}

// bind fills the tagged fields of the typed configuration from the values.
func bind(c *Config, vals values) {
	root := reflect.ValueOf(c).Elem()
	named := stringMaps(vals)
	for _, s := range slots() {
		if s.row.Kind == Map {
			m := named[s.row.Key]
			if m == nil {
				m = map[string]string{}
			}
			root.FieldByIndex(s.index).Set(reflect.ValueOf(m))
		} else if v, ok := vals[s.row.Key]; ok {
			root.FieldByIndex(s.index).Set(reflect.ValueOf(typed(s.t, bareValue(v.v))))
		}
	}
}

// stringMaps gathers the tables whose names the user chooses, by their keys.
func stringMaps(vals values) map[string]map[string]string {
	out := map[string]map[string]string{}
	for k, v := range vals {
		if v.row.Kind != Map {
			continue
		}
		rest, ok := strings.CutPrefix(k, v.row.Key+".")
		if !ok {
			continue
		}
		if out[v.row.Key] == nil {
			out[v.row.Key] = map[string]string{}
		}
		out[v.row.Key][unquote(rest)], _ = v.v.(string)
	}
	return out
}

// unquote is the inverse of bareOrQuoted.
func unquote(part string) string {
	if s, err := strconv.Unquote(part); err == nil {
		return s
	}
	return part
}

// typed turns a checked value into the type of its field.
func typed(t reflect.Type, v any) any {
	switch n := v.(type) {
	case int64:
		switch t {
		case reflect.TypeFor[time.Duration]():
			return time.Duration(n) * time.Second
		case reflect.TypeFor[uint32]():
			return uint32(n)
		}
		return int(n)
	case bool:
		if t.Kind() == reflect.Pointer {
			return &n
		}
	case string:
		switch t {
		case reflect.TypeFor[time.Duration]():
			d, _ := ParseDuration(n)
			return d
		case reflect.TypeFor[netip.Prefix]():
			p, _ := netip.ParsePrefix(n)
			return p
		}
	case []string:
		switch t {
		case reflect.TypeFor[[]netip.Addr]():
			out := make([]netip.Addr, len(n))
			for i, s := range n {
				out[i], _ = netip.ParseAddr(s)
			}
			return out
		case reflect.TypeFor[[]dest.Ports]():
			return portList(n)
		}
	}
	return v
}

func portList(list []string) []dest.Ports { return dest.Normal(ports(list)) }
