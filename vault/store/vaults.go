package store

import (
	"errors"
)

// currentVault is the setting that has the id of the vault used when none is named.
const currentVault = "current"

// VaultRow is a vault and how much is in it.
type VaultRow struct {
	Vault
	Credentials, Services int
}

// Vaults lists the vaults of the file by name, with the number of secrets of a kind.
func (t *Tx) Vaults(kind string) ([]VaultRow, error) {
	return collect(t, func(scan func(...any) error) (v VaultRow, err error) {
		var created int64
		err = scan(&v.ID, &v.Name, &created, &v.Credentials, &v.Services)
		v.Created = moment(created)
		return v, err
	}, `SELECT id, name, created,
			(SELECT count(*) FROM secrets WHERE vault_id = id AND kind = ?),
			(SELECT count(*) FROM services WHERE vault_id = id)
		FROM vaults ORDER BY name`, kind)
}

func (t *Tx) VaultByID(id string) (v Vault, err error) {
	var created int64
	err = t.row("SELECT id, name, created FROM vaults WHERE id = ?", []any{id}, &v.ID, &v.Name, &created)
	v.Created = moment(created)
	return v, err
}

// CurrentVault is the vault that is used when none is named: the one called first if
// nobody has chosen.
func (t *Tx) CurrentVault(first string) (Vault, error) {
	var id string
	err := t.row("SELECT value FROM settings WHERE name = ?", []any{currentVault}, &id)
	if errors.Is(err, ErrNoRow) {
		return t.VaultByName(first)
	}
	if err != nil {
		return Vault{}, err
	}
	return t.VaultByID(id)
}

func (t *Tx) SetCurrentVault(id string) error {
	_, err := t.exec("INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", currentVault, id)
	return err
}

// DeleteVault removes a vault and every row that is its own; the audit table's stay.
func (t *Tx) DeleteVault(id string) error {
	n, err := t.exec("DELETE FROM vaults WHERE id = ?", id)
	if err == nil && n == 0 {
		return ErrNoRow
	}
	return err
}
