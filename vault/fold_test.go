package vault

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/av-project/av/vault/store"
)

// recording is a vault with a clock of its own, as it is opened for a test of records.
func recording(t testing.TB, now func() time.Time) (*Vault, Options) {
	t.Helper()
	o := Options{Home: filepath.Join(t.TempDir(), "home"), Now: now}
	if err := Init(t.Context(), o, nil); err != nil {
		t.Fatal(err)
	}
	v, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return v, o
}

func recorded(t testing.TB, v *Vault, run string) (Summary, []Entry) {
	t.Helper()
	sum, err := v.Summary(t.Context(), Owner(), run)
	if err != nil {
		t.Fatal(err)
	}
	list, err := v.Records(t.Context(), Owner(), Filter{Run: run, Limit: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	return sum, list
}

// fileSize is of the database, with all that is written in it and not beside it.
func fileSize(t testing.TB, v *Vault) int64 {
	t.Helper()
	if err := v.db.Wipe(t.Context()); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(v.o.database())
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// An agent asks, is refused and asks again, a million times, each time for another path.
// It pushes nothing out of the history. The control is what the same would be if it were
// not folded: requests that were allowed have a row each.
func TestFloodOfDenialsStaysSmallAndEachIsCounted(t *testing.T) {
	const flood, clients, control = 1_000_000, 4, recordQueue
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	v, _ := recording(t, func() time.Time { return start })
	v.Record(Entry{Time: start, Session: "s", Run: "r", Host: "api.test", Port: 443, Allowed: true})
	if _, err := v.Summary(t.Context(), Owner(), "r"); err != nil {
		t.Fatal(err)
	}
	before := fileSize(t, v)
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for i := range flood / clients {
				v.Record(Entry{
					// A flood of a minute and a half: a row takes up a minute.
					Time: start.Add(time.Duration(i) * 90 * time.Second / (flood / clients)), Session: "s", Run: "r", Method: "GET",
					Host: fmt.Sprintf("evil%d.test", c), Port: 443, Path: fmt.Sprintf("/%d", i), Rule: "unmatched deny", Status: 403, Reason: "no",
				})
			}
		})
	}
	wg.Wait()
	sum, list := recorded(t, v, "r")
	if sum.Requests != flood+1 || sum.Denied != flood || sum.Lost != 0 || sum.NotKept != 0 || len(sum.Hosts) != 1+clients {
		t.Errorf("%+v", sum)
	}
	if len(list) != 1+2*clients || !list[0].Allowed {
		t.Errorf("%d rows, the first %+v", len(list), list[0])
	}
	counted := 0
	for _, e := range list[1:] {
		counted += e.Count
		if e.Path == "" || !e.Last.After(e.Time) || e.Last.Sub(e.Time) >= foldWindow {
			t.Errorf("%+v", e)
		}
	}
	if counted != flood {
		t.Errorf("the rows count %d", counted)
	}
	small := fileSize(t, v) - before
	t.Logf("%d denials: %d rows, %d KiB more", flood, len(list), small>>10)

	v, _ = recording(t, func() time.Time { return start })
	before = fileSize(t, v)
	for i := range control {
		v.Record(Entry{Time: start, Session: "s", Run: "r", Method: "GET", Host: "evil.test", Port: 443, Path: fmt.Sprintf("/%d", i), Rule: "allow", Status: 403, Allowed: true})
	}
	sum, list = recorded(t, v, "r")
	if sum.Requests != control || len(list) != control {
		t.Errorf("control: %+v, %d rows", sum, len(list))
	}
	if large := fileSize(t, v) - before; large < 8*max(small, 16<<10) {
		t.Errorf("control: %d requests take %d KiB, and the flood took %d", control, large>>10, small>>10)
	}
}

// Different denials cannot share a row. They are counted when there are too many, and
// what the session is allowed to do later has its records all the same.
func TestFloodOfDifferentDenialsLeavesRoomForWhatWasAllowed(t *testing.T) {
	v, _ := recording(t, time.Now)
	v.records.kept.denied = 100
	const flood = 5000
	for i := range flood {
		v.Record(Entry{Session: "s", Run: "r", Host: fmt.Sprintf("h%d.test", i), Port: 443, Status: 403})
	}
	v.Record(Entry{Session: "s", Run: "r", Host: "api.test", Port: 443, Status: 200, Allowed: true})
	sum, list := recorded(t, v, "r")
	if len(list) != 101 || !list[100].Allowed || sum.Requests != 101 || sum.NotKept != flood-100 || sum.Lost != 0 {
		t.Errorf("%d rows, %+v, the last %+v", len(list), sum, list[len(list)-1])
	}
}

func TestOnlyDenialsThatAreAlikeShareARecord(t *testing.T) {
	like := Entry{Time: time.Unix(1e9, 0).UTC(), Session: "s", Run: "r", Method: "GET", Host: "a.test", Port: 443, Rule: "deny", Reason: "no", Status: 403}
	for name, c := range map[string]struct {
		change func(*Entry)
		rows   int
	}{
		"nothing":              {func(*Entry) {}, 1},
		"path":                 {func(e *Entry) { e.Path = "/x" }, 1},
		"a moment later":       {func(e *Entry) { e.Time = e.Time.Add(time.Second) }, 1},
		"a minute later":       {func(e *Entry) { e.Time = e.Time.Add(time.Minute) }, 2},
		"a clock that is back": {func(e *Entry) { e.Time = e.Time.Add(-time.Second) }, 2},
		"session":              {func(e *Entry) { e.Session = "t" }, 2},
		"method":               {func(e *Entry) { e.Method = "PUT" }, 2},
		"host":                 {func(e *Entry) { e.Host = "b.test" }, 2},
		"port":                 {func(e *Entry) { e.Port = 80 }, 2},
		"rule":                 {func(e *Entry) { e.Rule = "other" }, 2},
		"reason":               {func(e *Entry) { e.Reason = "other" }, 2},
		"status":               {func(e *Entry) { e.Status = 407 }, 2},
		"allowed":              {func(e *Entry) { e.Allowed = true }, 2},
		"dialled":              {func(e *Entry) { e.Upstream = "203.0.113.1:443" }, 2},
	} {
		v, _ := recording(t, func() time.Time { return like.Time })
		other := like
		c.change(&other)
		v.Record(like)
		recorded(t, v, "r") // writes the first
		v.Record(other)
		v.Record(other)
		sum, list := recorded(t, v, "r")
		if c.rows == 2 && !foldable(other) {
			c.rows = 3
		}
		if len(list) != c.rows || sum.Requests != 3 || list[0].Path != like.Path {
			t.Errorf("%s: %d rows, %d requests: %+v", name, len(list), sum.Requests, list)
		}
	}
}

// What was to be added to a row that is gone by now has a row of its own.
func TestFoldedDenialOutlivesItsRow(t *testing.T) {
	v, _ := recording(t, time.Now)
	e := Entry{Time: time.Now(), Session: "s", Run: "r", Host: "a.test", Status: 403}
	v.Record(e)
	v.Record(Entry{Time: time.Now(), Run: "other"})
	recorded(t, v, "r")
	if err := v.db.Update(t.Context(), func(tx *store.Tx) error {
		b, err := tx.Surplus(v.id, time.Now().Add(time.Hour), 1)
		if err != nil {
			return err
		}
		_, err = tx.RemoveSurplus(v.id, b, 10)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if sum, _ := recorded(t, v, "r"); sum.Requests != 0 {
		t.Fatalf("control: %+v", sum)
	}
	v.Record(e)
	v.Record(e)
	if sum, _ := recorded(t, v, "r"); sum.Requests != 2 || sum.Lost != 0 {
		t.Errorf("%+v", sum)
	}
}
