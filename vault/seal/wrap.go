package seal

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// Wrapped is a data key sealed with a key of its own, which comes from a password
// or lies in a key file. A new password re-wraps this one key and nothing else.
type Wrapped struct {
	// Method says how to get the wrapping key: "key-file", or Argon2id's parameters.
	Method string
	Box    []byte
}

const methodKeyFile = "key-file"

// place binds the box to the method, parameters and salt included.
func (w Wrapped) place() Place { return Place{Kind: "data-key", Name: w.Method} }

// NeedsPassword tells whether w opens with a password, or with a key file.
func (w Wrapped) NeedsPassword() bool { return w.Method != methodKeyFile }

// WrapWithPassword seals data under a key derived from password.
func WrapWithPassword(data Key, password []byte) (Wrapped, error) {
	return wrapWith(newParameters(), data, password)
}

func wrapWith(p parameters, data Key, password []byte) (Wrapped, error) {
	w, _, err := wrapAndKeep(p, data, password)
	return w, err
}

func wrapAndKeep(p parameters, data Key, password []byte) (Wrapped, Key, error) {
	if len(password) == 0 {
		return Wrapped{}, Key{}, errors.New("the password is empty")
	}
	kek, err := p.derive(password)
	if err != nil {
		return Wrapped{}, Key{}, err
	}
	w, err := wrap(p.String(), data, kek)
	return w, kek, err
}

// WithPassword seals data under another password than w's, and returns the wrapping key
// too. The salt is fresh, and parameters of an older version's are raised.
func (w Wrapped) WithPassword(data Key, password []byte) (Wrapped, Key, error) {
	var p parameters
	if w.NeedsPassword() {
		var err error
		if p, err = parseParameters(w.Method); err != nil {
			return Wrapped{}, Key{}, err
		}
	}
	return wrapAndKeep(p.raised(), data, password)
}

// Rewrap seals another data key under the wrapping key of w. Method, parameters and salt
// stay, so whoever holds kek opens the new one without the password.
func (w Wrapped) Rewrap(data, kek Key) (Wrapped, error) {
	// A key that does not open w would lock out everybody who has the right one.
	if _, err := w.OpenWithKey(kek); err != nil {
		return Wrapped{}, err
	}
	return wrap(w.Method, data, kek)
}

// WrapWithKey seals data under the key of a key file.
func WrapWithKey(data, kek Key) (Wrapped, error) { return wrap(methodKeyFile, data, kek) }

func wrap(method string, data, kek Key) (Wrapped, error) {
	w := Wrapped{Method: method}
	box, err := kek.Seal(w.place(), data.reveal())
	w.Box = box
	return w, err
}

// OpenWithPassword returns the data key; ErrOpen if the password is wrong or the
// wrapped key was tampered with.
func (w Wrapped) OpenWithPassword(password []byte) (Key, error) {
	kek, err := w.Derive(password)
	if err != nil {
		return Key{}, err
	}
	return w.OpenWithKey(kek)
}

// Derive returns the wrapping key that password makes with w's parameters. Whether it
// is the right one shows when it opens something.
func (w Wrapped) Derive(password []byte) (Key, error) {
	p, err := parseParameters(w.Method)
	if err != nil {
		return Key{}, err
	}
	return p.derive(password)
}

// OpenWithKey returns the data key; ErrOpen if kek is not w's wrapping key.
func (w Wrapped) OpenWithKey(kek Key) (Key, error) {
	b, err := kek.Open(w.place(), w.Box)
	if err != nil {
		return Key{}, err
	}
	defer clear(b)
	return keyFrom(b)
}

const keyFilePrefix = "av-vault-key-1:"

// MarshalKeyFile is k as a key file has it: a line that says what it is.
func (k Key) MarshalKeyFile() []byte {
	return []byte(keyFilePrefix + base64.StdEncoding.EncodeToString(k.reveal()) + "\n")
}

// ParseKeyFile reads a key file strictly. Its errors do not repeat what it read.
func ParseKeyFile(b []byte) (Key, error) {
	text, ok := strings.CutPrefix(strings.TrimSuffix(string(b), "\n"), keyFilePrefix)
	if !ok {
		return Key{}, errors.New("not a key file of this version")
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") { // which base64 skips
		return Key{}, errors.New("not a key file: the key is not base64")
	}
	defer clear(raw)
	k, err := keyFrom(raw)
	if err != nil {
		return Key{}, fmt.Errorf("not a key file: %w", err)
	}
	return k, nil
}
