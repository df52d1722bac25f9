package config

import (
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/code-on-incus/coi/pkg/dest"
)

// bind fills the tagged fields of the typed configuration from the values.
func bind(c *Config, vals values) { bindStruct(reflect.ValueOf(c).Elem(), "", vals) }

func bindStruct(s reflect.Value, prefix string, vals values) {
	for i := range s.NumField() {
		tag := s.Type().Field(i).Tag.Get("key")
		if tag == "" {
			continue
		}
		key := prefix + tag
		f := s.Field(i)
		row, isKey := byKey[key]
		switch {
		case !isKey && f.Kind() == reflect.Struct:
			bindStruct(f, key+".", vals)
		case isKey && row.Kind == Map:
			f.Set(reflect.ValueOf(stringMap(key, vals)))
		default:
			if v, ok := vals[key]; ok {
				f.Set(reflect.ValueOf(typed(f.Type(), plain(v.v))))
			}
		}
	}
}

func stringMap(key string, vals values) map[string]string {
	out := map[string]string{}
	for k, v := range vals {
		if rest, ok := strings.CutPrefix(k, key+"."); ok {
			out[unquote(rest)], _ = v.v.(string)
		}
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
