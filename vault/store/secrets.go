package store

import "time"

// Vault is one of the vaults in the file.
type Vault struct {
	ID, Name string
	Created  time.Time
}

func (t *Tx) AddVault(v Vault) error {
	_, err := t.exec("INSERT INTO vaults (id, name, created) VALUES (?, ?, ?)", v.ID, v.Name, nanos(v.Created))
	return err
}

func (t *Tx) VaultByName(name string) (v Vault, err error) {
	var created int64
	err = t.row("SELECT id, name, created FROM vaults WHERE name = ?", []any{name}, &v.ID, &v.Name, &created)
	v.Created = moment(created)
	return v, err
}

// Lock is the file's wrapped data key, and how it is unwrapped.
func (t *Tx) Lock() (method string, wrapped []byte, err error) {
	err = t.row("SELECT method, wrapped FROM lock WHERE id = 1", nil, &method, &wrapped)
	return method, wrapped, err
}

func (t *Tx) SetLock(method string, wrapped []byte) error {
	_, err := t.exec(`INSERT INTO lock (id, method, wrapped) VALUES (1, ?, ?)
		ON CONFLICT (id) DO UPDATE SET method = excluded.method, wrapped = excluded.wrapped`, method, wrapped)
	return err
}

// Secret is a sealed row.
type Secret struct {
	Name   string
	Sealed []byte
	// Meta is said in the clear; it is part of what Sealed is bound to.
	Meta             string
	Created, Updated time.Time
}

const secretColumns = "SELECT name, sealed, meta, created, updated FROM secrets "

func scanSecret(scan func(...any) error) (s Secret, err error) {
	var created, updated int64
	err = scan(&s.Name, &s.Sealed, &s.Meta, &created, &updated)
	s.Created, s.Updated = moment(created), moment(updated)
	return s, err
}

// SecretRow is one row with all that it says.
func (t *Tx) SecretRow(vault, kind, name string) (Secret, error) {
	return scanSecret(func(into ...any) error {
		return t.row(secretColumns+"WHERE vault_id = ? AND kind = ? AND name = ?", []any{vault, kind, name}, into...)
	})
}

// Secret is what one row seals.
func (t *Tx) Secret(vault, kind, name string) (sealed []byte, err error) {
	s, err := t.SecretRow(vault, kind, name)
	return s.Sealed, err
}

// SetSecretRow writes a row with all that it says, but for the time it was made if there is
// one already.
func (t *Tx) SetSecretRow(vault, kind string, s Secret) error {
	_, err := t.exec(`INSERT INTO secrets (vault_id, kind, name, sealed, meta, created, updated) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (vault_id, kind, name) DO UPDATE
		SET sealed = excluded.sealed, meta = excluded.meta, updated = excluded.updated`,
		vault, kind, s.Name, s.Sealed, s.Meta, nanos(s.Created), nanos(s.Updated))
	return err
}

// DeleteSecret returns ErrNoRow if there was none.
func (t *Tx) DeleteSecret(vault, kind, name string) error {
	n, err := t.exec("DELETE FROM secrets WHERE vault_id = ? AND kind = ? AND name = ?", vault, kind, name)
	if err == nil && n == 0 {
		return ErrNoRow
	}
	return err
}

// Secrets lists the secrets of a kind by name.
func (t *Tx) Secrets(vault, kind string) ([]Secret, error) {
	return collect(t, scanSecret, secretColumns+"WHERE vault_id = ? AND kind = ? ORDER BY name", vault, kind)
}

// Uses tells when each secret that ever went out last did.
func (t *Tx) Uses(vault string) (map[string]time.Time, error) {
	uses := map[string]time.Time{}
	_, err := collect(t, func(scan func(...any) error) (none struct{}, err error) {
		var name string
		var at int64
		err = scan(&name, &at)
		uses[name] = moment(at)
		return none, err
	}, "SELECT name, at FROM uses WHERE vault_id = ?", vault)
	return uses, err
}

// ForgetUse is for a secret that is gone: the next of its name has never been used.
func (t *Tx) ForgetUse(vault, name string) error {
	_, err := t.exec("DELETE FROM uses WHERE vault_id = ? AND name = ?", vault, name)
	return err
}

func (t *Tx) Certificate(vault string) (der []byte, err error) {
	err = t.row("SELECT certificate FROM authorities WHERE vault_id = ?", []any{vault}, &der)
	return der, err
}

func (t *Tx) SetCertificate(vault string, der []byte) error {
	_, err := t.exec(`INSERT INTO authorities (vault_id, certificate) VALUES (?, ?)
		ON CONFLICT (vault_id) DO UPDATE SET certificate = excluded.certificate`, vault, der)
	return err
}
