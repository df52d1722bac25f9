package config

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

var units = map[string]float64{
	"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
}

// ParseSize reads a size such as 20GiB and gives bytes. A number without a unit
// is an error.
func ParseSize(s string) (int64, error) {
	digits := strings.TrimRight(s, "BkMGTKi")
	unit, ok := units[s[len(digits):]]
	n, err := strconv.ParseFloat(digits, 64)
	if !ok || err != nil || !plainNumber(digits) {
		return 0, fmt.Errorf("%q is no size (20GiB, 512MiB, 1.5GB)", s)
	}
	if bytes := n * unit; bytes >= 1 && bytes < 1<<62 {
		return int64(bytes), nil
	}
	return 0, fmt.Errorf("%q is out of range", s)
}

func plainNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789.") == "" && s[0] != '.' && s[len(s)-1] != '.'
}

// Rate is a cap on input and output: bytes or operations a second.
type Rate struct {
	PerSecond  int64
	Operations bool // PerSecond counts operations, not bytes
}

// ParseRate reads 50MB/s or 500iops.
func ParseRate(s string) (Rate, error) {
	if n, ok := strings.CutSuffix(s, "iops"); ok {
		v, err := strconv.ParseInt(n, 10, 64)
		if err != nil || v < 1 || n[0] == '+' {
			return Rate{}, fmt.Errorf("%q is no rate (500iops)", s)
		}
		return Rate{v, true}, nil
	}
	size, ok := strings.CutSuffix(s, "/s")
	if !ok {
		return Rate{}, fmt.Errorf("%q is no rate (50MB/s, 500iops)", s)
	}
	v, err := ParseSize(size)
	if err != nil {
		return Rate{}, fmt.Errorf("%q is no rate (50MB/s, 500iops)", s)
	}
	return Rate{v, false}, nil
}

// ParseDuration reads the Go form 1h30m; "" is 0.
func ParseDuration(s string) (time.Duration, error) {
	if s == "" || s == "0" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is no duration (30s, 10m, 1h30m)", s)
	}
	return d, nil
}

// ParsePercent reads 50%; 1-100.
func ParsePercent(s string) (int, bool) {
	n, ok := strings.CutSuffix(s, "%")
	v, err := strconv.Atoi(n)
	return v, ok && err == nil && v >= 1 && v <= 100 && n[0] != '+'
}

// CPUs is limits.cpu.count: a number of any CPUs, or a set of pinned ones.
type CPUs struct {
	Count int   // how many, in both forms
	Set   []int // sorted; empty when any CPUs will do
}

// ParseCPUs reads 2, 0-3 or 0,1,3.
func ParseCPUs(s string) (CPUs, error) {
	bad := fmt.Errorf("%q is no CPU number or set (2, 0-3, 0,1,3)", s)
	if n, ok := decimal(s); ok {
		if n < 1 || n > 4096 {
			return CPUs{}, bad
		}
		return CPUs{Count: n}, nil
	}
	var set []int
	for part := range strings.SplitSeq(s, ",") {
		low, high, isRange := strings.Cut(part, "-")
		lo, ok := decimal(low)
		hi := lo
		if isRange && ok {
			hi, ok = decimal(high)
		}
		if !ok || hi < lo || hi > 4095 {
			return CPUs{}, bad
		}
		for n := lo; n <= hi; n++ {
			set = append(set, n)
		}
	}
	slices.Sort(set)
	set = slices.Compact(set)
	return CPUs{len(set), set}, nil
}

func decimal(s string) (int, bool) {
	n, err := strconv.Atoi(s)
	return n, err == nil && strings.Trim(s, "0123456789") == "" && len(s) <= 6
}

// allowance is limits.cpu.allowance: a soft share, or a hard quota.
type allowance struct {
	hard  bool
	share float64 // 1 is one CPU for a hard quota, the whole for a soft share
}

func parseAllowance(s string) (allowance, error) {
	if p, ok := ParsePercent(s); ok {
		return allowance{share: float64(p) / 100}, nil
	}
	quota, period, ok := strings.Cut(s, "/")
	q, okq := milliseconds(quota)
	p, okp := milliseconds(period)
	if !ok || !okq || !okp {
		return allowance{}, fmt.Errorf("%q is no allowance (50%%, 25ms/100ms)", s)
	}
	return allowance{true, float64(q) / float64(p)}, nil
}

func milliseconds(s string) (int, bool) {
	n, found := strings.CutSuffix(s, "ms")
	v, ok := decimal(n)
	return v, found && ok && v > 0
}

// Quota is the size of the root file system in bytes, 0 for none, whichever of
// disk.size and disk.max says it.
func (d DiskLimits) Quota() int64 {
	for _, s := range []string{d.Size, d.Max} {
		if n, err := ParseSize(s); err == nil {
			return n
		}
	}
	return 0
}

// MaxRate is the cap that disk.max puts on reads and writes together; ok is
// false when max is a size or unset.
func (d DiskLimits) MaxRate() (r Rate, ok bool) {
	r, err := ParseRate(d.Max)
	return r, err == nil
}

// number is a config value as a float, for comparisons.
func number(v any) float64 {
	switch n := v.(type) {
	case int64:
		return float64(n)
	case float64:
		return n
	}
	return math.NaN()
}
