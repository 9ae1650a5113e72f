package store

import "time"

// Audit is the row of one privileged act.
type Audit struct {
	// ID and Vault are given with a row that was read: Vault is the vault's name, or its
	// id if it is gone.
	ID                        int64
	Vault                     string
	Time                      time.Time
	Caller, Role, Act, Object string
	Error                     string // empty: done
}

// maxAuditID is out of anyone's reach.
const maxAuditID = 1 << 62

// AddAudit appends a row to the chain. If somebody has cut the chain's end off, or its
// head, the row goes behind what is there: the act that it tells of is not held up, and
// who follows the chain finds the break.
func (t *Tx) AddAudit(vault string, a Audit) error {
	head, err := t.AuditHead()
	if err != nil {
		return err
	}
	last := head.Last
	var there int64
	// A row that was put in at the end of all numbers would leave no room for ours.
	if err := t.row("SELECT coalesce(max(id), 0) FROM audit WHERE id < ?", []any{maxAuditID}, &there); err != nil {
		return err
	}
	last.ID = max(last.ID, there)
	next := last.next(vault, nanos(a.Time), a)
	if _, err := t.exec("INSERT INTO audit (id, vault_id, at, caller, role, act, object, error, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
		next.ID, vault, nanos(a.Time), a.Caller, a.Role, a.Act, a.Object, a.Error, next.Hash[:]); err != nil {
		return err
	}
	return t.setAuditHead(next)
}

// Audits are the newest acts on a vault, or with "" on any of the file, up to limit,
// oldest first.
func (t *Tx) Audits(vault string, limit int) ([]Audit, error) {
	return collect(t, func(scan func(...any) error) (a Audit, err error) {
		var at int64
		err = scan(&a.ID, &a.Vault, &at, &a.Caller, &a.Role, &a.Act, &a.Object, &a.Error)
		a.Time = moment(at)
		return a, err
	}, `SELECT a.id, coalesce(vaults.name, a.vault_id), at, caller, role, act, object, error FROM (
			SELECT * FROM audit WHERE ? IN ('', vault_id) ORDER BY id DESC LIMIT ?
		) AS a LEFT JOIN vaults ON vaults.id = a.vault_id ORDER BY a.id`, vault, limit)
}
