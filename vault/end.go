package vault

import (
	"context"
	"errors"

	"github.com/av-project/av/vault/store"
)

// Ending takes away and gives nothing, so it asks for no password: what a dead run
// left is cleared unattended.

// EndSession ends a session: in this process at once. One that is not there, or that
// somebody has ended already, is what the caller wants.
func (v *Vault) EndSession(ctx context.Context, c Caller, id string) error {
	end := func(tx *store.Tx) error {
		err := tx.EndSession(v.id, id, v.o.Now())
		if err != nil && !errors.Is(err, store.ErrNoRow) {
			return err
		}
		return v.endSeals(tx, id)
	}
	return v.do(ctx, act{caller: c, need: RoleAdmin, verb: "end session", objects: []string{id}, keyless: true,
		prepare: func() (change, error) { return end, nil },
		mirror:  func() { v.sessions.end(id) }})
}

// EndRun ends all sessions of a run, and tells how many were still open.
func (v *Vault) EndRun(ctx context.Context, c Caller, run string) (ended int, err error) {
	var ids []string
	end := func(tx *store.Tx) (err error) {
		if ids, err = tx.EndRun(v.id, run, v.o.Now()); err != nil {
			return err
		}
		return v.endSeals(tx, ids...)
	}
	err = v.do(ctx, act{caller: c, need: RoleAdmin, verb: "end run", objects: []string{run}, keyless: true,
		prepare: func() (change, error) {
			if run == "" {
				// Sessions that belong to no run would be its.
				return nil, errors.New("refusing to end a run without a name")
			}
			return end, nil
		},
		mirror: func() { v.sessions.end(ids...) }})
	if err != nil {
		return 0, err
	}
	return len(ids), nil
}
