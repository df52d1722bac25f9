package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/code-on-incus/coi/pkg/dest"
)

// Tighter says which values are at least as strict as another.
type Tighter struct {
	Words string // for the table of keys
	// OK reports whether v is at least as strict as base. base is nil when the
	// user set nothing and there is no default. Lists are []string.
	OK func(base, v any) bool
}

var (
	isTrue  = Tighter{"true", func(base, v any) bool { return v == true || base == false }}
	isFalse = Tighter{"false", func(base, v any) bool { return v == false || base == true }}
	// isTrueOrUnset: unset means on where possible, so false is looser than unset.
	isTrueOrUnset = Tighter{"true", func(base, v any) bool { return v == true || base == false }}

	lower        = Tighter{"lower", func(base, v any) bool { return number(v) <= number(base) }}
	higher       = Tighter{"higher", func(base, v any) bool { return number(v) >= number(base) }}
	lowerNotZero = Tighter{"lower, not 0", func(base, v any) bool {
		return number(base) == 0 || number(v) != 0 && number(v) <= number(base)
	}}

	lowerSize      = parsed("lower", ParseSize, func(base, v int64) bool { return v <= base })
	lowerRate      = parsed("lower", ParseRate, func(base, v Rate) bool { return base.Operations == v.Operations && v.PerSecond <= base.PerSecond })
	lowerAllowance = parsed("lower", parseAllowance, func(base, v allowance) bool { return base.hard == v.hard && v.share <= base.share })
	lowerDuration  = Tighter{"lower", durationLower}
	fewerCPUs      = parsed("lower", ParseCPUs, cpusLower)
	lowerMemory    = Tighter{"lower", memoryLower}
	lowerSwap      = Tighter{"false, or lower", swapLower}
	lowerDiskMax   = Tighter{"lower", diskMaxLower}

	subset = Tighter{"subset", domainSubset}
	// An empty list means all ports.
	portSubset = Tighter{"subset", func(base, v any) bool { return dest.CoverPorts(ports(base), ports(v)) }}
	superset   = Tighter{"superset", func(base, v any) bool { return containsAll(strs(v), strs(base)) }}
)

// order ranks words from the loosest to the strictest.
func order(words ...string) Tighter {
	rank := func(v any) int { s, _ := v.(string); return slices.Index(words, s) }
	strictFirst := slices.Clone(words)
	slices.Reverse(strictFirst)
	return Tighter{strings.Join(strictFirst, " > "), func(base, v any) bool { return rank(v) >= rank(base) }}
}

// parsed compares texts by what they mean. No text is no limit; texts of two
// forms that cannot be compared are not stricter.
func parsed[T any](words string, parse func(string) (T, error), ok func(base, v T) bool) Tighter {
	return Tighter{words, func(base, v any) bool {
		b, _ := base.(string)
		t, _ := v.(string)
		if b == "" || b == t {
			return true
		}
		pb, err := parse(b)
		pv, err2 := parse(t)
		return err == nil && err2 == nil && ok(pb, pv)
	}}
}

func durationLower(base, v any) bool {
	b, _ := base.(string)
	t, _ := v.(string)
	if b == "" || b == t {
		return true
	}
	db, err := ParseDuration(b)
	dv, err2 := ParseDuration(t)
	return t != "" && err == nil && err2 == nil && dv <= db
}

func cpusLower(base, v CPUs) bool {
	if len(base.Set) == 0 {
		return v.Count <= base.Count
	}
	return len(v.Set) > 0 && containsAll(base.Set, v.Set)
}

// memoryLower cannot compare a size with a share of the host's memory.
func memoryLower(base, v any) bool {
	b, _ := base.(string)
	t, _ := v.(string)
	pb, isB := ParsePercent(b)
	pv, isV := ParsePercent(t)
	if isB && isV {
		return pv <= pb
	}
	return lowerSize.OK(base, v)
}

func swapLower(base, v any) bool {
	b, _ := base.(string)
	t, _ := v.(string)
	switch {
	case t == "false" || b == "true" || b == "":
		return true
	case t == "true" || t == "" || b == "false":
		return false
	}
	return lowerSize.OK(base, v)
}

func diskMaxLower(base, v any) bool {
	return lowerSize.OK(base, v) || lowerRate.OK(base, v)
}

func domainSubset(base, v any) bool {
	for _, s := range strs(v) {
		if !coveredBy(s, strs(base)) {
			return false
		}
	}
	return true
}

func coveredBy(entry string, list []string) bool {
	d, err := dest.Parse(entry)
	return err == nil && slices.ContainsFunc(list, func(s string) bool {
		b, err := dest.Parse(s)
		return err == nil && b.Covers(d)
	})
}

func containsAll[T comparable](all, some []T) bool {
	return !slices.ContainsFunc(some, func(s T) bool { return !slices.Contains(all, s) })
}

func strs(v any) []string {
	s, _ := v.([]string)
	return s
}

func ports(v any) []dest.Ports {
	var out []dest.Ports
	for _, s := range strs(v) {
		if p, err := dest.ParsePorts(s); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// words joins alternatives for a message.
func words(list []string) string {
	quoted := slices.Clone(list)
	for i, s := range quoted {
		if s == "" {
			quoted[i] = fmt.Sprintf("%q", s)
		}
	}
	return strings.Join(quoted, " ")
}
