package vault_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/seal"
)

// oldVault is a file as the first av made it: its schema and its rows, and no more.
func oldVault(t *testing.T) vault.Options {
	t.Helper()
	o := vault.Options{Home: t.TempDir(), Now: newClock().Now}
	if err := os.Chmod(o.Home, 0o700); err != nil {
		t.Fatal(err)
	}
	const id = "00112233445566778899aabbccddeeff"
	data, kek := seal.NewKey(), seal.NewKey()
	wrapped, err := seal.WrapWithKey(data, kek)
	if err != nil {
		t.Fatal(err)
	}
	box, err := data.Seal(seal.Place{Vault: id, Kind: "credential", Name: "A"}, []byte("1"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(
		os.WriteFile(filepath.Join(o.Home, "vault.key"), kek.MarshalKeyFile(), 0o600),
		os.WriteFile(filepath.Join(o.Home, "vault.db"), nil, 0o600),
	); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", filepath.Join(o.Home, "vault.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	at := newClock().Now().UnixNano()
	execute(t, db, "PRAGMA page_size = 4096")
	execute(t, db, "PRAGMA application_id = 1635150964")
	execute(t, db, "PRAGMA journal_mode = WAL")
	execute(t, db, string(readFile(t, "store", "migrations", "0001_vault.sql")))
	execute(t, db, "PRAGMA user_version = 1")
	execute(t, db, "INSERT INTO vaults VALUES (?, 'default', ?)", id, at)
	execute(t, db, "INSERT INTO lock VALUES (1, ?, ?)", wrapped.Method, wrapped.Box)
	execute(t, db, "INSERT INTO secrets VALUES (?, 'credential', 'A', ?, ?, ?)", id, box, at, at)
	execute(t, db, `INSERT INTO services VALUES (?, 0, 'a', '{"name":"a","host":"a.test","auth":{"type":"bearer","token":"A"}}')`, id)
	execute(t, db, `INSERT INTO sessions VALUES ('s', ?, 'r', zeroblob(32), zeroblob(32), '{"unmatched":"deny"}', ?, ?, NULL)`, id, at, at+int64(time.Hour))
	execute(t, db, `INSERT INTO requests VALUES (1, ?, ?, 's', 'r', 'GET', 'a.test', 443, '/', 'a', '["A"]', 1, 'service a', '', '', 200, 1, 2, 3, 'h1')`, id, at)
	for _, object := range []string{"default", "A"} {
		execute(t, db, "INSERT INTO audit (vault_id, at, caller, role, act, object, error) VALUES (?, ?, 'owner', 'admin', 'init', ?, '')", id, at, object)
	}
	return o
}

func TestVaultOfTheFirstVersionOpensWithEverythingInIt(t *testing.T) {
	o := oldVault(t)
	v := openVault(t, o)
	if v.Name() != "default" {
		t.Errorf("opened %q", v.Name())
	}
	// Its services were written when nobody sealed them: the owner has to say that they are right.
	opened, err := v.OpenSession(t.Context(), owner, vault.Grant{Run: "unsealed"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.SessionByToken(t.Context(), string(opened.Token.Open())); err == nil || !strings.Contains(hint(err), "av service set") {
		t.Fatalf("services that nobody vouches for: %v", err)
	}
	services, err := v.Services(t.Context(), owner)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.SetServices(t.Context(), owner, services); err != nil {
		t.Fatal(err)
	}
	s, _ := openSession(t, v, vault.Grant{Run: "new"})
	if value, err := s.Credential(t.Context(), "A", "a.test"); err != nil || string(value.Open()) != "1" {
		t.Fatalf("%q, %v", value.Open(), err)
	}
	if sum, err := v.Summary(t.Context(), owner, "r"); err != nil || sum.Requests != 1 {
		t.Errorf("%+v, %v", sum, err)
	}
	if n, err := v.EndRun(t.Context(), owner, "r"); err != nil || n != 1 {
		t.Errorf("%d sessions, %v", n, err)
	}
	db := raw(t, o)
	if got := texts(t, db, "SELECT object FROM audit ORDER BY id LIMIT 2"); len(got) != 2 || got[0] != "default" || got[1] != "A" {
		t.Errorf("audit rows %q", got)
	}
	if n := rotate(t, v); n != 4 { // A, the list of services, and two sessions
		t.Errorf("%d rows", n)
	}
	create(t, v, "work")
	if err := v.SetPassword(t.Context(), owner, []byte("pw")); err != nil {
		t.Fatal(err)
	}
	o.Password = (&typist{password: "pw"}).ask
	reads(t, openVault(t, o), "A", "1")
}
