package vault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/av-project/av/vault/seal"
	"github.com/av-project/av/vault/store"
)

// Unlock asks for the password now, if one is needed, and not in the middle of
// something.
func (v *Vault) Unlock(ctx context.Context, c Caller) error {
	return v.do(ctx, act{caller: c, need: RoleProxy, verb: "unlock", objects: []string{v.name},
		prepare: func() (change, error) {
			_, err := v.dataKey(ctx)
			return nothing, err
		}})
}

// openLock opens the file's lock, with the key in memory if that fits, else with
// the key file or the password.
func (v *Vault) openLock(ctx context.Context, have *unlocked) (*unlocked, error) {
	for n := 1; ; n++ {
		u, err := v.readLock(ctx)
		if err != nil {
			return nil, err
		}
		if have != nil && have.wrapped.Method == u.wrapped.Method {
			// A rotation keeps method and salt, so the wrapping key still fits.
			if u.data, err = u.wrapped.OpenWithKey(have.kek); err == nil {
				u.kek = have.kek
				return u, nil
			}
		}
		open := v.withKeyFile
		if u.wrapped.NeedsPassword() {
			open = v.withPassword
		}
		err = open(ctx, u)
		if err == nil {
			return u, nil
		}
		// Another process may have changed the lock while we were at it: then the key file
		// is gone for a good reason, and the password was right a moment ago.
		now, readErr := v.readLock(ctx)
		if n == maxTries || readErr != nil || now.same(u) {
			return nil, err
		}
	}
}

func (v *Vault) readLock(ctx context.Context) (*unlocked, error) {
	u := &unlocked{}
	err := v.db.View(ctx, func(tx *store.Tx) (err error) {
		u.wrapped.Method, u.wrapped.Box, err = tx.Lock()
		if err == nil {
			u.generation, err = tx.Generation()
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("unlock the vault: %w", missing(err))
	}
	return u, nil
}

func (v *Vault) withPassword(ctx context.Context, u *unlocked) error {
	if v.o.Password == nil {
		return ErrNoPassword
	}
	for {
		password, err := v.o.Password(ctx)
		if err != nil {
			return err
		}
		u.kek, err = u.wrapped.Derive(password)
		clear(password)
		if err != nil {
			return err
		}
		u.data, err = u.wrapped.OpenWithKey(u.kek)
		if !errors.Is(err, seal.ErrOpen) {
			return err
		}
		if v.o.Wrong == nil || !v.o.Wrong() {
			return ErrWrongPassword
		}
	}
}

func (v *Vault) withKeyFile(_ context.Context, u *unlocked) (err error) {
	u.kek, err = readKeyFile(v.o.keyFile())
	if errors.Is(err, fs.ErrNotExist) {
		return &problem{"the vault's key file " + v.o.keyFile() + " is gone", "restore it from a backup: without it nothing in the vault can be read"}
	}
	if err != nil {
		return err
	}
	u.data, err = u.wrapped.OpenWithKey(u.kek)
	if errors.Is(err, seal.ErrOpen) {
		return &problem{"the key file " + v.o.keyFile() + " is not this vault's", "restore the two files from the same backup"}
	}
	return err
}

func readKeyFile(path string) (seal.Key, error) {
	b, err := store.ReadKeyFile(path)
	if err != nil {
		return seal.Key{}, err
	}
	defer clear(b)
	key, err := seal.ParseKeyFile(b)
	if err != nil {
		return seal.Key{}, &problem{path + ": " + err.Error(), "restore it from a backup"}
	}
	return key, nil
}

// missing is for rows that every vault has: without one, the file is damaged.
func missing(err error) error {
	if errors.Is(err, store.ErrNoRow) {
		return fmt.Errorf("%w: a row is missing", ErrCorrupt)
	}
	return err
}
