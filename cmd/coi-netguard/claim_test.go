package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/code-on-incus/coi/pkg/cli"
	"github.com/code-on-incus/coi/pkg/coi"
)

// Two homes of one user without COI_HOME have one table: the second guard
// refuses and names the first; once that one is gone, it may.
func TestClaimIsForOneGuard(t *testing.T) {
	table := fmt.Sprintf("coi_test_%d", os.Getpid())
	l, err := claim(table)
	if err != nil || l == nil {
		t.Fatalf("claim = %v, %v", l, err)
	}
	_, err = claim(table)
	var e *cli.Error
	if !errors.As(err, &e) || e.Code != coi.ExitFailed || !strings.Contains(err.Error(), filepath.Join(os.Getenv("HOME"), ".coi")) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("the second claim = %v; want it refused with the home and the pid of the first", err)
	}
	if other, err := claim(table + "_other"); err != nil || other == nil {
		t.Errorf("claim of another table = %v, %v", other, err)
	} else {
		_ = other.Close()
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := claim(table)
	if err != nil || again == nil {
		t.Fatalf("claim after the first is gone = %v, %v", again, err)
	}
	_ = again.Close()
}

// A stranger's process on the name stops no guard: he could keep everybody
// without a firewall.
func TestClaimOfAStranger(t *testing.T) {
	table := fmt.Sprintf("coi_squat_%d", os.Getpid())
	theirs, err := claim(table)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = theirs.Close() }()
	if l, err := claimAs(table, os.Geteuid()+1); err != nil || l != nil {
		t.Errorf("claim = %v, %v; want neither", l, err)
	}
}
