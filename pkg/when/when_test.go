package when

import (
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	zone := time.FixedZone("test", 2*3600)
	now := time.Date(2026, 5, 22, 10, 15, 1, 0, zone)
	for in, want := range map[string]string{
		"90s": "2026-05-22T10:13:31+02:00", "30m": "2026-05-22T09:45:01+02:00", "2h": "2026-05-22T08:15:01+02:00",
		"7d": "2026-05-15T10:15:01+02:00", "1h30m": "2026-05-22T08:45:01+02:00", "2w": "2026-05-08T10:15:01+02:00",
		"today": "2026-05-22T00:00:00+02:00", "yesterday": "2026-05-21T00:00:00+02:00", "2026-05-01": "2026-05-01T00:00:00+02:00",
		"2026-05-01T12:00:00Z": "2026-05-01T12:00:00Z", "2026-05-01 12:30": "2026-05-01T12:30:00+02:00",
	} {
		got, err := Parse(in, now)
		if err != nil || got.Format(time.RFC3339) != want {
			t.Errorf("Parse(%q) = %s, %v; want %s", in, got.Format(time.RFC3339), err, want)
		}
	}
	for _, bad := range []string{"", "x", "-1h", "7dd", "2026-13-01", "NaNd", "1e9d", "10"} {
		if got, err := Parse(bad, now); err == nil {
			t.Errorf("Parse(%q) = %s; want an error", bad, got)
		}
	}
}
