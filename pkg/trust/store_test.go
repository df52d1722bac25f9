package trust_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/code-on-incus/coi/pkg/home"
	"github.com/code-on-incus/coi/pkg/trust"
)

const goodStore = "schema_version = 1\n[approvals.\"/a/.coi/config.toml\"]\nfingerprint = \"ab\"\n"

// Whatever stands in the place of the store, only a plain file of the user's
// own, which nobody else can write, is believed; nothing waits for a writer.
func TestOddStores(t *testing.T) {
	for name, place := range map[string]func(store, elsewhere string) error{
		"link to a good one": func(store, elsewhere string) error { return os.Symlink(elsewhere, store) },
		"dangling link":      func(store, elsewhere string) error { return os.Symlink(elsewhere+"-gone", store) },
		"FIFO":               func(store, _ string) error { return unix.Mkfifo(store, 0o600) },
		"directory":          func(store, _ string) error { return os.Mkdir(store, 0o700) },
		"device":             func(store, _ string) error { return os.Symlink("/dev/zero", store) },
		"0666": func(store, _ string) error {
			return errors.Join(os.WriteFile(store, []byte(goodStore), 0o600), os.Chmod(store, 0o666))
		},
		"0620": func(store, _ string) error {
			return errors.Join(os.WriteFile(store, []byte(goodStore), 0o600), os.Chmod(store, 0o620))
		},
		"over the cap": func(store, _ string) error {
			return os.WriteFile(store, append([]byte(goodStore), bytes.Repeat([]byte("#\n"), home.MaxFile/2+1)...), 0o600)
		},
		"half written": func(store, _ string) error { return os.WriteFile(store, []byte(goodStore+"[approvals."), 0o600) },
		"key given twice": func(store, _ string) error {
			return os.WriteFile(store, []byte(goodStore+"[approvals.\"/a/.coi/config.toml\"]\nfingerprint = \"cd\"\n"), 0o600)
		},
	} {
		h := testHome(t)
		elsewhere := filepath.Join(filepath.Dir(h.Dir), "elsewhere.toml")
		if err := errors.Join(os.MkdirAll(h.Dir, 0o700), os.WriteFile(elsewhere, []byte(goodStore), 0o600), place(h.Trust(), elsewhere)); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		s, err := trust.Load(h.Trust())
		if err == nil || len(s.Approvals) > 0 {
			t.Errorf("%s: Load = %v, %v; want nothing and an error", name, s.Paths(), err)
		}
		if err := trust.Update(h, func(s *trust.Store) error { s.Approvals["/x"] = trust.Approval{Fingerprint: "x"}; return nil }); err == nil {
			t.Errorf("%s: Update replaced it", name)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%s: took %s", name, took)
		}
		if got, err := os.ReadFile(elsewhere); err != nil || string(got) != goodStore {
			t.Errorf("%s: wrote through to another file: %q, %v", name, got, err)
		}
	}
	// The same text as a plain file is believed, or the cases above show nothing.
	h := testHome(t)
	if err := errors.Join(os.MkdirAll(h.Dir, 0o700), os.WriteFile(h.Trust(), []byte(goodStore), 0o600)); err != nil {
		t.Fatal(err)
	}
	if s, err := trust.Load(h.Trust()); err != nil || len(s.Approvals) != 1 {
		t.Errorf("a good store = %v, %v", s.Paths(), err)
	}
}

const updates = 500

// Two processes, not only two threads, approve a thousand times and lose nothing.
func TestTwoProcesses(t *testing.T) {
	if h := os.Getenv("COI_TEST_UPDATES_OF"); h != "" {
		hh, err := home.Find(func(n string) string { return map[string]string{"HOME": h}[n] })
		for n := 0; err == nil && n < updates; n++ {
			err = trust.Update(hh, func(s *trust.Store) error {
				s.Approvals[fmt.Sprintf("/%s/%d", os.Getenv("COI_TEST_UPDATES_BY"), n)] = trust.Approval{Fingerprint: "x"}
				return nil
			})
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	h := testHome(t)
	var both []*exec.Cmd
	for _, by := range []string{"a", "b"} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestTwoProcesses$")
		cmd.Env = append(os.Environ(), "COI_TEST_UPDATES_OF="+filepath.Dir(h.Dir), "COI_TEST_UPDATES_BY="+by)
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		both = append(both, cmd)
	}
	for _, cmd := range both {
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	if s, err := trust.Load(h.Trust()); err != nil || len(s.Approvals) != 2*updates {
		t.Errorf("%d approvals, %v; want %d", len(s.Approvals), err, 2*updates)
	}
	if left, _ := filepath.Glob(filepath.Join(h.Dir, "*")); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}
