package vault

import (
	"context"
	"time"

	"github.com/av-project/av/vault/store"
)

// auditTimeout bounds how long a refusal waits for its row to be written.
const auditTimeout = 10 * time.Second

// act is something privileged that a caller wants done.
type act struct {
	caller Caller
	need   Role
	verb   string
	// objects are names, never values; each gets a row in the audit table.
	objects []string
	// prepare checks and computes whatever needs no row to hold still: the
	// password, the sealing. It returns the change to make.
	prepare func() (change, error)
	// mirror, if there is one, brings memory in line once the change is kept.
	mirror func()
}

// change is what an act does to the rows. An act that only reads changes nothing.
type change func(*store.Tx) error

func nothing(*store.Tx) error { return nil }

// do is the door: it authorises, prepares, and makes the change and its audit rows in
// one transaction, so that neither is there without the other. What is refused or
// fails leaves its rows too.
func (v *Vault) do(ctx context.Context, a act) (err error) {
	rows := a.audit(v.o.Now())
	defer func() {
		if err != nil {
			v.auditFailure(ctx, rows, err)
		}
	}()
	if err := authorise(a.caller, a.need, a.verb); err != nil {
		return err
	}
	change, err := a.prepare()
	if err != nil {
		return err
	}
	v.mirror.Lock()
	defer v.mirror.Unlock()
	err = v.db.Update(ctx, func(tx *store.Tx) error {
		if err := change(tx); err != nil {
			return err
		}
		return addAudits(tx, v.id, rows)
	})
	if err == nil && a.mirror != nil {
		a.mirror()
	}
	return err
}

func (a act) audit(now time.Time) []store.Audit {
	rows := make([]store.Audit, len(a.objects))
	for i, object := range a.objects {
		rows[i] = store.Audit{Time: now, Caller: clip(a.caller.Name, maxName), Role: a.caller.Role.String(),
			Act: a.verb, Object: clip(object, maxName)}
	}
	return rows
}

// auditFailure writes the rows of an act that did not happen. The act's own
// transaction and context may be gone; and if this fails too, the refusal stands.
func (v *Vault) auditFailure(ctx context.Context, rows []store.Audit, cause error) {
	for i := range rows {
		rows[i].Error = clip(cause.Error(), maxReason)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditTimeout)
	defer cancel()
	if err := v.db.Update(ctx, func(tx *store.Tx) error { return addAudits(tx, v.id, rows) }); err != nil {
		v.o.Logger.ErrorContext(ctx, "cannot write the audit row of a failed act", "error", err)
	}
}

func addAudits(tx *store.Tx, vault string, rows []store.Audit) error {
	for _, row := range rows {
		if err := tx.AddAudit(vault, row); err != nil {
			return err
		}
	}
	return nil
}
