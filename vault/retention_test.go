package vault

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/av-project/av/vault/store"
)

// fill writes n records, a second apart and all before now, under the recorder.
func fill(t testing.TB, v *Vault, run string, n int, now time.Time) {
	t.Helper()
	if err := v.db.Update(t.Context(), func(tx *store.Tx) error {
		for i := range n {
			e := Entry{Time: now.Add(time.Duration(i-n) * time.Second), Run: run, Host: "a.test", Path: fmt.Sprint(i), Allowed: true}
			if _, err := tx.AddEntry(v.id, e); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestRecordsThatAreTooOldOrTooManyGoAndTheNewestStay(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, c := range map[string]struct {
		keep Retention
		want int // of 12,000 that are a second apart
	}{
		"nothing is too much": {Retention{Age: 24 * time.Hour, Rows: 20_000}, 12_000},
		"exactly as many":     {Retention{Age: 24 * time.Hour, Rows: 12_000}, 12_000},
		"too many":            {Retention{Age: 24 * time.Hour, Rows: 700}, 700},
		"too old":             {Retention{Age: time.Hour, Rows: 20_000}, 3600},
		"both, many first":    {Retention{Age: time.Hour, Rows: 100}, 100},
		"both, old first":     {Retention{Age: time.Minute, Rows: 5000}, 60},
	} {
		t.Run(name, func(t *testing.T) {
			v, _ := recording(t, func() time.Time { return now })
			fill(t, v, "r", 12_000, now)
			if err := v.SetRetention(t.Context(), Owner(), c.keep); err != nil {
				t.Fatal(err)
			}
			if got, err := v.Retention(t.Context(), Owner()); err != nil || got != c.keep {
				t.Errorf("%v, %v", got, err)
			}
			removed, err := v.RemoveSurplus(t.Context(), Owner())
			_, list := recorded(t, v, "r")
			if err != nil || len(list) != c.want || removed != 12_000-c.want {
				t.Errorf("%d stay, %d removed, %v", len(list), removed, err)
			}
			if len(list) > 0 && list[len(list)-1].Path != "11999" {
				t.Errorf("the newest is %s", list[len(list)-1].Path)
			}
		})
	}
}

// Nobody has to ask for it: the writer of records looks, and each vault has its own count.
func TestRecorderKeepsTheHistoryInItsBounds(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	v, o := recording(t, func() time.Time { return now })
	fill(t, v, "old", 2000, now.Add(-31*24*time.Hour)) // the default is 30 days
	fill(t, v, "new", 2000, now)
	if _, list := recorded(t, v, "old"); len(list) != 2000 {
		t.Fatalf("reading removed some: %d", len(list))
	}
	v.Record(Entry{Run: "new", Allowed: true})
	if err := v.Close(); err != nil { // and so the writer is through
		t.Fatal(err)
	}
	v, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = v.Close() }()
	_, old := recorded(t, v, "old")
	if _, list := recorded(t, v, "new"); len(old) != 0 || len(list) != 2001 {
		t.Errorf("%d old ones, %d new ones", len(old), len(list))
	}
	if err := v.CreateVault(t.Context(), Owner(), "work"); err != nil {
		t.Fatal(err)
	}
	o.Vault = "work"
	work, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := work.SetRetention(t.Context(), Owner(), Retention{Age: time.Hour, Rows: 10}); err != nil {
		t.Fatal(err)
	}
	const each, times = 60, 5
	work.records.tidyAfter = each
	for range times {
		for i := range each {
			work.Record(Entry{Run: "w", Path: fmt.Sprint(i), Allowed: true})
		}
		recorded(t, work, "w") // writes them
	}
	if err := work.Close(); err != nil {
		t.Fatal(err)
	}
	if _, list := recorded(t, v, "new"); len(list) != 2001 {
		t.Errorf("another vault's records are %d", len(list))
	}
	if work, err = Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = work.Close() }()
	if _, list := recorded(t, work, "w"); len(list) < 10 || len(list) > 10+each {
		t.Errorf("%d rows, of %d", len(list), times*each)
	}
}

func TestRetentionThatMakesNoSenseIsRefusedAndChangesNothing(t *testing.T) {
	v, _ := recording(t, time.Now)
	for _, r := range []Retention{{}, {Age: time.Hour}, {Rows: 5}, {Age: -time.Hour, Rows: 5}, {Age: time.Hour, Rows: -1}, {Age: time.Second, Rows: 5}, {Age: time.Hour, Rows: 1 << 40}} {
		if err := v.SetRetention(t.Context(), Owner(), r); err == nil {
			t.Errorf("%v is taken", r)
		}
	}
	if got, err := v.Retention(t.Context(), Owner()); err != nil || got != defaultRetention() {
		t.Errorf("%v, %v", got, err)
	}
	if err := v.db.Update(t.Context(), func(tx *store.Tx) error { return tx.SetSetting(settingRetention, `{"age":0}`) }); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Retention(t.Context(), Owner()); err == nil || !strings.Contains(err.Error(), "not readable") {
		t.Errorf("a setting that is no retention: %v", err)
	}
	fill(t, v, "r", 5, time.Now())
	if n, err := v.RemoveSurplus(t.Context(), Owner()); err == nil || n != 0 {
		t.Errorf("%d removed by nobody knows which rule", n)
	}
}

func TestRetentionIsForTheOwnerOfTheFile(t *testing.T) {
	v, _ := recording(t, time.Now)
	admin := Caller{Name: "x", Role: RoleAdmin, Vault: v.ID()}
	if err := v.SetRetention(t.Context(), admin, defaultRetention()); err == nil {
		t.Error("an admin of one vault chooses for all")
	}
	acts, err := v.Acts(context.WithoutCancel(t.Context()), Owner(), 1)
	if err != nil || len(acts) != 1 || acts[0].Act != "set the retention of records" || acts[0].Error == "" {
		t.Errorf("%+v, %v", acts, err)
	}
}
