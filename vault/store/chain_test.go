package store

import (
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// oldFile is a file of schema 1 with some audit rows.
func oldFile(t *testing.T, rows int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "vault.db")
	if err := Create(t.Context(), path, func(*Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
	// A new file, emptied: what Create says about the file itself stays.
	db, err := connect(path, busyTimeout)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"settings", "versions", "uses", "audit_head", "audit", "requests", "sessions", "services",
		"authorities", "secrets", "lock", "vaults"} {
		if _, err := db.ExecContext(t.Context(), "DROP TABLE "+table); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.ExecContext(t.Context(), "PRAGMA user_version = 0"); err != nil {
		t.Fatal(err)
	}
	if err := migrate(t.Context(), db, steps[:1]); err != nil {
		t.Fatal(err)
	}
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		if _, err := tx.ExecContext(t.Context(), "INSERT INTO audit (vault_id, at, caller, role, act, object, error) VALUES ('v1', ?, 'c', 'r', 'a', ?, '')",
			i, fmt.Sprintf("nul\x00byte %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(tx.Commit(), db.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

func follow(t *testing.T, db *DB) (last Link, head Head, err error) {
	t.Helper()
	if err := db.View(t.Context(), func(tx *Tx) (failed error) {
		last, err = tx.Follow(Link{}, nil)
		head, failed = tx.AuditHead()
		return failed
	}); err != nil {
		t.Fatal(err)
	}
	return last, head, err
}

func TestRowsFromBeforeThereWasAChainAreChained(t *testing.T) {
	for _, rows := range []int{0, 1, 2500} {
		db := open(t, oldFile(t, rows))
		last, head, err := follow(t, db)
		if err != nil || last.ID != int64(rows) || last != head.Last || head.Seal != nil {
			t.Fatalf("%d rows: %+v, %+v, %v", rows, last, head, err)
		}
		if err := db.Update(t.Context(), func(tx *Tx) error { return tx.AddAudit("v1", Audit{Time: start, Act: "a"}) }); err != nil {
			t.Fatal(err)
		}
		if last, head, err = follow(t, db); err != nil || last.ID != int64(rows)+1 || last != head.Last {
			t.Fatalf("%d rows and one: %+v, %+v, %v", rows, last, head, err)
		}
		// The table is closed again.
		for _, query := range []string{"UPDATE audit SET act = 'b'", "DELETE FROM audit", "INSERT OR REPLACE INTO audit SELECT * FROM audit"} {
			if _, err := db.db.ExecContext(t.Context(), query); err == nil || !strings.Contains(err.Error(), "append-only") {
				t.Errorf("%d rows, %s: got %v", rows, query, err)
			}
		}
	}
}

func TestMigratedTableHasTheTriggersOfANewOne(t *testing.T) {
	schema := func(path string) (all []string) {
		db := open(t, path)
		rows, err := db.db.QueryContext(t.Context(), "SELECT sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY name")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var s string
			if err := rows.Scan(&s); err != nil {
				t.Fatal(err)
			}
			all = append(all, s)
		}
		return all
	}
	migrated, fresh := schema(oldFile(t, 3)), schema(newFile(t))
	if len(fresh) != 2 || strings.Join(migrated, "\n") != strings.Join(fresh, "\n") {
		t.Errorf("migrated:\n%s\nnew:\n%s", migrated, fresh)
	}
}

// A row that an old file has lost is not hidden by chaining the others.
func TestGapInOldRowsShows(t *testing.T) {
	path := oldFile(t, 5)
	pragma(t, path, "user_version = 1")
	db, err := connect(path, busyTimeout)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "DROP TRIGGER audit_is_not_deleted"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "DELETE FROM audit WHERE id = 3"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), auditTriggers["audit_is_not_deleted"]); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := follow(t, open(t, path)); !errors.Is(err, ErrAudit) || !strings.Contains(err.Error(), "row 3 is missing") {
		t.Errorf("got %v", err)
	}
}

// Computed by hand with Python's hashlib from the description in next: files that are
// out there must go on being whole.
func TestLinkHasItsKnownHash(t *testing.T) {
	first := Link{}.next("v1", 1767323045000000006, Audit{Caller: "owner", Role: "admin", Act: "init", Object: "default"})
	second := first.next("v1", 1767323046000000006, Audit{Caller: "é", Role: "member", Act: "set credential", Object: "A", Error: "no"})
	for _, x := range []struct {
		link Link
		want string
	}{
		{first, "068fcbe14a3d0fbaa16d8caeb744378ec04a88e2be95d3be74d8f5634ddbb547"},
		{second, "676c00c9397f445887c19c969f288cfba269826e7b7dcf79bf0efe2bd902ad44"},
	} {
		if got := hex.EncodeToString(x.link.Hash[:]); got != x.want {
			t.Errorf("row %d: %s", x.link.ID, got)
		}
	}
}
