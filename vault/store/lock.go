package store

// Generation is the number of the data key: it grows when the key is replaced.
func (t *Tx) Generation() (n int64, err error) {
	err = t.row("SELECT generation FROM lock WHERE id = 1", nil, &n)
	return n, err
}

// NextGeneration counts a new data key.
func (t *Tx) NextGeneration() error {
	n, err := t.exec("UPDATE lock SET generation = generation + 1 WHERE id = 1")
	if err == nil && n == 0 {
		return ErrNoRow
	}
	return err
}

// Sealed is one row that the data key seals, whichever table it stands in: what there
// is to know of its place, and its key in the table.
type Sealed struct {
	Vault, Kind, Name, Meta string
	// Version is that of an earlier value; 0 is the value itself.
	Version int64
}

// AllSealed lists every sealed row of the file, in all its vaults, without what is
// sealed: all of it at once might not fit in memory. Earlier values are of kind earlier.
func (t *Tx) AllSealed(earlier string) ([]Sealed, error) {
	return collect(t, func(scan func(...any) error) (s Sealed, err error) {
		err = scan(&s.Vault, &s.Kind, &s.Name, &s.Meta, &s.Version)
		return s, err
	}, `SELECT vault_id, kind, name, meta, 0 FROM secrets
		UNION ALL SELECT vault_id, ?, name, meta, version FROM versions`, earlier)
}

func (t *Tx) Box(s Sealed) (box []byte, err error) {
	if s.Version == 0 {
		return t.Secret(s.Vault, s.Kind, s.Name)
	}
	err = t.row("SELECT sealed FROM versions WHERE vault_id = ? AND name = ? AND version = ?", []any{s.Vault, s.Name, s.Version}, &box)
	return box, err
}

// SetBox replaces what is sealed in one row, and nothing else of the row.
func (t *Tx) SetBox(s Sealed, box []byte) error {
	query, args := "UPDATE secrets SET sealed = ? WHERE vault_id = ? AND kind = ? AND name = ?", []any{box, s.Vault, s.Kind, s.Name}
	if s.Version != 0 {
		query, args = "UPDATE versions SET sealed = ? WHERE vault_id = ? AND name = ? AND version = ?", []any{box, s.Vault, s.Name, s.Version}
	}
	n, err := t.exec(query, args...)
	if err == nil && n == 0 {
		return ErrNoRow
	}
	return err
}
