package vault_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
	"github.com/av-project/av/vault/store"
)

func readFile(t testing.TB, path ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCredentialsComeBackAsTheyWere(t *testing.T) {
	c := newClock()
	v, o := newVault(t, c)
	everyByte := make([]byte, 256)
	for i := range everyByte {
		everyByte[i] = byte(i)
	}
	values := map[string][]byte{"A": []byte("x"), "BINARY": everyByte, "LINES": []byte("a\r\nb\n"), "LARGE": bytes.Repeat([]byte("z"), 64<<10)}
	var settings []vault.Setting
	for key, value := range values {
		settings = append(settings, vault.Setting{Key: key, Value: vault.NewValue(value)})
	}
	if err := v.Set(t.Context(), owner, settings...); err != nil {
		t.Fatal(err)
	}
	again := openVault(t, o) // nothing of it from memory
	session := use(t, again, "A", "BINARY", "LINES", "LARGE")
	for key, want := range values {
		if got, err := session.Credential(t.Context(), key, "a.test"); err != nil || !bytes.Equal(got.Open(), want) {
			t.Errorf("%s: %d bytes, %v", key, len(got.Open()), err)
		}
	}
}

func TestCredentialsAreListedWithoutTheirValues(t *testing.T) {
	c := newClock()
	v, _ := newVault(t, c)
	set(t, v, "B", "1")
	set(t, v, "A", "1")
	made := c.Now()
	c.advance(time.Minute)
	set(t, v, "B", "2")
	use(t, v, "B")
	got, err := v.Credentials(t.Context(), owner)
	want := []vault.Credential{
		{Key: "A", Created: made, Updated: made, Version: 1, UsedBy: []string{}},
		{Key: "B", Created: made, Updated: c.Now(), Version: 2, UsedBy: []string{"b"}},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Fatalf("%v\n%s", err, diff)
	}
}

func TestListTellsWhenACredentialWasLastUsed(t *testing.T) {
	c := newClock()
	v, o := newVault(t, c)
	set(t, v, "A", "1")
	set(t, v, "B", "1")
	used := c.Now().Add(-time.Hour)
	id, _ := row(t, rows(t, o), "credential", "A")
	execute(t, raw(t, o), "INSERT INTO uses (vault_id, name, at) VALUES (?, 'A', ?)", id, used.UnixNano())
	if a, b := credential(t, v, "A"), credential(t, v, "B"); !a.Used.Equal(used) || !b.Used.IsZero() {
		t.Fatalf("%+v, %+v", a, b)
	}
	if err := v.DeleteCredential(t.Context(), owner, "A", false); err != nil {
		t.Fatal(err)
	}
	set(t, v, "A", "another of that name")
	if a := credential(t, v, "A"); !a.Used.IsZero() {
		t.Fatalf("%+v", a)
	}
}

func TestBadCredentialsAreRefusedAllTogether(t *testing.T) {
	v, o := newVault(t, newClock())
	good := vault.NewValue([]byte("x"))
	for key, value := range map[string]vault.Value{
		"": good, "lower": good, "1A": good, "_A": good, "A-B": good, "A B": good, "A\n": good, "É": good,
		strings.Repeat("A", 129): good,
		"EMPTY":                  vault.NewValue(nil), "ZERO": {}, "BIG": vault.NewValue(make([]byte, 64<<10+1)),
	} {
		err := v.Set(t.Context(), owner, vault.Setting{Key: "GOOD", Value: good}, vault.Setting{Key: key, Value: value})
		if err == nil || hint(err) == "" {
			t.Errorf("%q: got %v", key, err)
		}
	}
	if list, err := v.Credentials(t.Context(), owner); err != nil || len(list) != 0 {
		t.Fatalf("%v, %v", list, err)
	}
	set(t, openVault(t, o), strings.Repeat("A", 128), "x")
}

func TestSecretInPlaceOfItsKeyIsNotRepeated(t *testing.T) {
	v, o := newVault(t, newClock())
	const secret = "ghp_abcdefghijklmnop"
	for _, err := range []error{
		v.SetCredential(t.Context(), owner, secret, vault.NewValue([]byte("x"))),
		v.DeleteCredential(t.Context(), owner, secret, false),
	} {
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("got %v", err)
		}
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(readFile(t, o.Home, "vault.db"), []byte(secret)) {
		t.Error("the file holds it")
	}
}

func TestCredentialInUseIsNotDeleted(t *testing.T) {
	v, _ := newVault(t, newClock())
	set(t, v, "A", "1")
	session := use(t, v, "A")
	if err := v.DeleteCredential(t.Context(), owner, "A", false); err == nil || !strings.Contains(err.Error(), "service a") || hint(err) == "" {
		t.Fatalf("got %v", err)
	}
	if _, err := session.Credential(t.Context(), "A", "a.test"); err != nil {
		t.Fatal(err)
	}
	if err := v.SetServices(t.Context(), owner, nil); err != nil {
		t.Fatal(err)
	}
	if err := v.DeleteCredential(t.Context(), owner, "A", false); err != nil {
		t.Fatal(err)
	}
	if err := v.DeleteCredential(t.Context(), owner, "A", false); !errors.Is(err, vault.ErrNoCredential) || hint(err) == "" {
		t.Fatalf("got %v", err)
	}
}

func TestServiceNeedsItsCredential(t *testing.T) {
	v, _ := newVault(t, newClock())
	set(t, v, "A", "1")
	before := []policy.Service{{Name: "a", Host: "a.test", Auth: policy.Auth{Type: policy.Bearer, Token: "A"}}}
	if err := v.SetServices(t.Context(), owner, before); err != nil {
		t.Fatal(err)
	}
	after := append(before, policy.Service{Name: "b", Host: "b.test", Auth: policy.Auth{Type: policy.Bearer, Token: "MISSING"}})
	err := v.SetServices(t.Context(), owner, after)
	if err == nil || !strings.Contains(err.Error(), "service b") || !strings.Contains(err.Error(), "MISSING") || !strings.Contains(hint(err), "av credential set MISSING") {
		t.Fatalf("got %v, hint %q", err, hint(err))
	}
	if got, err := v.Services(t.Context(), owner); err != nil || len(got) != 1 || !got[0].Equal(before[0]) {
		t.Fatalf("%v, %v", got, err)
	}
}

func TestServicesThatNoFileCouldHoldAreRefused(t *testing.T) {
	v, _ := newVault(t, newClock())
	ok := policy.Service{Name: "a", Host: "a.test", Auth: policy.Auth{Type: policy.Passthrough}}
	for name, spoil := range map[string]func(*policy.Service){
		"wildcard":      func(s *policy.Service) { s.Host = "*.test" },
		"not canonical": func(s *policy.Service) { s.Host = "A.test" },
		"no name":       func(s *policy.Service) { s.Name = "" },
		"unknown auth":  func(s *policy.Service) { s.Auth.Type = "magic" },
		"stray field":   func(s *policy.Service) { s.Auth.Token = "A" },
		"bad CA":        func(s *policy.Service) { s.Upstream.CA = "/etc/passwd" },
		"port 443":      func(s *policy.Service) { s.Port = 443 },
		"line break": func(s *policy.Service) {
			s.Auth = policy.Auth{Type: policy.APIKey, Key: "A", Header: "X", Prefix: "a\r\nb"}
		},
	} {
		s := ok
		spoil(&s)
		if err := v.SetServices(t.Context(), owner, []policy.Service{s}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := v.SetServices(t.Context(), owner, []policy.Service{ok}); err != nil {
		t.Fatal(err)
	}
}

func TestRolesDecideWhatACallerMayDo(t *testing.T) {
	v, o := newVault(t, newClock())
	set(t, v, "A", "1")
	acts := map[string]struct {
		need vault.Role
		do   func(vault.Caller) error
	}{
		"certificate":       {vault.RoleProxy, func(c vault.Caller) error { _, err := v.Certificate(t.Context(), c); return err }},
		"list credentials":  {vault.RoleMember, func(c vault.Caller) error { _, err := v.Credentials(t.Context(), c); return err }},
		"set credential":    {vault.RoleMember, func(c vault.Caller) error { return v.SetCredential(t.Context(), c, "B", vault.NewValue([]byte("1"))) }},
		"reveal credential": {vault.RoleMember, func(c vault.Caller) error { _, err := v.Reveal(t.Context(), c, "A"); return err }},
		"roll back credential": {vault.RoleMember, func(c vault.Caller) error {
			set(t, v, "R", "1")
			set(t, v, "R", "2")
			return v.Rollback(t.Context(), c, "R", credential(t, v, "R").Version-1)
		}},
		"list versions":     {vault.RoleMember, func(c vault.Caller) error { _, err := v.History(t.Context(), c, "A"); return err }},
		"export":            {vault.RoleAdmin, func(c vault.Caller) error { return v.Export(t.Context(), c, io.Discard) }},
		"list services":     {vault.RoleMember, func(c vault.Caller) error { _, err := v.Services(t.Context(), c); return err }},
		"read summary":      {vault.RoleMember, func(c vault.Caller) error { _, err := v.Summary(t.Context(), c, "r"); return err }},
		"read requests":     {vault.RoleMember, func(c vault.Caller) error { _, err := v.Requests(t.Context(), c, "r", 0); return err }},
		"delete credential": {vault.RoleAdmin, func(c vault.Caller) error { set(t, v, "C", "1"); return v.DeleteCredential(t.Context(), c, "C", false) }},
		"set services":      {vault.RoleAdmin, func(c vault.Caller) error { return v.SetServices(t.Context(), c, nil) }},
		"read the CA's key": {vault.RoleAdmin, func(c vault.Caller) error { _, _, err := v.Authority(t.Context(), c); return err }},
		"open session":      {vault.RoleAdmin, func(c vault.Caller) error { _, err := v.OpenSession(t.Context(), c, vault.Grant{Run: "r"}); return err }},
		"end run":           {vault.RoleAdmin, func(c vault.Caller) error { _, err := v.EndRun(t.Context(), c, "r"); return err }},
		"end session": {vault.RoleAdmin, func(c vault.Caller) error {
			_, opened := openSession(t, v, vault.Grant{})
			return v.EndSession(t.Context(), c, opened.ID)
		}},
	}
	for name, act := range acts {
		for role := vault.Role(0); role <= vault.RoleAdmin+1; role++ {
			err := act.do(vault.Caller{Name: "somebody", Role: role})
			may := role >= act.need && role <= vault.RoleAdmin
			if may && err != nil || !may && !errors.Is(err, vault.ErrForbidden) {
				t.Errorf("%s as %v: got %v", name, role, err)
			}
		}
	}
	var audits []store.Audit
	db := rows(t, o)
	id, _ := row(t, db, "credential", "A")
	if err := db.View(t.Context(), func(tx *store.Tx) (err error) { audits, err = tx.Audits(id, 1000); return err }); err != nil {
		t.Fatal(err)
	}
	refused := 0
	for _, a := range audits {
		if a.Caller == "somebody" && strings.Contains(a.Error, "not allowed") {
			refused++
		}
	}
	// Seven acts want an admin and refused four roles; three want a member and refused three.
	if want := 7*4 + 3*3; refused != want {
		t.Errorf("%d refusals in the audit table, want %d", refused, want)
	}
}

func TestEveryPrivilegedActLeavesItsRow(t *testing.T) {
	c := newClock()
	v, o := newVault(t, c)
	set(t, v, "A", "1")
	if err := v.DeleteCredential(t.Context(), owner, "NONE", false); err == nil {
		t.Fatal("deleted what is not there")
	}
	use(t, v, "A")
	if _, err := v.EndRun(t.Context(), owner, "run1"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := v.Authority(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	var audits []store.Audit
	db := rows(t, o)
	id, _ := row(t, db, "credential", "A")
	if err := db.View(t.Context(), func(tx *store.Tx) (err error) { audits, err = tx.Audits(id, 100); return err }); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range audits {
		if a.Caller != "owner" || a.Role != "admin" || !a.Time.Equal(c.Now()) {
			t.Errorf("%+v", a)
		}
		if a.Act == "open session" {
			a.Object = "ID"
		}
		got = append(got, strings.TrimSuffix(a.Act+" "+a.Object+": "+a.Error, ": "))
	}
	want := []string{"init default", "set credential A", "delete credential NONE: there is no such credential: NONE",
		"set services default", "open session ID", "end run run1", "read the CA key ca"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
}
