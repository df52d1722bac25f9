package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/code-on-incus/coi/pkg/dest"
)

func between(low, high float64) Rule {
	return Rule{Min: low, Max: high, Words: fmtNumber(low) + "-" + fmtNumber(high)}
}

func zeroOr(low, high float64) Rule {
	r := between(low, high)
	r.Words = "0, or " + r.Words
	r.Check = func(s string) error {
		if s == "0" {
			return nil
		}
		return errors.New("")
	}
	return r
}

func oneOf(list ...string) Rule { return Rule{Enum: list, Words: words(list)} }

func fmtNumber(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

var patterns sync.Map

func matches(pattern, s string) bool {
	re, ok := patterns.Load(pattern)
	if !ok {
		re, _ = patterns.LoadOrStore(pattern, regexp.MustCompile(pattern))
	}
	return re.(*regexp.Regexp).MatchString(s)
}

// text checks a string or list element. An empty problem is none.
func (r Rule) text(s string) (problem string) {
	switch {
	case r.Enum != nil && !slices.Contains(r.Enum, s),
		r.Pattern != "" && !matches(r.Pattern, s):
		return fmt.Sprintf("%q is not allowed", s)
	}
	if r.Check != nil {
		if err := r.Check(s); err != nil {
			return err.Error()
		}
	}
	return ""
}

func (r Rule) number(v any) (problem string) {
	n := number(v)
	if r.Check != nil && r.Check(fmtNumber(n)) == nil {
		return ""
	}
	if (r.Min != 0 || r.Max != 0) && !(n >= r.Min && n <= r.Max) {
		return fmtNumber(n) + " is out of range"
	}
	return ""
}

func checkText(s string) error {
	if s == "" {
		return errors.New("empty")
	}
	return checkLine(s)
}

func checkLine(s string) error {
	if strings.IndexFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f }) >= 0 {
		return fmt.Errorf("%q holds control characters", s)
	}
	return nil
}

func checkURL(schemes ...string) func(string) error {
	return func(s string) error {
		if s == "" {
			return nil
		}
		u, err := url.Parse(s)
		if err != nil || !slices.Contains(schemes, u.Scheme) || u.Scheme != "file" && u.Host == "" {
			return fmt.Errorf("%q is not %s", s, "a URL with scheme "+strings.Join(schemes, " or "))
		}
		return checkLine(s)
	}
}

// ValidProfileName reports whether name may be the directory of a profile.
func ValidProfileName(name string) bool { return matches(namePattern, name) }

func checkProfileName(s string) error {
	if s == "" {
		return nil
	}
	if _, name := splitProfile(s); !ValidProfileName(name) {
		return fmt.Errorf("%q is no profile name", s)
	}
	return nil
}

func checkAlias(s string) error {
	if s != "" && (!matches(`^[A-Za-z][A-Za-z0-9_-]{0,63}$`, s) || s == "verify" || s == "summary") {
		return fmt.Errorf("%q is no alias", s)
	}
	return nil
}

const maxEnv = 32 << 10

func checkEnvValue(s string) error {
	if len(s) > maxEnv {
		return errors.New("a value over 32 KiB")
	}
	if strings.ContainsRune(s, 0) {
		return errors.New("a value with a NUL character")
	}
	return nil
}

func checkDuration(low, high string) func(string) error {
	lo, _ := ParseDuration(low)
	hi, _ := ParseDuration(high)
	return func(s string) error {
		if s == "" && high == "" {
			return nil
		}
		d, err := ParseDuration(s)
		if err != nil {
			return err
		}
		if s == "" || d < lo || hi > 0 && d > hi {
			return fmt.Errorf("%q is out of range", s)
		}
		return nil
	}
}

func checkZone(s string) error {
	if s == "" {
		return nil
	}
	if _, err := time.LoadLocation(s); err != nil || s == "Local" {
		return fmt.Errorf("unknown time zone %q", s)
	}
	return nil
}

func checkDest(s string) error {
	d, err := dest.Parse(s)
	if err != nil {
		var e *dest.Error
		if errors.As(err, &e) && e.Hint != "" {
			return fmt.Errorf("%w; %s", err, e.Hint)
		}
		return err
	}
	if d.Prefix.IsValid() {
		if reach, slug := dest.ReachOf(d.Prefix); reach == dest.Hard {
			return fmt.Errorf("%q: in a range that is never opened (%s)", s, slug)
		}
	}
	return nil
}

func noteDest(s string) string {
	d, err := dest.Parse(s)
	switch {
	case err != nil:
		return ""
	case d.Shared:
		return fmt.Sprintf("%q: strangers register names under %s", s, d.Name)
	case d.Mixed:
		return fmt.Sprintf("%q mixes scripts and may imitate another name; it is %s", s, d.Name)
	}
	return ""
}

func checkPool(six bool) func(string) error {
	return func(s string) error {
		p, err := netip.ParsePrefix(s)
		if err != nil || p.Masked() != p || p.Addr().Is6() != six {
			return fmt.Errorf("%q is no such prefix", s)
		}
		if reach, _ := dest.ReachOf(p); reach != dest.Soft {
			return fmt.Errorf("%q is not in a private range", s)
		}
		return nil
	}
}

func checkAddr(s string) error {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" || a.Is4In6() {
		return fmt.Errorf("%q is no address", s)
	}
	return nil
}

func checkPort(s string) error {
	_, err := dest.ParsePorts(s)
	return err
}

func checkHostIP(s string) error {
	if s == "host" {
		return nil
	}
	if err := checkAddr(s); err != nil {
		return err
	}
	a := netip.MustParseAddr(s)
	if reach, slug := dest.ReachOf(netip.PrefixFrom(a, a.BitLen())); reach == dest.Hard {
		return fmt.Errorf("%q is in a range that is never opened (%s)", s, slug)
	}
	return nil
}

func checkHostname(s string) error {
	d, err := dest.Parse(s)
	if err != nil || d.Name == "" || d.Wildcard || len(d.Ports) > 0 {
		return fmt.Errorf("%q is no domain name", s)
	}
	return nil
}

// checkHomePath accepts paths below the home directory: relative, or ~/x.
func checkHomePath(s string) error { return checkRel(strings.TrimPrefix(s, "~/")) }

func checkRel(s string) error {
	switch {
	case s == "":
		return errors.New("an empty path")
	case checkLine(s) != nil || !utf8.ValidString(s):
		return checkLine(s)
	case path.IsAbs(s):
		return fmt.Errorf("%q is absolute", s)
	}
	for part := range strings.SplitSeq(strings.TrimSuffix(s, "/"), "/") {
		if part == "" || part == ".." || part == "." {
			return fmt.Errorf("%q has an empty, . or .. part", s)
		}
	}
	return nil
}

func checkGlob(s string) error {
	if err := checkRel(strings.TrimSuffix(s, "/**")); err != nil {
		return err
	}
	if _, err := path.Match(s, ""); err != nil {
		return fmt.Errorf("%q is a malformed glob", s)
	}
	return nil
}

func checkBranch(s string) error {
	if _, err := path.Match(s, ""); err != nil || s == "" || strings.ContainsAny(s, " ~^:\\") || checkLine(s) != nil {
		return fmt.Errorf("%q is no branch name or glob", s)
	}
	return nil
}

func checkERE(s string) error {
	if _, err := regexp.CompilePOSIX(s); err != nil || s == "" {
		return fmt.Errorf("%q is no extended regular expression", s)
	}
	return checkLine(s)
}

func checkMode(s string) error {
	n, err := strconv.ParseUint(s, 8, 32)
	if err != nil || n > 0o777 || n == 0 {
		return fmt.Errorf("%q is no octal mode", s)
	}
	return nil
}

var forbiddenInside = []string{"/proc", "/sys", "/dev", "/run/coi"}

func checkContainerPath(s string) error {
	if !path.IsAbs(s) || checkLine(s) != nil {
		return fmt.Errorf("%q is not an absolute path", s)
	}
	if slices.Contains(strings.Split(s, "/"), "..") {
		return fmt.Errorf("%q has a .. part", s)
	}
	clean := path.Clean(s)
	for _, f := range forbiddenInside {
		if clean == f || strings.HasPrefix(clean, f+"/") {
			return fmt.Errorf("%q is reserved", s)
		}
	}
	if clean == "/" {
		return fmt.Errorf("%q is reserved", s)
	}
	return nil
}

func checkNotify(s string) error {
	if s == "tmux" || s == "bell" {
		return nil
	}
	if p, ok := strings.CutPrefix(s, "file:"); ok && (path.IsAbs(p) || strings.HasPrefix(p, "~/")) {
		return checkLine(p)
	}
	return fmt.Errorf("%q is no place for messages", s)
}

func checkSize(s string) error {
	if s == "" {
		return nil
	}
	_, err := ParseSize(s)
	return unitHint(s, err)
}

func checkRate(s string) error {
	if s == "" {
		return nil
	}
	_, err := ParseRate(s)
	return unitHint(s, err)
}

func checkDiskMax(s string) error {
	if checkSize(s) == nil || checkRate(s) == nil {
		return nil
	}
	return unitHint(s, fmt.Errorf("%q is neither a size nor a rate (20GiB, 50MB/s, 500iops)", s))
}

func unitHint(s string, err error) error {
	if _, bare := decimal(s); err != nil && bare {
		return fmt.Errorf("%q has no unit; write 20GiB or 20MB/s", s)
	}
	return err
}

func checkMemory(s string) error {
	if _, ok := ParsePercent(s); ok {
		return nil
	}
	return checkSize(s)
}

func checkSwap(s string) error {
	if s == "true" || s == "false" || s != "" && checkSize(s) == nil {
		return nil
	}
	return fmt.Errorf("%q is not true, false or a size", s)
}

func checkCPUs(s string) error {
	if s == "" {
		return nil
	}
	_, err := ParseCPUs(s)
	return err
}

func checkAllowance(s string) error {
	if s == "" {
		return nil
	}
	_, err := parseAllowance(s)
	return err
}
