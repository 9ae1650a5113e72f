package store

import "time"

// Audit is the row of one privileged act.
type Audit struct {
	Time                      time.Time
	Caller, Role, Act, Object string
	Error                     string // empty: done
}

func (t *Tx) AddAudit(vault string, a Audit) error {
	_, err := t.exec("INSERT INTO audit (vault_id, at, caller, role, act, object, error) VALUES (?, ?, ?, ?, ?, ?, ?)",
		vault, nanos(a.Time), a.Caller, a.Role, a.Act, a.Object, a.Error)
	return err
}

// Audits are the newest acts, up to limit, oldest first.
func (t *Tx) Audits(vault string, limit int) ([]Audit, error) {
	return collect(t, func(scan func(...any) error) (a Audit, err error) {
		var at int64
		err = scan(&at, &a.Caller, &a.Role, &a.Act, &a.Object, &a.Error)
		a.Time = moment(at)
		return a, err
	}, `SELECT at, caller, role, act, object, error FROM (
			SELECT * FROM audit WHERE vault_id = ? ORDER BY id DESC LIMIT ?
		) ORDER BY id`, vault, limit)
}
