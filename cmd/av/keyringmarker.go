package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// keyringMarker is the file that has the keyring asked: no home asks it unless somebody
// wanted that. It holds the account's name and no secret.
func (e *env) keyringMarker() string { return filepath.Join(e.home, "keyring") }

// keyringAccount reads under which account the keyring holds this vault's password; ""
// if it was never asked to.
func (e *env) keyringAccount() (string, error) {
	b, err := os.ReadFile(e.keyringMarker())
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if id, err := hex.DecodeString(string(b)); err != nil || len(id) != accountSize {
		return "", withHint(fmt.Errorf("%s holds no account of the keyring", e.keyringMarker()), "delete the file; `av vault password remember` makes it anew")
	}
	return string(b), nil
}

const accountSize = 16

// newAccount is random, so that two homes of one user do not share an entry.
func newAccount() string {
	var id [accountSize]byte
	_, _ = rand.Read(id[:]) // never fails: the program ends instead
	return hex.EncodeToString(id[:])
}

// writeMarker puts the marker in place whole.
func (e *env) writeMarker(account string) error {
	f, err := os.CreateTemp(e.home, "keyring-*") // 0600
	if err != nil {
		return fmt.Errorf("remember the keyring's account: %w", err)
	}
	_, err = f.WriteString(account)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), e.keyringMarker())
	}
	if err != nil {
		return fmt.Errorf("remember the keyring's account: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}
