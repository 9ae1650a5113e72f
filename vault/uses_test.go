package vault_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/store"
)

// usesOf are the rows of credentials that went out: key and time.
func usesOf(t *testing.T, o vault.Options) map[string]int64 {
	t.Helper()
	rows, err := raw(t, o).QueryContext(t.Context(), "SELECT name, at FROM uses")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	uses := map[string]int64{}
	for rows.Next() {
		var name string
		var at int64
		if err := rows.Scan(&name, &at); err != nil {
			t.Fatal(err)
		}
		uses[name] = at
	}
	return uses
}

func TestRecordsSayWhenACredentialWentOutLast(t *testing.T) {
	c := newClock()
	v, o := newVault(t, c)
	noon := c.Now()
	revision := func() (n int64) {
		err := rows(t, o).View(t.Context(), func(tx *store.Tx) (err error) {
			n, err = tx.Revision(v.ID())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := revision()
	for _, e := range []vault.Entry{
		{Time: noon.Add(2 * time.Hour), Keys: []string{"A", "B"}},
		{Time: noon.Add(time.Hour), Keys: []string{"A"}}, // a slow one, written later
		{Time: noon.Add(3 * time.Hour)},
	} {
		e.Run = "r"
		v.Record(e)
		if _, err := v.Summary(t.Context(), owner, "r"); err != nil { // a batch of its own
			t.Fatal(err)
		}
	}
	want := noon.Add(2 * time.Hour).UnixNano()
	if got := usesOf(t, o); len(got) != 2 || got["A"] != want || got["B"] != want {
		t.Errorf("got %v, want %v for A and B", got, want)
	}
	if revision() != before {
		t.Error("a record bumps the revision")
	}
	set(t, v, "A", "1")
	if revision() != before+1 {
		t.Error("a change does not")
	}
	if err := v.EndSession(t.Context(), owner, "none"); err != nil || revision() != before+1 {
		t.Error("an act that changes nothing does")
	}
}

func TestWithoutARunTheNewestRequestsOfAllAreListed(t *testing.T) {
	v, _ := newVault(t, newClock())
	for i := range 4 {
		v.Record(vault.Entry{Run: fmt.Sprintf("r%d", i), Status: i})
	}
	got, err := v.Requests(t.Context(), owner, "", 3)
	if err != nil || len(got) != 3 || got[0].Status != 1 || got[2].Status != 3 {
		t.Fatalf("%+v, %v", got, err)
	}
}
