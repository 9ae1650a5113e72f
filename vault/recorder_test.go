package vault

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/av-project/av/vault/store"
)

// A record that cannot be written is counted, and Close says so.
func TestLostRecordsAreReported(t *testing.T) {
	path := filepath.Join(t.TempDir(), databaseFile)
	if err := store.Create(t.Context(), path, func(tx *store.Tx) error {
		return tx.AddVault(store.Vault{ID: "v", Name: defaultVault})
	}); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	o, err := Options{Home: "/"}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	r := newRecorder(t.Context(), db, "no such vault", o.Logger, nil)
	r.add(Entry{Run: "r"})
	r.add(Entry{Run: "r"})
	if lost, err := r.flush(t.Context()); err != nil || lost != 2 {
		t.Errorf("%d lost, %v", lost, err)
	}
	if err := r.close(); err == nil {
		t.Error("close keeps it to itself")
	}
}

// An agent that is refused as fast as it can ask wrote 60 MB a second.
func TestRecordsOfASessionHaveACeiling(t *testing.T) {
	o := Options{Home: filepath.Join(t.TempDir(), "home")}
	if err := Init(t.Context(), o, nil); err != nil {
		t.Fatal(err)
	}
	v, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	v.records.kept.perSession, v.records.kept.denied, v.records.kept.nameless = 3, 1, 2
	for i := range 5 {
		v.Record(Entry{Session: "a", Run: "r", Status: i, Allowed: true})
	}
	v.Record(Entry{Session: "b", Run: "r", Host: "x.test"}) // another session of the run
	v.Record(Entry{Session: "b", Run: "r", Host: "y.test"}) // and a denial too many
	v.Record(Entry{Session: "b", Run: "r", Host: "x.test"}) // but not this one
	v.Record(Entry{Session: "b", Run: "r", Allowed: true})
	v.Record(Entry{Session: "c", Run: "other"})
	for i := range 6 {
		v.Record(Entry{Status: 400 + i})
	}
	for run, want := range map[string]Summary{"r": {Requests: 6, NotKept: 3}, "other": {Requests: 1}, "": {Requests: 2, NotKept: 4}} {
		sum, err := v.Summary(t.Context(), Owner(), run)
		if err != nil || sum.Requests != want.Requests || sum.NotKept != want.NotKept || sum.Lost != 0 {
			t.Errorf("run %q: %+v, %v", run, sum, err)
		}
	}
	entries, err := v.Requests(t.Context(), Owner(), "r", 0)
	if err != nil || len(entries) != 5 || entries[2].Status != 2 {
		t.Errorf("%+v, %v", entries, err)
	}
	if err := v.Close(); err != nil {
		t.Errorf("what is not kept is not lost: %v", err)
	}
}

// busyRecorder writes nothing, and is told that another process writes until it has
// waited for as long as is given.
func busyRecorder(t *testing.T, busy time.Duration) (r *recorder, written *int) {
	db := &store.DB{}
	r = newRecorder(t.Context(), db, "v", slog.New(slog.NewTextHandler(io.Discard, nil)), nil)
	began, written := time.Now(), new(int)
	r.update = func(context.Context, func(*store.Tx) error) error {
		const storeWaits = 30 * time.Second
		left := busy - time.Since(began)
		time.Sleep(max(0, min(storeWaits, left)))
		if left > storeWaits {
			return fmt.Errorf("record: %w", store.ErrBusy)
		}
		*written++
		return nil
	}
	return r, written
}

// A backup that held the file for 33 seconds cost a record.
func TestRecordOutlastsAnotherProcessThatWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, written := busyRecorder(t, 5*time.Minute)
		r.add(Entry{Run: "r"})
		if lost, err := r.flush(t.Context()); err != nil || lost != 0 || *written != 1 {
			t.Errorf("%d lost, %d written, %v", lost, *written, err)
		}
		if err := r.close(); err != nil {
			t.Error(err)
		}
	})
}

func TestCloseWaitsForTheRecordsOfABusyVault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, written := busyRecorder(t, 5*time.Minute)
		r.add(Entry{Run: "r"})
		if err := r.close(); err != nil || *written != 1 {
			t.Errorf("%d written, %v", *written, err)
		}
	})
}

func TestVaultThatStaysBusyLosesTheRecordInTheEndAndSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := busyRecorder(t, 24*time.Hour)
		r.add(Entry{Run: "r"})
		soon, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.flush(soon); err == nil {
			t.Error("a question outlives its context")
		}
		began := time.Now()
		if err := r.close(); err == nil || r.lost.Load() != 1 {
			t.Errorf("%d lost, %v", r.lost.Load(), err)
		}
		if took := time.Since(began); took > busyPatience+time.Minute {
			t.Errorf("close took %v", took)
		}
	})
}

// A disk that stands still stops no request for long, and what is not recorded is counted.
func TestRequestsDoNotWaitForADiskThatStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(t.Context(), &store.DB{}, "v", slog.New(slog.DiscardHandler), nil)
		stuck, written := make(chan struct{}), 0
		r.update = func(context.Context, func(*store.Tx) error) error { <-stuck; written++; return nil }
		record := func(e Entry) time.Duration { began := time.Now(); r.add(e); return time.Since(began) }
		allowed, denied := Entry{Run: "r", Allowed: true}, Entry{Run: "r", Time: time.Now()}
		r.add(allowed)
		synctest.Wait() // the writer has it
		for range recordQueue {
			if waited := record(allowed); waited != 0 {
				t.Fatalf("there is room, and it waits %v", waited)
			}
		}
		if waited := record(denied); waited != maxRecordWait {
			t.Errorf("the first waits %v", waited)
		}
		for _, e := range []Entry{allowed, denied, denied} {
			if waited := record(e); waited != 0 {
				t.Errorf("the others wait %v", waited)
			}
		}
		close(stuck)
		synctest.Wait()
		r.add(denied)
		if lost, err := r.flush(t.Context()); err != nil || lost != 4 {
			t.Errorf("%d lost, %v", lost, err)
		}
		if err := r.close(); err == nil || written < 2 {
			t.Errorf("%d batches, %v", written, err)
		}
	})
}
