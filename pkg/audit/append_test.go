package audit

import (
	"testing"

	"github.com/code-on-incus/coi/pkg/coi"
	"github.com/code-on-incus/coi/pkg/home"
)

func testHome(t testing.TB) home.Home {
	t.Helper()
	return home.Home{Dir: t.TempDir() + "/coi", UID: 0}
}

func TestAppendSmoke(t *testing.T) {
	h := testHome(t)
	a, err := Open(h, "coi-1a2b3c4d-1", Options{Source: SourceWatch, Journal: "-", MaxSize: 2000})
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		got, err := a.Append(Record{Type: TypeExec, Level: coi.High, Category: CategoryExecution, Title: "x", Rule: "run.decode", UID: new(0), Argv: []string{"curl", "--token", "abc123456"}})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s", got[0].Encode(nil))
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
}
