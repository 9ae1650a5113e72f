package vault_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/store"
)

func create(t testing.TB, v *vault.Vault, name string) {
	t.Helper()
	if err := v.CreateVault(t.Context(), owner, name); err != nil {
		t.Fatal(err)
	}
}

// named opens another vault of o's file.
func named(t testing.TB, o vault.Options, name string) *vault.Vault {
	t.Helper()
	o.Vault = name
	return openVault(t, o)
}

func TestVaultsOfOneFileAreApart(t *testing.T) {
	v, o := newVault(t, newClock())
	create(t, v, "work")
	work := named(t, o, "work")
	if v.Name() != "default" || work.Name() != "work" || v.ID() == work.ID() || v.ID() == "" {
		t.Fatalf("%s %s, %s %s", v.Name(), v.ID(), work.Name(), work.ID())
	}
	set(t, v, "A", "mine")
	set(t, work, "A", "the company's")
	set(t, work, "B", "the company's too")
	reads(t, v, "A", "mine")
	reads(t, work, "A", "the company's")
	if err := v.SetServices(t.Context(), owner, nil); err != nil {
		t.Fatal(err)
	}
	if list, err := work.Services(t.Context(), owner); err != nil || len(list) != 1 {
		t.Errorf("services: %v, %v", list, err)
	}
	if err := v.DeleteCredential(t.Context(), owner, "B", false); !errors.Is(err, vault.ErrNoCredential) {
		t.Errorf("deletes another vault's credential: %v", err)
	}
	_, opened := openSession(t, work, vault.Grant{Run: "r"})
	if _, err := v.SessionByToken(t.Context(), string(opened.Token.Open())); !errors.Is(err, vault.ErrNoSession) {
		t.Errorf("a session of another vault: %v", err)
	}
	mine, _, err := v.Authority(t.Context(), owner)
	if err != nil {
		t.Fatal(err)
	}
	theirs, _, err := work.Authority(t.Context(), owner)
	if err != nil {
		t.Fatal(err)
	}
	if certificate(t, mine).Equal(certificate(t, theirs)) || certificate(t, mine).Subject.CommonName == certificate(t, theirs).Subject.CommonName {
		t.Error("two vaults share a CA")
	}

	// A row moved by whoever can write the file.
	execute(t, raw(t, o), "UPDATE secrets SET sealed = (SELECT sealed FROM secrets WHERE vault_id = ?1 AND name = 'A') WHERE vault_id = ?2 AND name = 'A'", work.ID(), v.ID())
	if value, err := use(t, openVault(t, o), "A").Credential(t.Context(), "A", "a.test"); !errors.Is(err, vault.ErrCorrupt) {
		t.Errorf("another vault's row opened as %q, %v", value.Open(), err)
	}
}

func TestVaultsAreListedAndTheCurrentOneIsUsed(t *testing.T) {
	c := newClock()
	v, o := newVault(t, c)
	made := c.Now()
	c.advance(time.Minute)
	create(t, v, "work")
	create(t, v, "b")
	work := named(t, o, "work")
	set(t, work, "A", "1")
	set(t, work, "B", "1")
	use(t, work, "A")
	list := func(current string) {
		t.Helper()
		got, err := v.Vaults(t.Context(), owner)
		want := []vault.Info{
			{Name: "b", Created: c.Now()}, {Name: "default", Created: made}, {Name: "work", Created: c.Now(), Credentials: 2, Services: 1},
		}
		for i := range want {
			want[i].Current = want[i].Name == current
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(vault.Info{}, "ID")); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
		if name := openVault(t, o).Name(); name != current {
			t.Errorf("opened %s, want %s", name, current)
		}
	}
	list("default")
	for _, name := range []string{"work", "b", "default", "work"} {
		if err := v.UseVault(t.Context(), owner, name); err != nil {
			t.Fatal(err)
		}
		list(name)
	}
	if name := named(t, o, "default").Name(); name != "default" {
		t.Errorf("asked for default, got %s", name)
	}
}

func TestUnknownVaultIsSaid(t *testing.T) {
	v, o := newVault(t, newClock())
	before := dump(t, o)
	for _, name := range []string{"nope", "Default", "default ", "../default", "'; DROP TABLE vaults; --", strings.Repeat("x", 5000)} {
		other := o
		other.Vault = name
		_, openErr := vault.Open(t.Context(), other)
		for what, err := range map[string]error{
			"open": openErr, "use": v.UseVault(t.Context(), owner, name), "delete": v.DeleteVault(t.Context(), owner, name),
		} {
			if !errors.Is(err, vault.ErrNoVault) || !strings.Contains(hint(err), "av vault list") || len(err.Error()) > 1000 {
				t.Errorf("%s %.20q: got %v, hint %q", what, name, err, hint(err))
			}
		}
	}
	if diff := cmp.Diff(before, dump(t, o)); diff != "" {
		t.Errorf("changed:\n%s", diff)
	}
}

func TestVaultNamesAreSlugs(t *testing.T) {
	v, o := newVault(t, newClock())
	before := dump(t, o)
	for _, name := range []string{"", "-", "-a", "a-", "A", "a_b", "a b", "a/b", "a.b", "é", "a\n", strings.Repeat("a", 65)} {
		if err := v.CreateVault(t.Context(), owner, name); err == nil || hint(err) == "" {
			t.Errorf("%q: got %v", name, err)
		}
	}
	if err := v.CreateVault(t.Context(), owner, "default"); err == nil || hint(err) == "" {
		t.Errorf("a second default: got %v", err)
	}
	if diff := cmp.Diff(before, dump(t, o)); diff != "" {
		t.Errorf("changed:\n%s", diff)
	}
	for _, name := range []string{"a", "0", "a-b", "a--b", "work-2", strings.Repeat("a", 64)} {
		create(t, v, name)
		if got := named(t, o, name).Name(); got != name {
			t.Errorf("opened %s, want %s", got, name)
		}
	}
}

func TestDeletedVaultIsGoneWithEverythingInIt(t *testing.T) {
	v, o := newVault(t, newClock())
	set(t, v, "A", "1")
	use(t, v, "A")
	without := dump(t, o, "lock")
	create(t, v, "work")
	work := named(t, o, "work")
	set(t, work, "A", "2")
	session := use(t, work, "A")
	work.Record(vault.Entry{Session: session.ID(), Run: "run1", Host: "a.test", Port: 443})
	if _, err := work.Summary(t.Context(), owner, "run1"); err != nil {
		t.Fatal(err)
	}
	execute(t, raw(t, o), "INSERT INTO uses VALUES (?, 'A', 7)", work.ID())
	with := dump(t, o, "lock")
	for _, table := range []string{"vaults", "secrets", "authorities", "services", "sessions", "requests", "uses"} {
		if len(with[table]) <= len(without[table]) {
			t.Errorf("%s: nothing to remove", table)
		}
	}

	if err := v.DeleteVault(t.Context(), owner, "work"); err == nil || !strings.Contains(err.Error(), "open session") || hint(err) == "" {
		t.Fatalf("with an open session: %v", err)
	}
	if err := work.EndSession(t.Context(), owner, session.ID()); err != nil {
		t.Fatal(err)
	}
	if err := v.DeleteVault(t.Context(), owner, "work"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(without, dump(t, o, "lock")); diff != "" {
		t.Errorf("left:\n%s", diff)
	}
	if got := texts(t, raw(t, o), "SELECT act FROM audit WHERE vault_id = ? AND error = ''", work.ID()); len(got) == 0 {
		t.Error("its audit rows are gone too")
	}
	// Whoever still has it open is told.
	if err := work.SetCredential(t.Context(), owner, "B", vault.NewValue([]byte("x"))); !errors.Is(err, vault.ErrNoVault) || hint(err) == "" {
		t.Errorf("sets in a vault that is gone: %v", err)
	}
}

func TestVaultInUseIsNotDeleted(t *testing.T) {
	c := newClock()
	v, o := newVault(t, c)
	create(t, v, "work")
	work := named(t, o, "work")
	for who, refusal := range map[*vault.Vault]string{v: "default", work: "work"} {
		if err := who.DeleteVault(t.Context(), owner, refusal); err == nil || hint(err) == "" {
			t.Errorf("%s: %v", refusal, err)
		}
	}
	if err := work.DeleteVault(t.Context(), owner, "default"); err == nil {
		t.Error("deleted the current one")
	}
	if err := v.UseVault(t.Context(), owner, "work"); err != nil {
		t.Fatal(err)
	}
	if err := v.DeleteVault(t.Context(), owner, "work"); err == nil {
		t.Error("deleted the current one")
	}
	// An expired session keeps nothing.
	openSession(t, v, vault.Grant{Run: "r"})
	if err := work.DeleteVault(t.Context(), owner, "default"); err == nil {
		t.Error("deleted one with an open session")
	}
	c.advance(8 * 24 * time.Hour)
	if err := work.DeleteVault(t.Context(), owner, "default"); err != nil {
		t.Error(err)
	}
	if name := openVault(t, o).Name(); name != "work" {
		t.Errorf("opened %s", name)
	}
}

func TestVaultsOfAFileAreLimited(t *testing.T) {
	v, o := newVault(t, newClock())
	update(t, rows(t, o), func(tx *store.Tx) error {
		for i := range 99 {
			if err := tx.AddVault(store.Vault{ID: fmt.Sprint(i), Name: fmt.Sprintf("v%d", i), Created: newClock().Now()}); err != nil {
				return err
			}
		}
		return nil
	})
	if err := v.CreateVault(t.Context(), owner, "one-more"); err == nil || hint(err) == "" {
		t.Fatalf("got %v", err)
	}
	if err := v.DeleteVault(t.Context(), owner, "v7"); err != nil {
		t.Fatal(err)
	}
	create(t, v, "one-more")
}

func TestVaultsAreForThoseWhoMay(t *testing.T) {
	v, _ := newVault(t, newClock())
	create(t, v, "work")
	member, proxy := vault.Caller{Name: "m", Role: vault.RoleMember}, vault.Caller{Name: "p", Role: vault.RoleProxy}
	if _, err := v.Vaults(t.Context(), member); err != nil {
		t.Error(err)
	}
	_, err := v.Vaults(t.Context(), proxy)
	for what, err := range map[string]error{
		"list": err, "create": v.CreateVault(t.Context(), member, "x"), "use": v.UseVault(t.Context(), member, "work"),
		"delete": v.DeleteVault(t.Context(), member, "work"),
	} {
		if !errors.Is(err, vault.ErrForbidden) {
			t.Errorf("%s: got %v", what, err)
		}
	}
}

func TestUnlockingIsRecordedUnderTheVaultsName(t *testing.T) {
	v, o := newVault(t, newClock())
	create(t, v, "work")
	if err := named(t, o, "work").Unlock(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	if got := texts(t, raw(t, o), "SELECT object FROM audit WHERE act = 'unlock'"); len(got) != 1 || got[0] != "work" {
		t.Fatalf("%q", got)
	}
}

// As a file comes that an earlier av made: there is no choice in it yet.
func TestFileWithoutAChoiceUsesTheDefaultVault(t *testing.T) {
	_, o := newVault(t, newClock())
	db := raw(t, o)
	if got := texts(t, db, "SELECT value FROM settings"); len(got) != 0 {
		t.Fatalf("settings: %q", got)
	}
	openVault(t, o)
	execute(t, db, "INSERT INTO settings VALUES ('current', 'no such id')")
	if _, err := vault.Open(t.Context(), o); !errors.Is(err, vault.ErrCorrupt) || !strings.Contains(err.Error(), filepath.Join(o.Home, "vault.db")) {
		t.Fatalf("got %v", err)
	}
	named(t, o, "default") // the way out
}
