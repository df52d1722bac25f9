package config_test

import (
	"fmt"
	"testing"
)

// R-MON-16: a quota of a project gets into the key in which the user wrote one,
// and never in the place of a rate of the user's.
func TestProjectQuotaBesideTheUsersRate(t *testing.T) {
	for _, c := range []struct {
		user, project string
		quota         int64
		rate          string
	}{
		{"size = \"20GiB\"\nmax = \"10MB/s\"", "max = \"20GiB\"", 20, "10MB/s"},
		{"size = \"20GiB\"\nmax = \"10MB/s\"", "max = \"5GiB\"", 5, "10MB/s"},
		{"size = \"20GiB\"\nmax = \"10MB/s\"", "size = \"5GiB\"", 5, "10MB/s"},
		{"size = \"20GiB\"\nmax = \"20GiB\"", "max = \"5GiB\"", 5, ""},
		{"max = \"20GiB\"", "size = \"5GiB\"", 5, ""},
		{"max = \"10MB/s\"", "size = \"5GiB\"", 5, "10MB/s"},
	} {
		w := newWorld(t)
		w.user("[limits.disk]\n" + c.user + "\n")
		w.project("[limits.disk]\n" + c.project + "\n")
		got := w.load()
		d := got.Limits.Disk
		_, capped := d.MaxRate()
		check(t, want{
			fmt.Sprintf("%q under %q: %+v, refused %v", c.project, c.user, d, got.Refused),
			d.Quota() == c.quota<<30 && capped == (c.rate != "") && (!capped || d.Max == c.rate),
		})
	}
}
