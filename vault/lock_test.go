package vault_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/seal"
	"github.com/av-project/av/vault/store"
)

// typist is the person who is asked for the password.
type typist struct {
	password string
	err      error
	asked    int
}

func (p *typist) ask(context.Context) ([]byte, error) {
	p.asked++
	return []byte(p.password), p.err
}

// newSealedVault makes a vault with a password, and opens it for a person who knows it.
func newSealedVault(t testing.TB, password string) (*vault.Vault, vault.Options, *typist) {
	t.Helper()
	p := &typist{password: password}
	o := vault.Options{Home: filepath.Join(t.TempDir(), "home"), Now: newClock().Now, Password: p.ask}
	if err := vault.Init(t.Context(), o, []byte(password)); err != nil {
		t.Fatal(err)
	}
	return openVault(t, o), o, p
}

// raw opens the file as a program would that is not av.
func raw(t testing.TB, o vault.Options) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(o.Home, "vault.db")+"?_busy_timeout=10000")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func execute(t testing.TB, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func texts(t testing.TB, db *sql.DB, query string, args ...any) (all []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// dump is every row of every table but those given, and but the audit tables: acts that
// are refused leave rows there.
func dump(t testing.TB, o vault.Options, but ...string) map[string][]string {
	t.Helper()
	db, all := raw(t, o), map[string][]string{}
	for _, table := range texts(t, db, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'audit%'") {
		if slices.Contains(but, table) {
			continue
		}
		var columns []string
		for _, c := range texts(t, db, "SELECT name FROM pragma_table_info(?)", table) {
			if c != "revision" { // which counts acts
				columns = append(columns, "quote("+c+")")
			}
		}
		list := strings.Join(columns, " || ',' || ")
		all[table] = texts(t, db, fmt.Sprintf("SELECT %s FROM %s ORDER BY 1", list, table))
	}
	return all
}

// lock is the wrapped data key.
func lock(t testing.TB, o vault.Options) (method string, box []byte) {
	t.Helper()
	if err := rows(t, o).View(t.Context(), func(tx *store.Tx) (err error) { method, box, err = tx.Lock(); return err }); err != nil {
		t.Fatal(err)
	}
	return method, box
}

// reads fails unless the vault gives back what set put there.
func reads(t testing.TB, v *vault.Vault, key, want string) {
	t.Helper()
	session := use(t, v, key)
	value, err := session.Credential(t.Context(), key, strings.ToLower(key)+".test")
	if err != nil || string(value.Open()) != want {
		t.Fatalf("%s: %q, %v, want %q", key, value.Open(), err, want)
	}
}

func TestPasswordChangeTouchesTheLockAlone(t *testing.T) {
	v, o, p := newSealedVault(t, "one")
	set(t, v, "A", "1")
	use(t, v, "A")
	v.Record(vault.Entry{Run: "run1", Host: "a.test", Port: 443})
	if _, err := v.Summary(t.Context(), owner, "run1"); err != nil { // which waits for the record
		t.Fatal(err)
	}
	before, beforeLock := dump(t, o, "lock"), dump(t, o)["lock"]
	for _, table := range []string{"secrets", "services", "sessions", "requests", "vaults", "authorities"} {
		if len(before[table]) == 0 {
			t.Fatalf("nothing in %s that could have changed", table)
		}
	}
	given := []byte("two")
	if err := v.SetPassword(t.Context(), owner, given); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, dump(t, o, "lock")); diff != "" {
		t.Errorf("changed:\n%s", diff)
	}
	if slices.Equal(beforeLock, dump(t, o)["lock"]) {
		t.Error("the lock is as it was")
	}
	if !bytes.Equal(given, make([]byte, 3)) {
		t.Error("the password was not cleared")
	}
	if _, _, err := openVault(t, o).Authority(t.Context(), owner); !errors.Is(err, vault.ErrWrongPassword) {
		t.Errorf("the password before: got %v", err)
	}
	p.password = "two"
	reads(t, openVault(t, o), "A", "1")
}

func TestKeyFileGoesWhenAPasswordComesAndBack(t *testing.T) {
	v, o := newVault(t, newClock())
	path := filepath.Join(o.Home, "vault.key")
	set(t, v, "A", "1")
	needs := func(want bool) {
		t.Helper()
		if got, err := v.NeedsPassword(t.Context()); err != nil || got != want {
			t.Fatalf("%v, %v, want %v", got, err, want)
		}
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) != want {
			t.Fatalf("key file: %v, needs a password: %v", err, want)
		}
	}
	needs(false)
	before := dump(t, o, "lock")
	another := openVault(t, o)
	if err := another.Unlock(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	if err := v.SetPassword(t.Context(), owner, []byte("pw")); err != nil {
		t.Fatal(err)
	}
	needs(true)
	if err := another.RemovePassword(t.Context(), owner); !errors.Is(err, vault.ErrNoPassword) {
		t.Errorf("a process that had the key file: got %v", err)
	}
	p := &typist{password: "pw"}
	with := o
	with.Password = p.ask
	reads(t, openVault(t, with), "A", "1")
	if err := openVault(t, with).RemovePassword(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	needs(false)
	reads(t, openVault(t, o), "A", "1")
	after := slices.DeleteFunc(dump(t, o)["secrets"], func(row string) bool { // which reads has set
		return strings.Contains(row, "'services'") || strings.Contains(row, "'session'")
	})
	if diff := cmp.Diff(before["secrets"], after); diff != "" {
		t.Errorf("changed:\n%s", diff)
	}
	if err := v.RemovePassword(t.Context(), owner); err == nil || hint(err) == "" {
		t.Errorf("removed where there is none: %v", err)
	}
}

// What a process leaves that is killed between the commit and the removal.
func TestUselessKeyFileGoesWithTheNextPassword(t *testing.T) {
	v, o, p := newSealedVault(t, "one")
	_, other := newVault(t, newClock())
	path := filepath.Join(o.Home, "vault.key")
	if err := os.WriteFile(path, readFile(t, other.Home, "vault.key"), 0o600); err != nil {
		t.Fatal(err)
	}
	set(t, v, "A", "1")
	if err := v.SetPassword(t.Context(), owner, []byte("two")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal("it is still there")
	}
	p.password = "two"
	reads(t, openVault(t, o), "A", "1")
}

func TestKeyFileThatIsThereIsUsedAndNotReplaced(t *testing.T) {
	v, o, _ := newSealedVault(t, "one")
	set(t, v, "A", "1")
	_, other := newVault(t, newClock())
	there := readFile(t, other.Home, "vault.key")
	path := filepath.Join(o.Home, "vault.key")
	if err := os.WriteFile(path, there, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := v.RemovePassword(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(there, readFile(t, path)) {
		t.Fatal("the key file was replaced")
	}
	reads(t, openVault(t, o), "A", "1")
}

func TestWhoCannotOpenTheVaultCannotChangeItsLock(t *testing.T) {
	v, o, _ := newSealedVault(t, "right")
	set(t, v, "A", "1")
	if err := v.CreateVault(t.Context(), owner, "second"); err != nil {
		t.Fatal(err)
	}
	member := vault.Caller{Name: "m", Role: vault.RoleMember}
	before, names := dump(t, o), files(t, o.Home)
	for name, act := range map[string]func(*vault.Vault, vault.Caller) error{
		"set":    func(v *vault.Vault, c vault.Caller) error { return v.SetPassword(t.Context(), c, []byte("mine")) },
		"remove": func(v *vault.Vault, c vault.Caller) error { return v.RemovePassword(t.Context(), c) },
		"rotate": func(v *vault.Vault, c vault.Caller) error { _, err := v.RotateKey(t.Context(), c); return err },
		"create": func(v *vault.Vault, c vault.Caller) error { return v.CreateVault(t.Context(), c, "third") },
		"delete": func(v *vault.Vault, c vault.Caller) error { return v.DeleteVault(t.Context(), c, "second") },
	} {
		stranger := o
		stranger.Password = (&typist{password: "wrong"}).ask
		if err := act(openVault(t, stranger), owner); !errors.Is(err, vault.ErrWrongPassword) || hint(err) == "" {
			t.Errorf("%s with a wrong password: got %v", name, err)
		}
		stranger.Password = nil
		if err := act(openVault(t, stranger), owner); !errors.Is(err, vault.ErrNoPassword) {
			t.Errorf("%s without a password: got %v", name, err)
		}
		if err := act(v, member); !errors.Is(err, vault.ErrForbidden) {
			t.Errorf("%s as a member: got %v", name, err)
		}
	}
	if diff := cmp.Diff(before, dump(t, o)); diff != "" || files(t, o.Home) != names {
		t.Errorf("changed: %s\n%s", files(t, o.Home), diff)
	}
	if err := v.SetPassword(t.Context(), owner, nil); err == nil || hint(err) == "" {
		t.Errorf("an empty password: got %v", err)
	}
}

// As another implementation wrapped it, with what an early version might have asked.
func TestWeakParametersAreRaisedWithTheNextPassword(t *testing.T) {
	v, o := newVault(t, newClock())
	set(t, v, "A", "to be replaced")
	db := rows(t, o)
	id, _ := row(t, db, "credential", "A")
	const method = "argon2id$v=19$m=64,t=1,p=1$BwcHBwcHBwcHBwcHBwcHBw"
	box, err := hex.DecodeString("010101010101010101010101014db50d97236da8c23124b93d0b3632466af7cddef4261085c873d3c7aff0be4b0e16d314c98d253f7ea73b16be220e5b")
	if err != nil {
		t.Fatal(err)
	}
	data, err := seal.ParseKeyFile([]byte("av-vault-key-1:QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI="))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := data.Seal(seal.Place{Vault: id, Kind: "credential", Name: "A"}, []byte("1"))
	if err != nil {
		t.Fatal(err)
	}
	update(t, db, func(tx *store.Tx) error {
		return errors.Join(tx.SetLock(method, box), tx.SetBox(store.Sealed{Vault: id, Kind: "credential", Name: "A"}, sealed))
	})
	p := &typist{password: "pässwörd"}
	o.Password = p.ask
	weak := openVault(t, o)
	reads(t, weak, "A", "1")
	if got, _ := lock(t, o); got != method {
		t.Fatalf("reading changed the lock to %s", got)
	}
	if err := weak.SetPassword(t.Context(), owner, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if got, _ := lock(t, o); !strings.HasPrefix(got, "argon2id$v=19$m=65536,t=3,p=4$") {
		t.Fatalf("the lock is still %s", got)
	}
	p.password = "new"
	reads(t, openVault(t, o), "A", "1")
}

// A process that unlocked the vault long ago is not let in by that alone.
func TestEarlierPasswordChangesNothing(t *testing.T) {
	v, o, p := newSealedVault(t, "one")
	set(t, v, "A", "1")
	if err := openVault(t, o).SetPassword(t.Context(), owner, []byte("two")); err != nil {
		t.Fatal(err)
	}
	before := dump(t, o)
	for name, act := range map[string]func() error{
		"set":    func() error { return v.SetPassword(t.Context(), owner, []byte("three")) },
		"remove": func() error { return v.RemovePassword(t.Context(), owner) },
		"rotate": func() error { _, err := v.RotateKey(t.Context(), owner); return err },
	} {
		if err := act(); !errors.Is(err, vault.ErrRelocked) || !errors.Is(err, vault.ErrWrongPassword) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if diff := cmp.Diff(before, dump(t, o)); diff != "" {
		t.Errorf("changed:\n%s", diff)
	}
	if p.asked != 3 { // v, the one who changed it, and once for all three acts
		t.Errorf("asked %d times", p.asked)
	}
}

func BenchmarkUnlock(b *testing.B) {
	_, o, _ := newSealedVault(b, "correct horse battery staple")
	for b.Loop() {
		v, err := vault.Open(b.Context(), o)
		if err != nil {
			b.Fatal(err)
		}
		if err := v.Unlock(b.Context(), owner); err != nil {
			b.Fatal(err)
		}
		if err := v.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
