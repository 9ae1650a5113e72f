package vault_test

import (
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/store"
)

// auditedVault is a closed vault of rows 1 to 10, of which 8 are sealed: 9 and 10 were
// written by a process without the data key.
func auditedVault(t *testing.T) vault.Options {
	t.Helper()
	o := vault.Options{Home: filepath.Join(t.TempDir(), "home"), Now: newClock().Now}
	if err := vault.Init(t.Context(), o, nil); err != nil {
		t.Fatal(err)
	}
	for _, keyless := range []bool{false, true} {
		v, err := vault.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if keyless {
			err = errors.Join(v.EndSession(t.Context(), owner, "nul\x00byte"), v.EndSession(t.Context(), owner, "none"))
		} else {
			for i := range 7 {
				set(t, v, fmt.Sprintf("KEY_%d", i), "1")
			}
		}
		if err := errors.Join(err, v.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

// forge copies the vault and lets somebody write to the copy who has no key and is
// stopped by no trigger.
func forge(t *testing.T, o vault.Options, do func(db *sql.DB)) vault.Options {
	t.Helper()
	copied := o
	copied.Home = filepath.Join(t.TempDir(), "home")
	if err := os.CopyFS(copied.Home, os.DirFS(o.Home)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(copied.Home, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"vault.db", "vault.key"} {
		if err := os.Chmod(filepath.Join(copied.Home, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	db, err := sql.Open("sqlite", filepath.Join(copied.Home, "vault.db"))
	if err != nil {
		t.Fatal(err)
	}
	triggers := texts(t, db, "SELECT sql FROM sqlite_schema WHERE type = 'trigger'")
	sqlExec(t, db, "DROP TRIGGER audit_is_not_edited")
	sqlExec(t, db, "DROP TRIGGER audit_is_not_deleted")
	do(db)
	for _, create := range triggers { // else the file is refused as it is
		if _, err := db.ExecContext(t.Context(), create); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return copied
}

func sqlExec(t *testing.T, db *sql.DB, query string, args ...any) {
	t.Helper()
	r, err := db.ExecContext(t.Context(), query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	if n, err := r.RowsAffected(); err != nil || n == 0 && !strings.HasPrefix(query, "DROP") {
		t.Fatalf("%s: changed nothing, %v", query, err)
	}
}

func verify(t *testing.T, o vault.Options) (vault.Verified, error) {
	t.Helper()
	v, err := vault.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	found, err := v.VerifyAudit(t.Context(), owner)
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	return found, err
}

// rechain writes the hashes anew from row from on, and the head, as a forger would who
// has read our source. It shares nothing with it.
func rechain(t *testing.T, db *sql.DB, from int) {
	t.Helper()
	var hash []byte
	if err := db.QueryRow("SELECT hash FROM audit WHERE id = ?", from-1).Scan(&hash); errors.Is(err, sql.ErrNoRows) {
		hash = make([]byte, 32)
	} else if err != nil {
		t.Fatal(err)
	}
	last := 0
	if err := db.QueryRow("SELECT max(id) FROM audit").Scan(&last); err != nil {
		t.Fatal(err)
	}
	for id := from; id <= last; id++ {
		var at int64
		var fields [6]string
		err := db.QueryRow("SELECT at, vault_id, caller, role, act, object, error FROM audit WHERE id = ?", id).
			Scan(&at, &fields[0], &fields[1], &fields[2], &fields[3], &fields[4], &fields[5])
		if err != nil {
			t.Fatal(err)
		}
		h := sha256.New()
		h.Write([]byte("av audit\x00"))
		h.Write(hash)
		_ = binary.Write(h, binary.BigEndian, [2]int64{int64(id), at})
		for _, f := range fields {
			_ = binary.Write(h, binary.BigEndian, uint32(len(f)))
			h.Write([]byte(f))
		}
		hash = h.Sum(nil)
		sqlExec(t, db, "UPDATE audit SET hash = ? WHERE id = ?", hash, id)
	}
	sqlExec(t, db, "UPDATE audit_head SET last = ?, hash = ?", last, hash)
}

func TestUntouchedAuditLogIsWhole(t *testing.T) {
	o := auditedVault(t)
	got, err := verify(t, o)
	if want := (vault.Verified{Rows: 10, Since: 1, Sealed: 8}); err != nil || got != want {
		t.Fatalf("%+v, %v, want %+v", got, err, want)
	}
	// Looking is an act, too, and seals what was there.
	got, err = verify(t, o)
	if want := (vault.Verified{Rows: 11, Since: 1, Sealed: 11}); err != nil || got != want {
		t.Fatalf("%+v, %v, want %+v", got, err, want)
	}
	// The control of all forgeries below: copying and dropping triggers forges nothing, and
	// rechain computes the very hashes that are there.
	copied := forge(t, o, func(db *sql.DB) { rechain(t, db, 1) })
	if got, err := verify(t, copied); err != nil || got.Rows != 12 {
		t.Fatalf("%+v, %v", got, err)
	}
}

func TestForgedAuditLogIsFound(t *testing.T) {
	o := auditedVault(t)
	type forgery struct {
		do   func(*testing.T, *sql.DB)
		want string
	}
	run := func(queries ...string) func(*testing.T, *sql.DB) {
		return func(t *testing.T, db *sql.DB) {
			for _, q := range queries {
				sqlExec(t, db, q)
			}
		}
	}
	const columns = "vault_id, at, caller, role, act, object, error"
	all := map[string]forgery{
		"first removed":       {run("DELETE FROM audit WHERE id = 1"), "row 1 is missing"},
		"middle removed":      {run("DELETE FROM audit WHERE id = 4"), "row 4 is missing"},
		"last removed":        {run("DELETE FROM audit WHERE id = 10"), "row 10 and those after it are missing"},
		"all removed":         {run("DELETE FROM audit"), "row 1 and those after it are missing"},
		"all and head":        {run("DELETE FROM audit", "DELETE FROM audit_head"), "no row of it is sealed"},
		"two swapped":         {run("UPDATE audit SET id = 99 WHERE id = 3", "UPDATE audit SET id = 3 WHERE id = 5", "UPDATE audit SET id = 5 WHERE id = 99"), "row 3 is not"},
		"put in before":       {run("INSERT INTO audit (id, hash, " + columns + ") SELECT -1, hash, " + columns + " FROM audit WHERE id = 2"), "row -1 was put in"},
		"duplicated":          {run("INSERT INTO audit (id, hash, " + columns + ") SELECT 11, hash, " + columns + " FROM audit WHERE id = 10"), "row 11 is not"},
		"put in behind a gap": {run("INSERT INTO audit (id, hash, " + columns + ") SELECT 20, hash, " + columns + " FROM audit WHERE id = 10"), "row 11 is missing"},
		"hash taken away":     {run("UPDATE audit SET hash = NULL WHERE id = 6"), "row 6 is not"},
		"head's hash":         {run("UPDATE audit_head SET hash = randomblob(32)"), "its head was replaced"},
		"head of before":      {run("UPDATE audit_head SET (last, hash) = (SELECT id, hash FROM audit WHERE id = 9)"), "its head was replaced"},
		"head removed":        {run("DELETE FROM audit_head"), "no row of it is sealed"},
		"seal removed":        {run("UPDATE audit_head SET sealed = NULL, sealed_at = 0"), "no row of it is sealed"},
		"seal replaced":       {run("UPDATE audit_head SET sealed = randomblob(69)"), "its seal was replaced"},
		"seal of a secret": {run("UPDATE audit_head SET sealed = (SELECT sealed FROM secrets WHERE name = 'ca')"),
			"its seal was replaced"},
		"seal said to be elsewhere": {run("UPDATE audit_head SET sealed_at = 9"), "the seal is said to be on row 9 and is on row 8"},
		// These compute all hashes anew, and the head: only the seal gives them away.
		"edited and rechained": {func(t *testing.T, db *sql.DB) {
			sqlExec(t, db, "UPDATE audit SET act = 'nothing' WHERE id = 2")
			rechain(t, db, 2)
		}, "row 8 was sealed as another"},
		"sealed row edited and rechained": {func(t *testing.T, db *sql.DB) {
			sqlExec(t, db, "UPDATE audit SET caller = 'somebody' WHERE id = 8")
			rechain(t, db, 8)
		}, "row 8 was sealed as another"},
		"removed and rechained": {func(t *testing.T, db *sql.DB) {
			sqlExec(t, db, "DELETE FROM audit WHERE id = 2")
			for id := 3; id <= 10; id++ {
				sqlExec(t, db, "UPDATE audit SET id = ? WHERE id = ?", id-1, id)
			}
			rechain(t, db, 1)
		}, "row 8 was sealed as another"},
		"cut off before the seal": {func(t *testing.T, db *sql.DB) {
			sqlExec(t, db, "DELETE FROM audit WHERE id > 6")
			rechain(t, db, 6)
		}, "row 7 and those after it are missing"},
	}
	for _, id := range []int{1, 5, 9, 10} {
		for column, value := range map[string]string{
			"vault_id": "vault_id || 'x'", "at": "at + 1", "caller": "'x'", "role": "'x'", "act": "'x'", "object": "object || 'x'",
			"error": "'x'", "hash": "randomblob(32)",
			// The bytes stay, and the border between two columns moves.
			"caller, role": "(caller || substr(role, 1, 1), substr(role, 2))",
		} {
			q := fmt.Sprintf("UPDATE audit SET (%s) = (%s) WHERE id = %d", column, value, id)
			if strings.HasPrefix(value, "(") {
				q = fmt.Sprintf("UPDATE audit SET (%s) = %s WHERE id = %d", column, value, id)
			}
			all[fmt.Sprintf("row %d, %s", id, column)] = forgery{run(q), fmt.Sprintf("row %d is not", id)}
		}
	}
	for name, f := range all {
		t.Run(name, func(t *testing.T) {
			forged := forge(t, o, func(db *sql.DB) { f.do(t, db) })
			_, err := verify(t, forged)
			if !errors.Is(err, vault.ErrAudit) || !strings.Contains(err.Error(), f.want) || hint(err) == "" {
				t.Errorf("got %v, want %q", err, f.want)
			}
		})
	}
}

// An act after the forgery must not make it good.
func TestForgedLogIsNotSealedByLaterActs(t *testing.T) {
	o := auditedVault(t)
	for name, do := range map[string]func(*sql.DB){
		"rewritten before the seal": func(db *sql.DB) {
			sqlExec(t, db, "UPDATE audit SET act = 'nothing' WHERE id = 2")
			rechain(t, db, 2)
		},
		"rewritten where all is sealed": func(db *sql.DB) {
			sqlExec(t, db, "DELETE FROM audit WHERE id > 8")
			sqlExec(t, db, "UPDATE audit SET act = 'nothing' WHERE id = 2")
			rechain(t, db, 2)
		},
		"edited after the seal": func(db *sql.DB) { sqlExec(t, db, "UPDATE audit SET act = 'nothing' WHERE id = 9") },
		"cut off before the seal": func(db *sql.DB) {
			sqlExec(t, db, "DELETE FROM audit WHERE id > 6")
			rechain(t, db, 6)
		},
		// There is no row after the last that a number has room for.
		"a row at the end of all numbers": func(db *sql.DB) {
			sqlExec(t, db, "INSERT INTO audit (id, vault_id, at, caller, role, act, object, error) SELECT 9223372036854775807, vault_id, at, caller, role, act, object, error FROM audit WHERE id = 2")
		},
		"cut off after the seal": func(db *sql.DB) { sqlExec(t, db, "DELETE FROM audit WHERE id > 9") },
	} {
		forged := forge(t, o, do)
		for range 2 {
			v, err := vault.Open(t.Context(), forged)
			if err != nil {
				t.Fatal(err)
			}
			set(t, v, "LATER", "1") // not held up
			if err := v.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := verify(t, forged); !errors.Is(err, vault.ErrAudit) {
				t.Errorf("%s: got %v", name, err)
			}
		}
	}
}

// Nothing in the file tells a seal that was taken away from one that never was; so the
// log says from where on it is sealed.
func TestLogSaysFromWhereOnItIsSealed(t *testing.T) {
	o := forge(t, auditedVault(t), func(db *sql.DB) { sqlExec(t, db, "UPDATE audit_head SET sealed = NULL, sealed_at = 0") })
	v := openVault(t, o)
	set(t, v, "LATER", "1")
	// The rows before might be anything: they were not sealed when the key came.
	if found, err := v.VerifyAudit(t.Context(), owner); err != nil || found != (vault.Verified{Rows: 12, Since: 11, Sealed: 12}) {
		t.Fatalf("%+v, %v", found, err)
	}
	acts, err := v.Acts(t.Context(), owner, 3)
	if err != nil || len(acts) != 3 || acts[0].Act != "begin to seal the audit log" || acts[0].Object != "rows 1 to 10 were not sealed" {
		t.Fatalf("%+v, %v", acts, err)
	}
}

// The seal is taken away, the rows are rewritten, and the next act seals what it finds.
func TestRowsThatWereRewrittenWithoutASealAreNotVouchedFor(t *testing.T) {
	o := forge(t, auditedVault(t), func(db *sql.DB) {
		sqlExec(t, db, "UPDATE audit SET caller = 'somebody' WHERE id = 2")
		rechain(t, db, 2)
		sqlExec(t, db, "UPDATE audit_head SET sealed = NULL, sealed_at = 0")
	})
	if _, err := verify(t, o); !errors.Is(err, vault.ErrAudit) {
		t.Fatalf("got %v", err)
	}
	// Looking was an act. It sealed the rows, and does not make them true.
	if found, err := verify(t, o); err != nil || found != (vault.Verified{Rows: 12, Since: 11, Sealed: 12}) {
		t.Errorf("%+v, %v", found, err)
	}
	// Nor does a row that says so where nobody vouches for it.
	again := forge(t, o, func(db *sql.DB) {
		sqlExec(t, db, "INSERT INTO audit (id, vault_id, at, caller, role, act, object, error) SELECT 14, vault_id, at, caller, role, act, object, error FROM audit WHERE id = 11")
		rechain(t, db, 14)
	})
	if found, err := verify(t, again); err != nil || found.Since != 11 {
		t.Errorf("%+v, %v", found, err)
	}
}

func TestActsAreTheNewestWithTheNameOfTheirVault(t *testing.T) {
	c := newClock()
	v, o := newVault(t, c)
	set(t, v, "A", "1")
	c.advance(time.Minute)
	if err := v.DeleteCredential(t.Context(), owner, "NONE", false); err == nil {
		t.Fatal("deleted what is not there")
	}
	update(t, rows(t, o), func(tx *store.Tx) error {
		return tx.AddAudit("gone", store.Audit{Time: c.Now(), Caller: "x", Role: "admin", Act: "end run", Object: "r"})
	})
	acts, err := v.Acts(t.Context(), owner, 3)
	if err != nil || len(acts) != 3 {
		t.Fatalf("%+v, %v", acts, err)
	}
	want := []vault.Act{
		{ID: 2, Time: c.Now().Add(-time.Minute), Vault: "default", Caller: "owner", Role: "admin", Act: "set credential", Object: "A"},
		{ID: 3, Time: c.Now(), Vault: "default", Caller: "owner", Role: "admin", Act: "delete credential", Object: "NONE", Error: acts[1].Error},
		{ID: 4, Time: c.Now(), Vault: "gone", Caller: "x", Role: "admin", Act: "end run", Object: "r"},
	}
	for i := range want {
		if acts[i] != want[i] {
			t.Errorf("got %+v, want %+v", acts[i], want[i])
		}
	}
	if acts[1].Error == "" {
		t.Error("the failure is not told")
	}
	// A caller of one vault sees the acts on that one.
	id, _ := row(t, rows(t, o), "credential", "A")
	acts, err = v.Acts(t.Context(), vault.Caller{Name: "x", Role: vault.RoleAdmin, Vault: id}, 0)
	if err != nil || len(acts) != 3 || acts[2].ID != 3 {
		t.Errorf("%+v, %v", acts, err)
	}
}
