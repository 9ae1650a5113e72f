package vault

import (
	"path/filepath"
	"testing"

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
	r := newRecorder(t.Context(), db, "no such vault", o.Logger)
	r.add(Entry{Run: "r"})
	r.add(Entry{Run: "r"})
	if lost, err := r.flush(t.Context()); err != nil || lost != 2 {
		t.Errorf("%d lost, %v", lost, err)
	}
	if err := r.close(); err == nil {
		t.Error("close keeps it to itself")
	}
}
