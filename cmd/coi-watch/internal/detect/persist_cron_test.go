package detect_test

import "testing"

func TestPersistCron(t *testing.T) { check(t, "persist.cron") }
