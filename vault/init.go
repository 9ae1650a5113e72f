package vault

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/av-project/av/vault/seal"
	"github.com/av-project/av/vault/store"
)

// Kinds of sealed rows.
const (
	kindCredential = "credential"
	kindAuthority  = "authority"
	authorityName  = "ca"
)

// Init makes a new vault in o.Home, sealed with password, or, if that is nil, with a
// key file beside it. It makes all of it or leaves nothing, and never touches a
// vault that is there. It clears password.
func Init(ctx context.Context, o Options, password []byte) (err error) {
	defer clear(password)
	o, err = o.withDefaults()
	if err != nil {
		return err
	}
	if err := o.isFolder(); err != nil {
		return err
	}
	release, err := store.Folder(o.Home)
	if err != nil {
		return err
	}
	defer release()
	if err := Absent(o); err != nil {
		return err
	}
	data := seal.NewKey()
	wrapped, undo, err := wrap(o, data, password)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, undo())
		}
	}()
	made, err := newVaultRows(data, defaultVault, o.Now())
	if err != nil {
		return err
	}
	return store.Create(ctx, o.database(), func(tx *store.Tx) error {
		now := o.Now()
		return errors.Join(
			made.add(tx),
			tx.SetLock(wrapped.Method, wrapped.Box),
			tx.AddAudit(made.row.ID, store.Audit{Time: now, Caller: Owner().Name, Role: RoleAdmin.String(), Act: "init", Object: defaultVault}),
			sealChain(tx, data),
		)
	})
}

// Absent returns ErrExists if there is a vault in o.Home, whatever its state.
func Absent(o Options) error {
	if err := o.isFolder(); err != nil {
		return err
	}
	_, err := os.Lstat(o.database())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look for a vault: %w", err)
	}
	return fmt.Errorf("%s: %w", o.database(), ErrExists)
}

// wrap seals the data key with the password or with the key file.
func wrap(o Options, data seal.Key, password []byte) (w seal.Wrapped, undo func() error, err error) {
	undo = func() error { return nil }
	if password != nil {
		w, err = seal.WrapWithPassword(data, password)
		return w, undo, err
	}
	kek, made, err := keyFileKey(o)
	if err != nil {
		return w, undo, err
	}
	if made != nil {
		undo = made
	}
	w, err = seal.WrapWithKey(data, kek)
	return w, undo, err
}

// keyFileKey is the key of the key file, which is made if there is none: then undo takes
// it away again. One that is there already is used, not replaced: it may be the only key
// to a backup.
func keyFileKey(o Options) (kek seal.Key, undo func() error, err error) {
	kek, err = readKeyFile(o.keyFile())
	if !errors.Is(err, fs.ErrNotExist) {
		return kek, nil, err
	}
	kek = seal.NewKey()
	if err := store.WriteKeyFile(o.keyFile(), kek.MarshalKeyFile()); err != nil {
		return seal.Key{}, nil, err
	}
	return kek, func() error { return os.Remove(o.keyFile()) }, nil
}

// randomID is 128 bits that nobody can guess and no other vault has.
func randomID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: the program ends instead
	return hex.EncodeToString(b[:])
}
