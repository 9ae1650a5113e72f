package vault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/av-project/av/vault/seal"
	"github.com/av-project/av/vault/store"
)

// NeedsPassword tells whether a password seals the file, or a key file.
func (v *Vault) NeedsPassword(ctx context.Context) (bool, error) {
	lock, err := v.readLock(ctx)
	if err != nil {
		return false, err
	}
	return lock.wrapped.NeedsPassword(), nil
}

// SetPassword seals the file with password, instead of the one before or of the key
// file, which is then removed. It re-wraps the data key and touches no other secret.
// It clears password.
func (v *Vault) SetPassword(ctx context.Context, c Caller, password []byte) error {
	defer clear(password)
	return v.changeLock(ctx, c, lockChange{
		verb: "set password",
		wrap: func(u *unlocked) (seal.Wrapped, seal.Key, error) {
			if len(password) == 0 {
				return seal.Wrapped{}, seal.Key{}, &problem{"the new master password is empty",
					"`av vault password remove` seals the vault with a key file instead"}
			}
			return u.wrapped.WithPassword(u.data, password)
		},
		settle: func(err error) error {
			if err != nil {
				return err
			}
			return v.removeKeyFile()
		},
	})
}

// removeKeyFile is for after the password is set. A process that is killed before it
// leaves a key that fits nothing; the next SetPassword removes that.
func (v *Vault) removeKeyFile() error {
	err := os.Remove(v.o.keyFile())
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return &problem{fmt.Sprintf("the master password is set, but the old key file stays: %v", err),
		"remove " + v.o.keyFile() + ": it opens copies of the vault from before"}
}

// RemovePassword seals the file with a key file beside it. A key file that is there is
// used and not replaced: it may be the only key to a backup.
func (v *Vault) RemovePassword(ctx context.Context, c Caller) error {
	undo := func() error { return nil }
	return v.changeLock(ctx, c, lockChange{
		verb: "remove password",
		wrap: func(u *unlocked) (seal.Wrapped, seal.Key, error) {
			if !u.wrapped.NeedsPassword() {
				return seal.Wrapped{}, seal.Key{}, &problem{"the vault has no master password", "`av vault password set` gives it one"}
			}
			// The key file is there before the row says that it is needed.
			kek, made, err := keyFileKey(v.o)
			if err != nil {
				return seal.Wrapped{}, seal.Key{}, err
			}
			if made != nil {
				undo = made
			}
			w, err := seal.WrapWithKey(u.data, kek)
			return w, kek, err
		},
		settle: func(err error) error {
			if err == nil {
				return nil
			}
			// A commit can fail and yet be kept. A key file too many harms nobody; one too
			// few is the end of every secret.
			needs, readErr := v.NeedsPassword(context.WithoutCancel(ctx))
			if readErr != nil || !needs {
				return err
			}
			return errors.Join(err, undo())
		},
	})
}

// lockChange is another way to wrap the data key.
type lockChange struct {
	verb string
	wrap func(*unlocked) (seal.Wrapped, seal.Key, error)
	// settle brings the key file in line with the outcome.
	settle func(error) error
}

// changeLock replaces the wrapped data key, for a caller who can open it. The vault's
// folder is held all the while: of two processes, the one that removes the key file
// shall not remove the other's.
func (v *Vault) changeLock(ctx context.Context, c Caller, l lockChange) error {
	var release func()
	defer func() {
		if release != nil {
			release()
		}
	}()
	var next *unlocked
	prepare := func() (change, error) {
		u, err := v.proven(ctx)
		if err != nil {
			return nil, err
		}
		if release == nil {
			if release, err = store.Folder(v.o.Home); err != nil {
				return nil, err
			}
		}
		w, kek, err := l.wrap(u)
		if err != nil {
			return nil, err
		}
		next = &unlocked{wrapped: w, generation: u.generation, kek: kek, data: u.data}
		return func(tx *store.Tx) error {
			if err := u.untouched(tx); err != nil {
				return err
			}
			return tx.SetLock(w.Method, w.Box)
		}, nil
	}
	err := v.do(ctx, act{caller: c, need: RoleAdmin, file: true, verb: l.verb, objects: []string{lockObject}, prepare: prepare,
		mirror: func() { v.keys.set(next) }})
	if err == nil {
		v.wipe(ctx)
	}
	return l.settle(err)
}

// lockObject is what the audit table calls that which acts on the lock change.
const lockObject = "data key"

// proven returns the lock as it is in the file now. A process that unlocked it under an
// earlier password has to show the present one: what it holds proves nothing of today.
func (v *Vault) proven(ctx context.Context) (*unlocked, error) {
	u, err := v.unlock(ctx)
	if err != nil {
		return nil, err
	}
	now, err := v.readLock(ctx)
	if err == nil && !now.same(u) {
		err = errOldKey
	}
	return u, err
}

// wipe is best effort: the change is kept, and what was there before is no longer
// reachable through the vault.
func (v *Vault) wipe(ctx context.Context) {
	if err := v.db.Wipe(context.WithoutCancel(ctx)); err != nil {
		v.o.Logger.WarnContext(ctx, "cannot clear earlier contents from the vault's log file now", "error", err)
	}
}
