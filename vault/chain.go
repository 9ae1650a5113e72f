package vault

import (
	"errors"
	"fmt"

	"github.com/av-project/av/vault/seal"
	"github.com/av-project/av/vault/store"
)

// The audit rows are a chain of hashes, which shows what was edited, removed or moved.
// Hashes alone show it only if the forger is lazy: whoever writes the file can compute
// them anew from the edited row on. So the end of the chain is sealed with the data key
// at every act for which the key is in memory. Who has no key can forge only what came
// after the last seal. Who has kept an old copy of the file can put it back, or its seal,
// and begin to forge from there; nothing in one file can show that.

// sealPlace is the seal's own: no other ciphertext of the file opens there.
var sealPlace = seal.Place{Kind: "audit", Name: "head"}

// sealChain seals the end of the chain. It first follows the chain from the link that was
// sealed to there: a seal put on forged rows would make them true. The rows before are
// for verifyChain; that they have to lead to that link, they cannot escape.
func sealChain(tx *store.Tx, key seal.Key) error {
	head, err := tx.AuditHead()
	if err != nil {
		return err
	}
	var from store.Link
	if head.Seal != nil {
		if from, err = openSeal(key, head); err != nil {
			return err
		}
	}
	last, err := tx.Follow(from, nil)
	if err != nil {
		return err
	}
	if last != head.Last {
		return wrongHead(last, head.Last)
	}
	if last.ID == 0 || head.Seal != nil && last == from {
		return nil
	}
	return putSeal(tx, key, last)
}

// resealChain moves the seal to another data key. It seals what was sealed and nothing
// more; a seal that does not open stays as it is, and goes on giving the forger away.
func resealChain(tx *store.Tx, from, to seal.Key) error {
	head, err := tx.AuditHead()
	if err != nil || head.Seal == nil {
		return err
	}
	link, err := openSeal(from, head)
	if errors.Is(err, ErrAudit) {
		return nil
	}
	if err != nil {
		return err
	}
	return putSeal(tx, to, link)
}

func putSeal(tx *store.Tx, key seal.Key, l store.Link) error {
	box, err := key.Seal(sealPlace, l.Marshal())
	if err != nil {
		return err
	}
	return tx.SealAudit(l.ID, box)
}

func openSeal(key seal.Key, head store.Head) (store.Link, error) {
	plain, err := key.Open(sealPlace, head.Seal)
	if errors.Is(err, seal.ErrOpen) {
		return store.Link{}, fmt.Errorf("%w: its seal was replaced", ErrAudit)
	}
	if err != nil {
		return store.Link{}, err
	}
	link, err := store.ParseLink(plain)
	if err == nil && link.ID != head.SealAt {
		err = fmt.Errorf("%w: the seal is said to be on row %d and is on row %d", ErrAudit, head.SealAt, link.ID)
	}
	return link, err
}

// beginsToSeal is the act that the log says of itself where there are rows and no seal.
const beginsToSeal = "begin to seal the audit log"

// verifyChain follows the whole chain and compares it with its head and its seal.
func verifyChain(tx *store.Tx, key seal.Key) (found Verified, err error) {
	head, err := tx.AuditHead()
	if err != nil {
		return found, err
	}
	var sealed store.Link
	var sealErr error = errUnsealed
	if head.Seal != nil {
		sealed, sealErr = openSeal(key, head)
	}
	since := int64(1)
	last, err := tx.Follow(store.Link{}, func(l store.Link, a store.Audit) error {
		found.Rows++
		if a.Act == beginsToSeal && l.ID <= sealed.ID {
			since = l.ID
		}
		if sealErr == nil && l.ID == sealed.ID && l != sealed {
			return rewritten(sealed)
		}
		return nil
	})
	switch {
	case err != nil:
		return found, err
	case sealErr != nil:
		return found, sealErr
	case last.ID < sealed.ID:
		return found, fmt.Errorf("%w: row %d and those after it are missing", ErrAudit, last.ID+1)
	case last != head.Last:
		return found, wrongHead(last, head.Last)
	}
	found.Since, found.Sealed = since, sealed.ID
	return found, nil
}

// errUnsealed is also what the file of an earlier av gets, until its first act.
var errUnsealed = fmt.Errorf("%w: no row of it is sealed", ErrAudit)

func rewritten(sealed store.Link) error {
	return fmt.Errorf("%w: row %d was sealed as another: it, or one before it, was rewritten", ErrAudit, sealed.ID)
}

func wrongHead(last, head store.Link) error {
	if head.ID > last.ID {
		return fmt.Errorf("%w: row %d and those after it are missing", ErrAudit, last.ID+1)
	}
	return fmt.Errorf("%w: its head was replaced and does not fit row %d", ErrAudit, last.ID)
}
