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
	"github.com/av-project/av/vault/policy"
	"github.com/av-project/av/vault/store"
)

func bind(t testing.TB, v *vault.Vault, key, value string, hosts ...string) {
	t.Helper()
	if err := v.Set(t.Context(), owner, vault.Setting{Key: key, Value: vault.NewValue([]byte(value)), Hosts: hosts}); err != nil {
		t.Fatal(err)
	}
}

func reveal(t testing.TB, v *vault.Vault, key string) string {
	t.Helper()
	value, err := v.Reveal(t.Context(), owner, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(value.Open())
}

// credential is the one of the list with that key.
func credential(t testing.TB, v *vault.Vault, key string) vault.Credential {
	t.Helper()
	list, err := v.Credentials(t.Context(), owner)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(list, func(c vault.Credential) bool { return c.Key == key })
	if i < 0 {
		t.Fatalf("no %s in %+v", key, list)
	}
	return list[i]
}

func bearer(name, host, key string) policy.Service {
	return policy.Service{Name: name, Host: host, Auth: policy.Auth{Type: policy.Bearer, Token: key}}
}

func TestNewValueKeepsItsBindingUnlessAnotherIsGiven(t *testing.T) {
	v, _ := newVault(t, newClock())
	bind(t, v, "A", "1", "b.test", "a.test", "a.test")
	hosts := []string{"a.test", "b.test"} // in one order, and each once
	if got := credential(t, v, "A"); !slices.Equal(got.Hosts, hosts) || got.Version != 1 {
		t.Fatalf("%+v", got)
	}
	set(t, v, "A", "2")
	if got := credential(t, v, "A"); !slices.Equal(got.Hosts, hosts) || got.Version != 2 {
		t.Fatalf("%+v", got)
	}
	bind(t, v, "A", "3", "c.test")
	if got := credential(t, v, "A"); !slices.Equal(got.Hosts, []string{"c.test"}) {
		t.Fatalf("%+v", got)
	}
	if err := v.Set(t.Context(), owner, vault.Setting{Key: "A", Hosts: []string{}}); err != nil {
		t.Fatal(err)
	}
	if got := credential(t, v, "A"); got.Hosts != nil || got.Version != 3 || reveal(t, v, "A") != "3" {
		t.Fatalf("%+v", got)
	}
}

func TestSettingsAreStoredAllOrNone(t *testing.T) {
	v, _ := newVault(t, newClock())
	set(t, v, "USED", "1")
	if err := v.SetServices(t.Context(), owner, []policy.Service{bearer("s", "s.test", "USED")}); err != nil {
		t.Fatal(err)
	}
	good := vault.Setting{Key: "GOOD", Value: vault.NewValue([]byte("x"))}
	value, minus, many := vault.NewValue([]byte("x")), -1, 101
	hosts := make([]string, 65)
	for i := range hosts {
		hosts[i] = fmt.Sprintf("h%d.test", i)
	}
	for name, bad := range map[string]vault.Setting{
		"a bad key":               {Key: "bad", Value: value},
		"nothing":                 {Key: "A"},
		"a value and a reference": {Key: "A", Value: value, Reference: vault.Reference{Kind: "env", Target: "X"}},
		"a bad reference":         {Key: "A", Reference: vault.Reference{Kind: "ftp", Target: "X"}},
		"a host that is none":     {Key: "A", Value: value, Hosts: []string{"https://a.test"}},
		"every host":              {Key: "A", Value: value, Hosts: []string{"*"}},
		"too many hosts":          {Key: "A", Value: value, Hosts: hosts},
		"fewer than no versions":  {Key: "A", Value: value, Versions: &minus},
		"too many versions":       {Key: "A", Value: value, Versions: &many},
		"twice":                   good,
		"a binding of nothing":    {Key: "A", Hosts: []string{"a.test"}},
		"a binding that breaks a service, found in the transaction": {Key: "USED", Value: value, Hosts: []string{"a.test"}},
	} {
		if err := v.Set(t.Context(), owner, good, bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := v.Set(t.Context(), owner); err == nil || hint(err) == "" {
		t.Errorf("nothing at all: got %v", err)
	}
	if list, err := v.Credentials(t.Context(), owner); err != nil || len(list) != 1 || list[0].Version != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	if err := v.Set(t.Context(), owner, good, vault.Setting{Key: "A", Value: value, Hosts: hosts[:64]}); err != nil {
		t.Fatal(err)
	}
}

func TestBindingThatAServiceWouldBreakIsRefused(t *testing.T) {
	v, _ := newVault(t, newClock())
	set(t, v, "A", "1")
	elsewhere := bearer("elsewhere", "b.test", "A")
	if err := v.SetServices(t.Context(), owner, []policy.Service{bearer("here", "a.test", "A"), elsewhere}); err != nil {
		t.Fatal(err)
	}
	err := v.Set(t.Context(), owner, vault.Setting{Key: "A", Value: vault.NewValue([]byte("2")), Hosts: []string{"a.test"}})
	if !errors.Is(err, vault.ErrBound) || !strings.Contains(err.Error(), "elsewhere") || strings.Contains(err.Error(), "service here") || hint(err) == "" {
		t.Fatalf("got %v", err)
	}
	bind(t, v, "A", "2", "a.test", "b.test")
}

func TestServiceThatBreaksABindingIsRefusedWhoeverWritesIt(t *testing.T) {
	v, _ := newVault(t, newClock())
	bind(t, v, "A", "1", "a.test", "*.wild.test")
	evil := bearer("evil", "evil.test", "A")
	for name, write := range map[string]func(policy.Service) error{
		"set": func(s policy.Service) error { return v.SetServices(t.Context(), owner, []policy.Service{s}) },
		"add": func(s policy.Service) error {
			if err := v.SetServices(t.Context(), owner, nil); err != nil {
				t.Fatal(err)
			}
			return v.AddServices(t.Context(), owner, s)
		},
	} {
		if err := write(evil); !errors.Is(err, vault.ErrBound) || !strings.Contains(err.Error(), "evil.test") {
			t.Errorf("%s: got %v", name, err)
		}
		for _, host := range []string{"a.test", "x.wild.test"} {
			if err := write(bearer("good", host, "A")); err != nil {
				t.Errorf("%s, %s: %v", name, host, err)
			}
		}
	}
}

// Whoever can write the file, but does not have the key, wants A sent to a host of theirs.
func TestBindingHoldsAgainstWhoeverWritesTheFile(t *testing.T) {
	c := newClock()
	v, o := newVault(t, c)
	bind(t, v, "A", "precious", "a.test")
	if err := v.SetServices(t.Context(), owner, []policy.Service{bearer("s", "a.test", "A")}); err != nil {
		t.Fatal(err)
	}
	db := rows(t, o)
	var row store.Secret
	id := v.ID()
	update(t, db, func(tx *store.Tx) (err error) {
		row, err = tx.SecretRow(id, "credential", "A")
		return errors.Join(err, tx.ReplaceServices(id, []store.Service{
			{Name: "s", Body: `{"name":"s","host":"evil.test","auth":{"type":"bearer","token":"A"}}`},
			{Name: "t", Body: `{"name":"t","host":"a.test","auth":{"type":"bearer","token":"A"}}`},
		}))
	})
	// The services are sealed, too; this is about the wall behind that one.
	if err := vault.SealServices(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	session, _ := openSession(t, openVault(t, o), vault.Grant{Run: "r"})
	if !session.Policy().Reach(policy.Target{Host: "evil.test", Port: 443}).Allow {
		t.Fatal("the attack does not get as far as the binding")
	}
	if _, err := session.Credential(t.Context(), "A", "evil.test"); !errors.Is(err, vault.ErrBound) || strings.Contains(err.Error(), "precious") {
		t.Fatalf("got %v", err)
	}
	if value, err := session.Credential(t.Context(), "A", "a.test"); err != nil || string(value.Open()) != "precious" {
		t.Fatal(err)
	}
	for name, meta := range map[string]string{
		"no binding":      "",
		"another binding": strings.Replace(row.Meta, "a.test", "evil.test", 1),
		"another version": strings.Replace(row.Meta, `"version":1`, `"version":2`, 1),
		"a reference":     strings.Replace(row.Meta, `}`, `,"ref":"exec"}`, 1),
		"rubbish":         "{",
	} {
		if meta == row.Meta {
			t.Fatalf("%s: not another meta", name)
		}
		bad := row
		bad.Meta = meta
		update(t, db, func(tx *store.Tx) error { return tx.SetSecretRow(id, "credential", bad) })
		c.advance(2 * time.Second)
		for what, read := range map[string]func() error{
			"use":    func() error { _, err := session.Credential(t.Context(), "A", "evil.test"); return err },
			"reveal": func() error { _, err := v.Reveal(t.Context(), owner, "A"); return err },
			// Else a new value would keep the binding that the attacker wrote.
			"set": func() error { return v.SetCredential(t.Context(), owner, "A", vault.NewValue([]byte("new"))) },
		} {
			if err := read(); !errors.Is(err, vault.ErrCorrupt) {
				t.Errorf("%s, %s: got %v", name, what, err)
			}
		}
	}
	update(t, db, func(tx *store.Tx) error { return tx.SetSecretRow(id, "credential", row) })
	c.advance(2 * time.Second)
	if _, err := session.Credential(t.Context(), "A", "a.test"); err != nil {
		t.Fatal(err)
	}
}

func TestRevealIsForMembersAndLeavesItsRow(t *testing.T) {
	v, o := newVault(t, newClock())
	set(t, v, "A", "precious")
	if _, err := v.Reveal(t.Context(), vault.Caller{Name: "agent", Role: vault.RoleProxy}, "A"); !errors.Is(err, vault.ErrForbidden) {
		t.Fatalf("got %v", err)
	}
	if value, err := v.Reveal(t.Context(), vault.Caller{Name: "somebody", Role: vault.RoleMember}, "A"); err != nil || string(value.Open()) != "precious" {
		t.Fatal(err)
	}
	if _, err := v.Reveal(t.Context(), owner, "NONE"); !errors.Is(err, vault.ErrNoCredential) {
		t.Fatalf("got %v", err)
	}
	var audits []store.Audit
	db := rows(t, o)
	id, _ := row(t, db, "credential", "A")
	if err := db.View(t.Context(), func(tx *store.Tx) (err error) { audits, err = tx.Audits(id, 3); return err }); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range audits {
		got = append(got, fmt.Sprint(a.Caller, " ", a.Act, " ", a.Object, " ", a.Error == ""))
	}
	want := []string{"agent reveal credential A false", "somebody reveal credential A true", "owner reveal credential NONE false"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
}

func TestForceDeletesWhatAServiceNeeds(t *testing.T) {
	c := newClock()
	v, o := newVault(t, c)
	set(t, v, "A", "1")
	set(t, v, "A", "2")
	session := use(t, v, "A")
	if err := v.DeleteCredential(t.Context(), owner, "A", true); err != nil {
		t.Fatal(err)
	}
	if _, err := session.Credential(t.Context(), "A", "a.test"); !errors.Is(err, vault.ErrNoCredential) {
		t.Fatalf("got %v", err)
	}
	if list, err := v.Services(t.Context(), owner); err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	db := rows(t, o)
	id, _ := row(t, db, "authority", "ca")
	if err := db.View(t.Context(), func(tx *store.Tx) error {
		rows, err := tx.Versions(id, "A")
		if len(rows) != 0 {
			t.Errorf("%d versions stayed", len(rows))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	set(t, v, "A", "3")
	if got := credential(t, v, "A"); got.Version != 1 {
		t.Fatalf("%+v", got)
	}
}
