package vault

import (
	"context"
	"errors"
	"fmt"

	"github.com/av-project/av/vault/seal"
	"github.com/av-project/av/vault/store"
)

// RotateKey makes a new data key and re-encrypts everything under it, all or nothing: a
// process that is killed at it leaves the vault as it was. It returns how many rows it
// re-encrypted. Other processes go on, for the wrapping key stays.
func (v *Vault) RotateKey(ctx context.Context, c Caller) (rows int, err error) {
	data := seal.NewKey()
	var next *unlocked
	prepare := func() (change, error) {
		u, err := v.proven(ctx)
		if err != nil {
			return nil, err
		}
		w, err := u.wrapped.Rewrap(data, u.kek)
		if err != nil {
			return nil, err
		}
		next = &unlocked{wrapped: w, generation: u.generation + 1, kek: u.kek, data: data}
		return func(tx *store.Tx) (err error) {
			// Under a wrapping key of an earlier password the rotation would bring that
			// password back.
			if err := u.untouched(tx); err != nil {
				return err
			}
			if rows, err = reseal(tx, u.data, data); err != nil {
				return err
			}
			return errors.Join(resealChain(tx, u.data, data), tx.SetLock(w.Method, w.Box), tx.NextGeneration())
		}, nil
	}
	err = v.do(ctx, act{caller: c, need: RoleAdmin, file: true, verb: "rotate key", objects: []string{lockObject}, prepare: prepare,
		next: &data, mirror: func() { v.keys.set(next) }})
	if err != nil {
		return 0, err
	}
	v.wipe(ctx)
	return rows, nil
}

// reseal encrypts every sealed row of the file under another key, one at a time. One
// that does not open is no reason to lose it: nothing is changed then.
func reseal(tx *store.Tx, from, to seal.Key) (rows int, err error) {
	all, err := tx.AllSealed(kindCredential)
	if err != nil {
		return 0, err
	}
	for _, s := range all {
		if err := resealOne(tx, s, from, to); err != nil {
			return 0, fmt.Errorf("re-encrypt %s %s: %w", s.Kind, clip(s.Name, maxName), err)
		}
	}
	return len(all), nil
}

func resealOne(tx *store.Tx, s store.Sealed, from, to seal.Key) error {
	box, err := tx.Box(s)
	if err != nil {
		return err
	}
	place := seal.Place{Vault: s.Vault, Kind: s.Kind, Name: s.Name, Bound: s.Meta}
	plain, err := openRow(from, place, box)
	if err != nil {
		return err
	}
	defer clear(plain)
	if box, err = to.Seal(place, plain); err != nil {
		return err
	}
	return tx.SetBox(s, box)
}
