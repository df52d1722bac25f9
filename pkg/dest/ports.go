package dest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Ports is an inclusive range of port numbers, 1-65535.
type Ports struct{ Low, High uint16 }

func (p Ports) String() string {
	if p.Low == p.High {
		return strconv.Itoa(int(p.Low))
	}
	return fmt.Sprintf("%d-%d", p.Low, p.High)
}

// ParsePorts reads one item of a port list: "443" or "8000-8100".
func ParsePorts(s string) (Ports, error) {
	low, high, isRange := strings.Cut(s, "-")
	lo, ok := number(low, 65535)
	hi := lo
	if ok && isRange {
		hi, ok = number(high, 65535)
	}
	if !ok || lo < 1 {
		return Ports{}, fmt.Errorf("%q is no port", s)
	}
	if hi < lo {
		return Ports{}, fmt.Errorf("%q is a range that ends before it starts", s)
	}
	return Ports{uint16(lo), uint16(hi)}, nil
}

func parsePorts(s string) ([]Ports, error) {
	var out []Ports
	for item := range strings.SplitSeq(s, ",") {
		p, err := ParsePorts(item)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return Normal(out), nil
}

// number reads a plain decimal without sign or leading zero, 0..limit.
func number(s string, limit int) (int, bool) {
	if s == "" || len(s) > 6 || len(s) > 1 && s[0] == '0' || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && n <= limit
}

// Normal sorts ranges and joins those that touch or overlap.
func Normal(ports []Ports) []Ports {
	ports = slices.Clone(ports)
	slices.SortFunc(ports, func(a, b Ports) int { return int(a.Low) - int(b.Low) })
	var out []Ports
	for _, p := range ports {
		if n := len(out); n > 0 && int(p.Low) <= int(out[n-1].High)+1 {
			out[n-1].High = max(out[n-1].High, p.High)
			continue
		}
		out = append(out, p)
	}
	return out
}

// JoinPorts is the list as it is written: "80,443,8000-8100".
func JoinPorts(ports []Ports) string {
	parts := make([]string, len(ports))
	for i, p := range ports {
		parts[i] = p.String()
	}
	return strings.Join(parts, ",")
}

// CoverPorts reports whether wide holds every port of narrow. An empty list
// means all ports.
func CoverPorts(wide, narrow []Ports) bool {
	if len(wide) == 0 {
		return true
	}
	if len(narrow) == 0 {
		narrow = []Ports{{1, 65535}}
	}
	wide = Normal(wide)
	for _, n := range Normal(narrow) {
		if !slices.ContainsFunc(wide, func(w Ports) bool { return w.Low <= n.Low && n.High <= w.High }) {
			return false
		}
	}
	return true
}
