package vault

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/av-project/av/vault/store"
)

func TestRecordIsCutToItsCeilings(t *testing.T) {
	long := strings.Repeat("x", 4096)
	for _, allowed := range []bool{true, false} {
		path := maxPath
		if !allowed {
			path = maxDeniedPath
		}
		at := Entry{Allowed: allowed, Path: long[:path], Reason: long[:maxReason], Host: long[:maxName]}
		above := Entry{Allowed: allowed, Path: long[:path+1], Reason: long[:maxReason+1], Host: long[:maxName+1]}
		for _, e := range []Entry{at, above} {
			if got := trim(e); got.Path != at.Path || got.Reason != at.Reason || got.Host != at.Host {
				t.Errorf("allowed %v: a path of %d bytes, a reason of %d, a host of %d", allowed, len(got.Path), len(got.Reason), len(got.Host))
			}
		}
	}
}

// The last that is kept and the first that is not, with the numbers that are in use.
func TestRecordsOfASessionAreKeptUpToTheirCeilings(t *testing.T) {
	v, _ := recording(t, time.Now)
	c := &v.records.kept
	if c.perSession != keptPerSession || c.denied != keptDenied || c.nameless != keptNameless {
		t.Errorf("in use are %d, %d and %d", c.perSession, c.denied, c.nameless)
	}
	for what, e := range map[string]struct {
		entry Entry
		most  int
	}{
		"allowed":  {Entry{Session: "s", Run: "allowed", Allowed: true}, keptPerSession},
		"denied":   {Entry{Session: "s", Run: "denied"}, keptDenied},
		"nameless": {Entry{}, keptNameless},
	} {
		for i := range e.most {
			if keep, first := c.take(e.entry); !keep || first {
				t.Fatalf("%s: record %d is kept: %v, first over: %v", what, i+1, keep, first)
			}
		}
		if keep, first := c.take(e.entry); keep || !first || c.notKept(e.entry.Run) != 1 {
			t.Errorf("%s: one more is kept: %v, told of: %v, counted: %d", what, keep, first, c.notKept(e.entry.Run))
		}
	}
	if keep, _ := c.take(Entry{Session: "other", Allowed: true}); !keep {
		t.Error("another session pays for it")
	}
}

func TestListsOfRecordsHaveTheirCeiling(t *testing.T) {
	now := time.Now()
	v, _ := recording(t, func() time.Time { return now })
	fill(t, v, "r", maxRequests+1, now)
	if got, err := v.Requests(t.Context(), Owner(), "r", 0); err != nil || len(got) != maxRequests || got[0].Path != "1" {
		t.Errorf("%d records, %v", len(got), err)
	}
	if got, err := v.Requests(t.Context(), Owner(), "r", maxRequests+1); err != nil || len(got) != maxRequests+1 {
		t.Errorf("when more are asked for: %d records, %v", len(got), err)
	}
	if err := v.db.Update(t.Context(), func(tx *store.Tx) error {
		for i := range maxActs {
			if err := tx.AddAudit(v.id, store.Audit{Time: now, Act: fmt.Sprint(i)}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got, err := v.Acts(t.Context(), Owner(), 0); err != nil || len(got) != maxActs || got[0].Act != "0" {
		t.Errorf("%d acts, %v", len(got), err)
	}
	if got, err := v.Acts(t.Context(), Owner(), maxActs+1); err != nil || len(got) != maxActs+1 {
		t.Errorf("when more are asked for: %d acts, %v", len(got), err)
	}
}

// Rows that take up denials are remembered up to a number, and then all anew: what an
// agent asks for does not fill the memory.
func TestRowsThatTakeUpDenialsAreBounded(t *testing.T) {
	var f folds
	at := time.Now()
	deny := func(i int) Entry { return Entry{Time: at, Count: 1, Host: fmt.Sprintf("h%d.test", i)} }
	for i := range maxFolds {
		f.open(deny(i))
	}
	if into, _ := f.take(deny(0)); into == nil || len(f.byKind) != maxFolds {
		t.Errorf("at the ceiling: %d are remembered, the first: %v", len(f.byKind), into != nil)
	}
	f.open(deny(maxFolds))
	if into, _ := f.take(deny(0)); into != nil || len(f.byKind) != 1 {
		t.Errorf("one more: %d are remembered, the first: %v", len(f.byKind), into != nil)
	}
}

func TestDenialsShareARowForAMinute(t *testing.T) {
	var f folds
	at := time.Now()
	f.open(Entry{Time: at, Count: 1})
	for after, shares := range map[time.Duration]bool{0: true, foldWindow - 1: true, foldWindow: false} {
		if into, _ := f.take(Entry{Time: at.Add(after), Count: 1}); (into != nil) != shares {
			t.Errorf("after %v it shares the row: %v", after, into != nil)
		}
	}
}

func TestBatchOfRecordsIsBounded(t *testing.T) {
	queue := make(chan item, recordQueue)
	for range recordBatch {
		queue <- item{entry: &Entry{}}
	}
	items, _ := gather(item{entry: &Entry{}}, queue)
	if len(items) != recordBatch || len(queue) != 1 {
		t.Errorf("of one more than a batch %d are taken, %d are left", len(items), len(queue))
	}
}

// While another process writes, a refusal waits for its row, but not for ever.
func TestRefusalDoesNotWaitLongForItsRow(t *testing.T) {
	path := t.TempDir() + "/" + databaseFile
	if err := store.Create(t.Context(), path, func(tx *store.Tx) error {
		return tx.AddVault(store.Vault{ID: "v", Name: defaultVault})
	}); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		ours, err := store.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		other, err := store.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		v := &Vault{db: ours, id: "v", o: Options{Logger: slog.New(slog.DiscardHandler)}}
		refuse := func() time.Duration {
			began := time.Now()
			v.auditFailure(t.Context(), []store.Audit{{Act: "refused"}}, context.Canceled)
			return time.Since(began)
		}
		if took := refuse(); took >= auditTimeout {
			t.Errorf("control: with nobody in the way it took %v", took)
		}
		err = other.Update(t.Context(), func(tx *store.Tx) error {
			if err := tx.AddAudit("v", store.Audit{}); err != nil {
				return err
			}
			if took := refuse(); took < auditTimeout || took > auditTimeout+5*time.Second {
				t.Errorf("it waits %v", took)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		_, _ = ours.Close(), other.Close()
	})
}
