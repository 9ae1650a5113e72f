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
	ErrNoVault  = store.ErrNoVault

	// ErrWrongPassword is the one answer to whatever does not unlock the vault.
	ErrWrongPassword error = &problem{"wrong master password", "nothing was changed; try again with this vault's password"}
	// ErrNoPassword is what an Options without Password gets.
	ErrNoPassword error = &problem{"the vault wants its master password", "set AV_MASTER_PASSWORD, or run av on a terminal"}
	// ErrRelocked is what a process gets that cannot open what another one has locked anew.
	ErrRelocked error = &problem{"another process has changed the vault's key, and this one cannot open the new one",
		"start this command again, with the vault's present password"}
	ErrNoCredential error = &problem{"there is no such credential", "`av credential list` shows those there are"}
	// ErrNoSession is the one answer to an unknown, an expired and an ended session.
	ErrNoSession = errors.New("there is no such session")
	ErrForbidden = errors.New("not allowed")
	// ErrAudit says that the log of privileged acts is not what was written.
	ErrAudit = store.ErrAudit
	// ErrBound says that a credential may not go to that host.
	ErrBound error = &problem{"the credential is bound to other hosts", "`av credential list` shows them"}
)
