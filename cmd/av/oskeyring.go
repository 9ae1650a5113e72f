package main

import (
	"errors"
	"fmt"

	gokeyring "github.com/zalando/go-keyring"
)

// keyring keeps passwords for this user, each under an account's name.
type keyring interface {
	Set(account, password string) error
	Get(account string) (string, error)
	// Delete is done when there is no such account.
	Delete(account string) error
}

// keyringService is what av's entries are called in the keyring's own window.
const keyringService = "av"

// osKeyring is the desktop's: the Secret Service on Linux, the Keychain on macOS.
type osKeyring struct{}

func (osKeyring) Set(account, password string) error {
	if err := reachable(); err != nil {
		return err
	}
	return said(gokeyring.Set(keyringService, account, password))
}

func (osKeyring) Get(account string) (string, error) {
	if err := reachable(); err != nil {
		return "", err
	}
	password, err := gokeyring.Get(keyringService, account)
	return password, said(err)
}

func (osKeyring) Delete(account string) error {
	if err := reachable(); err != nil {
		return err
	}
	if err := gokeyring.Delete(keyringService, account); !errors.Is(err, gokeyring.ErrNotFound) {
		return said(err)
	}
	return nil
}

func said(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, gokeyring.ErrNotFound):
		return keyringError(errors.New("it no longer holds the master password"))
	}
	return keyringError(err)
}

func keyringError(err error) error {
	return withHint(fmt.Errorf("the system's keyring: %w", err), "unlock the desktop's keyring, or use --password-file instead")
}
