package backup

import (
	"errors"

	"filippo.io/age"
)

// passphrase is the identity that asks, once it sees that it is needed.
type passphrase struct{ ask func() ([]byte, error) }

func (p passphrase) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	if len(stanzas) != 1 || stanzas[0].Type != "scrypt" {
		return nil, age.ErrIncorrectIdentity
	}
	if p.ask == nil {
		return nil, asked{errNoPassphrase}
	}
	secret, err := p.ask()
	if err != nil {
		return nil, asked{err}
	}
	defer clear(secret)
	identity, err := age.NewScryptIdentity(string(secret))
	if err != nil {
		return nil, asked{ErrPassphrase} // an empty one
	}
	key, err := identity.Unwrap(stanzas)
	if errors.Is(err, age.ErrIncorrectIdentity) {
		return nil, asked{ErrPassphrase}
	}
	return key, err
}

// asked is an error that is ours and not age's.
type asked struct{ error }

func (a asked) Unwrap() error { return a.error }

func isOurs(err error) bool {
	var a asked
	return errors.As(err, &a)
}
