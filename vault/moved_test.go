package vault_test

import (
	"errors"
	"testing"

	"github.com/av-project/av/vault"
)

// Whoever can write the file, and has not the key, moves what is sealed to where it
// would do them good: another vault of the file, another version, another credential.
func TestWhatIsSealedOpensInItsPlaceAlone(t *testing.T) {
	const swapVaults = `UPDATE secrets SET sealed = (SELECT o.sealed FROM secrets o
		WHERE o.vault_id <> secrets.vault_id AND o.kind = secrets.kind AND o.name = secrets.name)
		WHERE name = 'A' AND vault_id = (SELECT id FROM vaults WHERE name = 'default')`
	read := func(v *vault.Vault) error { _, err := v.Reveal(t.Context(), owner, "A"); return err }
	back := func(v *vault.Vault) error { return v.Rollback(t.Context(), owner, "A", 1) }
	authority := func(v *vault.Vault) error { _, _, err := v.Authority(t.Context(), owner); return err }
	for name, c := range map[string]struct {
		move string
		look func(*vault.Vault) error
	}{
		"another vault's value": {swapVaults, read},
		"another vault's CA": {`UPDATE secrets SET sealed = (SELECT o.sealed FROM secrets o WHERE o.kind = 'authority' AND o.vault_id <> secrets.vault_id)
			WHERE kind = 'authority' AND vault_id = (SELECT id FROM vaults WHERE name = 'default')`, authority},
		"an earlier value":                     {"UPDATE secrets SET sealed = (SELECT sealed FROM versions WHERE version = 1) WHERE name = 'A'", read},
		"an earlier value that says otherwise": {"UPDATE secrets SET sealed = (SELECT sealed FROM versions WHERE version = 2) WHERE name = 'A'", read},
		"another version's value":              {"UPDATE versions SET sealed = (SELECT sealed FROM versions WHERE version = 2) WHERE version = 1", back},
		"another version as a whole": {`UPDATE versions SET sealed = (SELECT sealed FROM versions WHERE version = 2),
			meta = (SELECT meta FROM versions WHERE version = 2) WHERE version = 1`, back},
		"another credential's value": {"UPDATE versions SET sealed = (SELECT sealed FROM secrets WHERE name = 'B') WHERE version = 1", back},
		"another credential, and what is said of it": {`UPDATE secrets SET sealed = (SELECT sealed FROM secrets WHERE name = 'B'),
			meta = (SELECT meta FROM secrets WHERE name = 'B') WHERE name = 'A'`, read},
		"no binding":               {`UPDATE secrets SET meta = '{"version":3}' WHERE name = 'A'`, read},
		"another binding":          {`UPDATE secrets SET meta = replace(meta, 'a.test', 'x.test') WHERE name = 'A'`, read},
		"a value that is run":      {`UPDATE secrets SET meta = '{"version":3,"ref":"exec"}' WHERE name = 'A'`, read},
		"nothing, which is a swap": {"UPDATE secrets SET sealed = sealed", nil},
	} {
		t.Run(name, func(t *testing.T) {
			v, o := newVault(t, newClock())
			for _, s := range []vault.Setting{
				{Key: "A", Value: vault.NewValue([]byte("one"))},
				{Key: "A", Value: vault.NewValue([]byte("two"))},
				{Key: "A", Value: vault.NewValue([]byte("three")), Hosts: []string{"a.test"}},
				{Key: "B", Value: vault.NewValue([]byte("precious"))},
			} {
				if err := v.Set(t.Context(), owner, s); err != nil {
					t.Fatal(err)
				}
			}
			if err := v.CreateVault(t.Context(), owner, "other"); err != nil {
				t.Fatal(err)
			}
			other := o
			other.Vault = "other"
			set(t, openVault(t, other), "A", "another vault's")

			execute(t, raw(t, o), c.move)
			if c.look == nil { // the control: each look finds nothing wrong
				for _, look := range []func(*vault.Vault) error{read, back, authority} {
					if err := look(openVault(t, o)); err != nil {
						t.Error(err)
					}
				}
				return
			}
			if err := c.look(openVault(t, o)); !errors.Is(err, vault.ErrCorrupt) {
				t.Errorf("got %v", err)
			}
		})
	}
}
