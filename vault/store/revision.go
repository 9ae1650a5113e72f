package store

// TotalChanges counts the rows that this connection ever wrote: a transaction that
// finds it grown has changed something.
func (t *Tx) TotalChanges() (n int64, err error) {
	err = t.row("SELECT total_changes()", nil, &n)
	return n, err
}

// BumpRevision says, in the transaction of a change, that there is one: other processes
// look at this number alone to learn whether what they hold in memory is stale.
func (t *Tx) BumpRevision(vault string) error {
	_, err := t.exec("UPDATE vaults SET revision = revision + 1 WHERE id = ?", vault)
	return err
}

// Revision returns ErrNoRow if the vault is gone.
func (t *Tx) Revision(vault string) (n int64, err error) {
	err = t.row("SELECT revision FROM vaults WHERE id = ?", []any{vault}, &n)
	return n, err
}
