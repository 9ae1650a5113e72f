package vault

import (
	"context"
	"errors"
	"fmt"

	"github.com/av-project/av/vault/seal"
	"github.com/av-project/av/vault/store"
)

// maxTries bounds how often one act starts again because the data key was replaced
// under it. Keys are replaced once in months.
const maxTries = 4

// errOldKey says that the rows are of another data key than the one in memory. It does
// not leave the package: whoever gets it unlocks again.
var errOldKey = errors.New("the data key was replaced")

// view reads sealed rows. do gets one state of the file and the key of that very state,
// also while another process replaces the key; it may run more than once. What do puts
// in memory is not stale either: no change is made in memory while it runs.
func (v *Vault) view(ctx context.Context, do func(*store.Tx, seal.Key) error) error {
	return v.retry(ctx, func() (*unlocked, error) {
		// Before the lock: a password may have to be typed.
		u, err := v.unlock(ctx)
		if err != nil {
			return nil, err
		}
		v.mirror.RLock()
		defer v.mirror.RUnlock()
		return u, v.db.View(ctx, func(tx *store.Tx) error {
			if err := u.current(tx); err != nil {
				return err
			}
			return do(tx, u.data)
		})
	})
}

// retry runs try, and again with a new key while the one that it used is an old one.
func (v *Vault) retry(ctx context.Context, try func() (*unlocked, error)) error {
	for n := 1; ; n++ {
		u, err := try()
		if !errors.Is(err, errOldKey) {
			return err
		}
		if n == maxTries {
			return fmt.Errorf("unlock the vault: %w: its key is replaced again and again", store.ErrBusy)
		}
		if err := v.relock(ctx, u); err != nil {
			return err
		}
	}
}

// openRow is where a ciphertext meets the data key. What does not open was not written
// by whoever had the key, or not there.
func openRow(key seal.Key, p seal.Place, box []byte) ([]byte, error) {
	plain, err := key.Open(p, box)
	if errors.Is(err, seal.ErrOpen) {
		return nil, fmt.Errorf("open %s %s: %w: the sealed row was changed or moved", p.Kind, p.Name, ErrCorrupt)
	}
	return plain, err
}
