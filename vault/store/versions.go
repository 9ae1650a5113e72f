package store

// Version is a row that was once a credential's, as it was then. Its Updated is when it
// became the value; it has no Created.
type Version struct {
	Secret
	Number int
}

// AddVersion keeps a row.
func (t *Tx) AddVersion(vault string, v Version) error {
	_, err := t.exec("INSERT INTO versions (vault_id, name, version, sealed, meta, created) VALUES (?, ?, ?, ?, ?, ?)",
		vault, v.Name, v.Number, v.Sealed, v.Meta, nanos(v.Updated))
	return err
}

// ResealVersion replaces what a kept row seals and says.
func (t *Tx) ResealVersion(vault string, v Version) error {
	_, err := t.exec("UPDATE versions SET sealed = ?, meta = ? WHERE vault_id = ? AND name = ? AND version = ?",
		v.Sealed, v.Meta, vault, v.Name, v.Number)
	return err
}

const versionColumns = "SELECT name, version, sealed, meta, created FROM versions "

func scanVersion(scan func(...any) error) (v Version, err error) {
	var created int64
	err = scan(&v.Name, &v.Number, &v.Sealed, &v.Meta, &created)
	v.Updated = moment(created)
	return v, err
}

// Versions lists the earlier rows of one credential, newest first.
func (t *Tx) Versions(vault, name string) ([]Version, error) {
	return collect(t, scanVersion, versionColumns+"WHERE vault_id = ? AND name = ? ORDER BY version DESC", vault, name)
}

// AllVersions lists the earlier rows of all credentials by name, of each the newest first.
func (t *Tx) AllVersions(vault string) ([]Version, error) {
	return collect(t, scanVersion, versionColumns+"WHERE vault_id = ? ORDER BY name, version DESC", vault)
}

// TrimVersions keeps the newest rows of one credential and removes the others.
func (t *Tx) TrimVersions(vault, name string, keep int) error {
	_, err := t.exec(`DELETE FROM versions WHERE vault_id = ? AND name = ? AND version NOT IN (
			SELECT version FROM versions WHERE vault_id = ? AND name = ? ORDER BY version DESC LIMIT ?
		)`, vault, name, vault, name, keep)
	return err
}
