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
	return v.do(ctx, act{caller: c, need: RoleProxy, verb: "unlock", objects: []string{defaultVault},
		prepare: func() (change, error) {
			_, err := v.dataKey(ctx)
			return nothing, err
		}})
}

// dataKey is the key that opens sealed rows. The first who needs it waits for the
// password and for Argon2id; it stays in memory until the process ends.
func (v *Vault) dataKey(ctx context.Context) (seal.Key, error) {
	v.unlocking.Lock()
	defer v.unlocking.Unlock()
	if v.unlocked {
		return v.key, nil
	}
	var w seal.Wrapped
	err := v.db.View(ctx, func(tx *store.Tx) (err error) {
		w.Method, w.Box, err = tx.Lock()
		return err
	})
	if err != nil {
		return seal.Key{}, fmt.Errorf("unlock the vault: %w", missing(err))
	}
	open := v.unlockWithKeyFile
	if w.NeedsPassword() {
		open = v.unlockWithPassword
	}
	key, err := open(ctx, w)
	if err != nil {
		return seal.Key{}, err
	}
	v.key, v.unlocked = key, true
	return key, nil
}

func (v *Vault) unlockWithPassword(ctx context.Context, w seal.Wrapped) (seal.Key, error) {
	if v.o.Password == nil {
		return seal.Key{}, ErrNoPassword
	}
	password, err := v.o.Password(ctx)
	if err != nil {
		return seal.Key{}, err
	}
	defer clear(password)
	key, err := w.OpenWithPassword(password)
	if errors.Is(err, seal.ErrOpen) {
		return seal.Key{}, ErrWrongPassword
	}
	return key, err
}

func (v *Vault) unlockWithKeyFile(_ context.Context, w seal.Wrapped) (seal.Key, error) {
	kek, err := readKeyFile(v.o.keyFile())
	if errors.Is(err, fs.ErrNotExist) {
		return seal.Key{}, &problem{"the vault's key file " + v.o.keyFile() + " is gone", "restore it from a backup: without it nothing in the vault can be read"}
	}
	if err != nil {
		return seal.Key{}, err
	}
	key, err := w.OpenWithKey(kek)
	if errors.Is(err, seal.ErrOpen) {
		return seal.Key{}, &problem{"the key file " + v.o.keyFile() + " is not this vault's", "restore the two files from the same backup"}
	}
	return key, err
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

// seal and open are where values meet the data key.
func (v *Vault) seal(ctx context.Context, kind, name string, val Value) ([]byte, error) {
	key, err := v.dataKey(ctx)
	if err != nil {
		return nil, err
	}
	plain := val.Open()
	defer clear(plain)
	return key.Seal(seal.Place{Vault: v.id, Kind: kind, Name: name}, plain)
}

func (v *Vault) open(ctx context.Context, kind, name string, box []byte) ([]byte, error) {
	key, err := v.dataKey(ctx)
	if err != nil {
		return nil, err
	}
	plain, err := key.Open(seal.Place{Vault: v.id, Kind: kind, Name: name}, box)
	if errors.Is(err, seal.ErrOpen) {
		return nil, fmt.Errorf("open %s %s: %w: the sealed row was changed or moved", kind, name, ErrCorrupt)
	}
	return plain, err
}
