package vault_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

// Whoever can write the file, but has no key, wants credentials to go elsewhere. Of each
// attack the control is the same session before it.
func TestServicesThatWereEditedInTheFileAreNotServed(t *testing.T) {
	old := `UPDATE services SET (name, body) = (SELECT 'a', '{"name":"a","host":"old.test","auth":{"type":"bearer","token":"A"}}') WHERE name = 'a'`
	for name, attack := range map[string][]string{
		"another host":             {old},
		"another upstream":         {`UPDATE services SET body = json_set(body, '$.upstream', json('{"address":"203.0.113.66:443"}')) WHERE name = 'a'`},
		"another order":            {"UPDATE services SET position = 9 WHERE name = 'a'"},
		"one more":                 {`INSERT INTO services SELECT vault_id, 9, 'c', '{"name":"c","host":"evil.test","auth":{"type":"bearer","token":"A"}}' FROM vaults, (SELECT id AS vault_id FROM vaults) LIMIT 1`},
		"one less":                 {"DELETE FROM services WHERE name = 'a'"},
		"none":                     {"DELETE FROM services"},
		"another name":             {"UPDATE services SET name = 'z' WHERE name = 'a'"},
		"no seal":                  {"DELETE FROM secrets WHERE kind = 'services'", old},
		"no seal, no change":       {"DELETE FROM secrets WHERE kind = 'services'"},
		"a seal of one's own":      {old, "UPDATE secrets SET sealed = randomblob(29) WHERE kind = 'services'"},
		"the seal of a credential": {old, "UPDATE secrets SET sealed = (SELECT sealed FROM secrets WHERE name = 'A') WHERE kind = 'services'"},
		"the digest too":           {old, "UPDATE secrets SET meta = '2 sha256:' || hex(zeroblob(32)) WHERE kind = 'services'"},
	} {
		t.Run(name, func(t *testing.T) {
			v, o := newVault(t, newClock())
			set(t, v, "A", "1")
			set(t, v, "B", "2")
			session := use(t, v, "A", "B")
			if _, err := session.Credential(t.Context(), "A", "a.test"); err != nil {
				t.Fatal(err)
			}
			db := raw(t, o)
			for _, query := range attack {
				execute(t, db, query)
			}
			fresh := openVault(t, o)
			opened, err := fresh.OpenSession(t.Context(), owner, vault.Grant{Run: "r"})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := fresh.SessionByToken(t.Context(), string(opened.Token.Open())); err == nil || errors.Is(err, vault.ErrNoSession) || hint(err) == "" {
				t.Errorf("a session of another process: got %v", err)
			}
			for what, edit := range map[string]func() error{
				"add": func() error {
					return fresh.AddServices(t.Context(), owner, policy.Service{Name: "d", Host: "d.test", Auth: policy.Auth{Type: policy.Passthrough}})
				},
				"remove": func() error { return fresh.RemoveServices(t.Context(), owner, "b") },
			} {
				if edit() == nil {
					t.Errorf("%s put the seal on what was edited", what)
				}
			}
			// The way out: the owner says what is right.
			if err := fresh.SetServices(t.Context(), owner, []policy.Service{bearer("a", "a.test", "A")}); err != nil {
				t.Fatal(err)
			}
			if _, err := fresh.SessionByToken(t.Context(), string(opened.Token.Open())); err != nil {
				t.Errorf("after they were set again: %v", err)
			}
		})
	}
}

// The session is in memory, and the file is edited under it.
func TestSessionEndsWhenItsServicesAreEditedInTheFile(t *testing.T) {
	v, o := newVault(t, newClock())
	set(t, v, "A", "1")
	session := use(t, v, "A")
	execute(t, raw(t, o), `UPDATE services SET body = '{"name":"a","host":"evil.test","auth":{"type":"bearer","token":"A"}}'`)
	execute(t, raw(t, o), "UPDATE vaults SET revision = revision + 1")
	<-session.Done()
	if session.Policy().Reach(policy.Target{Host: "evil.test", Port: 443}).Allow {
		t.Error("the edited services reached it")
	}
}

func TestServicesStaySealedThroughRotationAndExport(t *testing.T) {
	v, o := newVault(t, newClock())
	set(t, v, "A", "1")
	use(t, v, "A")
	if _, err := v.RotateKey(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	fresh := openVault(t, o)
	if s, _ := openSession(t, fresh, vault.Grant{Run: "r"}); !s.Policy().Uses("A") {
		t.Error(fmt.Errorf("the services are gone"))
	}
}
