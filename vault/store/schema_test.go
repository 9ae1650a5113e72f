package store

import (
	"errors"
	"strings"
	"testing"
)

// Whoever can write the file once could leave something in it that acts on what is written
// later: a revocation that is taken back, an old wrapped key that is put aside.
func TestSchemaThatSomebodyAddedToIsRefused(t *testing.T) {
	for name, attack := range map[string][]string{
		"a trigger":       {"CREATE TRIGGER undo AFTER UPDATE OF ended ON sessions BEGIN UPDATE sessions SET ended = NULL; END"},
		"a table":         {"CREATE TABLE aside (method, wrapped)"},
		"a view":          {"CREATE VIEW v AS SELECT * FROM secrets"},
		"an index":        {"CREATE UNIQUE INDEX one ON sessions (run)"},
		"a column":        {"ALTER TABLE lock ADD COLUMN old BLOB"},
		"a trigger less":  {"DROP TRIGGER audit_is_not_edited"},
		"another trigger": {"DROP TRIGGER audit_is_not_edited", "CREATE TRIGGER audit_is_not_edited BEFORE UPDATE ON audit BEGIN SELECT 1; END"},
		"another table":   {"DROP TABLE uses", "CREATE VIEW uses AS SELECT vault_id, name, updated AS at FROM secrets"},
	} {
		path := newFile(t)
		for _, query := range attack {
			change(t, path, query)
		}
		db, err := Open(t.Context(), path)
		if err == nil {
			_ = db.Close()
		}
		if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "schema") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// Statistics are what a person's tools may have left.
func TestSchemaWithStatisticsIsOurs(t *testing.T) {
	path := newFile(t)
	change(t, path, "ANALYZE")
	open(t, path)
}

func change(t *testing.T, path, query string) {
	t.Helper()
	db, err := connect(path, busyTimeout)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
