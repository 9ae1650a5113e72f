package vault_test

import (
	"crypto/sha256"
	"errors"
	"testing"
	"time"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

// Whoever can write the file, but has no key, wants a way in. The token is known to them:
// they made it, or it was theirs once.
func TestSessionsThatWereEditedInTheFileAreNotLetIn(t *testing.T) {
	const planted = "planted"
	for name, attack := range map[string]string{
		"nothing":             "",
		"one more":            "INSERT INTO sessions SELECT 'x', vault_id, run, ?1, randomblob(32), policy, created, expires, NULL FROM sessions LIMIT 1",
		"a token of theirs":   "UPDATE sessions SET token_hash = ?1",
		"a certificate":       "UPDATE sessions SET certificate_hash = ?1",
		"another policy":      `UPDATE sessions SET policy = '{"unmatched":"allow"}'`,
		"a longer life":       "UPDATE sessions SET expires = expires + 86400000000000",
		"another run":         "UPDATE sessions SET run = 'other'",
		"no seal":             "DELETE FROM secrets WHERE kind = 'session'",
		"the seal of another": "UPDATE secrets SET sealed = (SELECT sealed FROM secrets WHERE kind = 'authority') WHERE kind = 'session'",
	} {
		t.Run(name, func(t *testing.T) {
			v, o := newVault(t, newClock())
			opened, err := v.OpenSession(t.Context(), owner, vault.Grant{Run: "r"})
			if err != nil {
				t.Fatal(err)
			}
			hash := sha256.Sum256([]byte(planted))
			if attack != "" {
				execute(t, raw(t, o), attack, hash[:])
			}
			fresh := openVault(t, o)
			find := map[string]func() (*vault.Session, error){
				"token":         func() (*vault.Session, error) { return fresh.SessionByToken(t.Context(), string(opened.Token.Open())) },
				"planted token": func() (*vault.Session, error) { return fresh.SessionByToken(t.Context(), planted) },
				"certificate": func() (*vault.Session, error) {
					return fresh.SessionByCertificate(t.Context(), certificate(t, opened.CertPEM).Raw)
				},
				"planted certificate": func() (*vault.Session, error) { return fresh.SessionByCertificate(t.Context(), []byte(planted)) },
			}
			for what, look := range find {
				s, err := look()
				sound := what[0] != 'p' && (attack == "" || name == "one more")
				if sound != (err == nil) {
					t.Errorf("%s: %v, %v", what, s, err)
				}
			}
		})
	}
}

// The row of a session that was ended is there for the list. Who writes the file can make
// it look open; what let it in is gone.
func TestEndedSessionIsNotRevivedInTheFile(t *testing.T) {
	for name, end := range map[string]func(*vault.Vault, string) error{
		"end":    func(v *vault.Vault, id string) error { return v.EndSession(t.Context(), owner, id) },
		"revoke": func(v *vault.Vault, id string) error { _, err := v.RevokeSession(t.Context(), owner, id); return err },
		"run":    func(v *vault.Vault, _ string) error { _, err := v.EndRun(t.Context(), owner, "r"); return err },
	} {
		v, o := newVault(t, newClock())
		s, opened := openSession(t, v, vault.Grant{Run: "r", Allow: []policy.Target{{Host: "a.test", Port: 443}}})
		if err := end(v, s.ID()); err != nil {
			t.Fatal(err)
		}
		execute(t, raw(t, o), "UPDATE sessions SET ended = NULL")
		if _, err := openVault(t, o).SessionByToken(t.Context(), string(opened.Token.Open())); !errors.Is(err, vault.ErrNoSession) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestForgottenSessionLeavesNoSeal(t *testing.T) {
	c := newClock()
	v, o := newVault(t, c)
	if _, err := v.OpenSession(t.Context(), owner, vault.Grant{Run: "old"}); err != nil {
		t.Fatal(err)
	}
	c.advance(40 * 24 * time.Hour)
	opened, err := v.OpenSession(t.Context(), owner, vault.Grant{Run: "new"})
	if err != nil {
		t.Fatal(err)
	}
	if seals := texts(t, raw(t, o), "SELECT name FROM secrets WHERE kind = 'session'"); len(seals) != 1 || seals[0] != opened.ID {
		t.Errorf("got %v", seals)
	}
}
