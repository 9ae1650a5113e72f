package store

import (
	"context"
	"database/sql"
)

// The table's triggers, as the first step of the schema has them.
var auditTriggers = map[string]string{
	"audit_is_not_edited": `CREATE TRIGGER audit_is_not_edited BEFORE UPDATE ON audit
BEGIN SELECT raise(ABORT, 'the audit table is append-only'); END`,
	"audit_is_not_deleted": `CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit
BEGIN SELECT raise(ABORT, 'the audit table is append-only'); END`,
}

// chainOldAudits gives the rows that were written before there was a chain their place
// in it. It vouches for nothing that happened to them before; from here on they stand.
func chainOldAudits(ctx context.Context, tx *sql.Tx) error {
	t := &Tx{ctx: ctx, tx: tx}
	for name := range auditTriggers {
		if _, err := t.exec("DROP TRIGGER " + name); err != nil {
			return err
		}
	}
	var last Link
	for {
		// Page by page: a row cannot be changed while a query stands on it.
		page, err := t.auditsAfter(last.ID, 1000)
		if err != nil {
			return err
		}
		for _, r := range page {
			// A file that lost rows keeps its numbers, and the gap shows.
			last.ID = r.id - 1
			last = last.next(r.vault, r.at, r.Audit)
			if _, err := t.exec("UPDATE audit SET hash = ? WHERE id = ?", last.Hash[:], r.id); err != nil {
				return err
			}
		}
		if len(page) == 0 {
			break
		}
	}
	if last.ID > 0 {
		if err := t.setAuditHead(last); err != nil {
			return err
		}
	}
	for _, create := range auditTriggers {
		if _, err := t.exec(create); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tx) auditsAfter(id int64, limit int) ([]chained, error) {
	return collect(t, func(scan func(...any) error) (r chained, err error) {
		err = scan(&r.id, &r.vault, &r.at, &r.Caller, &r.Role, &r.Act, &r.Object, &r.Error)
		return r, err
	}, "SELECT id, vault_id, at, caller, role, act, object, error FROM audit WHERE id > ? ORDER BY id LIMIT ?", id, limit)
}
