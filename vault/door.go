package vault

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/av-project/av/vault/seal"
	"github.com/av-project/av/vault/store"
)

// auditTimeout bounds how long a refusal waits for its row to be written.
const auditTimeout = 10 * time.Second

// act is something privileged that a caller wants done.
type act struct {
	caller Caller
	need   Role
	verb   string
	// file is an act on the whole file: a role on one vault does not do.
	file bool
	// objects are names, never values; each gets a row in the audit table.
	objects []string
	// prepare checks and computes whatever needs no row to hold still: the
	// password, the sealing. It returns the change to make.
	prepare func() (change, error)
	// keyless is an act that seals nothing and takes no key to be allowed: it is done
	// whatever became of the key.
	keyless bool
	// next is the data key once the change is kept, if the change replaces it.
	next *seal.Key
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
	began := v.o.Now()
	defer func() {
		if err != nil {
			v.auditFailure(ctx, a.audit(began), err)
		}
	}()
	if err := v.authorise(a.caller, a.need, a.verb); err != nil {
		return err
	}
	if a.file {
		if err := wholeFile(a.caller, a.verb); err != nil {
			return err
		}
	}
	return v.retry(ctx, func() (*unlocked, error) { return v.attempt(ctx, a, began) })
}

// attempt prepares and makes the change, or answers errOldKey if another process has
// replaced the data key since: what was prepared is sealed with the old one. It returns
// the lock that prepare found.
func (v *Vault) attempt(ctx context.Context, a act, began time.Time) (*unlocked, error) {
	before := v.keys.get()
	change, err := a.prepare()
	if err != nil {
		return before, err
	}
	held := v.keys.get()
	if held != nil && held != before && (before != nil || held.turn != 1) {
		return before, errOldKey // replaced while it prepared
	}
	// Taken when the file is ours to write, and not before: while another process writes,
	// requests go on reading, and its change is seen.
	locked := false
	defer func() {
		if locked {
			v.mirror.Unlock()
		}
	}()
	err = v.db.Update(ctx, func(tx *store.Tx) error {
		v.mirror.Lock()
		locked = true
		key, err := held.auditKey(tx)
		if errors.Is(err, errOldKey) && a.keyless {
			err = nil
		}
		if err != nil {
			return err
		}
		if err := v.make(tx, change); err != nil {
			return err
		}
		if a.next != nil {
			key = a.next
		}
		return v.addAudits(tx, key, a.audit(began))
	})
	if err == nil && a.mirror != nil {
		a.mirror()
	}
	return held, err
}

// make makes the change, and says so to other processes if it changed any row.
func (v *Vault) make(tx *store.Tx, change change) error {
	before, err := tx.TotalChanges()
	if err != nil {
		return err
	}
	if err := change(tx); err != nil {
		return err
	}
	after, err := tx.TotalChanges()
	if err != nil || after == before {
		return err
	}
	return tx.BumpRevision(v.id)
}

func (a act) audit(began time.Time) []store.Audit {
	rows := make([]store.Audit, len(a.objects))
	for i, object := range a.objects {
		rows[i] = store.Audit{Time: began, Caller: clip(a.caller.Name, maxName), Role: a.caller.Role.String(),
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
	err := v.db.Update(ctx, func(tx *store.Tx) error {
		key, err := v.keys.get().auditKey(tx)
		if errors.Is(err, errOldKey) {
			err = nil // the row is written all the same, and sealed by a later act
		}
		if err != nil {
			return err
		}
		return v.addAudits(tx, key, rows)
	})
	if err != nil {
		v.o.Logger.ErrorContext(ctx, "cannot write the audit row of a failed act", "error", err)
	}
}

// auditKey is the data key that seals the chain: none while the vault is locked, and none
// besides errOldKey when another process has replaced it.
func (u *unlocked) auditKey(tx *store.Tx) (*seal.Key, error) {
	if u == nil {
		return nil, nil
	}
	if err := u.current(tx); err != nil {
		return nil, err
	}
	return &u.data, nil
}

// addAudits appends the rows to the chain and, if the data key is in memory, seals it.
func (v *Vault) addAudits(tx *store.Tx, key *seal.Key, rows []store.Audit) error {
	if key != nil && len(rows) > 0 {
		// An act is not held up by a broken chain. The old seal stays where it is, and is
		// what gives the forger away.
		err := v.beginSeal(tx, *key, rows[0])
		if errors.Is(err, ErrAudit) {
			v.o.Logger.Error("the audit log is not sealed any further", "error", err)
			key, err = nil, nil
		}
		if err != nil {
			return err
		}
	}
	for _, row := range rows {
		if err := tx.AddAudit(v.id, row); err != nil {
			return err
		}
	}
	if key == nil {
		return nil
	}
	return sealChain(tx, *key)
}

// beginSeal brings the seal to the end of the chain, before more is written. Where there
// are rows and no seal, an earlier av wrote them or somebody took the seal away: which of
// the two the file cannot say, so the log itself says from where on it is sealed.
func (v *Vault) beginSeal(tx *store.Tx, key seal.Key, first store.Audit) error {
	head, err := tx.AuditHead()
	if err != nil {
		return err
	}
	if err := sealChain(tx, key); err != nil || head.Seal != nil || head.Last.ID == 0 {
		return err
	}
	first.Act, first.Object = beginsToSeal, fmt.Sprintf("rows 1 to %d were not sealed", head.Last.ID)
	return tx.AddAudit(v.id, first)
}
