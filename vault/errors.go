package vault

import (
	"errors"

	"github.com/av-project/av/vault/store"
)

// problem is an error with the next step for the person who reads it.
type problem struct{ text, hint string }

func (p *problem) Error() string { return p.text }
func (p *problem) Hint() string  { return p.hint }

// What callers branch on.
var (
	ErrNotExist = store.ErrNotExist
	ErrExists   = store.ErrExists
	ErrNewer    = store.ErrNewer
	ErrCorrupt  = store.ErrCorrupt

	// ErrWrongPassword is the one answer to whatever does not unlock the vault.
	ErrWrongPassword error = &problem{"wrong master password", "nothing was changed; try again with this vault's password"}
	// ErrNoPassword is what an Options without Password gets.
	ErrNoPassword   error = &problem{"the vault wants its master password", "set AV_MASTER_PASSWORD, or run av on a terminal"}
	ErrNoCredential error = &problem{"there is no such credential", "`av credential list` shows those there are"}
	// ErrNoSession is the one answer to an unknown, an expired and an ended session.
	ErrNoSession = errors.New("there is no such session")
	ErrForbidden = errors.New("not allowed")
)
