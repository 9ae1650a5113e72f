package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/av-project/av/vault"
)

// keyringTimeout bounds how long the keyring may take, with somebody asked to unlock it.
const keyringTimeout = 30 * time.Second

// recollection is what became of the keyring in this process.
type recollection struct {
	given bool // its password went to the vault
	off   bool // it failed, or was wrong, and is not asked again
}

// rememberedPassword asks the system's keyring, if `av vault password remember` was used for
// this vault; nil if it has nothing to give. A keyring that fails is told of once, and
// whoever sits at the terminal types the password.
func (e *env) rememberedPassword(ctx context.Context) []byte {
	if e.remembered.off {
		return nil
	}
	account, err := e.keyringAccount()
	if account == "" && err == nil {
		return nil
	}
	var password string
	if err == nil {
		err = askKeyring(ctx, func() (err error) { password, err = e.keyring.Get(account); return err })
	}
	if err != nil {
		e.remembered.off = true
		e.tell("the remembered master password cannot be had: %v", err)
		return nil
	}
	e.remembered.given = true
	return []byte(password)
}

// wrongPassword hears from the vault that what masterPassword gave does not open it, and
// tells whether to ask again: yes if that was the keyring's, changed elsewhere since.
func (e *env) wrongPassword() (again bool) {
	if !e.remembered.given || e.remembered.off {
		return false
	}
	e.remembered.off = true
	e.tell("the remembered master password does not open the vault; `av vault password remember` keeps another")
	return true
}

// rememberPassword keeps the vault's password in the system's keyring, once it has shown that
// it opens the vault: a wrong one would be found out about when nobody is there to ask.
func (e *env) rememberPassword(ctx context.Context, v *vault.Vault) error {
	needed, err := v.NeedsPassword(ctx)
	if err != nil {
		return err
	}
	if !needed {
		return withHint(errors.New("the vault has no master password to remember"), "`av vault password set` gives it one")
	}
	e.remembered.off = true // it is no witness for itself
	password, err := e.masterPassword(ctx)
	if err != nil {
		return err
	}
	defer clear(password)
	if err := e.opens(ctx, password); err != nil {
		return err
	}
	if err := e.keep(ctx, password); err != nil {
		return err
	}
	e.tell("the system's keyring keeps the master password; any program that runs as you can ask it")
	return nil
}

// opens tries a password on a vault of its own, which has not been opened by another.
func (e *env) opens(ctx context.Context, password []byte) (err error) {
	o := e.vaultOptions()
	o.Password = func(context.Context) ([]byte, error) { return append([]byte(nil), password...), nil }
	v, err := vault.Open(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	return v.Unlock(ctx, vault.Owner())
}

// keep writes the keyring's entry, and then the marker that has it asked.
func (e *env) keep(ctx context.Context, password []byte) error {
	account, err := e.keyringAccount()
	if err != nil || account == "" {
		account = newAccount()
	}
	if err := askKeyring(ctx, func() error { return e.keyring.Set(account, string(password)) }); err != nil {
		return err
	}
	if err := e.writeMarker(account); err != nil {
		return errors.Join(err, askKeyring(ctx, func() error { return e.keyring.Delete(account) }))
	}
	return nil
}

// forgetPassword takes the password out of the keyring. The marker goes last: without it
// nobody would know of an entry that could not be deleted.
func (e *env) forgetPassword(ctx context.Context) error {
	account, err := e.keyringAccount()
	if err == nil && account == "" {
		return withHint(errors.New("no master password is remembered for this vault"), "`av vault password remember` does that")
	}
	if err == nil {
		err = askKeyring(ctx, func() error { return e.keyring.Delete(account) })
	}
	if err == nil {
		err = os.Remove(e.keyringMarker())
	}
	if err != nil {
		return err
	}
	e.tell("the system's keyring no longer keeps the master password")
	return nil
}

// passwordChanged must be called by every command that has changed the vault's password,
// with the new one, or nil if the vault has none now: what the keyring holds no longer
// opens it. The change is made, so a keyring that fails is told of and forgotten.
func (e *env) passwordChanged(ctx context.Context, password []byte) error {
	account, err := e.keyringAccount()
	if account == "" && err == nil {
		return nil
	}
	if err == nil && password != nil {
		err = e.keep(ctx, password)
	} else if err == nil {
		err = askKeyring(ctx, func() error { return e.keyring.Delete(account) })
	}
	if err == nil && password != nil {
		return nil
	}
	if err != nil {
		e.tell("the keyring still holds the master password of before, which av no longer asks it for: %v", err)
	}
	return os.Remove(e.keyringMarker())
}

// askKeyring waits for the keyring no longer than ctx and keyringTimeout allow. Its library
// knows no context: what hangs stays behind until the process ends.
func askKeyring(ctx context.Context, do func() error) error {
	ctx, stop := context.WithTimeout(ctx, keyringTimeout)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.Canceled) {
			return errInterrupted
		}
		return keyringError(fmt.Errorf("no answer within %v", keyringTimeout))
	}
}
