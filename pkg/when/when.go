// Package when reads the points in time that users write after --since and
// --until.
package when

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Forms of a date or time without a zone, which are read as local time.
var local = []string{"2006-01-02", "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04"}

// Parse reads a duration back from now (90s 30m 2h 7d 2w 1h30m), an RFC 3339
// time, a date or a time of the local zone, "today" or "yesterday".
func Parse(s string, now time.Time) (time.Time, error) {
	switch s {
	case "now":
		return now, nil
	case "today":
		return midnight(now, 0), nil
	case "yesterday":
		return midnight(now, -1), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, nil
	}
	for _, form := range local {
		if t, err := time.ParseInLocation(form, s, now.Location()); err == nil {
			return t, nil
		}
	}
	if d, ok := back(s); ok {
		return now.Add(-d), nil
	}
	return time.Time{}, fmt.Errorf("%q is no time: use 90s, 30m, 2h, 7d, today, 2006-01-02 or RFC 3339", s)
}

func midnight(now time.Time, days int) time.Time {
	return time.Date(now.Year(), now.Month(), now.Day()+days, 0, 0, 0, 0, now.Location())
}

// back reads a duration; days and weeks are what time.ParseDuration lacks.
func back(s string) (time.Duration, bool) {
	for suffix, unit := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if digits, ok := strings.CutSuffix(s, suffix); ok {
			n, err := strconv.ParseFloat(digits, 64)
			return time.Duration(n * float64(unit)), err == nil && n >= 0 && n < 36500
		}
	}
	d, err := time.ParseDuration(s)
	return d, err == nil && d >= 0
}
