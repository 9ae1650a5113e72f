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
// vault that is there.
func Init(ctx context.Context, o Options, password []byte) (err error) {
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
	ca, err := newAuthority(o.Now())
	if err != nil {
		return fmt.Errorf("make the local CA: %w", err)
	}
	id := randomID()
	box, err := data.Seal(seal.Place{Vault: id, Kind: kindAuthority, Name: authorityName}, ca.key.Open())
	if err != nil {
		return fmt.Errorf("seal the CA's key: %w", err)
	}
	return store.Create(ctx, o.database(), func(tx *store.Tx) error {
		now := o.Now()
		return errors.Join(
			tx.AddVault(store.Vault{ID: id, Name: defaultVault, Created: now}),
			tx.SetLock(wrapped.Method, wrapped.Box),
			tx.SetCertificate(id, ca.der),
			tx.PutSecret(id, kindAuthority, authorityName, box, now),
			tx.AddAudit(id, store.Audit{Time: now, Caller: Owner().Name, Role: RoleAdmin.String(), Act: "init", Object: defaultVault}),
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

// wrap seals the data key with the password or with the key file, which it makes if
// there is none. A key file that is there already is used, not replaced: it may be
// the only key to a backup.
func wrap(o Options, data seal.Key, password []byte) (w seal.Wrapped, undo func() error, err error) {
	undo = func() error { return nil }
	if password != nil {
		w, err = seal.WrapWithPassword(data, password)
		return w, undo, err
	}
	kek, err := readKeyFile(o.keyFile())
	if errors.Is(err, fs.ErrNotExist) {
		kek = seal.NewKey()
		err = store.WriteKeyFile(o.keyFile(), kek.MarshalKeyFile())
		undo = func() error { return os.Remove(o.keyFile()) }
	}
	if err != nil {
		return w, nil, err
	}
	w, err = seal.WrapWithKey(data, kek)
	return w, undo, err
}

// randomID is 128 bits that nobody can guess and no other vault has.
func randomID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: the program ends instead
	return hex.EncodeToString(b[:])
}
