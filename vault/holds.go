package vault

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"

	"github.com/av-project/av/vault/seal"
	"github.com/av-project/av/vault/store"
)

// minHeld is the shortest value that is looked for among the credentials, in bytes: what is
// shorter may be the same by chance.
const minHeld = 8

// Holds tells whether a value is that of a credential, and of which. Those that are fetched
// when they are needed are not: to look, each of them would have to be fetched. Every
// credential is compared whatever the others gave, and by digests, so that the time tells
// nothing about any of them.
func (v *Vault) Holds(ctx context.Context, c Caller, value Value) (name string, held bool, err error) {
	prepare := func() (change, error) {
		plain := value.Open()
		defer clear(plain)
		if len(plain) < minHeld {
			return nothing, nil
		}
		wanted := sha256.Sum256(plain)
		err := v.view(ctx, func(tx *store.Tx, data seal.Key) error {
			rows, err := tx.Secrets(v.id, kindCredential)
			if err != nil {
				return err
			}
			for _, row := range rows {
				o, err := openCredential(data, v.id, row)
				if err != nil {
					return err
				}
				plain := o.sealed.Open()
				sum := sha256.Sum256(plain)
				clear(plain)
				if subtle.ConstantTimeCompare(sum[:], wanted[:]) == 1 && o.Ref == "" {
					name, held = row.Name, true
				}
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("look among the credentials: %w", err)
		}
		return nothing, nil
	}
	// What is looked for, and whether it was found, is not written down: it is a secret or
	// tells of one.
	err = v.do(ctx, act{caller: c, need: RoleMember, verb: "look for a value", objects: []string{"(all credentials)"}, prepare: prepare})
	if err != nil {
		return "", false, err
	}
	return name, held, nil
}
