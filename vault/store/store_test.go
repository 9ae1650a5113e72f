package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)

// newFile makes a file with one vault in a folder of its own.
func newFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "vault.db")
	if err := Create(t.Context(), path, addVault); err != nil {
		t.Fatal(err)
	}
	return path
}

func addVault(tx *Tx) error { return tx.AddVault(Vault{"v1", "default", start}) }

func putSecret(tx *Tx, vault, name string, sealed []byte) error {
	return tx.SetSecretRow(vault, "k", Secret{Name: name, Sealed: sealed, Created: start, Updated: start})
}

func open(t *testing.T, path string) *DB {
	t.Helper()
	db, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// files are the names in the folder of path.
func files(t *testing.T, path string) string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func TestNewFileIsItsOwnersAlone(t *testing.T) {
	path := newFile(t)
	db := open(t, path)
	if err := db.Update(t.Context(), func(tx *Tx) error { return putSecret(tx, "v1", "n", []byte("x")) }); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(path + suffix)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", suffix, info, err)
		}
	}
}

func TestPathMayHoldWhatAnAddressMayNot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a?mode=memory&b#c%20d é", "vault.db")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Create(t.Context(), path, addVault); err != nil {
		t.Fatal(err)
	}
	open(t, path)
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
}

func TestConnectionsAreSafe(t *testing.T) {
	db := open(t, newFile(t))
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "30000"} {
		var got string
		if err := db.db.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s = %q, %v, want %s", pragma, got, err, want)
		}
	}
}

func TestCreateThatFailsLeavesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vault.db")
	broken := errors.New("broken")
	err := Create(t.Context(), path, func(tx *Tx) error { return errors.Join(addVault(tx), broken) })
	if !errors.Is(err, broken) || files(t, path) != "" {
		t.Fatalf("%v, left %q", err, files(t, path))
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = Create(ctx, path, func(tx *Tx) error { cancel(); return addVault(tx) })
	if err == nil || files(t, path) != "" {
		t.Fatalf("%v, left %q", err, files(t, path))
	}
}

func TestCreateClearsWhatAKilledOneLeft(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vault.db")
	for _, suffix := range []string{".new", ".new-wal", ".new-shm"} {
		if err := os.WriteFile(path+suffix, []byte("half a vault"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := Create(t.Context(), path, addVault); err != nil {
		t.Fatal(err)
	}
	if got := files(t, path); got != "vault.db" {
		t.Fatalf("left %q", got)
	}
}

func TestCreateNeverReplacesAVault(t *testing.T) {
	path := newFile(t)
	before := read(t, path)
	if err := Create(t.Context(), path, addVault); !errors.Is(err, ErrExists) {
		t.Fatalf("got %v", err)
	}
	if read(t, path) != before || files(t, path) != "vault.db" {
		t.Fatalf("changed, or left %q", files(t, path))
	}
}

func TestUpdateHappensWholeOrNotAtAll(t *testing.T) {
	db := open(t, newFile(t))
	broken := errors.New("broken")
	err := db.Update(t.Context(), func(tx *Tx) error {
		return errors.Join(putSecret(tx, "v1", "n", []byte("x")), broken)
	})
	if !errors.Is(err, broken) {
		t.Fatal(err)
	}
	err = db.View(t.Context(), func(tx *Tx) error { _, err := tx.Secret("v1", "k", "n"); return err })
	if !errors.Is(err, ErrNoRow) {
		t.Fatalf("got %v", err)
	}
}

func TestRowsNeedTheirVault(t *testing.T) {
	db := open(t, newFile(t))
	if err := db.Update(t.Context(), func(tx *Tx) error { return putSecret(tx, "other", "n", []byte("x")) }); err == nil {
		t.Fatal("a secret without a vault was stored")
	}
}

func TestAuditRowsAreOnlyAdded(t *testing.T) {
	db := open(t, newFile(t))
	if err := db.Update(t.Context(), func(tx *Tx) error { return tx.AddAudit("v1", Audit{Time: start, Act: "a"}) }); err != nil {
		t.Fatal(err)
	}
	for _, query := range []string{"UPDATE audit SET act = 'b'", "DELETE FROM audit", "INSERT OR REPLACE INTO audit SELECT * FROM audit"} {
		if _, err := db.db.ExecContext(t.Context(), query); err == nil {
			t.Errorf("%s: done", query)
		}
	}
}

// Two handles on one file, each with connections of its own, are two processes to
// SQLite.
func TestWritersWaitForEachOther(t *testing.T) {
	path := newFile(t)
	const writers, rounds = 4, 25
	errs := make(chan error, writers*rounds)
	var wg sync.WaitGroup
	for w := range writers {
		db := open(t, path)
		wg.Go(func() {
			for i := range rounds {
				errs <- db.Update(t.Context(), func(tx *Tx) error {
					// Read first, then write: what SQLite refuses without the lock.
					if _, err := tx.Secrets("v1", "k"); err != nil {
						return err
					}
					return putSecret(tx, "v1", fmt.Sprintf("%d-%d", w, i), []byte("x"))
				})
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	var all []Secret
	if err := open(t, path).View(t.Context(), func(tx *Tx) (err error) { all, err = tx.Secrets("v1", "k"); return err }); err != nil {
		t.Fatal(err)
	}
	if len(all) != writers*rounds {
		t.Fatalf("%d rows, want %d", len(all), writers*rounds)
	}
}

func TestMigrationThatFailsChangesNothing(t *testing.T) {
	path := newFile(t)
	db := open(t, path)
	steps, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	bad := append(steps, step{sql: "CREATE TABLE extra (x)"}, step{sql: "this is not SQL"})
	if err := migrate(t.Context(), db.db, bad); err == nil {
		t.Fatal("no error")
	}
	if n, err := schema(t.Context(), db.db, len(bad)); err != nil || n != len(steps) {
		t.Fatalf("schema %d, %v", n, err)
	}
	if _, err := db.db.ExecContext(t.Context(), "SELECT * FROM extra"); err == nil {
		t.Fatal("a step of the failed migration stayed")
	}
	if err := migrate(t.Context(), db.db, bad[:len(bad)-1]); err != nil {
		t.Fatal(err)
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	path := newFile(t)
	pragma(t, path, "user_version = 999")
	before := read(t, path)
	if _, err := Open(t.Context(), path); !errors.Is(err, ErrNewer) {
		t.Fatalf("got %v", err)
	}
	if read(t, path) != before {
		t.Fatal("the file was changed")
	}
}

// pragma writes to the file as a program would that is not av.
func pragma(t *testing.T, path, what string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "PRAGMA "+what); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestMigrationsSecondPartHappensWithItsFirstOrNotAtAll(t *testing.T) {
	path := newFile(t)
	db := open(t, path)
	steps, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	fill := func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO extra VALUES (7)")
		return err
	}
	const table = "CREATE TABLE extra (x)"
	bad := append(steps, step{table, func(ctx context.Context, tx *sql.Tx) error { return errors.Join(fill(ctx, tx), broken) }})
	if err := migrate(t.Context(), db.db, bad); !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	if n, err := schema(t.Context(), db.db, len(bad)); err != nil || n != len(steps) {
		t.Fatalf("schema %d, %v", n, err)
	}
	if err := migrate(t.Context(), db.db, append(steps, step{table, fill})); err != nil {
		t.Fatal(err)
	}
	var x int
	if err := db.db.QueryRowContext(t.Context(), "SELECT x FROM extra").Scan(&x); err != nil || x != 7 {
		t.Fatalf("%d, %v", x, err)
	}
}

func TestWipeWaitsForReadersAndThenGivesUp(t *testing.T) {
	t.Parallel() // it waits two seconds
	path := newFile(t)
	db := open(t, path)
	put := func() error {
		return db.Update(t.Context(), func(tx *Tx) error { return putSecret(tx, "v1", "n", []byte("x")) })
	}
	log := func() int64 {
		info, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	if err := put(); err != nil {
		t.Fatal(err)
	}
	if log() == 0 {
		t.Fatal("the log is empty")
	}
	err := open(t, path).View(t.Context(), func(tx *Tx) error {
		if _, err := tx.Generation(); !errors.Is(err, ErrNoRow) { // the read that begins it
			return err
		}
		return errors.Join(put(), db.Wipe(t.Context()))
	})
	if !errors.Is(err, ErrBusy) || log() == 0 {
		t.Fatalf("beside a reader: %v, log of %d bytes", err, log())
	}
	if err := db.Wipe(t.Context()); err != nil || log() != 0 {
		t.Fatalf("alone: %v, log of %d bytes", err, log())
	}
	for range 2 * maxConnections {
		var timeout int64
		if err := db.db.QueryRowContext(t.Context(), "PRAGMA busy_timeout").Scan(&timeout); err != nil || timeout != busyTimeout.Milliseconds() {
			t.Fatalf("a writer would wait %d ms, %v", timeout, err)
		}
	}
}
