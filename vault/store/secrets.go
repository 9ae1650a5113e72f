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

// SecretInfo is a secret without what is sealed.
type SecretInfo struct {
	Name             string
	Created, Updated time.Time
}

func (t *Tx) Secret(vault, kind, name string) (sealed []byte, err error) {
	err = t.row("SELECT sealed FROM secrets WHERE vault_id = ? AND kind = ? AND name = ?", []any{vault, kind, name}, &sealed)
	return sealed, err
}

func (t *Tx) PutSecret(vault, kind, name string, sealed []byte, now time.Time) error {
	_, err := t.exec(`INSERT INTO secrets (vault_id, kind, name, sealed, created, updated) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (vault_id, kind, name) DO UPDATE SET sealed = excluded.sealed, updated = excluded.updated`,
		vault, kind, name, sealed, nanos(now), nanos(now))
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
func (t *Tx) Secrets(vault, kind string) ([]SecretInfo, error) {
	return collect(t, func(scan func(...any) error) (s SecretInfo, err error) {
		var created, updated int64
		err = scan(&s.Name, &created, &updated)
		s.Created, s.Updated = moment(created), moment(updated)
		return s, err
	}, "SELECT name, created, updated FROM secrets WHERE vault_id = ? AND kind = ? ORDER BY name", vault, kind)
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
