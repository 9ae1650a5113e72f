package vault

import (
	"context"
	"time"

	"github.com/av-project/av/vault/seal"
	"github.com/av-project/av/vault/store"
)

// maxActs is what Acts returns when it is not told.
const maxActs = 1000

// Act is one row of the audit table: a privileged act and its outcome.
type Act struct {
	ID     int64     `json:"id"`
	Time   time.Time `json:"time"`
	Vault  string    `json:"vault"` // its name, or its id if it is gone
	Caller string    `json:"caller"`
	Role   string    `json:"role"`
	Act    string    `json:"act"`
	Object string    `json:"object"`
	Error  string    `json:"error,omitempty"` // empty: done
}

// Acts are the newest acts of the whole file, up to limit, oldest first. Whose role is
// on one vault sees the acts on that one.
func (v *Vault) Acts(ctx context.Context, c Caller, limit int) ([]Act, error) {
	if err := v.authorise(c, RoleAdmin, "read the audit log"); err != nil {
		return nil, err
	}
	if limit <= 0 {
		limit = maxActs
	}
	var rows []store.Audit
	err := v.db.View(ctx, func(tx *store.Tx) (err error) {
		rows, err = tx.Audits(c.Vault, limit)
		return err
	})
	acts := make([]Act, len(rows))
	for i, r := range rows {
		acts[i] = Act{ID: r.ID, Time: r.Time, Vault: r.Vault, Caller: r.Caller, Role: r.Role, Act: r.Act, Object: r.Object, Error: r.Error}
	}
	return acts, err
}

// Verified is what a look at the whole chain found to be whole.
type Verified struct {
	Rows int `json:"rows"`
	// Since is the id of the first row that the data key vouches for. Those before it, if
	// there are any, stood there without a seal when it was put on.
	Since int64 `json:"since"`
	// Sealed is the id of the last row that the data key vouches for: whoever writes the
	// file without the key cannot have changed this row or one between the two.
	Sealed int64 `json:"sealed"`
}

// VerifyAudit follows the chain of audit rows from the first to the last. Its error is
// ErrAudit and names the first row that was edited, removed or moved. It unlocks:
// without the key there is nothing that a forger could not have computed.
func (v *Vault) VerifyAudit(ctx context.Context, c Caller) (found Verified, err error) {
	prepare := func() (change, error) {
		err := v.view(ctx, func(tx *store.Tx, data seal.Key) (err error) {
			found, err = verifyChain(tx, data)
			return err
		})
		return nothing, err
	}
	err = v.do(ctx, act{caller: c, need: RoleAdmin, file: true, verb: "verify the audit log", objects: []string{"all rows"}, prepare: prepare})
	if err != nil {
		return Verified{}, err
	}
	return found, nil
}
