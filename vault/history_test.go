package vault_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/store"
)

func versions(t testing.TB, v *vault.Vault, key string) []int {
	t.Helper()
	list, err := v.History(t.Context(), owner, key)
	if err != nil {
		t.Fatal(err)
	}
	var numbers []int
	for i, version := range list {
		if version.Current != (i == 0) {
			t.Errorf("%+v is number %d of the list", version, i)
		}
		numbers = append(numbers, version.Version)
	}
	return numbers
}

func TestHistoryTellsWhatWasWhenAndWhere(t *testing.T) {
	c := newClock()
	v, _ := newVault(t, c)
	first := c.Now()
	set(t, v, "A", "1")
	c.advance(time.Hour)
	second := c.Now()
	bind(t, v, "A", "2", "a.test")
	c.advance(time.Hour)
	if err := v.Set(t.Context(), owner, vault.Setting{Key: "A", Reference: vault.Reference{Kind: "env", Target: "X"}}); err != nil {
		t.Fatal(err)
	}
	set(t, v, "B", "another credential's")
	got, err := v.History(t.Context(), owner, "A")
	want := []vault.Version{
		{Version: 3, Created: c.Now(), Current: true, Hosts: []string{"a.test"}, Ref: "env"},
		{Version: 2, Created: second, Hosts: []string{"a.test"}},
		{Version: 1, Created: first, Hosts: []string{"a.test"}}, // a binding is of all that it ever held
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Fatalf("%v\n%s", err, diff)
	}
	if _, err := v.History(t.Context(), owner, "NONE"); !errors.Is(err, vault.ErrNoCredential) {
		t.Errorf("got %v", err)
	}
	if _, err := v.History(t.Context(), vault.Caller{Name: "agent", Role: vault.RoleProxy}, "A"); !errors.Is(err, vault.ErrForbidden) {
		t.Errorf("got %v", err)
	}
}

func TestOnlyTheNewestVersionsStay(t *testing.T) {
	v, _ := newVault(t, newClock())
	for i := range 15 {
		set(t, v, "A", fmt.Sprint(i+1))
	}
	if got := versions(t, v, "A"); !slices.Equal(got, []int{15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5}) {
		t.Fatalf("got %v", got)
	}
	three, none := 3, 0
	if err := v.Set(t.Context(), owner, vault.Setting{Key: "A", Versions: &three}); err != nil {
		t.Fatal(err)
	}
	set(t, v, "A", "17") // and it stays at three
	if got := versions(t, v, "A"); !slices.Equal(got, []int{16, 15, 14, 13}) {
		t.Fatalf("got %v", got)
	}
	if err := v.Set(t.Context(), owner, vault.Setting{Key: "A", Versions: &none}); err != nil {
		t.Fatal(err)
	}
	if got := versions(t, v, "A"); !slices.Equal(got, []int{16}) || reveal(t, v, "A") != "17" {
		t.Fatalf("got %v", got)
	}
}

// A binding is no value: after it, a rollback gave the same value back.
func TestBindingIsNoNewVersion(t *testing.T) {
	c := newClock()
	v, _ := newVault(t, c)
	set(t, v, "A", "1")
	c.advance(time.Hour)
	second := c.Now()
	set(t, v, "A", "2")
	c.advance(time.Hour)
	if err := v.Set(t.Context(), owner, vault.Setting{Key: "A", Hosts: []string{"a.test"}}); err != nil {
		t.Fatal(err)
	}
	got := credential(t, v, "A")
	if got.Version != 2 || !got.Updated.Equal(second) || !slices.Equal(got.Hosts, []string{"a.test"}) {
		t.Fatalf("%+v", got)
	}
	if got := versions(t, v, "A"); !slices.Equal(got, []int{2, 1}) {
		t.Fatalf("got %v", got)
	}
	if err := v.Rollback(t.Context(), owner, "A", 1); err != nil || reveal(t, v, "A") != "1" {
		t.Fatal(err)
	}
	// What is bound now is bound in every version.
	list, err := v.History(t.Context(), owner, "A")
	for _, version := range list {
		if !slices.Equal(version.Hosts, []string{"a.test"}) {
			t.Errorf("%+v", version)
		}
	}
	if err != nil || len(list) != 3 {
		t.Fatalf("%v, %v", list, err)
	}
}

func TestRollbackMakesAnEarlierValueANewVersion(t *testing.T) {
	v, _ := newVault(t, newClock())
	set(t, v, "A", "one")
	set(t, v, "A", "two")
	session := use(t, v, "A")
	if err := v.Rollback(t.Context(), owner, "A", 1); err != nil {
		t.Fatal(err)
	}
	if value, err := session.Credential(t.Context(), "A", "a.test"); err != nil || string(value.Open()) != "one" {
		t.Fatal(err)
	}
	if got := versions(t, v, "A"); !slices.Equal(got, []int{3, 2, 1}) {
		t.Fatalf("got %v", got)
	}
	if err := v.Rollback(t.Context(), owner, "A", 2); err != nil || reveal(t, v, "A") != "two" {
		t.Fatal(err)
	}
	for _, no := range []int{4, 5, 0, -1} {
		if err := v.Rollback(t.Context(), owner, "A", no); err == nil || !strings.Contains(hint(err), "history A") {
			t.Errorf("%d: got %v", no, err)
		}
	}
	if err := v.Rollback(t.Context(), owner, "NONE", 1); !errors.Is(err, vault.ErrNoCredential) {
		t.Errorf("got %v", err)
	}
}

func TestRollbackIsNoWayAroundANewerBinding(t *testing.T) {
	v, _ := newVault(t, newClock())
	set(t, v, "A", "one")
	bind(t, v, "A", "two", "a.test")
	if err := v.Rollback(t.Context(), owner, "A", 1); err != nil {
		t.Fatal(err)
	}
	if got := credential(t, v, "A"); !slices.Equal(got.Hosts, []string{"a.test"}) || reveal(t, v, "A") != "one" {
		t.Fatalf("%+v", got)
	}
}

// Whoever can write the file would put back what was sealed before there was a binding.
func TestEarlierRowPutBackIsBoundAsTheNewestIs(t *testing.T) {
	c := newClock()
	v, o := newVault(t, c)
	set(t, v, "A", "one")
	set(t, v, "A", "two")
	bind(t, v, "A", "three", "a.test")
	session := use(t, v, "A")
	db := rows(t, o)
	for version := 1; version <= 2; version++ {
		update(t, db, func(tx *store.Tx) error {
			list, err := tx.Versions(v.ID(), "A")
			if err != nil {
				return err
			}
			return tx.SetSecretRow(v.ID(), "credential", list[len(list)-version].Secret)
		})
		c.advance(2 * time.Second)
		if value, err := session.Credential(t.Context(), "A", "a.test"); err != nil || string(value.Open()) == "three" {
			t.Fatalf("%d: it was not put back: %v", version, err)
		}
		if _, err := session.Credential(t.Context(), "A", "evil.test"); !errors.Is(err, vault.ErrBound) {
			t.Errorf("%d: got %v", version, err)
		}
	}
}

func TestDoctoredVersionIsNotRolledBackTo(t *testing.T) {
	v, o := newVault(t, newClock())
	set(t, v, "A", "one")
	set(t, v, "A", "two")
	set(t, v, "A", "three")
	db := rows(t, o)
	update(t, db, func(tx *store.Tx) error {
		list, err := tx.Versions(v.ID(), "A")
		if err != nil {
			return err
		}
		if err := tx.TrimVersions(v.ID(), "A", 0); err != nil {
			return err
		}
		list[0].Number, list[1].Number = list[1].Number, list[0].Number // each is the other's
		list[1].Sealed[20] ^= 1                                         // and one is damaged
		return errors.Join(tx.AddVersion(v.ID(), list[0]), tx.AddVersion(v.ID(), list[1]))
	})
	for version := 1; version <= 2; version++ {
		if err := v.Rollback(t.Context(), owner, "A", version); !errors.Is(err, vault.ErrCorrupt) {
			t.Errorf("%d: got %v", version, err)
		}
	}
	if reveal(t, v, "A") != "three" {
		t.Error("the value was changed")
	}
}
